"""BERT's own weights and tokenizer, for fairseq's RoBERTa."""
