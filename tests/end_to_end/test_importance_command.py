"""`selfteach importance` on the checkpoints of real runs."""

import csv
import json
import re
import shutil

import pytest
import torch
from conftest import selfteach, train
from tiny import TYPES, build, checkpoint_of

from selfteach_fairseq.checkpoints.checkpoint import Checkpoint
from selfteach_fairseq.cli import main
from selfteach_fairseq.importance.run import of_checkpoint

LAYERS = 4 + 3


@pytest.fixture(scope="module")
def run_folder(data, tmp_path_factory):
    """A run with a checkpoint every other update, and copies of the last."""
    folder = tmp_path_factory.mktemp("run")
    train(
        *(data, folder, "--student-layers", "2x1", "--max-epoch", 2, "--save-interval-updates", 2),
        *("--encoder-normalize-before", "--decoder-normalize-before"),
    )
    return folder


def table(folder):
    with open(folder / "importance.tsv", newline="") as file:
        return list(csv.DictReader(file, delimiter="\t"))


def pictures(folder):
    return {path.stem for path in folder.glob("*.png")}


def updates_of(path):
    return torch.load(path, weights_only=True)["optimizer_history"][-1]["num_updates"]


def test_through_a_run(data, run_folder, tmp_path):
    output = tmp_path / "importance"
    result = selfteach(
        *("importance", data, "--path", run_folder / "checkpoint*.pt", "--subset", "train"),
        *("--batches", 3, "--max-tokens", 100, "-o", output),
    )
    numbers = {updates_of(path) for path in run_folder.glob("checkpoint*.pt")}
    copies = len(list(run_folder.glob("checkpoint*.pt"))) - len(numbers)
    assert len(numbers) > 2 and copies > 0
    rows = table(output)
    assert [int(row["updates"]) for row in rows[::LAYERS]] == sorted(numbers)
    assert len(rows) == LAYERS * len(numbers)
    for number in numbers:
        for side, layers in (("encoder", 4), ("decoder", 3)):
            chosen = [r for r in rows if r["side"] == side and int(r["updates"]) == number]
            assert [int(row["layer"]) for row in chosen] == list(range(1, layers + 1))
            assert {row["part"] for row in chosen} == {"all"}
            by_rank = sorted(chosen, key=lambda row: int(row["rank"]))
            values = [float(row["importance"]) for row in by_rank]
            assert values == sorted(values, reverse=True) and values[-1] > 0
            assert [int(row["rank"]) for row in by_rank] == list(range(1, layers + 1))
    assert "loss_change" not in rows[0] and not (output / "zeroing.json").exists()
    assert pictures(output) == {"training", "ranks", "depth", "sides"}
    assert pictures(output) == {path.stem for path in output.glob("*.svg")}
    assert f"left out: {copies} with as many updates as another" in result.stdout
    lines = result.stdout.splitlines()
    assert max(map(len, lines[-LAYERS - 1 :])) <= 100
    last = rows[-1]
    assert re.search(
        rf"decoder +3 +all +{float(last['importance']):.3e} +{last['rank']} ", lines[-1]
    )
    assert result.stderr == ""


def test_sub_layers_and_zeroing_at_one_checkpoint(data, trained, tmp_path):
    """Of a post-norm model; and what an earlier run has left in the folder goes."""
    (tmp_path / "training.png").write_text("of another run")
    (tmp_path / "mine.txt").write_text("of the user's")
    result = selfteach(
        *("importance", data, "--path", trained / "checkpoint_last.pt", "--sub-layers"),
        *("--zeroing", "-o", tmp_path, "--force"),
    )
    rows = table(tmp_path)
    assert len(rows) == 4 * 3 + 3 * 4 and all(row["loss_change"] for row in rows)
    assert pictures(tmp_path) == {"sides", "sub-layers"}
    assert (tmp_path / "mine.txt").exists()
    of_layer = {
        row["part"]: row for row in rows if row["side"] == "decoder" and row["layer"] == "2"
    }
    whole = of_layer.pop("all")
    assert set(of_layer) == {"self-attention", "cross-attention", "feed-forward"}
    assert sum(int(row["parameters"]) for row in of_layer.values()) == int(whole["parameters"])
    total = sum(float(row["importance"]) * int(row["parameters"]) for row in of_layer.values())
    assert total == pytest.approx(float(whole["importance"]) * int(whole["parameters"]), rel=1e-6)

    record = json.loads((tmp_path / "zeroing.json").read_text())
    kinds = [(line["side"], line["part"], line["layers"]) for line in record["correlations"]]
    assert kinds[:3] == [("both", "all", 7), ("encoder", "all", 4), ("decoder", "all", 3)]
    for line in record["correlations"]:
        assert -1 <= line["pearson"] <= 1 and -1 <= line["spearman"] <= 1
    assert record["loss"] > 0 and record["updates"] == int(rows[0]["updates"])
    pearson, spearman = (record["correlations"][0][name] for name in ("pearson", "spearman"))
    printed = (
        f"zeroing, encoder and decoder, 7 layers: pearson {pearson:.2f}, spearman {spearman:.2f}"
    )
    assert printed in result.stdout
    # But for the name of the checkpoint.
    assert all(len(line) <= 100 or ".pt, " in line for line in result.stdout.splitlines())


