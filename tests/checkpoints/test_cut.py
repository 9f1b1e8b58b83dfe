from argparse import Namespace
from dataclasses import replace

import pytest
import torch
from fairseq.models import ARCH_MODEL_INV_REGISTRY
from tiny import batch, build, checkpoint_of, load_stock

from selfteach_fairseq.checkpoints.checkpoint import Checkpoint
from selfteach_fairseq.checkpoints.reading import plain, read
from selfteach_fairseq.errors import CheckpointError
from selfteach_fairseq.layers import Layers

PLAIN = {"criterion": "label_smoothed_cross_entropy"}
SHARED = ("--share-all-embeddings",)


def made(*flags, **choices):
    choices = {**PLAIN, **choices}
    model, _ = build(*flags, **choices)
    return model.eval(), plain(checkpoint_of(model, *flags, **choices))


def truncate(state, layers, fp16=False):
    return Checkpoint.of(state).cut(layers, fp16)


def logits(model):
    return model(**batch()["net_input"])[0]


@pytest.mark.parametrize(
    "keep",
    [
        {"encoder": [0, 2], "decoder": [1]},
        {"encoder": [1, 2, 3], "decoder": [0, 2]},
        {"encoder": [0, 1, 2, 3], "decoder": [2]},
    ],
)
@pytest.mark.parametrize("arch", ["transformer", "transformer_selfteach_wmt_en_de"])
def test_any_layers_can_be_kept(keep, arch):
    model, state = made(*SHARED, arch=arch)
    cut = load_stock(truncate(state, Layers.of(**keep)))
    assert (len(cut.encoder.layers), len(cut.decoder.layers)) == tuple(map(len, keep.values()))
    for stack, layers in ((model.encoder, keep["encoder"]), (model.decoder, keep["decoder"])):
        stack.layers = torch.nn.ModuleList([stack.layers[i] for i in layers])
        stack.num_layers = len(layers)
    assert torch.equal(logits(cut), logits(model))


def test_it_is_known_which_layers_were_kept(tmp_path):
    def of_file(checkpoint):
        checkpoint.write(tmp_path / "model.pt")
        return Checkpoint.read(tmp_path / "model.pt")

    whole = Checkpoint.of(made(*SHARED)[1])
    last = of_file(whole.cut(Layers.parse("last3x2")))
    assert str(last.kept_layers) == "last3x2" and last.layers == Layers.first(3, 2)
    assert of_file(last.stock()).kept_layers == last.kept_layers
    assert last.cut(Layers.first(1, 1)).kept_layers is None
    assert str(last.cut(Layers.parse("0+2x+1")).kept_layers) == "0+2x+1"
    assert of_file(whole.cut(Layers.first(3, 2))).kept_layers is None is whole.kept_layers
    # Trained further after it was cut, it has lost the note.
    trained = replace(last, extra={})
    noted = of_file(trained.cut(Layers.first(3, 2), made_of=Layers.parse("0+2+3x0+2")))
    assert str(noted.kept_layers) == "0+2+3x0+2" and noted.layers == Layers.first(3, 2)
    with pytest.raises(CheckpointError, match="3x2 layers, was not made of 0\\+2x0"):
        trained.cut(Layers.first(3, 2), made_of=Layers.parse("0+2x0"))
    for note in ("last2x2", "all", 3, ["last3x2"]):
        state = torch.load(tmp_path / "model.pt", weights_only=True)
        state["extra_state"]["kept_layers"] = note
        with pytest.raises(CheckpointError, match="layers, and says that these were"):
            Checkpoint.of(state)


def test_a_cut_checkpoint_needs_nothing_of_this_package(tmp_path):
    model, _ = build(*SHARED)
    state = plain(checkpoint_of(model, *SHARED))
    state["cfg"]["common"]["user_dir"] = "somewhere"
    task = dict(state["cfg"]["task"])
    own = {"eval_bleu_student": "2x1", "pruning_sparsity": 0.5}
    state["cfg"]["task"].update(_name="translation_selfteach", **own)
    state["cfg"]["model"]["encoder_embed_path"] = "embeddings.txt"
    state["last_optimizer_state"] = {"state": {}}
    cut = truncate(state, Layers.first(2, 1))
    assert "selfteach" not in str(cut.cfg) and "eval_bleu_student" not in cut.cfg["task"]
    assert cut.cfg["task"] == {**task, "_name": "translation"}
    assert cut.cfg["common"]["user_dir"] is None
    assert cut.cfg["criterion"] == {
        "_name": "label_smoothed_cross_entropy",
        "label_smoothing": 0.1,
        "report_accuracy": False,
        "ignore_prefix_size": 0,
        "sentence_avg": False,
    }
    assert cut.settings["encoder_embed_path"] is None
    cut.write(tmp_path / "cut.pt")
    assert "last_optimizer_state" not in read(tmp_path / "cut.pt") and not cut.resumable
    assert state["cfg"]["model"]["_name"] == "transformer_selfteach"  # the input is left alone


def test_half_precision_keeps_embeddings_tied(tmp_path):
    model, state = made(*SHARED)
    keep = Layers.first(2, 1)
    for name, fp16 in (("full.pt", False), ("half.pt", True)):
        truncate(state, keep, fp16).write(tmp_path / name)
    half = torch.load(tmp_path / "half.pt", weights_only=True)
    assert half["model"]["encoder.embed_tokens.weight"].dtype == torch.float16
    tied = {half["model"][name].data_ptr() for name in half["model"] if "embed_tokens" in name}
    assert len(tied) == 1
    sizes = [
        sum(t.untyped_storage().nbytes() for t in {t.data_ptr(): t for t in m.values()}.values())
        for m in (truncate(state, keep).weights, half["model"])
    ]
    assert sizes[1] < 0.51 * sizes[0]
    found, expected = logits(load_stock(Checkpoint.of(half))), logits(model.student(2, 1))
    torch.testing.assert_close(found, expected, rtol=0.01, atol=0.01)


