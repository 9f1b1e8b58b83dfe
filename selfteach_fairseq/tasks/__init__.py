"""fairseq's translation task, and validation BLEU of students."""
