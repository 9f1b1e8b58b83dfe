"""Self-teaching's criterion, and what it is compared with: a criterion a file."""
