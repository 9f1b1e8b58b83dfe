"""Invariant 1: the student within the model, its features, and the truncated model are one."""

import copy

import pytest
import torch
from fairseq.models.transformer import TransformerModel
from tiny import batch, build, checkpoint_of, load_stock, translate
from torch.utils._python_dispatch import TorchDispatchMode

from selfteach_fairseq.checkpoints.checkpoint import Checkpoint
from selfteach_fairseq.layers import SIDES, Layers
from selfteach_fairseq.models.decoding import embed

FIRST = (Layers.first(2, 1), Layers.first(4, 2), Layers.first(1, 3))
STUDENTS = (*FIRST, *map(Layers.parse, ("last2x2", "last2x1", "0+2x0+2", "4x+1", "1+3x3")))
VARIANTS = {
    "post-norm": (),
    "pre-norm": ("--encoder-normalize-before", "--decoder-normalize-before"),
    "shared": ("--share-all-embeddings",),
    "shared decoder": ("--share-decoder-input-output-embed",),
    "merged embeddings": ("--merge-src-tgt-embed",),
    "layernorm": ("--layernorm-embedding",),
    "learned positions": ("--encoder-learned-pos", "--decoder-learned-pos"),
    "no positions": ("--no-token-positional-embeddings",),
    "unscaled": ("--no-scale-embedding",),
    "checkpointed": ("--checkpoint-activations",),
    "offloaded": ("--offload-activations",),
    "other widths": ("--decoder-output-dim", "12", "--decoder-input-dim", "20"),
    "no final norm": ("--decoder-normalize-before", "--no-decoder-final-norm"),
    "gelu": ("--activation-fn", "gelu", "--activation-dropout", "0.1"),
    "cross-self": ("--cross-self-attention", "--no-cross-attention"),
    "quantised": ("--quant-noise-pq", "0.1", "--quant-noise-pq-block-size", "4"),
}
variants = pytest.mark.parametrize("flags", VARIANTS.values(), ids=VARIANTS)


def built(flags):
    return build(*flags, criterion="label_smoothed_cross_entropy")[0].eval()


@variants
def test_the_student_is_what_truncation_cuts_out(flags):
    model, sample = built(flags), batch()["net_input"]
    logits, extra = model(**sample, students=STUDENTS)
    features, feature_extra = model(**sample, students=STUDENTS, features_only=True)
    project = model.decoder.output_projection
    torch.testing.assert_close(project(features), logits, rtol=0, atol=1e-6)
    for student in STUDENTS:
        cut = load_stock(Checkpoint.of(checkpoint_of(model, *flags)).cut(student))
        assert type(cut) is TransformerModel
        shared = model.student(student)
        expected = cut(**sample)[0]
        for name, found in {
            "within the full forward": extra["students"][student],
            "the features trained on": project(feature_extra["students"][student]),
            "model.student": shared(**sample)[0],
        }.items():
            torch.testing.assert_close(found, expected, rtol=0, atol=1e-6, msg=name)
        for beam in (1, 4):
            assert translate(shared, batch(), beam) == translate(cut, batch(), beam)


@variants
def test_the_full_model_is_stock_fairseq(flags):
    model, sample = built(flags), batch()["net_input"]
    everything = Layers.first(len(model.encoder.layers), len(model.decoder.layers))
    stock = load_stock(Checkpoint.of(checkpoint_of(model, *flags)).cut(everything))
    for asked in ((), STUDENTS):
        logits, extra = model(**sample, students=asked)
        expected, expected_extra = stock(**sample)
        torch.testing.assert_close(logits, expected, rtol=0, atol=0)
        torch.testing.assert_close(extra["inner_states"], expected_extra["inner_states"])


