"""Whether CTranslate2 finds the translations that fairseq finds, and why not where it does not.

    python benchmarks/engines.py CHECKPOINT DATA --beam 1 5 --lenpen 1.8

Both search with the same numbers (float32) and the same batches. Every difference is given one of
CAUSES by a check of that sentence; one that fails all checks ends the command with 1.
"""

import argparse
import sys
import tempfile
from collections import Counter
from collections.abc import Collection
from itertools import combinations
from typing import NamedTuple

import torch
from fairseq.search import BeamSearch
from fairseq.sequence_generator import EnsembleModel, SequenceGenerator
from fairseq.tasks.translation import TranslationConfig, TranslationTask

from selfteach_fairseq.checkpoints.checkpoint import Checkpoint
from selfteach_fairseq.checkpoints.data import batches, dictionaries, languages
from selfteach_fairseq.export.specification import library, specification, write

TIE = 1e-4  # of scores, between two orders of the same sums
# What CTranslate2 does otherwise, and what shows that it is the cause for a sentence.
RULES = {
    "first step": "fairseq finds the same with </s> left out of the first softmax, not after it",
    "limit": "fairseq finds the same if it compares what is cut at the limit, without </s>",
    "<pad>": "CTranslate2 finds the same without <pad>, which fairseq never takes",
}
CAUSES = {
    "empty source": "CTranslate2 gives an empty translation",
    "tie": f"fairseq scores both within {TIE}",
    **RULES,
    "several": "more than one of the last three at once",
    "unexplained": "none of these",
}


class Search(NamedTuple):
    """What is searched for."""

    beam: int = 5
    lenpen: float = 1.0
    max_len_a: float = 0.0
    max_len_b: int = 200


class Difference(NamedTuple):
    """A sentence to which the engines give different translations, as lists of types."""

    number: int  # in the data
    cause: str
    source: list[int]
    fairseq: list[int]
    ctranslate2: list[int]


class Engines:
    """A model in both engines."""

    def __init__(self, checkpoint: Checkpoint, dictionaries, folder: str) -> None:
        """`folder`: an empty one, for the exported model."""
        self.dictionaries = dictionaries
        task = TranslationTask(TranslationConfig(), *dictionaries)
        self.model = checkpoint.build(task).float().eval()
        write(specification(checkpoint, dictionaries), folder, "none")
        self.translator = library().Translator(
            folder, compute_type="float32", intra_threads=torch.get_num_threads()
        )

    def limit(self, sample, search: Search) -> int:
        """The most tokens of a translation, </s> not counted, in a batch."""
        length = sample["net_input"]["src_tokens"].shape[1]
        positions = self.model.max_decoder_positions() - 1
        return min(int(search.max_len_a * length + search.max_len_b), positions)

    def sources(self, sample) -> list[list[int]]:
        ends = {self.dictionaries[0].pad(), self.dictionaries[0].eos()}
        rows = sample["net_input"]["src_tokens"].tolist()
        return [[token for token in row if token not in ends] for row in rows]

    def by_fairseq(self, sample, search: Search, rules: Collection[str] = ()) -> list[list[int]]:
        """The best translation of each sentence; `rules` are CTranslate2's to go by."""
        target, limit = self.dictionaries[1], self.limit(sample, search)
        ensemble = (_WithoutEndFirst if "first step" in rules else EnsembleModel)([self.model])
        generator = SequenceGenerator(
            ensemble,
            target,
            search_strategy=_Cut(target, limit, search.lenpen) if "limit" in rules else None,
            beam_size=search.beam,
            len_penalty=search.lenpen,
            max_len_a=search.max_len_a,
            max_len_b=search.max_len_b,
        )
        found = generator.generate([self.model], sample)
        return [hypotheses[0]["tokens"].tolist()[:-1] for hypotheses in found]

    def by_ctranslate2(self, sample, search: Search, padding: bool = True) -> list[list[int]]:
        """Likewise; `padding`: whether <pad> may be a part of a translation."""
        source, target = self.dictionaries
        found = self.translator.translate_batch(
            [[source[token] for token in row] for row in self.sources(sample)],
            beam_size=search.beam,
            length_penalty=search.lenpen,
            max_decoding_length=self.limit(sample, search),
            max_input_length=0,
            suppress_sequences=None if padding else [[target[target.pad()]]],
        )
        return [[target.indices[word] for word in result.hypotheses[0]] for result in found]

    def scores(self, sample, translations, lenpen: float) -> list[float]:
        """Sums of log-probabilities / length ** lenpen, </s> included, of a batch, by fairseq."""
        target = self.dictionaries[1]
        ended = [[*translation, target.eos()] for translation in translations]
        longest = max(map(len, ended))
        rows = torch.tensor([row + [target.pad()] * (longest - len(row)) for row in ended])
        inputs = {**sample["net_input"], "prev_output_tokens": rows.roll(1, dims=1)}
        inputs["prev_output_tokens"][:, 0] = target.eos()
        with torch.no_grad():
            log_probs = self.model(**inputs)[0].log_softmax(-1)
        taken = log_probs.gather(2, rows.unsqueeze(2)).squeeze(2)
        sums = taken.masked_fill(rows.eq(target.pad()), 0).sum(1).tolist()
        return [total / len(row) ** lenpen for total, row in zip(sums, ended, strict=True)]

    def differences(self, sample, search: Search) -> list[Difference]:
        """Those of a batch."""
        sources = self.sources(sample)
        ours, theirs = self.by_fairseq(sample, search), self.by_ctranslate2(sample, search)
        differing = [i for i in range(len(ours)) if ours[i] != theirs[i]]
        if not differing:
            return []

        def same(one, other):
            scores = (self.scores(sample, rows, search.lenpen) for rows in (one, other))
            near = [abs(a - b) <= TIE for a, b in zip(*scores, strict=True)]
            return [a == b or tie for a, b, tie in zip(one, other, near, strict=True)]

        def checks():
            yield "empty source", [not source for source in sources]
            yield "tie", same(ours, theirs)
            for rules in (r for n in range(len(RULES)) for r in combinations(RULES, n + 1)):
                one = self.by_fairseq(sample, search, rules)
                other = self.by_ctranslate2(sample, search, padding="<pad>" not in rules)
                yield rules[0] if len(rules) == 1 else "several", same(one, other)

        causes: dict[int, str] = {}
        for cause, holds in checks():
            causes |= {i: cause for i in differing if holds[i] and i not in causes}
            if len(causes) == len(differing):
                break
        numbers = sample["id"].tolist()
        return [
            Difference(numbers[i], causes.get(i, "unexplained"), sources[i], ours[i], theirs[i])
            for i in differing
        ]


