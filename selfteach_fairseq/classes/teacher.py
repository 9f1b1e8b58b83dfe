"""`ClassTeacher`: a frozen classifier from which another one learns.

Shapes: B sentences, K classes.
"""

from pathlib import Path
from typing import Any

import torch
from fairseq.tasks import FairseqTask
from omegaconf import DictConfig
from torch import Tensor, nn

from ..checkpoints.checkpoint import Checkpoint
from ..criterions.teacher import Teacher
from .criterion import cross_entropy, kl


class ClassTeacher(Teacher):
    """See Teacher; its checkpoint is a RoBERTa's with the classification head in training.

    Raises: ValueError if an option is out of range, or the checkpoint does not fit the task.
    """

    def __init__(self, cfg: DictConfig, task: FairseqTask) -> None:
        self.head, self.classes = cfg.classification_head_name, cfg.num_classes
        super().__init__(cfg, task)

    @torch.no_grad()
    def logits(self, model: nn.Module, net_input: dict[str, Any]) -> Tensor:
        """Its logits (B, K) of a batch."""
        return self.beside(model)(**net_input, classification_head_name=self.head)[0]

    def loss(self, logits: Tensor, targets: Tensor, taught: Tensor) -> Tensor:
        """`(1 - w) * CE + w * T^2 * KL(teacher || model)`, summed over the sentences.

        Args:
            taught: the teacher's logits (B, K)
        """
        of_text = cross_entropy(logits, targets)
        return (1 - self.weight) * of_text + self.weight * kl(taught, logits, self.temperature)

    def check(self, checkpoint: Checkpoint, path: Path | str, task: FairseqTask) -> None:
        if not checkpoint.is_encoder:
            raise ValueError(f"--teacher {path}: is no RoBERTa: name a classifier")
        rows, types = checkpoint.types("encoder"), len(task.source_dictionary)
        if rows != types:
            raise ValueError(
                f"--teacher {path}: has {rows} types and the data's dictionary {types}: name one "
                "that was trained on this data folder"
            )
        head = checkpoint.weights.get(f"classification_heads.{self.head}.out_proj.weight")
        if head is None or len(head) != self.classes:
            raise ValueError(
                f"--teacher {path}: has no head {self.head} of {self.classes} classes: fine-tune "
                "it on these labels first"
            )
        longest = checkpoint.settings["max_positions"]
        if longest < task.max_positions():
            raise ValueError(
                f"--teacher {path}: reads up to {longest} tokens: add --max-positions {longest}"
            )
