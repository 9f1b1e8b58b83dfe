"""One page of all that a folder of results has."""
