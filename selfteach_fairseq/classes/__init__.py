"""Classifiers: their criteria, their scores, labels for text."""
