"""Errors of one line: what is wrong with what, and the way out. All of them are ValueErrors."""

_LONGEST = 500  # characters


class CheckpointError(ValueError):
    """A checkpoint that can't be used."""


class LimitError(CheckpointError):
    """A checkpoint with more than this package takes on, though it may be sound."""


class DataError(ValueError):
    """A data folder of fairseq-preprocess that can't be used, or does not fit a checkpoint."""


class TextError(ValueError):
    """A text that can't be read, or is not the one that belongs to a translation."""


class DeviceError(ValueError):
    """A GPU that can't be used."""


class ProcessError(ValueError):
    """A command of fairseq's that has failed."""


def one_line(error: object) -> str:
    """An error's text without what a terminal would not print as one short line."""
    text = "".join(c if c.isprintable() else " " for c in str(error))
    text = " ".join(text.split())
    return text if len(text) <= _LONGEST else text[:_LONGEST] + " ..."
