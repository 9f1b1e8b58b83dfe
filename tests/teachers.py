"""A teacher in a file, of 4 encoder and 3 decoder layers, wider than the models of tiny.py."""

import torch
from tiny import build, checkpoint_of


def saved(folder, *flags):
    """(model, path); further flags are of its training."""
    flags = ("--encoder-embed-dim", 32, "--dropout", 0.3, *flags)
    choices = {"arch": "transformer", "criterion": "label_smoothed_cross_entropy"}
    model, _ = build(*flags, seed=5, **choices)
    torch.save(checkpoint_of(model, *flags, **choices), folder / "teacher.pt")
    return model.eval(), folder / "teacher.pt"
