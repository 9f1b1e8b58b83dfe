"""Which records are compared with which, and what comes of it."""

import csv
import json
import random
import sys

import pytest
from test_tables import RECORD

from selfteach_fairseq.cli import main

WORDS = [f"w{i}" for i in range(50)]
OF_TRANSLATIONS = {"bleu", "bleu_signature", "bleu_lc", "chrf", "decoder_layers"}
CLASSIFIED = {name: value for name, value in RECORD.items() if name not in OF_TRANSLATIONS}
CLASSIFIED |= {"accuracy": 70, "f1": 60}
LINES = [" ".join(random.Random(i).choices(WORDS, k=12)) for i in range(60)]


@pytest.fixture
def scored(tmp_path):
    """Writes a record whose translations have so many words wrong; returns its path."""
    (tmp_path / "references").write_text("".join(f"{line}\n" for line in LINES))

    def scored(system, layers, wrong, seed="1", name=None, **fields):
        path = tmp_path / f"{name or f'{system}-{layers}-{seed}'}.json"
        record = {**RECORD, "system": system, "seed": seed}
        record |= {"encoder_layers": layers, "decoder_layers": layers, **fields}
        path.write_text(json.dumps(record))
        rng, lines = random.Random(f"{system} {seed}"), []
        for line in LINES:
            words = line.split()
            for i in rng.sample(range(12), wrong):
                words[i] = "wrong"
            lines.append(" ".join(words))
        path.with_suffix(".hyp.txt").write_text("".join(f"{line}\n" for line in lines))
        return str(path)

    return scored


def run(tmp_path, paths, *options):
    csv_path = tmp_path / "rows.csv"
    words = ["significance", *paths, "--references", str(tmp_path / "references")]
    code = main([*words, "--csv", str(csv_path), *options])
    rows = list(csv.DictReader(csv_path.open())) if csv_path.exists() else []
    return code, rows


def table(capsys):
    """The rows that are printed, by system and layers."""
    lines = capsys.readouterr().out.splitlines()
    assert all(len(line) <= 100 for line in lines)
    *lines, nothing, counted = lines
    assert nothing == "" and counted.startswith("BLEU: nrefs:1|bs:1000|")
    cells = [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines]
    return {tuple(row[:2]): dict(zip(cells[0], row, strict=True)) for row in cells[2:]}


def test_each_system_is_tested_against_its_size_from_scratch(tmp_path, scored, capsys):
    paths = [
        *(scored("plain", 4, 2), scored("plain", 2, 9), scored("plain@2", 2, 4)),
        *(scored("deep-supervision", 4, 2), scored("deep-supervision", 2, 2)),
        scored("selfteach", 3, 2),  # of a size that there is no model from scratch of
    ]
    code, rows = run(tmp_path, paths)
    assert code == 0
    found = table(capsys)
    assert {key: row["against"] for key, row in found.items()} == {
        ("plain", "2x2"): "plain@2",
        ("deep-supervision", "4x4"): "plain",
        ("deep-supervision", "2x2"): "plain@2",
    }
    verdicts = {key: row["verdict"] for key, row in found.items()}
    assert verdicts["deep-supervision", "2x2"] == "better"
    assert verdicts["plain", "2x2"] == "worse"
    assert verdicts["deep-supervision", "4x4"] == "open"
    assert [row["system"] for row in rows] == [key[0] for key in found]
    for row in rows:
        difference = float(row["bleu"]) - float(row["base_bleu"])
        assert float(row["difference"]) == pytest.approx(difference)
        assert 0 < float(row["p"]) <= 1


def test_other_layers_are_tested_against_as_many(tmp_path, scored, capsys):
    paths = [scored("plain", 4, 2), scored("plain@2", 2, 4), scored("selfteach", 2, 3)]
    paths.append(scored("selfteach", 2, 3, name="last", kept_layers="last2x2"))
    assert run(tmp_path, paths)[0] == 0
    rows = table(capsys)
    assert {rows["selfteach", layers]["against"] for layers in ("2x2", "last2x2")} == {"plain@2"}


