"""`--optimizer adam_fused`: fairseq's own Adam is the slow reference."""

import shutil

import pytest
import torch
from conftest import train
from exact import assert_same, last
from fairseq.optim.adam import Adam
from tiny import batch, trainer

from selfteach_fairseq.checkpoints.checkpoint import Checkpoint
from selfteach_fairseq.layers import Layers
from selfteach_fairseq.optim.adam_fused import _Adam

SHAPES = ((40, 16), (16, 16), (16,), ())


def stepped(kind, updates=30, absent=lambda update, number: False, **settings):
    """Parameters after so many steps with random gradients of all sizes."""
    torch.manual_seed(1)
    parameters = [torch.nn.Parameter(torch.randn(shape)) for shape in SHAPES]
    groups = [{"params": parameters[:2]}, {"params": parameters[2:], "lr": 3e-3}]
    optimizer = kind(groups, **{"lr": 1e-2, "betas": (0.9, 0.98), **settings})
    for update in range(updates):
        for number, parameter in enumerate(parameters):
            parameter.grad = torch.randn_like(parameter) * 10 ** -(update % 7)
            if absent(update, number):
                parameter.grad = None
        optimizer.step()
    return parameters, optimizer


@pytest.mark.parametrize(
    "settings",
    [{}, {"weight_decay": 0.1}, {"eps": 1e-2}, {"betas": (0.5, 0.999)}],
    ids=["default", "decay", "large eps", "other betas"],
)
def test_its_steps_are_those_of_fairseqs_adam(settings):
    expected, _ = stepped(Adam, **settings)
    found, _ = stepped(_Adam, **settings)
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=3e-7)


def _transposed(gradient):
    """The same numbers, column by column."""
    return gradient.t().contiguous().t()


@pytest.mark.parametrize("kind", [Adam, _Adam])
def test_a_gradient_in_another_layout(kind):
    parameters = [torch.nn.Parameter(torch.ones(3, 4)) for _ in range(2)]
    gradients = torch.arange(36.0).view(3, 3, 4)
    for parameter, of in zip(parameters, (torch.clone, _transposed), strict=True):
        optimizer = kind([parameter], lr=0.1)
        for gradient in gradients:
            parameter.grad = of(gradient)
            optimizer.step()
    assert torch.equal(*parameters)


@pytest.mark.parametrize("kind", [Adam, _Adam])
def test_a_closure_computes_the_gradients(kind):
    parameter = torch.nn.Parameter(torch.ones(3))

    def closure():
        loss = parameter.square().sum()
        loss.backward()
        return loss

    assert kind([parameter], lr=0.1).step(closure) == 3
    assert (parameter < 1).all()


def test_a_parameter_without_a_gradient_waits():
    """Its age, by which its moments are corrected, is then another than the others'."""

    def absent(update, number):
        return number == 1 and update % 3 == 0

    expected, stock = stepped(Adam, absent=absent)
    found, fused = stepped(_Adam, absent=absent)
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=3e-7)
    ages = [
        [optimizer.state[parameter]["step"] for parameter in parameters]
        for parameters, optimizer in ((expected, stock), (found, fused))
    ]
    assert ages == [[30, 20, 30, 30]] * 2


def test_steps_that_are_counted_for_all_are_gone_on_with():
    """As apex' optimizer counts them, which `--optimizer adam` is where that is installed."""
    expected, _ = stepped(_Adam, updates=6)
    parameters, before = stepped(_Adam, updates=5)
    state = before.state_dict()
    for of_parameter in state["state"].values():
        del of_parameter["step"]
    for group in state["param_groups"]:
        group["step"] = 5
    before.load_state_dict(state)
    for parameter, other in zip(parameters, expected, strict=True):
        parameter.grad = other.grad
    before.step()
    assert all(torch.equal(one, other) for one, other in zip(parameters, expected, strict=True))
    assert [before.state[parameter]["step"] for parameter in parameters] == [6] * 4


FLAGS = (
    *("--student-layers", "2x1", "--dropout", 0.1, "--batch-size", 10, "--weight-decay", 0.01),
    *("--adam-betas", "(0.9, 0.98)", "--lr", 0.003, "--max-epoch", 2, "--clip-norm", 1),
    *("--save-interval-updates", 5, "--keep-interval-updates", -1),
)