def test_numbers_too_large_for_half_precision_are_refused():
    _, state = made()
    state["model"]["encoder.layers.0.fc1.weight"][0, 0] = 1e6
    with pytest.raises(CheckpointError, match="too large for --fp16"):
        truncate(state, Layers.first(1, 1), fp16=True)


def test_settings_that_an_old_checkpoint_leaves_to_its_architecture_are_spelt_out():
    _, state = made(arch="transformer_iwslt_de_en")
    for name in ("decoder_attention_heads", "no_scale_embedding"):
        del state["cfg"]["model"][name]
    settings = truncate(state, Layers.first(1, 1)).settings
    assert settings["decoder_attention_heads"] == 4  # `transformer` itself would take 8
    assert settings["no_scale_embedding"] is False


@pytest.mark.parametrize("choice", [[], [0, 4], [-1, 0], [1, 1], [2, 1]])
def test_a_choice_of_layers_must_be_there_and_in_order(choice):
    _, state = made()
    with pytest.raises(CheckpointError, match="has 4 encoder layers, 0 to 3"):
        truncate(state, Layers.of(choice, [0]))


@pytest.mark.parametrize("name", ["transformer_align", "lstm", "no_such_architecture"])
def test_other_architectures_are_refused(name):
    _, state = made()
    state["cfg"]["model"]["_name"] = name
    with pytest.raises(CheckpointError, match=f"of architecture {name}: ") as error:
        truncate(state, Layers.first(1, 1))
    # All that can be cut, so that nobody takes transformer_align for one of them.
    allowed = str(error.value).partition(": what can be cut or scored is ")[2]
    models = ("transformer", "bart", "roberta")
    stock = ", ".join(n for m in models for n in ARCH_MODEL_INV_REGISTRY[m])
    ours = "transformer_selfteach*, bart_selfteach*, roberta_selfteach*"
    assert allowed == f"{ours}, or of fairseq's models transformer, bart and roberta: {stock}"


def test_settings_that_are_null_were_left_to_the_architecture():
    """As fairseq-hydra-train once left them: at width 64 nothing loaded what was cut out."""
    model, state = made(*SHARED, "--encoder-embed-dim", 64)
    state["cfg"]["model"].update(decoder_input_dim=None, decoder_output_dim=None)
    cut = truncate(state, Layers.first(2, 1))
    settings = cut.settings
    assert settings["decoder_input_dim"] == settings["decoder_output_dim"] == 64
    assert torch.equal(logits(load_stock(cut)), logits(model.student(2, 1)))


@pytest.mark.parametrize("change", [{"decoder_output_dim": 8}, {"activation_fn": "no_such"}])
def test_nothing_is_cut_out_that_fairseq_does_not_load(change):
    _, state = made()
    state["cfg"]["model"].update(change)
    with pytest.raises(CheckpointError, match="its settings and its model do not fit"):
        truncate(state, Layers.first(2, 1))


def test_what_older_fairseqs_left_uninitialised_is_no_divergence(tmp_path):
    model, state = made(*SHARED)
    for side in ("encoder", "decoder"):
        state["model"][f"{side}.embed_positions._float_tensor"] = torch.tensor([float("inf")])
    torch.save(state, tmp_path / "old.pt")
    cut = Checkpoint.read(tmp_path / "old.pt").cut(Layers.first(2, 1), fp16=True)
    found, expected = logits(load_stock(cut)), logits(model.student(2, 1))
    torch.testing.assert_close(found, expected, rtol=0.01, atol=0.01)


def test_long_texts_are_no_reason_to_refuse(tmp_path):
    """Two tables of 2 ** 25 numbers, those of width 1024 and 32,768 positions."""
    _, state = made(*SHARED, "--max-source-positions", 2**15, "--max-target-positions", 2**15)
    state["cfg"]["model"].update(max_source_positions=2**21, max_target_positions=2**21)
    torch.save(state, tmp_path / "long.pt")
    cut = Checkpoint.read(tmp_path / "long.pt").cut(Layers.first(2, 1))
    assert cut.settings["max_source_positions"] == 2**21


def test_checkpoints_from_before_fairseq_had_configs_can_be_cut(tmp_path):
    """They have a Namespace `args`, which is what stock fairseq can't load safely any more."""
    _, state = made(*SHARED, arch="transformer")
    cfg = state.pop("cfg")
    flat = {"arch": "transformer", "task": "translation", "data": "data", "source_lang": "xx"}
    state["args"] = Namespace(**{**cfg["model"], **flat, "criterion": "cross_entropy"})
    torch.save(state, tmp_path / "old.pt")
    Checkpoint.read(tmp_path / "old.pt").cut(Layers.first(2, 1)).write(tmp_path / "cut.pt")
    expected = truncate(made(*SHARED, arch="transformer")[1], Layers.first(2, 1))
    loaded = torch.load(tmp_path / "cut.pt", weights_only=True)
    assert torch.equal(logits(load_stock(Checkpoint.of(loaded))), logits(load_stock(expected)))
