"""What fairseq's RoBERTa changes of a BERT: its norms' eps, and no types of sentences.

    python benchmarks/imported_bert.py BERT TEXTS

BERT is what `selfteach import-bert` takes, TEXTS has a text a line: 200 single ones are encoded,
and 200 pairs of one and the next. Features are (layers + 1, S, C), of S pieces.
"""

import argparse
import copy
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from fairseq.tasks.sentence_prediction import SentencePredictionConfig, SentencePredictionTask
from torch.nn.functional import cosine_similarity

from selfteach_fairseq.bert.folder import opened, weights_of
from selfteach_fairseq.bert.importing import DICTIONARY, MODEL, import_bert
from selfteach_fairseq.bert.tokenizer import Tokenizer
from selfteach_fairseq.checkpoints.checkpoint import Checkpoint

EPS = 1e-12  # BERT's; fairseq's is torch's default
SCALE = 16
COUNT = 200


class Imported:
    """A BERT in fairseq, and the same with BERT's norms and its types of sentences."""

    def __init__(self, bert, folder):
        import_bert(bert, folder)
        self.tokenizer = Tokenizer(folder)
        self.dictionary = SentencePredictionTask.load_dictionary(str(folder / DICTIONARY))
        task = SentencePredictionTask(SentencePredictionConfig(), self.dictionary, None)
        model = Checkpoint.read(folder / MODEL).build(task).eval()
        self.ours = model.encoder.sentence_encoder
        self.exact = copy.deepcopy(self.ours)
        for module in self.exact.modules():
            if isinstance(module, torch.nn.LayerNorm):
                module.eps = EPS
        self.scaled = copy.deepcopy(self.ours)
        for table in (self.scaled.embed_tokens, self.scaled.embed_positions):
            table.weight.data *= SCALE
        with opened(bert) as read:
            first, second = weights_of(read)["embeddings.token_type_embeddings.weight"]
        self.of_second = second - first

    def tokens(self, *texts):
        """Of one text or two: <s>, and a </s> behind each; and which tokens are the second's."""
        numbers, types = [self.dictionary.bos()], [0]
        for number, text in enumerate(texts):
            pieces = " ".join(self.tokenizer.encode(text))
            encoded = self.dictionary.encode_line(pieces, add_if_not_exist=False).tolist()
            numbers += encoded
            types += [number] * len(encoded)
        return torch.tensor([numbers]), torch.tensor(types)


@torch.no_grad()
def features(encoder, tokens, embeddings=None):
    states = encoder(tokens, return_all_hiddens=True, token_embeddings=embeddings)["encoder_states"]
    return torch.stack(states)[:, :, 0]


def of_norms(bert, texts):
    """The largest difference that eps makes, by layer: as imported, and with scaled embeddings."""
    imported, scaled = [], []
    for text in texts:
        tokens, _ = bert.tokens(text)
        exact = features(bert.exact, tokens)
        for encoder, found in ((bert.ours, imported), (bert.scaled, scaled)):
            found.append((features(encoder, tokens) - exact).abs().amax(dim=(1, 2)))
    return torch.stack(imported).amax(dim=0), torch.stack(scaled).amax(dim=0)


def of_types(bert, pairs):
    """How like BERT's last features those without type 1 are, and those of texts that swap places.

    Returns: (pairs, 2), cosines of the means over the pieces.
    """
    found = []
    for pair in pairs:
        tokens, types = bert.tokens(*pair)
        embeddings = bert.exact.embed_tokens(tokens) + types[:, None] * bert.of_second
        real = features(bert.exact, tokens, embeddings)[-1]
        without = features(bert.exact, tokens)[-1]
        changed = features(bert.exact, bert.tokens(*reversed(pair))[0])[-1]
        others = torch.stack([without.mean(dim=0), changed.mean(dim=0)])
        found.append(cosine_similarity(others, real.mean(dim=0), dim=1))
    return torch.stack(found)


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("bert", type=Path, metavar="BERT")
    parser.add_argument("texts", type=Path, metavar="TEXTS")
    args = parser.parse_args(argv)
    with args.texts.open(encoding="utf-8") as file:
        texts = [line.strip() for line in islice(file, 2 * COUNT)]
    with TemporaryDirectory() as folder:
        bert = Imported(args.bert, Path(folder, "bert"))
    imported, scaled = of_norms(bert, texts[:COUNT])
    print("largest difference to BERT, after the embeddings and each layer")
    print("  as imported        " + " ".join(f"{value:.6f}" for value in imported))
    print(f"  embeddings x {SCALE}    " + " ".join(f"{value:.6f}" for value in scaled))
    cosines = of_types(bert, list(zip(texts[::2], texts[1::2], strict=False)))
    print("mean features of a pair, cosine to BERT's: mean and least")
    for name, values in zip(("without type 1", "texts changed"), cosines.unbind(1), strict=True):
        print(f"  {name:18} {values.mean():.4f} {values.min():.4f}")


if __name__ == "__main__":
    main()
