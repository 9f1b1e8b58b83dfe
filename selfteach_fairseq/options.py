"""Options for fairseq in a command's words: `--flag value` or `--flag=value`."""

from itertools import pairwise


def value_of(flag, options):
    """What a flag says, the last time that it stands among the options; None without."""
    value = None
    for word, after in pairwise([*options, ""]):
        if word == flag:
            value = after
        elif word.startswith(flag + "="):
            value = word.partition("=")[2]
    return value


def refuse(flags, options, why):
    """Raises: ValueError, with the reason, if one of the flags stands among the options."""
    for word in options:
        flag = word.partition("=")[0]
        if flag in flags:
            raise ValueError(f"{flag} is not for {why}")
