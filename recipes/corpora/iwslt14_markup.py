"""The two markups of the IWSLT14 release: tagged training text, and test sets in XML.

Of training text fairseq's recipe keeps titles and descriptions and drops the other tagged lines; so
does this. A test set is its <seg> elements. Entities are replaced by what they stand for.
"""

import html
import re
from itertools import zip_longest
from typing import NamedTuple

from text import CorpusError, decode

_TAG = re.compile(r"\s*<(/?\w+)[^>]*>")
_KEPT = ("title", "description")
_DROPPED = ("url", "keywords", "talkid", "speaker", "translator", "reviewer", "doc", "/doc")
_ELEMENT = re.compile(
    r'<doc\b[^>]*\bdocid="([^"]*)"|<seg\b[^>]*\bid="?(\w+)"?[^>]*>(.*?)</seg>', re.S
)


class Text(NamedTuple):
    """A sentence, and where it stands: its line, the talk, and what it is within the talk."""

    line: int
    talk: int
    kind: str
    sentence: str


def training(content, name):
    """The sentences of a train.tags file.

    Raises: CorpusError if it is not UTF-8, or a title or description does not end.
    """
    found, talk = [], 0
    lines = enumerate(decode(content, name).removesuffix("\n").split("\n"), start=1)
    for number, line in lines:
        tag = _TAG.match(line)
        kind = tag[1] if tag else ""
        if kind in _DROPPED:
            talk += kind == "url"
        elif kind in _KEPT:
            text = line[tag.end() :]
            while f"</{kind}>" not in text:  # a description may go over several lines
                _, following = next(lines, (None, None))
                if following is None:
                    raise CorpusError(f"{name}, line {number}: <{kind}> without its end")
                text += " " + following
            found.append(Text(number, talk, kind, _plain(text.split(f"</{kind}>")[0])))
        else:  # an empty one too: on the other side there may be text
            found.append(Text(number, talk, "sentence", _plain(line)))
    return found


def test(content, name):
    """The segments of a test set. Raises: CorpusError if it is not UTF-8 or has none."""
    text = decode(content, name)
    found, talk, line, read = [], 0, 1, 0
    for element in _ELEMENT.finditer(text):
        line += text.count("\n", read, element.start())
        read = element.start()
        if element[2] is None:
            talk += 1
        else:
            # The training text has straight apostrophes; fairseq's recipe straightens these too.
            sentence = _plain(element[3]).replace("\u2019", "'")
            found.append(Text(line, talk, f"segment {element[2]}", sentence))
    if not found:
        raise CorpusError(f"{name}: has no <seg>: is it a test set of IWSLT14?")
    return found


def align(source, target, names):
    """Pairs of sentences, of two files that have the same in the same order.

    Raises: CorpusError with file and line of the first place where they differ.
    """
    pairs = []
    for ours, theirs in zip_longest(source, target):
        if ours is None or theirs is None or (ours.talk, ours.kind) != (theirs.talk, theirs.kind):
            here, there = (_place(*side) for side in zip(names, (ours, theirs), strict=True))
            raise CorpusError(f"the sides differ: {here}, but {there}")
        pairs.append((ours.sentence, theirs.sentence))
    return pairs


def _place(name, text):
    if text is None:
        return f"{name} has ended"
    return f"{name}, line {text.line}, has a {text.kind} of talk {text.talk}"


def _plain(text):
    return " ".join(html.unescape(text).split())
