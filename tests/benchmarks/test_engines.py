"""Where the engines' translations differ, the cause that is named is the one."""

import re
import sys
from pathlib import Path

import pytest
import tiny
import torch
from conftest import train

from selfteach_fairseq.checkpoints.checkpoint import Checkpoint

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

import engines
from engines import Engines, Search

PAD, END = 1, 2


@pytest.fixture(scope="module")
def trained_longer(data, tmp_path_factory):
    folder = tmp_path_factory.mktemp("longer")
    train(data, folder, "--student-layers", "2x1", "--max-epoch", 15, "--save-interval", 15)
    return folder


@pytest.mark.parametrize("fixture", ["trained", "trained_longer"])
def test_no_difference_is_unexplained(data, fixture, request, capsys):
    checkpoint = request.getfixturevalue(fixture) / "checkpoint_last.pt"
    words = [str(checkpoint), str(data), "--max-len-a", "1.2", "--max-len-b", "10"]
    assert engines.main([*words, "--beam", "1", "5"]) == 0
    head, _, *rows = [
        line.strip("| ").split(" | ") for line in capsys.readouterr().out.splitlines()[:4]
    ]
    assert head[:3] == ["beam", "sentences", "same"] and head[-1] == "unexplained"
    for beam, row in zip((1, 5), rows, strict=True):
        assert row[:2] == [str(beam), "21"] and row[-1] == "0"
        assert sum(map(int, row[2:])) == 21


def sample_of(*sources):
    """A batch as fairseq makes one: padding on the left, </s> on the right."""
    longest = max(map(len, sources))
    rows = [[PAD] * (longest - len(row)) + [*row, END] for row in sources]
    tokens = torch.tensor(rows)
    inputs = {"src_tokens": tokens, "src_lengths": tokens.ne(PAD).sum(1)}
    return {"id": torch.arange(len(rows)), "net_input": inputs}


SAMPLE = sample_of([4, 5, 6, 7], [8, 9], [10, 11, 12, 13, 14, 15])


def engines_of(model, flags, folder, kind):
    there = tiny.task()
    checkpoint = Checkpoint.of(tiny.checkpoint_of(model, *flags)).stock()
    return kind(checkpoint, (there.source_dictionary, there.target_dictionary), str(folder))


def saying(folder, kind=Engines, **shares):
    """The engines of a model that gives types t0, t1, ... , END or PAD always the same shares."""
    types = {"end": END, "pad": PAD, **{f"t{i}": 4 + i for i in range(9)}}
    probabilities = torch.full((tiny.TYPES,), 1e-6)
    for name, share in shares.items():
        probabilities[types[name]] = share
    model, _ = tiny.build()
    with torch.no_grad():
        norm = model.decoder.layers[-1].final_layer_norm
        norm.weight.zero_()
        norm.bias.copy_(torch.eye(len(norm.bias))[0])
        model.decoder.output_projection.weight[:, 0] = probabilities.log()
    return engines_of(model, (), folder, kind)


class Altered(Engines):
    """Whose CTranslate2 finds what fairseq does, but for the first sentence."""

    def alter(self, translation):
        return translation[1:]

    def by_ctranslate2(self, sample, search, padding=True):
        found = self.by_fairseq(sample, search)
        found[0] = self.alter(found[0])
        return found


def causes(there, search, sample=SAMPLE):
    return [difference.cause for difference in there.differences(sample, search)]


def test_two_words_that_are_one_to_the_model_are_a_tie(tmp_path):
    class Swapping(Altered):
        def alter(self, translation):
            return [{4: 5, 5: 4}[token] for token in translation]

    there = saying(tmp_path, Swapping, t0=0.4, t1=0.4, end=0.2)
    [difference] = there.differences(SAMPLE, Search(beam=1, max_len_b=6))
    assert (difference.number, difference.cause) == (0, "tie")
    assert difference.source == [4, 5, 6, 7]
    assert difference.fairseq != difference.ctranslate2 and len(difference.fairseq) == 6


