"""Every architecture of fairseq's Transformer has a twin of the same settings."""

import functools

import pytest
import torch
from fairseq import options
from fairseq.dataclass.initialize import add_defaults
from fairseq.dataclass.utils import convert_namespace_to_omegaconf
from fairseq.models import ARCH_MODEL_INV_REGISTRY
from omegaconf import OmegaConf
from tiny import task

STOCK = ARCH_MODEL_INV_REGISTRY["transformer"]
GIVEN = {
    "nothing": {},
    "widths": {"encoder_embed_dim": 32, "decoder_ffn_embed_dim": 48, "dropout": 0.25},
    "layers": {"encoder_layers": 3, "decoder_layers": 1, "encoder_normalize_before": True},
}


def twin(stock):
    return stock.replace("transformer", "transformer_selfteach", 1)


@functools.cache
def of_command_line(arch, *flags):
    return options.parse_args_and_arch(
        options.get_training_parser(),
        ["data", "--arch", arch, "--bf16", "--optimizer", "adam", *flags],
    )


def of_hydra(arch, given):
    """The model's settings as fairseq-hydra-train makes them of a YAML file."""
    cfg = OmegaConf.create({"model": {"_name": arch, **given}})
    add_defaults(cfg)
    return cfg.model


def parameters(cfg):
    with torch.device("meta"):
        return sum(p.numel() for p in task().build_model(cfg).parameters())


def test_there_is_one_of_each():
    assert {"transformer", "transformer_vaswani_wmt_en_de_big", "transformer_wmt_en_de_big_t2t"} < {
        *STOCK
    }
    assert {*map(twin, STOCK)} < {*ARCH_MODEL_INV_REGISTRY["selfteach"]}


@pytest.mark.parametrize("arch", STOCK)
def test_architectures_have_fairseqs_settings(arch):
    ours, stock = of_command_line(twin(arch)), of_command_line(arch)
    for name in vars(stock):
        if name not in ("arch", "tpu") and hasattr(ours, name):
            assert getattr(ours, name) == getattr(stock, name), name
    assert stock.tpu and not ours.tpu  # fairseq takes --bf16 for a TPU's


@pytest.mark.parametrize("given", GIVEN.values(), ids=GIVEN)
@pytest.mark.parametrize("arch", STOCK)
def test_hydra_gives_the_model_that_stock_fairseq_builds(arch, given):
    """fairseq-hydra-train applies an architecture, and what is given wins."""
    stock, ours = of_hydra(arch, given), of_hydra(twin(arch), given)
    assert parameters(ours) == parameters(stock)
    for name, value in stock.items():  # which building has filled in, for the stock model
        if name in ours and name != "_name":
            assert ours[name] == value, name
    assert {name: ours[name] for name in given} == given


@pytest.mark.parametrize("arch", STOCK)
def test_hydra_gives_the_settings_of_the_command_line(arch):
    flags = ("--encoder-embed-dim", "32", "--decoder-layers", "2")
    expected = convert_namespace_to_omegaconf(of_command_line(twin(arch), *flags)).model
    found = of_hydra(twin(arch), {"encoder_embed_dim": 32, "decoder_layers": 2})
    assert OmegaConf.to_container(found) == OmegaConf.to_container(expected)


def test_the_tiny_one_under_hydra():
    """The fault that was: every default of the dataclass, 31 million parameters."""
    tiny = of_hydra("transformer_selfteach_tiny", {"encoder_layers": 4})
    assert (tiny.encoder_embed_dim, tiny.encoder_layers, tiny.decoder_layers) == (64, 4, 2)
    assert tiny.decoder_input_dim == tiny.decoder_output_dim == 64
