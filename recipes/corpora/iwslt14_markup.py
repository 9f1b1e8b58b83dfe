"""The two markups of the IWSLT14 release: tagged training text, and test sets in XML.

Of training text fairseq's recipe keeps titles and descriptions and drops the other tagged lines; so
does this. A test set is its <seg> elements. Entities are replaced by what they stand for.
"""

import html
import re
from itertools import zip_longest
from typing import NamedTuple

from text import CorpusError, decode, tidy_line

_TAG = re.compile(r"\s*<(/?\w+)[^>]*>")
_KEPT = ("title", "description")
_DROPPED = ("url", "keywords", "talkid", "speaker", "translator", "reviewer", "doc", "/doc")
_MARK = re.compile(r"<(/?seg|doc)\b([^<>]*)>")
_ID = re.compile(r'\bid="?(\w+)')


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
            parts = [line[tag.end() :]]
            while f"</{kind}>" not in parts[-1]:  # a description may go over several lines
                _, following = next(lines, (None, None))
                if following is None:
                    raise CorpusError(f"{name}, line {number}: <{kind}> without its end")
                parts.append(following)
            parts[-1] = parts[-1].split(f"</{kind}>")[0]
            found.append(Text(number, talk, kind, _plain(" ".join(parts), name, number)))
        else:  # an empty one too: on the other side there may be text
            found.append(Text(number, talk, "sentence", _plain(line, name, number)))
    return found


def test(content, name):
    """The segments of a test set. Raises: CorpusError if it is not UTF-8 or has none."""
    text = decode(content, name)
    found, talk, line, read, opened = [], 0, 1, 0, None
    for mark in _MARK.finditer(text):
        line += text.count("\n", read, mark.start())
        read = mark.start()
        if mark[1] == "seg":
            if opened:
                break
            number = _ID.search(mark[2])
            opened = Text(line, talk, f"segment {number[1] if number else '?'}", "")
            start = mark.end()
        elif mark[1] == "/seg" and opened:
            # The training text has straight apostrophes; fairseq's recipe straightens these too.
            sentence = _plain(text[start : mark.start()], name, line).replace("\u2019", "'")
            found.append(opened._replace(sentence=sentence))
            opened = None
        elif mark[1] == "doc" and "docid=" in mark[2] and not opened:
            talk += 1
    if opened:
        raise CorpusError(f"{name}, line {opened.line}: <seg> without its end")
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


def _plain(text, name, line):
    try:
        return tidy_line(html.unescape(text))
    except ValueError:  # Python reads no number of over 4,300 digits
        raise CorpusError(f"{name}, line {line}: has an entity that is no character") from None
