"""`--amp`: gradients are divided by the loss scale once, and its two options do what they say.

Of fairseq's AMPOptimizer; each of the two methods here names the fault that it mends.
"""

import logging

import torch
from fairseq.optim import AMPOptimizer

logger = logging.getLogger(__name__)


def _init(optimizer, cfg, params, fp32_optimizer, **options):
    """AMPOptimizer.__init__, whose loss scale starts and grows as its options say.

    fairseq starts it at --fp16-init-scale, reads --amp-init-scale for --amp-scale-window, and
    scales on a GPU only, also where training runs on the CPU.
    """
    _fairseq_init(optimizer, cfg, params, fp32_optimizer, **options)
    scale = {"init_scale": float(cfg.common.amp_init_scale)}
    if cfg.common.amp_scale_window is not None:
        scale["growth_interval"] = cfg.common.amp_scale_window
    device = "cpu" if cfg.common.cpu or not torch.cuda.is_available() else "cuda"
    if device == "cpu":
        logger.warning("--amp computes in fp32 on a CPU, as without it")
    optimizer._grad_scaler = torch.amp.GradScaler(device, **scale)


def _step(optimizer):
    """AMPOptimizer.step of gradients that clipping has divided by the loss scale already.

    They are those of torch's optimizer, and fairseq has the scaler step its own wrapper of that
    one, whose gradients the scaler then takes for undivided.
    """
    optimizer.scaler.step(optimizer.optimizer)
    optimizer.scaler.update()


_fairseq_init = AMPOptimizer.__init__


def apply() -> None:
    AMPOptimizer.__init__ = _init
    AMPOptimizer.step = _step
