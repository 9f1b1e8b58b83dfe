"""A BERT's tokenizer: pieces of text, and fairseq's dictionary of them."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..errors import CheckpointError, one_line
from ..files import lines_of, read_json, whole

FILE = "tokenizer.json"
_VOCABULARY = "vocab.txt"
# fairseq's first four types, and the one that its tasks add last.
FIRST, LAST = ("[CLS]", "[PAD]", "[SEP]", "[UNK]"), "[MASK]"
_TAKEN = ("<s>", "<pad>", "</s>", "<unk>", "<mask>")  # by what fairseq calls them


class Tokenizer:
    """What divides text as the model's own training did.

    Raises: CheckpointError if the folder has none that can be read; ValueError without tokenizers.
    """

    def __init__(self, folder: Path | str) -> None:
        self._own = _read(Path(folder))
        self._own.no_truncation()
        self._own.no_padding()
        numbers = self._own.get_vocab(with_added_tokens=True)
        self.pieces: list[str] = sorted(numbers, key=numbers.__getitem__)
        if sorted(numbers.values()) != list(range(len(numbers))):
            raise CheckpointError(f"{folder}: its tokenizer's pieces are not numbered from 0 on")
        _check_special(numbers, folder)

    def encode(self, text: str) -> list[str]:
        """The pieces of a text, without any at its ends."""
        return list(self._own.encode(text, add_special_tokens=False).tokens)

    def write(self, folder: Path) -> None:
        """Raises: OSError, with one line, if it can't be written."""
        with whole(folder / FILE) as file:
            file.write(self._own.to_str(pretty=True).encode())


def in_order(pieces: Sequence[str]) -> list[str]:
    """The pieces as fairseq numbers them."""
    return [*FIRST, *(piece for piece in pieces if piece not in (*FIRST, LAST)), LAST]


def write_dictionary(pieces: Sequence[str], path: Path) -> None:
    """fairseq's, of what it does not add by itself. Raises: OSError if it can't be written."""
    with whole(path) as file:
        file.write("".join(f"{piece} 1\n" for piece in in_order(pieces)[4:-1]).encode())


def _read(folder: Path) -> Any:
    try:
        from tokenizers import BertWordPieceTokenizer
        from tokenizers import Tokenizer as Own
    except ImportError:
        raise ValueError("tokenizers is missing: pip install 'selfteach_fairseq[bert]'") from None
    if not (folder / FILE).is_file():
        return _of_vocabulary(folder, BertWordPieceTokenizer)
    try:
        return Own.from_file(str(folder / FILE))
    except Exception as error:  # tokenizers raises nothing narrower
        raise CheckpointError(f"{folder / FILE}: can't be read ({one_line(error)})") from None


def _of_vocabulary(folder, kind):
    path = folder / _VOCABULARY
    if not path.is_file():
        raise CheckpointError(f"{folder}: has neither {FILE} nor {_VOCABULARY}")
    pieces = lines_of(path)
    if len({*pieces}) != len(pieces):
        raise CheckpointError(f"{path}: has a piece twice")
    _check_special(pieces, folder)
    said = folder / "tokenizer_config.json"
    settings = read_json(said) if said.is_file() else {}
    lower = settings.get("do_lower_case", True)
    return kind(
        {piece: number for number, piece in enumerate(pieces)},
        lowercase=lower,
        strip_accents=settings.get("strip_accents"),
        handle_chinese_chars=settings.get("tokenize_chinese_chars", True),
    )


def _check_special(pieces, folder):
    missing = [piece for piece in (*FIRST, LAST) if piece not in pieces]
    if missing:
        raise CheckpointError(f"{folder}: its tokenizer has no {', '.join(missing)}")
    for piece in pieces:
        if piece in _TAKEN or piece.split() != [piece]:
            raise CheckpointError(
                f"{folder}: its tokenizer has the piece {piece!r}, which fairseq's dictionaries "
                "can't have"
            )
