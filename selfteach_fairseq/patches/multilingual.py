"""`--task multilingual_translation` says in one line that it takes no model with students."""

from fairseq.models import ARCH_MODEL_REGISTRY
from fairseq.tasks.multilingual_translation import MultilingualTranslationTask

from ..models.students import WithStudents


def _build_multilingual_model(task, args, from_checkpoint=False):
    """MultilingualTranslationTask.build_model, of fairseq's multilingual models alone.

    It looks for the task's settings among the model's before it looks at the model, and ends in an
    error of OmegaConf.

    Raises: ValueError for this package's model, which is of one pair of languages.
    """
    if issubclass(ARCH_MODEL_REGISTRY.get(args._name, object), WithStudents):
        raise ValueError(
            f"--arch {args._name} is no multilingual model: use --task "
            "translation_multi_simple_epoch, or --arch multilingual_transformer without students"
        )
    return _fairseq_build_multilingual_model(task, args, from_checkpoint)


_fairseq_build_multilingual_model = MultilingualTranslationTask.build_model


def apply() -> None:
    MultilingualTranslationTask.build_model = _build_multilingual_model