def test_no_sentence_is_left_out_however_they_are_batched(data, trained, tmp_path, capsys):
    words = ["importance", str(data), "--path", str(trained / "checkpoint_last.pt")]
    for name, tokens in (("one", 4096), ("several", 30)):
        options = ["--max-tokens", str(tokens), "-o", str(tmp_path / name)]
        assert main([*words, *options]) == 0
        assert "1 checkpoint, 19 sentences of valid" in capsys.readouterr().out
    one, several = (
        [float(row["importance"]) for row in table(tmp_path / name)] for name in ("one", "several")
    )
    assert one == pytest.approx(several, rel=1e-4)
    again = of_checkpoint(trained / "checkpoint_last.pt", data)
    assert list(again.values()) == pytest.approx(one, rel=1e-6)
    sides = [("encoder", n) for n in (1, 2, 3, 4)] + [("decoder", n) for n in (1, 2, 3)]
    assert list(again) == sides

    assert main([*words, "--max-tokens", "8", "-o", str(tmp_path / "short")]) == 0
    printed = capsys.readouterr().out
    kept = int(re.search(r"(\d+) sentences of valid", printed)[1])
    left_out = int(re.search(r"left out: (\d+) sentences too long for", printed)[1])
    assert left_out > 0 and kept + left_out == 19


def test_a_checkpoint_in_half_precision(data, trained, tmp_path, capsys):
    """Measured in single precision, whatever it is stored in."""
    stored = tmp_path / "half.pt"
    words = ["truncate", str(trained / "checkpoint_last.pt"), "--layers", "4x3", "--fp16"]
    assert main([*words, "-o", str(stored)]) == 0
    single = of_checkpoint(trained / "checkpoint_last.pt", data)
    assert of_checkpoint(stored, data) == pytest.approx(single, rel=0.05)


def damaged(data, folder):
    shutil.copytree(data, folder)
    for path in folder.glob("valid.*.idx"):
        path.write_bytes(path.read_bytes()[:20])
    return folder


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda w, t: {**w, "--path": t / "no*.pt"}, "no*.pt: no such file: name checkpoints"),
        (lambda w, t: {**w, "--subset": "dev"}, "has no dev of xx and en: choose another"),
        (lambda w, t: {**w, "--max-tokens": 1}, "valid has no sentence of at most 1 tokens"),
        (lambda w, t: {**w, "data": t / "nowhere"}, "has no dict."),
        (lambda w, t: {**w, "data": damaged(w["data"], t / "data")}, "its valid can't be read"),
        (lambda w, t: {**w, "-o": t / "no" / "folder"}, "choose one in a writable folder"),
        (lambda w, t: {**w, "-o": w["--path"]}, "is no folder: choose another name"),
        (lambda w, t: {**w, "-o": w["data"]}, "is not empty: choose another folder, or add"),
        (lambda w, t: {**w, "--path": w["data"] / "dict.xx.txt"}, "dict.xx.txt: not loaded"),
    ],
)
def test_what_is_refused(data, trained, tmp_path, capsys, change, message):
    words = {"data": data, "--path": trained / "checkpoint_last.pt", "-o": tmp_path / "out"}
    words = change(words, tmp_path)
    folder = words.pop("data")
    options = [str(word) for pair in words.items() for word in pair]
    assert main(["importance", str(folder), *options]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert message in line and not (tmp_path / "out").exists()


def test_two_states_of_one_update(data, trained, tmp_path, capsys):
    other = Checkpoint.read(trained / "checkpoint_last.pt")
    other.weights["encoder.layers.0.fc1.weight"] *= 1.1
    other.write(tmp_path / "other.pt")
    paths = [str(trained / "checkpoint_last.pt"), str(tmp_path / "other.pt")]
    assert main(["importance", str(data), "--path", *paths, "-o", str(tmp_path / "out")]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert "has other weights than" in line and "name the checkpoints of one run" in line


def test_checkpoints_of_different_depth(data, trained, tmp_path, capsys):
    cut = tmp_path / "cut.pt"
    whole = str(trained / "checkpoint_last.pt")
    assert main(["truncate", whole, "--layers", "2x1", "-o", str(cut)]) == 0
    output = ["-o", str(tmp_path / "out")]
    assert main(["importance", str(data), "--path", whole, str(cut), *output]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert re.search(r"has (4x3|2x1) layers and .* has (4x3|2x1): name the checkpoints of", line)


def test_text_in_more_types_than_the_dictionary_has(data, tmp_path, capsys):
    """On a GPU torch would end the process."""
    torch.save(checkpoint_of(build()[0]), tmp_path / "model.pt")
    other = tmp_path / "data"
    shutil.copytree(data, other)
    for path in other.glob("dict.*.txt"):
        path.write_text("".join(f"t{i} 1\n" for i in range(TYPES - 4)))
    words = ["--path", str(tmp_path / "model.pt"), "-o", str(tmp_path / "out")]
    assert main(["importance", str(other), *words]) == 1
    assert "valid holds a type that its dictionary lacks" in capsys.readouterr().err
