import os
import pickle
import zipfile
from dataclasses import replace

import numpy as np
import pytest
import torch
from tiny import build, checkpoint_of

from selfteach_fairseq.checkpoints.checkpoint import Checkpoint
from selfteach_fairseq.checkpoints.reading import plain
from selfteach_fairseq.cli import main
from selfteach_fairseq.errors import CheckpointError
from selfteach_fairseq.layers import Layers


@pytest.fixture
def state():
    model, _ = build("--share-all-embeddings")
    return checkpoint_of(model, "--share-all-embeddings")


@pytest.fixture
def saved(state, tmp_path):
    torch.save(state, tmp_path / "model.pt")
    return tmp_path / "model.pt"


class Foreign:
    """Pickled, it asks whoever unpickles it to make a file."""

    def __init__(self, canary):
        self.canary = canary

    def __reduce__(self):
        return os.mkdir, (str(self.canary),)


def truncation_error(path, capsys, *options):
    """What `selfteach truncate` says, in its one line, of a file it refuses."""
    output = path.parent / "out.pt"
    assert main(["truncate", str(path), *(options or ("--layers", "1")), "-o", str(output)]) == 1
    assert not output.exists()
    printed = capsys.readouterr()
    assert printed.out == ""
    (line,) = printed.err.splitlines()
    return line


def test_foreign_code_in_a_checkpoint_does_not_run(state, tmp_path, capsys):
    canary = tmp_path / "canary"
    torch.save({**state, "extra_state": Foreign(canary)}, tmp_path / "new.pt")
    (tmp_path / "old.pt").write_bytes(pickle.dumps(Foreign(canary), protocol=2))
    for name in ("new.pt", "old.pt"):
        assert "more than plain data (posix.mkdir)" in truncation_error(tmp_path / name, capsys)
    assert not canary.exists()


@pytest.mark.parametrize("part", [0.0, 0.01, 0.5, 0.99])
def test_a_file_cut_short_is_refused(saved, part, capsys):
    whole = saved.read_bytes()
    saved.write_bytes(whole[: int(len(whole) * part)])
    assert "not a checkpoint, or cut short" in truncation_error(saved, capsys)


def test_a_flipped_bit_in_a_weight_is_noticed(saved, state, capsys):
    whole = bytearray(saved.read_bytes())
    weights = state["model"]["encoder.layers.0.fc1.weight"].numpy().tobytes()
    whole[whole.index(weights) + 5] ^= 1
    saved.write_bytes(whole)
    torch.load(saved, weights_only=True)  # torch itself does not notice
    assert "damaged" in truncation_error(saved, capsys)


def test_a_compressed_file_is_refused(saved, capsys):
    packed = saved.with_name("packed.pt")
    with (
        zipfile.ZipFile(saved) as source,
        zipfile.ZipFile(packed, "w", compression=zipfile.ZIP_DEFLATED) as target,
    ):
        for member in source.infolist():
            target.writestr(member.filename, source.read(member))
    assert "compressed" in truncation_error(packed, capsys)


def test_files_that_are_no_checkpoint_are_refused(tmp_path, capsys):
    (tmp_path / "text.pt").write_text("hello")
    torch.save([1, 2], tmp_path / "list.pt")
    torch.save({"model": {"a": 1}, "cfg": None, "args": None}, tmp_path / "foreign.pt")
    assert "No such file" in truncation_error(tmp_path / "missing.pt", capsys)
    assert "Is a directory" in truncation_error(tmp_path, capsys)
    assert "not a checkpoint" in truncation_error(tmp_path / "text.pt", capsys)
    assert "holds no fairseq model" in truncation_error(tmp_path / "list.pt", capsys)
    assert "lacks settings" in truncation_error(tmp_path / "foreign.pt", capsys)


@pytest.mark.parametrize(
    "options, message",
    [
        (("--layers", "0"), "0x0 asks for 0 encoder layers: choose 1 to 4"),
        (("--layers", "9"), "9x9 asks for 9 encoder layers: choose 1 to 4"),
        (("--layers", "3x"), "'3x' is no choice of layers"),
        (("--keep-encoder", "0,9"), "has 4 encoder layers, 0 to 3"),
        (("--keep-decoder", ""), "has 3 decoder layers, 0 to 2"),
        (("--layers", "1", "--keep-encoder", "0"), "say what to keep"),
        (("--fp16",), "say what to keep"),
    ],
)
def test_choices_of_layers_that_are_refused(saved, options, message, capsys):
    assert message in truncation_error(saved, capsys, *options)


def test_a_layer_missing_from_the_middle_is_noticed(state, saved, capsys):
    state["model"] = {k: v for k, v in state["model"].items() if "encoder.layers.1." not in k}
    torch.save(state, saved)
    assert "its encoder is no stack" in truncation_error(saved, capsys)


def test_a_checkpoint_that_is_replaced_is_measured_before(saved, capsys):
    size = saved.stat().st_size
    assert main(["truncate", str(saved), "--layers", "1", "-o", str(saved), "--force"]) == 0
    before, after = (line.split() for line in capsys.readouterr().out.splitlines()[1:])
    assert (before[-1], after[-1]) == (f"{size:,}", f"{saved.stat().st_size:,}")