def test_the_end_of_the_sentence_in_the_first_softmax_says_so(tmp_path):
    # By fairseq t0 ends the sentence with log(0.5 * 0.45) / 2 = -0.75, five of them with
    # log(0.5 ** 5 * 0.45) / 6 = -0.71. A first t0 of 0.5 / (1 - 0.45) makes them -0.45 and -0.61.
    there = saying(tmp_path, t0=0.5, end=0.45)
    found = there.differences(SAMPLE, Search(beam=5, max_len_b=5))
    assert [difference.cause for difference in found] == ["first step"] * 3
    assert [difference.fairseq for difference in found] == [[4] * 5] * 3
    assert [difference.ctranslate2 for difference in found] == [[4]] * 3
    assert not causes(there, Search(beam=1, max_len_b=5))


def test_padding_in_a_translation_says_so(tmp_path):
    there = saying(tmp_path, pad=0.5, t0=0.4, end=0.1)
    found = there.differences(SAMPLE, Search(beam=1, max_len_b=3))
    assert [difference.cause for difference in found] == ["<pad>"] * 3
    assert [difference.ctranslate2 for difference in found] == [[PAD] * 3] * 3
    assert [difference.fairseq for difference in found] == [[4] * 3] * 3


def test_several_causes_at_once_say_so(tmp_path):
    there = saying(tmp_path, pad=0.02, t0=0.49, end=0.44)
    assert causes(there, Search(beam=5, max_len_b=5)) == ["first step"] * 3
    there = saying(tmp_path, pad=0.5, t0=0.25, end=0.22)
    assert causes(there, Search(beam=5, max_len_b=5)) == ["several"] * 3


def test_what_was_cut_at_the_limit_says_so(tmp_path):
    flags = ("--share-all-embeddings",)
    model, _ = tiny.build(*flags)
    with torch.no_grad():
        model.encoder.embed_tokens.weight.mul_(3)  # so that it says one thing or another
    there = engines_of(model, flags, tmp_path, Engines)
    sample = tiny.batch(sentences=20, source_length=9)["net_input"]["src_tokens"]
    sample = sample_of(*([token for token in row if token != PAD] for row in sample.tolist()))
    found = there.differences(sample, Search(beam=5, max_len_b=3))
    assert found and {difference.cause for difference in found} == {"limit"}
    for difference in found:
        assert 3 in (len(difference.fairseq), len(difference.ctranslate2))


def test_what_only_came_to_the_limit_is_not_explained_by_it(tmp_path):
    there = saying(tmp_path, Altered, t0=0.9, end=0.1)
    there.alter = lambda translation: [*translation[:-1], 9]
    [difference] = there.differences(SAMPLE, Search(beam=1, max_len_b=3))
    assert len(difference.fairseq) == len(difference.ctranslate2) == 3
    assert difference.cause == "unexplained"


def test_an_empty_source_says_so(tmp_path):
    there = saying(tmp_path, t0=0.5, end=0.45)
    sample = sample_of([], [4])
    [difference] = there.differences(sample, Search(beam=1, max_len_b=5))
    assert (difference.number, difference.cause) == (0, "empty source")
    assert difference.fairseq and not difference.ctranslate2


def test_anything_else_is_unexplained_and_ends_with_1(data, trained, monkeypatch, capsys):
    monkeypatch.setattr(engines, "Engines", Altered)
    words = [str(trained / "checkpoint_last.pt"), str(data), "--beam", "1"]
    assert engines.main(words) == 1
    said = capsys.readouterr()
    counts = said.out.splitlines()[2].split("|")
    assert int(counts[-2]) > 0
    assert re.search(
        r"^beam 1, sentence \d+: unexplained\n  source: w.*\n  fairseq: W.*\n  ctranslate2:",
        said.err,
    )
