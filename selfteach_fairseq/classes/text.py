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
    """A classifier of lines, or with input1/dict.txt of pairs, which a tab divides.

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
        self._count = 2 if (folder / "input1").is_dir() else 1  # texts of a line

    def parts(self, line: str) -> Tensor:
        """The tokens of a line; of long ones each text's first, and its end, as recipes have it.

        Raises: ValueError if a text is empty, or there are not as many as in training.
        """
        dictionary, settings = self._classifier.task.dictionary, self._classifier.task.cfg
        texts = [" ".join(text.split()) for text in line.split("\t")]
        if not all(texts):
            raise ValueError("has no text")
        if len(texts) != self._count:
            wanted = "one" if self._count == 1 else "two with a tab between"
            raise ValueError(f"is of {len(texts)}: this classifier reads {wanted}")
        starts = (settings.init_token, settings.separator_token)[: self._count]
        before = [[] if token is None else [token] for token in starts]
        share = (self.longest - sum(map(len, before))) // self._count - 1  # less each text's </s>
        divided = [self._encode(text) for text in texts]
        self.cut += any(len(pieces) > share for pieces in divided)
        tokens = []
        for start, pieces in zip(before, divided, strict=True):
            line = " ".join(pieces[:share])
            encoded = dictionary.encode_line(line, add_if_not_exist=False)
            tokens += [torch.tensor(start, dtype=torch.long), encoded.long()]
        return torch.cat(tokens)

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
        return lambda text: model.encode(subwords.known(model, text), out_type=str)
    raise DataError(f"{folder}: has neither {FILE} nor {SENTENCEPIECE}, which divide text")
