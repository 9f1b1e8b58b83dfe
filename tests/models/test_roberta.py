"""`roberta_selfteach`: what holds of translators holds of classifiers."""

from argparse import Namespace

import pytest
import torch
from classifiers import batch, build, checkpoint_of, settings, task
from fairseq.models import ARCH_CONFIG_REGISTRY, ARCH_MODEL_INV_REGISTRY
from fairseq.models.roberta import RobertaModel

from selfteach_fairseq.checkpoints.checkpoint import Checkpoint
from selfteach_fairseq.layers import Layers

HEAD = "sentence_classification_head"
STUDENTS = tuple(Layers.parse(x, encoder_only=True) for x in ("2", "3", "last2", "0+3"))
NAMED = ("--student-layers", ",".join(map(str, STUDENTS)))
VARIANTS = {
    "base": {"arch": "roberta_selfteach"},
    "pre-norm": {"arch": "roberta_selfteach_prenorm"},
}
variants = pytest.mark.parametrize("choices", VARIANTS.values(), ids=VARIANTS)
heads = pytest.mark.parametrize("head", ["shared", "own"])


def built(*flags, **choices):
    return build(*NAMED, *flags, **choices)[0].eval()


def logits(model, sample, **more):
    return model(**sample, classification_head_name=HEAD, **more)[0]


@heads
@variants
def test_the_student_is_what_truncation_cuts_out(choices, head, tmp_path):
    flags = ("--student-head", head)
    model, sample = built(*flags, **choices), batch()["net_input"]
    extra = model(**sample, classification_head_name=HEAD, students=STUDENTS)[1]
    state = checkpoint_of(model, *NAMED, *flags, **choices)
    for student in STUDENTS:
        Checkpoint.of(state).cut(student).write(tmp_path / "cut.pt")
        cut = Checkpoint.read(tmp_path / "cut.pt")
        stock = cut.build(task(settings())).eval()
        shared = model.student(student)
        assert type(stock) is RobertaModel is type(shared)
        assert [*stock.classification_heads] == [*shared.classification_heads] == [HEAD]
        expected = logits(stock, sample)
        for found in (extra["students"][student], logits(shared, sample)):
            torch.testing.assert_close(found, expected, rtol=0, atol=1e-6)
        assert cut.layers == Layers.first(len(shared.encoder.sentence_encoder.layers), None)
        assert cut.kept_layers == (None if student.are_first else student)


def test_names_of_older_checkpoints(tmp_path):
    """As those of the published RoBERTas, which fairseq renames when it loads them."""
    model = built()
    state = checkpoint_of(model, *NAMED)
    today, sample = dict(state["model"]), batch()["net_input"]
    state["model"] = {
        name.replace("encoder.", "decoder.", 1).replace("layernorm_embedding", "emb_layer_norm"): t
        for name, t in today.items()
    }
    assert not {n for n in today if n.startswith("encoder.")} & {*state["model"]}
    found = Checkpoint.of(state)
    assert found.weights.keys() == today.keys()
    found.cut(Layers.first(2, None)).write(tmp_path / "cut.pt")
    stock = Checkpoint.read(tmp_path / "cut.pt").build(task(settings())).eval()
    expected = logits(model.student("2"), sample)
    torch.testing.assert_close(logits(stock, sample), expected, rtol=0, atol=1e-6)


@variants
def test_the_full_model_and_its_first_parameters_are_stock_fairseqs(choices):
    model, sample = built(**choices), batch()["net_input"]
    stock_name = choices["arch"].replace("_selfteach", "")
    stock = build(arch=stock_name, criterion="sentence_prediction")[0].eval()
    assert model.state_dict().keys() == stock.state_dict().keys()
    assert all(torch.equal(a, stock.state_dict()[n]) for n, a in model.state_dict().items())
    for asked in ((), STUDENTS):
        found = logits(model, sample, students=asked)
        torch.testing.assert_close(found, logits(stock, sample), rtol=0, atol=0)


def test_asking_for_a_student_leaves_the_weights_as_they_are():
    model = built()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    student = model.student("last2")
    assert all(torch.equal(before[n], tensor) for n, tensor in model.state_dict().items())
    assert not {id(p) for p in student.parameters()} - {id(p) for p in model.parameters()}
    assert len(model.encoder.sentence_encoder.layers) == 4 == model.args.encoder_layers
    assert student.args.encoder_layers == 2


def test_a_head_of_its_own_is_what_is_cut_out_with_the_student(tmp_path):
    flags = ("--student-head", "own", "--student-layers", "2,3")
    model = build(*flags)[0]
    own = model.classification_heads[f"{HEAD}_student_2"]
    main = model.classification_heads[HEAD]
    assert not torch.equal(own.dense.weight, main.dense.weight)
    checkpoint = Checkpoint.of(checkpoint_of(model, *flags))
    name = f"classification_heads.{HEAD}.dense.weight"
    for layers, head in (("2", own), ("1", main), ("4", main)):
        cut = checkpoint.cut(Layers.parse(layers, encoder_only=True))
        assert torch.equal(cut.weights[name], head.dense.weight)
        assert not [n for n in cut.weights if "_student_" in n]


def test_the_cut_checkpoint_knows_nothing_of_our_options(tmp_path):
    flags = ("--student-head", "own", "--alpha", 0.5)
    state = checkpoint_of(build(*flags)[0], *flags)
    Checkpoint.of(state).cut(STUDENTS[0]).write(tmp_path / "cut.pt")
    args = vars(torch.load(tmp_path / "cut.pt", weights_only=True)["args"])
    ours = {"student_layers", "student_head", "alpha", "kl_gradient", "stock_update", "teacher"}
    assert not ours & args.keys()
    assert (args["arch"], args["criterion"]) == ("roberta", "sentence_prediction")
    assert args["num_classes"] == 3 and args["encoder_layers"] == 2


@heads
def test_a_head_of_other_classes_keeps_its_first_part(head):
    """So does a BERT's pooler become the classification head's, and those of own heads."""
    other = build(criterion="sentence_prediction", arch="roberta")[0].state_dict()
    other[f"classification_heads.{HEAD}.out_proj.weight"] = torch.zeros(1, 16)
    other[f"classification_heads.{HEAD}.out_proj.bias"] = torch.zeros(1)
    model = build("--student-head", head, seed=2)[0]
    drawn = {n: h.out_proj.weight.clone() for n, h in model.classification_heads.items()}
    model.load_state_dict(other)
    for name, module in model.classification_heads.items():
        given = other[f"classification_heads.{HEAD}.dense.weight"]
        assert torch.equal(module.dense.weight, given)
        assert torch.equal(module.out_proj.weight, drawn[name])
    assert len(drawn) == (2 if head == "own" else 1)


def test_students_without_a_head_are_refused():
    model, sample = built(), batch()["net_input"]
    with pytest.raises(ValueError, match="name classification_head_name"):
        model(**sample, students=STUDENTS)
    with pytest.raises(ValueError, match="choose 1 to 4"):
        model.student("5")


@pytest.mark.parametrize("name", ARCH_MODEL_INV_REGISTRY["roberta"])
def test_every_architecture_has_a_twin(name):
    twin, stock = Namespace(), Namespace()
    of_twin = name.replace("roberta", "roberta_selfteach")
    ARCH_CONFIG_REGISTRY[of_twin if of_twin != name else f"{name}_selfteach"](twin)
    ARCH_CONFIG_REGISTRY[name](stock)
    assert twin == stock
