"""What one ships: a folder that CTranslate2 loads, without fairseq and torch."""
