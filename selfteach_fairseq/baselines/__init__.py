"""What self-teaching is compared with, and what is of use without it: a criterion a file."""
