"""Checkpoints made to do harm, or that are not what they claim: one line each, at once."""

import os
import pickle
import resource
import zipfile
from argparse import Namespace

import numpy as np
import pytest
import torch
from tiny import build, checkpoint_of

from selfteach_fairseq.cli import main

SHARED = ("--share-all-embeddings",)
WEIGHT = "encoder.layers.0.fc1.weight"
SIZES = "its settings and its model do not fit"


@pytest.fixture
def state():
    return checkpoint_of(build(*SHARED)[0], *SHARED)


def most_memory():
    """Of this process so far, in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def refusal(path, capsys):
    """The one line that every command has for a file that it refuses, in little memory."""
    output, before = path.parent / "out.pt", most_memory()
    lines = []
    for command, *words in (
        ("truncate", path, "--layers", "1"),
        ("average", path),
        ("score", path, "/nowhere"),
        ("importance", "/nowhere", "--path", path),
    ):
        assert main([command, *map(str, words), "-o", str(output)]) == 1
        (line,) = capsys.readouterr().err.splitlines()
        assert line.startswith(f"selfteach {command}: ") and len(line) < 700
        lines.append(line.removeprefix(f"selfteach {command}: "))
    assert not output.exists() and len(set(lines)) == 1
    assert most_memory() - before < 2**30
    return lines[0]


def again_and_again(times):
    """Data that refer to the same data: 10 ** times values in a few bytes."""
    data = 1
    for _ in range(times):
        data = [data] * 10
    return data


def endless():
    data = []
    data.append(data)
    return data


SETTINGS = {
    "a billion layers": ({"encoder_layers": 10**9}, SIZES),
    "fewer layers": ({"decoder_layers": 2}, SIZES),
    "layers below zero": ({"decoder_layers": -1}, SIZES),
    "layers as text": ({"encoder_layers": "4"}, SIZES),
    "a wide model": ({"encoder_embed_dim": 10**9, "decoder_embed_dim": 10**9}, SIZES),
    "wide layers": ({"decoder_ffn_embed_dim": 10**15}, "size mismatch for decoder"),
    "wide beyond numbers": ({"decoder_ffn_embed_dim": 10**18}, SIZES),
    "many positions": ({"max_source_positions": 10**9}, "tables of"),
    "positions beyond numbers": ({"max_target_positions": 10**18}, SIZES),
    "no heads": ({"encoder_attention_heads": 0}, SIZES),
    "a list": ({"encoder_embed_dim": [1]}, SIZES),
    "nothing": ({"encoder_ffn_embed_dim": None}, SIZES),
    "itself": ({"encoder_embed_dim": "${encoder_embed_dim}"}, SIZES),
    "a function that is not there": ({"activation_fn": "no_such"}, "no_such"),
    "a name that is none": ({"_name": ["transformer"]}, "has a list as cfg.model._name"),
}


@pytest.mark.parametrize("settings, message", SETTINGS.values(), ids=SETTINGS)
def test_settings_that_are_not_the_models(state, tmp_path, capsys, settings, message):
    state["cfg"]["model"].update(settings)
    torch.save(state, tmp_path / "model.pt")
    assert message in refusal(tmp_path / "model.pt", capsys)


def replaced(model, tensor):
    return {**model, WEIGHT: tensor}


MODELS = {
    "a missing name": (lambda m: {k: v for k, v in m.items() if k != WEIGHT}, "Missing key"),
    "a name more": (lambda m: {**m, "encoder.more": torch.ones(1)}, "Unexpected key"),
    "another shape": (lambda m: replaced(m, torch.ones(16, 24)), "size mismatch"),
    "whole numbers": (lambda m: replaced(m, m[WEIGHT].int()), "of torch.int32, not of"),
    "truth values": (lambda m: replaced(m, m[WEIGHT] > 0), "of torch.bool"),
    "complex numbers": (lambda m: replaced(m, m[WEIGHT] + 1j), "of torch.complex64"),
    "eight bits": (lambda m: replaced(m, m[WEIGHT].to(torch.float8_e5m2)), "of torch.float8"),
    "not a number": (lambda m: replaced(m, m[WEIGHT] / 0), "its training diverged"),
    "no numbers": (lambda m: replaced(m, torch.ones(0, 16)), "is (0, 16) of torch.float32"),
    "one for all": (lambda m: replaced(m, torch.ones(1).expand(2**45, 16)), "out of 4 bytes"),
    "sparse": (lambda m: replaced(m, m[WEIGHT].to_sparse()), "is no plain tensor"),
    "no memory": (lambda m: replaced(m, m[WEIGHT].to("meta")), "is no plain tensor"),
    "text": (lambda m: replaced(m, "weights"), "holds more than tensors"),
    "a number for a name": (lambda m: {**m, 5: torch.ones(1)}, "holds more than tensors"),
    "layer a billion": (
        lambda m: {**m, "encoder.layers.1000000000.fc1.weight": torch.ones(1)},
        "its encoder is no stack",
    ),
    "types of nothing": (
        lambda m: {**m, "encoder.embed_tokens.weight": torch.ones(2**21, 1, dtype=torch.half)},
        "2,097,152 types",
    ),
    "embeddings without a dimension": (
        lambda m: {k: torch.tensor(1.0) if "embed" in k else v for k, v in m.items()},
        SIZES,
    ),
}


@pytest.mark.parametrize("change, message", MODELS.values(), ids=MODELS)
def test_models_that_are_not_the_settings(state, tmp_path, capsys, change, message):
    torch.save({**state, "model": change(state["model"])}, tmp_path / "model.pt")
    assert message in refusal(tmp_path / "model.pt", capsys)


@pytest.mark.parametrize(
    "name",
    ["adaptive_softmax_cutoff", "encoder_xformers_att_config", "decoder_xformers_att_config"],
)
def test_settings_that_fairseq_would_run(state, tmp_path, capsys, name):
    harm = tmp_path / "harm"
    state["cfg"]["model"][name] = f"open({str(harm)!r}, 'w')"
    torch.save(state, tmp_path / "model.pt")
    assert f"its {name} is a text that fairseq would run as code" in refusal(
        tmp_path / "model.pt", capsys
    )
    assert not harm.exists()


def test_layers_of_nothing(state, tmp_path, capsys):
    names = {f"encoder.layers.{i}.x": state["model"][WEIGHT] for i in range(30_000)}
    state["model"].update(names)
    state["cfg"]["model"]["encoder_layers"] = 30_000
    torch.save(state, tmp_path / "model.pt")
    assert "[30000, 3] layers out of 301" in refusal(tmp_path / "model.pt", capsys)


OLD = {"arch": "transformer", "task": "translation", "criterion": "cross_entropy"}
PARTS = {
    "settings without end": ({"cfg": {"common": again_and_again(12)}}, "more than 10,000 values"),
    "data without end": ({"extra_state": {"a": again_and_again(12)}}, "more than 200,000"),
    "data within itself": ({"extra_state": {"a": endless()}}, "lacks settings"),
    "a large array": ({"extra_state": {"a": np.zeros(200_000)}}, "more than 200,000"),
    "no history": ({"optimizer_history": []}, "lacks settings"),
    "a history that is none": ({"optimizer_history": {"a": 1}}, "lacks settings"),
    "updates": ({"optimizer_history": [{"num_updates": "7"}]}, "has a str as num_updates"),
    "a list as state": ({"extra_state": ["train_iterator"]}, "has a list as extra_state"),
    "no time": ({"extra_state": {"previous_training_time": float("nan")}}, "for nan seconds"),
    "text as settings": ({"cfg": "settings"}, "lacks settings"),
    "old, with a billion layers": (
        {"cfg": None, "args": Namespace(encoder_layers=10**9, **OLD)},
        SIZES,
    ),
    "old, with nonsense": ({"cfg": None, "args": Namespace(arch="a=[{'", task="${x}")}, "lacks"),
    "old, with a number": ({"cfg": None, "args": 5}, "lacks settings"),
}


@pytest.mark.parametrize("parts, message", PARTS.values(), ids=PARTS)
def test_parts_that_are_not_fairseqs(state, tmp_path, capsys, parts, message):
    torch.save({**state, **parts}, tmp_path / "model.pt")
    assert message in refusal(tmp_path / "model.pt", capsys)


def test_text_from_a_file_cannot_drive_the_terminal(state, tmp_path, capsys):
    state["cfg"]["model"]["_name"] = "evil\n\x1b[2J" + "x" * 10_000
    torch.save(state, tmp_path / "model.pt")
    assert main(["truncate", str(tmp_path / "model.pt"), "--layers", "1", "-o", "out.pt"]) == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and "\x1b" not in error and len(error) < 700


def rewritten(path, change):
    """The archive at `path` with its members changed: `change` takes their bytes by name."""
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in change(members).items():
            archive.writestr(name, content)


def with_pickle(members, new):
    (name,) = (name for name in members if name.endswith("/data.pkl"))
    assert MARK in members[name]
    return {**members, name: members[name].replace(MARK, new)}


MARK = b"X\x08\x00\x00\x00mark_for"
ARCHIVES = {
    "no pickle": lambda m: {k: v for k, v in m.items() if not k.endswith("data.pkl")},
    "no numbers": lambda m: {k: v for k, v in m.items() if "/data/" not in k},
    "short numbers": lambda m: {k: v[: len(v) // 2] if "/data/" in k else v for k, v in m.items()},
    "nothing": lambda m: {},
    "an empty pickle": lambda m: {k: b"" if k.endswith("data.pkl") else v for k, v in m.items()},
    "text of two gigabytes": lambda m: with_pickle(m, b"X\xff\xff\xff\x7fab"),
    "text of less than nothing": lambda m: with_pickle(m, b"X\xff\xff\xff\xffab"),
    "lists in lists": lambda m: with_pickle(m, b"]" * 50_000 + b"a" * 49_999),
    "code of TorchScript": lambda m: {**m, "archive/constants.pkl": b"", "constants.pkl": b""},
}


@pytest.mark.parametrize("change", ARCHIVES.values(), ids=ARCHIVES)
def test_archives_with_other_members(state, tmp_path, capsys, change):
    torch.save({**state, "extra_state": {"a": "mark_for"}}, tmp_path / "model.pt")
    rewritten(tmp_path / "model.pt", change)
    assert refusal(tmp_path / "model.pt", capsys)


def test_members_that_share_their_bytes(state, tmp_path, capsys):
    """Two megabytes that unpack to two terabytes, without compression."""
    torch.save(state, tmp_path / "model.pt")
    with zipfile.ZipFile(tmp_path / "model.pt", "a") as archive:
        archive.writestr("archive/data/bomb", bytes(2**20))
        archive.filelist += [archive.filelist[-1]] * 2**15
    assert "damaged (its archive)" in refusal(tmp_path / "model.pt", capsys)


def test_pickles_of_the_older_format(tmp_path, capsys):
    magic = pickle.dumps(0x1950A86A20F9469CFC6C, 2) + pickle.dumps(1001, 2)
    for content in (
        b"\x80\x02X\xff\xff\xff\x7f",
        b"\x80\x02" + b"]" * 100_000 + b".",
        magic + b"\x80\x02}.\x80\x02X\xff\xff\xff\x7f",
        magic,
        b"PK\x03\x04" + bytes(100),
    ):
        (tmp_path / "model.pt").write_bytes(content)
        assert refusal(tmp_path / "model.pt", capsys)


def test_what_is_no_file(tmp_path, capsys):
    """One would wait for a pipe, and read a device without end."""
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "device").symlink_to("/dev/zero")
    for name in ("pipe", "device"):
        assert "No file" in refusal(tmp_path / name, capsys)