def test_an_existing_output_is_kept_unless_forced(saved, tmp_path, capsys):
    output = tmp_path / "out.pt"
    output.write_text("precious")
    command = ["truncate", str(saved), "--layers", "1", "-o", str(output)]
    assert main(command) == 1
    assert "add --force" in capsys.readouterr().err
    assert output.read_text() == "precious"
    assert main([*command, "--force"]) == 0
    assert Checkpoint.read(output).layers == Layers.first(1, 1)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["model.pt", "out.pt"]


def test_an_output_that_cannot_be_written(saved, tmp_path, capsys):
    for output in (tmp_path / "no" / "out.pt", tmp_path):
        assert main(["truncate", str(saved), "--layers", "1", "-o", str(output), "--force"]) == 1
        assert "can't be written" in capsys.readouterr().err
    full = "/dev/full/out.pt"
    assert main(["truncate", str(saved), "--layers", "1", "-o", full]) == 1


def test_a_failed_save_leaves_the_old_file_and_nothing_else(state, tmp_path):
    output = tmp_path / "out.pt"
    output.write_text("precious")
    with pytest.raises(Exception, match="pickle"):
        replace(Checkpoint.of(state), task_state={"a": lambda: None}).write(output)
    assert output.read_text() == "precious"
    assert list(tmp_path.iterdir()) == [output]


def test_plain_keeps_data_and_refuses_objects():
    data = {"a": [1, 2.5, None, "x", True], "b": (torch.ones(2),)}
    assert str(plain(data)) == str(data)
    found = plain({"best": np.float64(1.5), "n": np.array([1, 2])})
    assert found == {"best": 1.5, "n": [1, 2]} and type(found["best"]) is float
    with pytest.raises(CheckpointError, match="holds a object"):
        plain({"a": object()})


def test_tied_embeddings_are_tied_again_and_counted_once(state, saved):
    untied = {name: tensor.clone() for name, tensor in state["model"].items()}
    torch.save({**state, "model": untied}, saved)
    loaded = Checkpoint.read(saved)
    model = loaded.weights
    assert len({id(model[name]) for name in model if "embed_tokens" in name}) == 1
    built, _ = build("--share-all-embeddings")
    assert loaded.parameters == sum(p.numel() for p in built.parameters())


@pytest.mark.parametrize(
    "flags",
    [
        (),
        ("--merge-src-tgt-embed",),
        ("--share-decoder-input-output-embed", "--encoder-learned-pos", "--decoder-learned-pos"),
        ("--encoder-normalize-before", "--decoder-normalize-before", "--layernorm-embedding"),
        ("--decoder-embed-dim", 32, "--decoder-output-dim", 16),
        ("--quant-noise-pq", 0.1, "--quant-noise-pq-block-size", 4, "--no-cross-attention"),
        ("--cross-self-attention", "--no-token-positional-embeddings", "--adaptive-input"),
        ("--adaptive-softmax-cutoff", "10,20"),
        ("--max-source-positions", 50_000, "--encoder-layerdrop", 0.1, "--quant-noise-scalar", 0.1),
    ],
    ids=lambda flags: " ".join(map(str, flags)),
)
@pytest.mark.parametrize("arch", ["transformer_tiny", "transformer_selfteach_iwslt_de_en"])
def test_every_kind_of_transformer_fits_its_settings(tmp_path, flags, arch):
    choices = {"arch": arch, "criterion": "label_smoothed_cross_entropy"}
    state = checkpoint_of(build(*flags, **choices)[0], *flags, **choices)
    torch.save(state, tmp_path / "model.pt")
    loaded = Checkpoint.read(tmp_path / "model.pt")
    assert loaded.weights.keys() == state["model"].keys()


def test_the_training_time_of_several_workers_is_a_number(state, tmp_path):
    state["extra_state"] = {"previous_training_time": torch.tensor(2.5)}
    torch.save(state, tmp_path / "model.pt")
    loaded = Checkpoint.read(tmp_path / "model.pt")
    assert type(loaded.training_seconds) is float


def test_an_average_is_the_mean_of_the_models(tmp_path, capsys):
    paths, models = [], []
    for seed in range(3):
        model, _ = build("--share-all-embeddings", seed=seed)
        state = checkpoint_of(model, "--share-all-embeddings")
        state["last_optimizer_state"] = {"state": {}}
        state["optimizer_history"][-1]["num_updates"] = (3, 10, 9)[seed]
        paths.append(str(tmp_path / f"{seed}.pt"))
        models.append(model.state_dict())
        torch.save(state, paths[-1])
    output = tmp_path / "mean.pt"
    assert main(["average", *paths, "-o", str(output)]) == 0
    found = torch.load(output, weights_only=True)
    assert "last_optimizer_state" not in found
    assert found["optimizer_history"][-1]["num_updates"] == 10
    for name, tensor in found["model"].items():
        expected = torch.stack([m[name].double() for m in models]).mean(0).float()
        torch.testing.assert_close(tensor, expected, rtol=0, atol=1e-7)

    other, _ = build("--encoder-layers", 2)
    torch.save(checkpoint_of(other, "--encoder-layers", 2), tmp_path / "other.pt")
    capsys.readouterr()
    wrong = ["average", paths[0], str(tmp_path / "other.pt"), "-o", str(tmp_path / "x.pt")]
    assert main(wrong) == 1
    assert "not of the same shape" in capsys.readouterr().err
