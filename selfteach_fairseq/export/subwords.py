"""The sentencepiece models that make pieces of text and text of pieces."""

from collections.abc import Sequence
from pathlib import Path

import sentencepiece
from fairseq.data import Dictionary

from ..errors import DataError

_MOST_FOREIGN = 0.01  # of a dictionary's symbols: tags and fillers that are no pieces


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


def check_fit(paths: Sequence[Path | str], dictionaries: tuple[Dictionary, Dictionary]) -> None:
    """Whether the pieces of a model, or of one for each side, are those of the dictionaries.

    Raises: DataError if not.
    """
    for path, dictionary in zip((paths[0], paths[-1]), dictionaries, strict=True):
        model = read(path)
        words = dictionary.symbols[dictionary.nspecial :]
        foreign = [word for word in words if not _is_of(model, word)]
        if len(foreign) > _MOST_FOREIGN * len(words):
            raise DataError(
                f"{path}: does not fit the dictionary, where {len(foreign):,} of {len(words):,} "
                f"types are no pieces of it, such as {foreign[0]!r}: name the model whose pieces "
                "the data folder has"
            )


def _is_of(model, word):
    """A piece of the model, or characters that the model has none for, which it leaves whole."""
    unknown = model.unk_id()
    if model.piece_to_id(word) != unknown:
        return True
    return all(model.piece_to_id(character) == unknown for character in word.lstrip("\u2581"))