class _WithoutEndFirst(EnsembleModel):
    """Whose first step is CTranslate2's: without </s>, before the softmax."""

    def forward_decoder(self, tokens, encoder_outs, incremental_states, temperature: float = 1.0):
        log_probs, attention = super().forward_decoder(
            tokens, encoder_outs, incremental_states, temperature
        )
        if tokens.shape[1] == 1:
            log_probs[:, tokens[0, 0]] = -torch.inf  # the first token is </s>, too
            log_probs = log_probs.log_softmax(-1)
        return log_probs, attention


class _Cut(BeamSearch):
    """Which gives what has come to the limit the score that CTranslate2 gives it: without </s>."""

    def __init__(self, dictionary, limit: int, lenpen: float) -> None:
        super().__init__(dictionary)
        self.limit, self.factor = limit, (1 + 1 / limit) ** lenpen

    def step(self, step: int, lprobs, scores, *others, **further):
        if step == self.limit:  # fairseq divides by another length than CTranslate2
            lprobs[:, :, self.eos] = scores[:, :, step - 1] * (self.factor - 1)
        return super().step(step, lprobs, scores, *others, **further)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("checkpoint")
    parser.add_argument("data", help="folder of fairseq-preprocess")
    parser.add_argument("--subset", default="test")
    parser.add_argument("--beam", type=int, nargs="+", default=[1, 5])
    parser.add_argument("--lenpen", type=float, default=1.0)
    parser.add_argument("--max-len-a", type=float, default=0.0)
    parser.add_argument("--max-len-b", type=int, default=200)
    parser.add_argument("--max-tokens", type=int, default=4096, help="of a batch")
    options = parser.parse_args(arguments)

    checkpoint = Checkpoint.read(options.checkpoint).stock()
    pair = languages(checkpoint, options.data)
    found = dictionaries(checkpoint, options.data, pair)
    with tempfile.TemporaryDirectory() as folder:
        engines = Engines(checkpoint, found, folder)
        samples, _ = batches(
            *(options.data, options.subset, pair, found),
            longest=engines.model.max_positions(),
            count=sys.maxsize,
            max_tokens=options.max_tokens,
        )
        sentences = sum(len(sample["id"]) for sample in samples)
        print(f"| beam | sentences | same | {' | '.join(CAUSES)} |")
        print(f"|---:|---:|---:|{'---:|' * len(CAUSES)}")
        unexplained = []
        for beam in options.beam:
            search = Search(beam, options.lenpen, options.max_len_a, options.max_len_b)
            differences = [d for sample in samples for d in engines.differences(sample, search)]
            counts = Counter(difference.cause for difference in differences)
            row = [beam, sentences, sentences - len(differences), *(counts[c] for c in CAUSES)]
            print(f"| {' | '.join(map(str, row))} |", flush=True)
            unexplained += [(beam, d) for d in differences if d.cause == "unexplained"]
    for cause, check in CAUSES.items():
        print(f"{cause}: {check}")
    for beam, difference in unexplained:
        print(f"beam {beam}, sentence {difference.number}: unexplained", file=sys.stderr)
        for name, dictionary in zip(
            difference._fields[2:], (found[0], *[found[1]] * 2), strict=True
        ):
            words = " ".join(dictionary[token] for token in getattr(difference, name))
            print(f"  {name}: {words}", file=sys.stderr)
    return 1 if unexplained else 0


if __name__ == "__main__":
    sys.exit(main())