@variants
@pytest.mark.parametrize("training", [False, True])
def test_its_embeddings_are_stock_fairseqs(flags, training):
    """In training too: with one seed, dropout and quantisation noise fall on the same numbers."""
    model, _ = build(*flags, "--dropout", "0.3", criterion="label_smoothed_cross_entropy")
    model.train(training)
    stock = copy.deepcopy(model.decoder)  # quantisation noise changes its weights in each pass
    tokens = batch()["net_input"]["prev_output_tokens"]
    memory = {"encoder_out": [torch.ones(1, 5, 16)], "encoder_padding_mask": []}
    torch.manual_seed(3)
    expected = stock.extract_features(tokens, memory)[1]["inner_states"][0]
    torch.manual_seed(3)
    assert torch.equal(embed(model.decoder, tokens), expected)


@variants
def test_source_embeddings_that_are_given_are_those_that_it_would_look_up(flags):
    model, sample = built(flags), batch()["net_input"]
    embeddings = model.encoder.embed_tokens(sample["src_tokens"])
    others = embeddings + 0.5
    for asked in ((), STUDENTS):
        expected, expected_extra = model(**sample, students=asked)
        logits, extra = model(**sample, students=asked, token_embeddings=embeddings)
        for student in asked:
            assert torch.equal(extra["students"][student], expected_extra["students"][student])
        assert torch.equal(logits, expected)
        assert not torch.equal(model(**sample, token_embeddings=others)[0], expected)


class Waits(TorchDispatchMode):
    """Counts the numbers read from tensors, for each of which a program waits for its GPU."""

    count = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        self.count += function is torch.ops.aten._local_scalar_dense.default
        return function(*args, **(kwargs or {}))


def test_students_wait_for_the_gpu_no_more_often_than_stock_fairseq():
    model, sample = built(()), batch()["net_input"]
    counts = []
    for students in ((), FIRST):
        with Waits() as waits:
            model(**sample, students=students)
        counts.append(waits.count)
    assert counts[0] == counts[1] > 0


def test_a_student_owns_nothing():
    model = built(("--share-all-embeddings",))
    student = model.student(2, 1)
    own = {id(p) for p in student.parameters()} - {id(p) for p in model.parameters()}
    assert not own
    assert student.cfg.encoder.layers == 2 and model.cfg.encoder.layers == 4
    assert len(model.encoder.layers) == 4 and model.encoder.num_layers == 4


def test_half_precision_reaches_the_student():
    model = built(())
    student = model.student(2, 1)
    model.double()
    assert {p.dtype for p in student.parameters()} == {torch.float64}
    student(**batch()["net_input"])


def test_the_student_is_neither_the_model_nor_a_decoder_on_the_full_encoder():
    model, sample = built(()), batch()["net_input"]
    logits, extra = model(
        **sample, students=(Layers.first(2, 1), Layers.first(4, 1), Layers.first(4, 3))
    )
    shallow, on_full_encoder, everything = extra["students"].values()
    assert (shallow - logits).abs().max() > 0.01
    assert (shallow - on_full_encoder).abs().max() > 0.01
    torch.testing.assert_close(everything, logits, rtol=0, atol=1e-6)


def rows_of(layers, model, students, own_dropout=False):
    """The rows of each call of one of the layers."""
    seen = []
    for layer in layers:
        layer.register_forward_hook(lambda _, inputs, __: seen.append(inputs[0].size(1)))
    students = tuple(map(Layers.parse, students))
    model(**batch()["net_input"], students=students, own_dropout=own_dropout)
    return seen


@pytest.mark.parametrize(
    "students, rows",
    [
        ((), [5, 5, 5]),
        (("2x1",), [10, 5, 5]),
        (("4x1", "4x2"), [5, 5, 5]),
        (("2x1", "2x2"), [10, 10, 5]),
        (("1x1", "2", "3"), [20, 15, 10]),
        (("last2x2", "last2x1", "2+3x1"), [10, 10, 5]),
        (("4x0+2", "4x0+1"), [5, 5, 10]),
        (("4x+1", "last2x1+2"), [5, 15, 10]),
    ],
    ids=str,
)
def test_a_decoder_layer_runs_once_on_what_is_needed(students, rows):
    """What differs neither in the encoder nor in the layers so far shares its rows."""
    model = built(())
    assert rows_of(model.decoder.layers, model, students) == rows


