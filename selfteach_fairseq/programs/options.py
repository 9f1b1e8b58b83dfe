"""Options for fairseq in a command's words: `--flag value` or `--flag=value`."""

from collections.abc import Collection, Iterable
from itertools import pairwise
from typing import Any

from fairseq import options as fairseq_options


def value_of(flag: str, options: Iterable[str]) -> str | None:
    """What a flag says, the last time that it stands among the options; None without."""
    value = None
    for word, after in pairwise([*options, ""]):
        if word == flag:
            value = after
        elif word.startswith(flag + "="):
            value = word.partition("=")[2]
    return value


def refuse(flags: Collection[str], options: Iterable[str], why: str) -> None:
    """Raises: ValueError, with the reason, if one of the flags stands among the options."""
    for word in options:
        flag = word.partition("=")[0]
        if flag in flags:
            raise ValueError(f"{flag} is not for {why}")


def of_generation(words: Iterable[str]) -> dict[str, Any]:
    """What words say to fairseq-generate, as its own parser reads them, however they are spelt.

    Returns: {fairseq's name: value} of what is said, such as {"source_lang": "en"} of -s en.
    Raises: ValueError for what fairseq-generate doesn't take.
    """
    parser = fairseq_options.get_generation_parser()
    parser.error = _refused
    try:
        said = fairseq_options.parse_args_and_arch(parser, ["data", *words], suppress_defaults=True)
    except Exception as error:  # what a --user-dir breaks, too
        raise ValueError(f"fairseq-generate: {error}") from None
    return {name: value for name, value in vars(said).items() if name != "data"}


def _refused(message):
    raise ValueError(message)
