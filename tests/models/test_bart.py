"""`bart_selfteach`: what holds of Transformers holds of BART, which fairseq builds another way."""

from argparse import Namespace

import pytest
import torch
from fairseq.models import ARCH_CONFIG_REGISTRY, ARCH_MODEL_INV_REGISTRY
from fairseq.models.bart import BARTModel
from tiny import batch, build, checkpoint_of, task, translate

from selfteach_fairseq.checkpoints.checkpoint import Checkpoint
from selfteach_fairseq.layers import Layers

ARCH = {"arch": "bart_selfteach_base"}
PLAIN = {"criterion": "label_smoothed_cross_entropy"}
STUDENTS = tuple(map(Layers.parse, ("2x1", "4x2", "last2x1", "0+2x0+2")))
VARIANTS = {
    "base": (),
    "pre-norm": ("--encoder-normalize-before", "--decoder-normalize-before"),
    "checkpointed": ("--checkpoint-activations",),
}
variants = pytest.mark.parametrize("flags", VARIANTS.values(), ids=VARIANTS)


def built(flags):
    return build(*flags, **ARCH, **PLAIN)[0].eval()


def cut(model, flags, layers, path):
    """What stock fairseq loads of it."""
    Checkpoint.of(checkpoint_of(model, *flags, **ARCH, **PLAIN)).cut(layers).write(path)
    return Checkpoint.read(path).build(task()).eval()


@variants
def test_the_student_is_what_truncation_cuts_out(flags, tmp_path):
    model, sample = built(flags), batch()["net_input"]
    extra = model(**sample, students=STUDENTS)[1]
    features = model(**sample, students=STUDENTS, features_only=True)[1]["students"]
    for student in STUDENTS:
        stock = cut(model, flags, student, tmp_path / "cut.pt")
        shared = model.student(student)
        assert type(stock) is BARTModel and isinstance(shared, BARTModel)
        expected = stock(**sample)[0]
        for found in (
            extra["students"][student],
            model.decoder.output_projection(features[student]),
            shared(**sample)[0],
        ):
            torch.testing.assert_close(found, expected, rtol=0, atol=1e-6)
        for beam in (1, 4):
            assert translate(shared, batch(), beam) == translate(stock, batch(), beam)


def test_the_full_model_and_its_first_parameters_are_stock_fairseqs():
    model, sample = built(()), batch()["net_input"]
    stock = build(arch="bart_base", **PLAIN)[0].eval()
    assert all(torch.equal(a, stock.state_dict()[n]) for n, a in model.state_dict().items())
    for asked in ((), STUDENTS):
        logits = model(**sample, students=asked)[0]
        torch.testing.assert_close(logits, stock(**sample)[0], rtol=0, atol=0)


def test_asking_for_a_student_leaves_the_weights_as_they_are():
    model = built(())
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    student = model.student("last2x1")
    assert all(torch.equal(before[n], tensor) for n, tensor in model.state_dict().items())
    assert not {id(p) for p in student.parameters()} - {id(p) for p in model.parameters()}
    assert len(model.encoder.layers) == 4 == model.cfg.encoder.layers


def test_a_search_leaves_the_training_as_it_is():
    model, sample = built(()), batch(sentences=4)
    asked = STUDENTS[:1]
    expected, extra = model(**sample["net_input"], students=asked)
    for searched in (model, model.student(asked[0])):
        translate(searched, sample, beam=4)
        logits, others = model(**sample["net_input"], students=asked)
        assert torch.equal(logits, expected)
        assert torch.equal(others["students"][asked[0]], extra["students"][asked[0]])


def test_a_classification_head_is_the_full_models():
    model, sample = built(()), batch()["net_input"]
    sample["src_tokens"][:, -1] = model.eos
    sample["prev_output_tokens"] = sample["src_tokens"]
    model.register_classification_head("topics", num_classes=3)
    scores = model(**sample, classification_head_name="topics")[0]
    assert scores.shape == (5, 3)
    with pytest.raises(ValueError, match="topics: students have no classification head"):
        model(**sample, classification_head_name="topics", students=STUDENTS)


@pytest.mark.parametrize("name", ARCH_MODEL_INV_REGISTRY["bart"])
def test_every_architecture_has_a_twin(name):
    twin, stock = Namespace(), Namespace()
    ARCH_CONFIG_REGISTRY[name.replace("bart", "bart_selfteach")](twin)
    ARCH_CONFIG_REGISTRY[name](stock)
    assert twin == stock
