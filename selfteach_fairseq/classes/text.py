"""Labels for raw text, by a classifier in a folder of its own: line for line, as it comes.

The folder has model.pt, input0/dict.txt and label/dict.txt as fairseq has them, and tokenizer.json
or spm.model.
"""

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from ..bert.tokenizer import FILE, Tokenizer
from ..checkpoints.checkpoint import Checkpoint
from ..errors import CheckpointError, DataError
from ..export import subwords
from .classifier import Classifier

MODEL, SENTENCEPIECE = "model.pt", "spm.model"
_BATCH = 64  # sentences


class TextClassifier:
    """A classifier of lines; a tab divides the two sentences of a pair.

    Raises: ValueError if the folder is none of a classifier.
    """

    def __init__(self, folder: Path | str, with_probabilities: bool = False) -> None:
        folder = Path(folder)
        try:
            self._classifier = Classifier(Checkpoint.read(folder / MODEL).stock(), folder)
        except CheckpointError as error:
            raise CheckpointError(f"{folder}: {error}") from None
        self._with_probabilities = with_probabilities
        self._encode = _encoder(folder)
        self.longest = self._classifier.longest  # tokens
        self.cut = 0  # lines that were longer than the model takes

    def parts(self, line: str) -> Tensor:
        """The tokens of a line. Raises: ValueError if there are none, or it is no pair."""
        dictionary, settings = self._classifier.task.dictionary, self._classifier.task.cfg
        texts = [" ".join(text.split()) for text in line.split("\t")]
        if not all(texts):
            raise ValueError("has no text")
        if len(texts) > 2:
            raise ValueError(f"has {len(texts)} texts with tabs between: write one, or two")
        tokens = []
        for number, text in enumerate(texts):
            before = settings.separator_token if number else settings.init_token
            if before is not None:
                tokens.append(torch.tensor([before]))
            pieces = " ".join(self._encode(text))
            tokens.append(dictionary.encode_line(pieces, add_if_not_exist=False).long())
        whole = torch.cat(tokens)
        self.cut += len(whole) > self.longest
        return whole

    def translate(self, lines: Sequence[Tensor]) -> list[str]:
        """Of each line its label, and with probabilities those of all labels, likeliest first."""
        found = []
        for probabilities in self._classifier.probabilities(lines, _BATCH):
            order = probabilities.argsort(descending=True).tolist()
            words = [self._classifier.labels[order[0]]]
            if self._with_probabilities:
                labels = self._classifier.labels
                words += [f"{labels[i]}={probabilities[i]:.4f}" for i in order]
            found.append("\t".join(words))
        return found


def _encoder(folder):
    if (folder / FILE).is_file():
        return Tokenizer(folder).encode
    if (folder / SENTENCEPIECE).is_file():
        model = subwords.read(folder / SENTENCEPIECE)
        return lambda text: model.encode(text, out_type=str)
    raise DataError(f"{folder}: has neither {FILE} nor {SENTENCEPIECE}, which divide text")
