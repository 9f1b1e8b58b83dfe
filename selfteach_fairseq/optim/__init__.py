"""Optimizers that fairseq-train's --optimizer takes."""