def test_equal_encoders_run_once():
    students = ("last2x2", "last2x1", "2+3x3", "2x1", "1")
    model = built(())
    assert rows_of(model.encoder.layers, model, students) == [5] * (4 + 2)


def test_students_of_other_depths_share_one_encoder_pass():
    for students, layers in (
        (("3x1", "2x1", "1"), 3),
        (("last2x1", "2+3x2"), 2),
        (("2", "last1"), 3),
    ):
        model = built(("--dropout", "0.5")).train()
        assert rows_of(model.encoder.layers, model, students, True) == [5] * (4 + layers)


def test_the_first_layers_of_other_encoders_run_once():
    """Where others follow, these go on from there."""
    model = built(())
    assert rows_of(model.encoder.layers, model, ("0+3x1", "0+1+3x2", "1+2x2")) == [5] * (4 + 4)


@pytest.mark.parametrize("kind", ["--dropout", "--attention-dropout", "--activation-dropout"])
def test_students_with_dropout_of_their_own_share_no_layer_with_the_model(kind):
    """Among themselves they do. Without dropout nothing would differ."""
    students = ("2x1", "2", "0+3x1", "4x1")

    def rows(training, own):
        models = [built((kind, "0.5")).train(training) for _ in SIDES]
        sides = zip(models, SIDES, strict=True)
        return [rows_of(getattr(m, side).layers, m, students, own) for m, side in sides]

    shared = [[5] * (4 + 1), [15, 10, 5]]  # 0+3 goes on after its first
    assert rows(training=True, own=False) == rows(training=False, own=True) == shared
    assert rows(training=True, own=True) == [[5] * (4 + 4 + 1), [20, 10, 5]]


@pytest.mark.parametrize("kept", ["2x1", "4x1"])
@pytest.mark.parametrize("side", ["encoder", "decoder"])
def test_a_student_of_first_layers_drops_what_the_model_does_not(side, kept):
    model = built(("--attention-dropout", "0.5")).train()
    given, kept = batch()["net_input"], Layers.parse(kept)
    taken = []
    first = getattr(model, side).layers[0]
    first.fc1.register_forward_hook(lambda _, inputs, __: taken.append(inputs[0]))
    model(**given, students=(kept,), own_dropout=True)
    of_model, of_student = taken if side == "encoder" else taken[0].chunk(2, dim=1)
    assert of_model.shape == of_student.shape
    assert (of_model - of_student).abs().max() > 0.01


def test_padding_and_the_order_of_the_batch_change_nothing():
    model, sample = built(()), batch()
    students = (Layers.first(2, 1),)
    order = torch.tensor([3, 1, 4, 0, 2])
    inputs = sample["net_input"]
    wider = {
        "src_tokens": torch.nn.functional.pad(inputs["src_tokens"][order], (3, 0), value=1),
        "src_lengths": inputs["src_lengths"][order],
        "prev_output_tokens": torch.nn.functional.pad(
            inputs["prev_output_tokens"][order], (0, 2), value=1
        ),
    }
    kept = sample["target"].ne(1)
    found = model(**wider, students=students)[1]["students"][students[0]][:, :-2]
    expected = model(**inputs, students=students)[1]["students"][students[0]]
    torch.testing.assert_close(found[kept[order]], expected[order][kept[order]], rtol=0, atol=1e-5)


def test_the_same_seed_gives_the_same_parameters_as_stock_fairseq():
    ours = built(()).state_dict()
    stock, _ = build(arch="transformer", criterion="label_smoothed_cross_entropy")
    assert ours.keys() == stock.state_dict().keys()
    assert all(torch.equal(ours[name], stock.state_dict()[name]) for name in ours)


def test_a_student_deeper_than_the_model_is_refused():
    with pytest.raises(ValueError, match="choose 1 to 4"):
        built(()).student(5, 1)


def test_layers_of_another_kind_are_refused():
    with pytest.raises(ValueError, match="--base-layers"):
        built(("--base-layers", "1"))
