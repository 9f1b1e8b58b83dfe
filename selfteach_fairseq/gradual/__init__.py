"""Gradual schedules: train, cut a few layers, train what is left."""
