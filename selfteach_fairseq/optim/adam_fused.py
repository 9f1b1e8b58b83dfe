"""`adam_fused`: fairseq's Adam, a step of which is one call of torch's fused kernel."""

import math
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import torch
from fairseq.optim import FairseqOptimizer, register_optimizer
from fairseq.optim.adam import Adam, FairseqAdam, FairseqAdamConfig
from torch import Tensor, nn
from torch.optim.adamw import adamw

from ..models.config import of_model


@dataclass
class AdamFusedConfig(FairseqAdamConfig):
    stock_update: Any = of_model("stock_update")


@register_optimizer("adam_fused", dataclass=AdamFusedConfig)
class AdamFused(FairseqAdam):
    """What `--optimizer adam` computes, in a fraction of its time, with the same checkpoints.

    With --stock-update, --use-old-adam or --fp16-adam-stats it is that one.

    Raises: ValueError at start for parameters in half precision, which the kernel would round.
    """

    def __init__(self, cfg: AdamFusedConfig, params: Iterable[nn.Parameter]) -> None:
        if cfg.stock_update or cfg.use_old_adam or cfg.fp16_adam_stats:
            super().__init__(cfg, params)
            return
        params = list(params)
        if any(parameter.dtype != torch.float32 for parameter in params):
            raise ValueError(
                "--optimizer adam_fused updates parameters in fp32: leave out "
                "--memory-efficient-fp16 or --memory-efficient-bf16, or use --optimizer adam"
            )
        FairseqOptimizer.__init__(self, cfg)
        self._optimizer = _Adam(params, **self.optimizer_config)


# The trainer resumes a checkpoint only if the optimizer has the class name it was saved by, and the
# registry takes a class name only once.
AdamFused.__name__ = FairseqAdam.__name__


class _Adam(Adam):
    """fairseq's Adam, of whose state `step` is a plain number, too."""

    supports_memory_efficient_fp16 = False

    @torch.no_grad()
    def step(self, closure: Callable[[], Tensor] | None = None) -> Tensor | None:
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            by_age = defaultdict(list)  # a parameter without a gradient is not stepped
            for parameter in group["params"]:
                if parameter.grad is not None:
                    state = self.state[parameter]
                    if not state:
                        state["step"] = 0
                        state["exp_avg"] = torch.zeros_like(parameter)
                        state["exp_avg_sq"] = torch.zeros_like(parameter)
                    # Where apex is installed, `--optimizer adam` counts for all of them.
                    state.setdefault("step", group.get("step", 0))
                    by_age[parameter.device, state["step"]].append(parameter)
            for (device, age), parameters in by_age.items():
                self._step(parameters, group, age, device)
        return loss

    def _step(self, parameters, group, age, device):
        states = [self.state[parameter] for parameter in parameters]
        beta1, beta2 = group["betas"]
        adamw(
            parameters,
            # The kernel takes all of a parameter's tensors to be laid out alike.
            [
                torch.empty_like(parameter).copy_(parameter.grad)
                if parameter.grad.stride() != parameter.stride()
                else parameter.grad
                for parameter in parameters
            ],
            [state["exp_avg"] for state in states],
            [state["exp_avg_sq"] for state in states],
            [],
            list(torch.full((len(parameters),), float(age), device=device).unbind()),
            fused=True,
            amsgrad=False,
            beta1=beta1,
            beta2=beta2,
            lr=group["lr"],
            weight_decay=group["weight_decay"],
            # fairseq adds it to the square root before that is corrected for its bias, torch after.
            eps=group["eps"] / math.sqrt(1 - beta2 ** (age + 1)),
            maximize=False,
        )
        for state in states:
            state["step"] = age + 1