def test_seeds_are_compared_one_by_one(tmp_path, scored, capsys):
    paths = [scored("plain@2", 2, 4, seed) for seed in "123"]
    paths += [scored("a", 2, 2, "1"), scored("a", 2, 2, "3"), scored("a", 2, 2, "9")]
    paths += [scored("b", 2, 2, "1"), scored("b", 2, 5, "2"), scored("b", 2, 2, "3")]
    assert run(tmp_path, paths)[0] == 0
    found = table(capsys)
    a, b = found["a", "2x2"], found["b", "2x2"]
    assert (len(a["by seed"].split()), len(a["p"].split()), a["verdict"]) == (2, 2, "better")
    assert (len(b["by seed"].split()), b["verdict"]) == (3, "open")
    mean = sum(map(float, b["by seed"].split())) / 3
    assert float(b["BLEU"]) == pytest.approx(mean, abs=0.1)


def test_the_test_is_sacrebleus(tmp_path, scored):
    """The same p as its command gives."""
    from conftest import run as command

    base, other = scored("plain@2", 2, 4), scored("a", 2, 3)
    _, (row,) = run(tmp_path, [base, other])
    texts = [path.replace(".json", ".hyp.txt") for path in (base, other)]
    printed = command(
        *(sys.executable, "-m", "sacrebleu", tmp_path / "references", "-i", *texts, "-m", "bleu"),
        *("--paired-bs", "--format", "json"),
    )
    found = json.loads(printed.stdout)[1]["BLEU"]
    assert found["p_value"] == pytest.approx(float(row["p"]), abs=1e-4)
    assert found["score"] == pytest.approx(float(row["bleu"]), abs=0.06)


def test_another_base(tmp_path, scored, capsys):
    paths = [scored("other", 2, 4), scored("plain", 2, 2)]
    assert run(tmp_path, paths, "--base", "other")[0] == 0
    assert list(table(capsys)) == [("plain", "2x2")]


def test_systems_are_compared_within_an_engine(tmp_path, scored, capsys):
    """The same models in both engines: four comparisons, no record takes another one's place."""
    int8 = {"engine": "ctranslate2", "quantization": "int8"}
    paths = [scored("plain@2", 2, 4), scored("a", 2, 2), scored("only-fairseq", 2, 2)]
    for system, wrong in (("plain@2", 2), ("a", 4)):  # the other way round, so that it shows
        paths.append(scored(system, 2, wrong, name=f"{system}-int8", **int8))
    code, rows = run(tmp_path, paths)
    assert code == 0
    found = [(row["system"], row["engine"], float(row["difference"]) > 0) for row in rows]
    assert found == [
        ("a", "fairseq", True),
        ("only-fairseq", "fairseq", True),
        ("a", "CT2 int8", False),
    ]
    printed = [line.split("|") for line in capsys.readouterr().out.splitlines()]
    assert [
        words[3].strip() for words in printed[:5] if len(words) > 3 and "-" not in words[3]
    ] == [*("engine", "fairseq", "fairseq", "CT2 int8")]


def test_threads_change_no_translation(tmp_path, scored):
    paths = [scored("plain@2", 2, 4, threads=1, beam=5), scored("a", 2, 2, threads=2, beam=4)]
    assert run(tmp_path, paths)[0] == 0


def test_a_cut_model_alone_in_an_engine_does_not_pass_for_a_full_one(tmp_path, scored, capsys):
    int8 = {"engine": "ctranslate2", "quantization": "int8"}
    paths = [scored("plain", 4, 2), scored("plain", 2, 9, **int8), scored("a", 2, 2, **int8)]
    assert run(tmp_path, paths)[0] == 1
    assert "there is nothing to compare" in capsys.readouterr().err


def test_two_records_of_one_model_and_seed(tmp_path, scored, capsys):
    paths = [scored("plain@2", 2, 4), scored("a", 2, 2), scored("a", 2, 2, name="again")]
    assert run(tmp_path, paths)[0] == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert f"{paths[2]}: is of the same system, layers, engine and seed as {paths[1]}" in line


def test_what_cannot_be_compared_is_said_in_one_line(tmp_path, scored, capsys):
    base, other = scored("plain@2", 2, 4), scored("a", 2, 2)
    for paths, message in (
        ([other], "no system has the depth and the seed of plain or plain@DEPTH"),
        ([base, scored("a", 2, 2, "5")], "no system has the depth and the seed"),
        ([base, scored("plain@x", 2, 2)], None),
    ):
        code, _ = run(tmp_path, paths)
        printed = capsys.readouterr().err
        assert (code, printed.count("\n")) == ((1, 1) if message else (0, 0))
        assert message is None or message in printed
    (tmp_path / "a-2-1.hyp.txt").write_text("one line\n")
    assert run(tmp_path, [base, other])[0] == 1
    assert "1 translations, 60 references" in capsys.readouterr().err