def trained(data, folder, optimizer, *flags):
    train(data, folder, *FLAGS, "--optimizer", optimizer, *flags)
    return folder


@pytest.fixture(scope="module")
def whole(data, tmp_path_factory):
    """Folders of the same training with either optimizer."""
    return {
        name: trained(data, tmp_path_factory.mktemp(name), name) for name in ("adam", "adam_fused")
    }


def assert_near(folder, other):
    """Adam makes steps of the rounding in gradients that are zero: those of k_proj.bias."""
    found, expected = last(folder), last(other)
    for name, weight in expected["model"].items():
        if not name.endswith("k_proj.bias"):
            torch.testing.assert_close(found["model"][name], weight, rtol=0, atol=2e-4, msg=name)


def test_a_training_is_the_same_up_to_rounding(whole):
    assert_near(whole["adam_fused"], whole["adam"])


@pytest.mark.parametrize("first, then", [("adam", "adam_fused"), ("adam_fused", "adam")])
def test_each_goes_on_from_the_others_checkpoint(data, whole, tmp_path, first, then):
    shutil.copy(whole[first] / "checkpoint_2_20.pt", tmp_path / "checkpoint_last.pt")
    assert_near(trained(data, tmp_path, then), whole[first])
    states = [last(folder)["last_optimizer_state"] for folder in (tmp_path, whole[then])]
    assert states[0]["param_groups"][0].keys() == states[1]["param_groups"][0].keys()
    for state in states[0]["state"].values():
        assert state["step"] == 24 and type(state["step"]) is int


def test_killed_and_resumed_is_never_killed(data, whole, tmp_path):
    shutil.copy(whole["adam_fused"] / "checkpoint_2_20.pt", tmp_path / "checkpoint_last.pt")
    assert_same(last(trained(data, tmp_path, "adam_fused")), last(whole["adam_fused"]))


def test_a_stock_update_is_fairseqs_adam(data, tmp_path):
    folders = [
        trained(data, tmp_path / name, name, "--stock-update", "--max-epoch", 1)
        for name in ("adam", "adam_fused")
    ]
    assert_same(*(last(folder)["model"] for folder in folders))


def test_settings_of_fairseqs_kernels_choose_fairseqs_adam(tmp_path):
    flags = ("--optimizer", "adam_fused", "--lr", 0.01)
    kinds = {
        type(trainer(*flags, *more, save_dir=tmp_path).optimizer.optimizer)
        for more in (("--use-old-adam",), ("--stock-update",))
    }
    assert kinds == {Adam}
    assert type(trainer(*flags, save_dir=tmp_path).optimizer.optimizer) is _Adam


def test_masters_in_fp32_take_the_same_steps(tmp_path):
    """FP16Optimizer, in bf16, which a CPU can compute."""
    results = []
    for optimizer in ("adam", "adam_fused"):
        training = trainer(
            *("--bf16", "--optimizer", optimizer, "--lr", 0.01, "--weight-decay", 0.1),
            save_dir=tmp_path,
        )
        training.begin_epoch(1)
        training.train_step([batch()])  # one: bf16 makes a step of the last bit of a master
        results.append(torch.cat([p.detach().flatten() for p in training.optimizer.params]))
        assert training.model.encoder.layers[0].fc1.weight.dtype == torch.bfloat16
    expected, found = results
    assert expected.dtype == found.dtype == torch.float32
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=3e-7)


def test_parameters_in_half_precision_are_refused_in_a_line(data, tmp_path):
    result = train(
        *(data, tmp_path, "--optimizer", "adam_fused", "--memory-efficient-bf16"), check=False
    )
    assert result.returncode
    assert result.stderr.splitlines()[-1].startswith(
        "ValueError: --optimizer adam_fused updates parameters in fp32: leave out "
    )


def test_a_cut_checkpoint_says_adam(whole, tmp_path):
    """Stock fairseq, which knows no adam_fused, reads its settings."""
    cut = tmp_path / "cut.pt"
    Checkpoint.read(whole["adam_fused"] / "checkpoint_last.pt").cut(Layers.first(2, 1)).write(cut)
    cfg = torch.load(cut, weights_only=True)["cfg"]
    assert cfg["optimizer"]["_name"] == "adam" and cfg["optimizer"]["adam_betas"] == "(0.9, 0.98)"
    assert "stock_update" not in cfg["optimizer"] and "stock_update" not in cfg["model"]
