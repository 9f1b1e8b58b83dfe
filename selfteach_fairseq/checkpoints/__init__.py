"""Checkpoints: read once, by the one safe reader, and known from then on."""