def test_the_tokens_are_those_of_the_records(tmp_path, scored):
    """Of sentences without spaces 13a makes a token each: none is right, and nothing differs."""
    chinese = {"tokenizer": "zh", "bleu_signature": "nrefs:1|tok:zh"}
    paths = [scored("plain@2", 2, 4, **chinese), scored("a", 2, 2, **chinese)]
    together = str.maketrans(
        "abcdefghijklmnopqrstuvwxyz ", "".join(map(chr, range(0x4E00, 0x4E1B)))
    )
    for path in (tmp_path / "references", *tmp_path.glob("*.hyp.txt")):
        path.write_text(path.read_text().translate(together))
    code, (row,) = run(tmp_path, paths)
    assert code == 0 and "|tok:zh|" in row["bleu_signature"]
    assert 50 < float(row["base_bleu"]) < float(row["bleu"]) < 99 and float(row["p"]) < 0.05


def test_what_does_not_count_the_same_is_not_compared(tmp_path, scored, capsys):
    paths = [scored("plain@2", 2, 4), scored("a", 2, 2, bleu_signature="nrefs:1|tok:zh")]
    code, rows = run(tmp_path, paths)
    (line,) = capsys.readouterr().err.splitlines()
    assert (code, rows) == (1, []) and "nrefs:1|tok:zh" in line and "same --tokenizer" in line


def test_references_with_a_byte_order_mark_and_without_text(tmp_path, scored, capsys):
    paths = [scored("plain@2", 2, 4), scored("a", 2, 2)]
    expected = run(tmp_path, paths)
    references = tmp_path / "references"
    for path in (references, *tmp_path.glob("*.hyp.txt")):
        path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert run(tmp_path, paths) == expected
    references.write_text("\n" * 60)
    assert run(tmp_path, paths)[0] == 1
    assert "the references are empty" in capsys.readouterr().err


@pytest.fixture
def labelled(tmp_path):
    """Writes a classifier's record that has so many of 200 labels wrong; returns its path."""
    truth = ["a b"[:: 2 - i % 2] for i in range(200)]
    (tmp_path / "references").write_text("".join(f"{label}\n" for label in truth))

    def labelled(system, layers, wrong, seed="1"):
        path = tmp_path / f"{system}-{layers}-{seed}.json"
        record = {**CLASSIFIED, "system": system, "seed": seed, "encoder_layers": layers}
        path.write_text(json.dumps(record))
        rng = random.Random(f"{system} {seed}")
        said = [*truth]
        for i in rng.sample(range(200), wrong):
            said[i] = "neither"
        path.with_suffix(".hyp.txt").write_text("".join(f"{label}\n" for label in said))
        return str(path)

    return labelled


def test_classifiers_by_their_accuracy(tmp_path, labelled, capsys):
    paths = [
        *(labelled("plain", 6, 20), labelled("plain", 3, 150), labelled("plain@3", 3, 50)),
        *(labelled("selfteach", 6, 21), labelled("selfteach", 3, 10)),
    ]
    code, rows = run(tmp_path, paths)
    found = {(row["system"], row["layers"]): row for row in rows}
    assert code == 0 and {key: row["base"] for key, row in found.items()} == {
        ("plain", "3"): "plain@3",
        ("selfteach", "6"): "plain",
        ("selfteach", "3"): "plain@3",
    }
    student, full = found["selfteach", "3"], found["selfteach", "6"]
    assert (float(student["accuracy"]), float(student["base_accuracy"])) == (95, 75)
    assert float(student["difference"]) == 20 and float(student["p"]) < 0.01
    assert float(full["difference"]) == pytest.approx(-0.5) and float(full["p"]) > 0.2
    printed = capsys.readouterr().out.splitlines()
    assert "accuracy" in printed[0] and printed[-1].startswith("accuracy: nrefs:1|bs:1000|")


def test_classifiers_have_no_other_metric(tmp_path, labelled, capsys):
    paths = [labelled("plain@3", 3, 50), labelled("selfteach", 3, 10)]
    assert run(tmp_path, paths, "--metric", "rouge")[0] == 1
    assert "--metric rouge: is for translations" in capsys.readouterr().err
