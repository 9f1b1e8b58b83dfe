"""fairseq's commands as processes of their own: their options, output and logs."""
