"""A twin, with students, of every architecture of the families' models in fairseq."""

from fairseq.models import (
    ARCH_CONFIG_REGISTRY,
    ARCH_MODEL_INV_REGISTRY,
    register_model_architecture,
)

from . import FAMILIES


def _register_twin(family, stock_name):
    stock_architecture = ARCH_CONFIG_REGISTRY[stock_name]

    def architecture(args):
        # fairseq's parser takes --bf16 for a TPU's; architectures are applied right after it.
        if getattr(args, "bf16", False):
            args.tpu = False
        stock_architecture(args)

    name = stock_name.replace(family.stock, family.twins, 1)  # mbart_base: mbart_selfteach_base
    if name == stock_name:
        name = f"{stock_name}_selfteach"  # xlm, of RoBERTa's
    register_model_architecture(family.twin, name)(architecture)


for _family in FAMILIES:
    for _name in list(ARCH_MODEL_INV_REGISTRY[_family.stock]):
        _register_twin(_family, _name)
