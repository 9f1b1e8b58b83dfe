"""`transformer_selfteach*`: a twin of every architecture of fairseq's model `transformer`."""

from fairseq.models import (
    ARCH_CONFIG_REGISTRY,
    ARCH_MODEL_INV_REGISTRY,
    register_model_architecture,
)

from .transformer import TRANSFORMER


def _register_twin(stock_name):
    stock_architecture = ARCH_CONFIG_REGISTRY[stock_name]

    def architecture(args):
        # fairseq's parser takes --bf16 for a TPU's; architectures are applied right after it.
        if getattr(args, "bf16", False):
            args.tpu = False
        stock_architecture(args)

    name = f"{TRANSFORMER.twins}{stock_name.removeprefix(TRANSFORMER.stock)}"
    register_model_architecture(TRANSFORMER.twin, name)(architecture)


for _name in list(ARCH_MODEL_INV_REGISTRY[TRANSFORMER.stock]):
    _register_twin(_name)
