"""The sentencepiece models that make pieces of text and text of pieces."""

import re
import sys
import unicodedata
from collections.abc import Sequence
from pathlib import Path

import sentencepiece
from fairseq.data import Dictionary

from ..errors import DataError

_FILLER = re.compile(r"madeupword\d{4}")  # fairseq-preprocess', up to seven of them
_MOST_FOREIGN = 0.01  # of a dictionary's symbols: tags that are no pieces
_MOST_OTHER = 0.5  # of a model's pieces: those that training text had not, or not often


def read(path: Path | str) -> sentencepiece.SentencePieceProcessor:
    """Raises: DataError if there is no model in the file."""
    try:
        return sentencepiece.SentencePieceProcessor(model_file=str(path))
    except (OSError, RuntimeError, TypeError):  # TypeError: of an empty file
        raise DataError(
            f"{path}: is no sentencepiece model: name the .model that spm_train made"
        ) from None


def read_sides(
    folder: Path | str, names: Sequence[str]
) -> tuple[sentencepiece.SentencePieceProcessor, sentencepiece.SentencePieceProcessor]:
    """The models of source and target, which may be one file. Raises: see read()."""
    models = [read(Path(folder, name)) for name in names]
    return models[0], models[-1]


def known(model: sentencepiece.SentencePieceProcessor, text: str) -> str:
    """The text, in Unicode's composed form (NFC) if the model knows more of its characters then.

    Training text is composed nearly always; what comes from macOS or a PDF often is not.
    """
    composed = unicodedata.normalize("NFC", text)
    if composed == text:
        return text
    return min(text, composed, key=lambda form: model.encode(form).count(model.unk_id()))


def check_fit(paths: Sequence[Path | str], dictionaries: tuple[Dictionary, Dictionary]) -> None:
    """Whether the pieces of a model, or of one for each side, are those of the dictionaries.

    Raises: DataError if not.
    """
    for path, dictionary in zip((paths[0], paths[-1]), dictionaries, strict=True):
        model = read(path)
        symbols = dictionary.symbols[dictionary.nspecial :]
        words = [symbol for symbol in symbols if not _FILLER.fullmatch(symbol)]
        foreign = [word for word in words if not _is_of(model, word)]
        if len(foreign) > _MOST_FOREIGN * len(words):
            raise DataError(
                f"{path}: does not fit the dictionary, where {len(foreign):,} of {len(words):,} "
                f"types are no pieces of it, such as {foreign[0]!r}: name the model whose pieces "
                "the data folder has"
            )
    _warn_of_others(paths, dictionaries)


def _warn_of_others(paths, dictionaries):
    """A larger model of the same text knows all these pieces, and divides into others."""
    known = {symbol for dictionary in dictionaries for symbol in dictionary.symbols}
    for path in dict.fromkeys(paths):
        model = read(path)
        ids = [i for i in range(model.get_piece_size()) if not _is_special(model, i)]
        others = sum(model.id_to_piece(i) not in known for i in ids)
        if others > _MOST_OTHER * len(ids):
            print(
                f"note: {others:,} of {len(ids):,} pieces of {path} are in no dictionary: are the "
                "data divided by it, and not by a smaller one?",
                file=sys.stderr,
            )


def _is_special(model, number):
    return any(
        of(number) for of in (model.is_unknown, model.is_control, model.is_unused, model.is_byte)
    )


def _is_of(model, word):
    """A piece of the model, or characters that the model has none for, which it leaves whole."""
    unknown = model.unk_id()
    if model.piece_to_id(word) != unknown:
        return True
    return all(model.piece_to_id(character) == unknown for character in word.lstrip("\u2581"))
