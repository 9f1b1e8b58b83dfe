"""Settings that can't work with a student, refused at start: each error names the way out."""

from collections.abc import Sequence

from fairseq.distributed.utils import get_data_parallel_world_size
from fairseq.models import ARCH_MODEL_REGISTRY
from omegaconf import DictConfig

from ..layers import SIDES, Layers, students_within
from ..models.students import WithStudents

_DROPOUTS = ("dropout", "attention_dropout", "activation_dropout", "relu_dropout")


def students_of(cfg: DictConfig) -> tuple[Layers, ...]:
    """The students of the model in training. Raises: ValueError, see layers.students_within().

    With passes of their own, the whole model may be one: it learns from itself, as in R-Drop.
    """
    full = _full(cfg)
    students = students_within(cfg.student_layers, full, with_full=True)
    whole = [student for student in students if student.are_all(full)]
    if whole and not _are_apart(cfg):
        raise ValueError(
            f"--student-layers {cfg.student_layers}: {whole[0]} is the whole model: name a student "
            "of fewer layers, or train with --dropout and --student-dropout own"
        )
    return students


def _full(cfg):
    return Layers.first(int(cfg.encoder_layers), int(cfg.decoder_layers))


def _are_apart(cfg):
    """Whether students have passes of their own."""
    return cfg.student_dropout == "own" and any(cfg[name] for name in _DROPOUTS)


def check(cfg: DictConfig) -> None:
    """Checks the criterion's settings, and those of the model and of the workers beside them.

    Raises: ValueError that names the flag, its value and the way out.
    """
    _check_model(cfg)
    _check_workers(cfg)
    check_teaching(cfg, students_of(cfg))
    if cfg.loss_chunk_tokens is not None and cfg.loss_chunk_tokens < 1:
        raise ValueError(f"--loss-chunk-tokens {cfg.loss_chunk_tokens}: must be 1 or more")
    check_teacher(cfg)
    _check_metric(cfg)


def check_architecture(name: str, why: str) -> None:
    """Raises: ValueError, which says why, unless an architecture is of this package's model."""
    architecture = ARCH_MODEL_REGISTRY.get(name)
    if architecture is None or not issubclass(architecture, WithStudents):
        raise ValueError(
            f"--arch {name} {why} needs --arch transformer_selfteach, or another architecture "
            "with selfteach in its name"
        )


def _check_model(cfg):
    check_architecture(cfg.arch, "has no students: --criterion label_smoothed_ce_selfteach")
    check_layerdrop(cfg, SIDES)
    if cfg.adaptive_softmax_cutoff is not None:
        raise ValueError(
            f"--adaptive-softmax-cutoff {cfg.adaptive_softmax_cutoff} leaves no output projection "
            "for the student to share: leave it out"
        )
    if (cfg.quant_noise_scalar or 0) > 0:
        raise ValueError(
            f"--quant-noise-scalar {cfg.quant_noise_scalar} also quantises the output projection, "
            "which the loss reads unquantised: leave it out, or use --quant-noise-pq"
        )


def _check_workers(cfg):
    if cfg.ddp_backend == "fully_sharded":
        raise ValueError(
            "--ddp-backend fully_sharded splits the output projection, which the loss reads whole: "
            "use pytorch_ddp or legacy_ddp"
        )
    computes_again = cfg.checkpoint_activations or cfg.offload_activations
    if (
        not computes_again
        or cfg.ddp_backend in ("legacy_ddp", "no_c10d")
        or get_data_parallel_world_size() == 1
    ):
        return
    apart = _are_apart(cfg)
    own_pass = [
        str(student) for student in students_of(cfg) if apart or not student.encoder.are_first
    ]
    if own_pass:
        raise ValueError(
            f"--student-layers {','.join(own_pass)} takes an encoder pass of its own, and "
            "--checkpoint-activations computes it again, which pytorch_ddp does not allow: "
            "use --ddp-backend legacy_ddp" + " or --student-dropout shared" * apart
        )
    if cfg.find_unused_parameters:
        raise ValueError(
            "--find-unused-parameters does not find what --checkpoint-activations computes again, "
            "and pytorch_ddp ends: leave one of them out, or use --ddp-backend legacy_ddp"
        )


def _check_metric(cfg):
    students, full = students_of(cfg), _full(cfg)
    names = [student.metric for student in students if not student.are_all(full)]
    names += [name.replace("nll_loss", "ppl") for name in names]
    metric = cfg.best_checkpoint_metric
    if metric == "kl" and not names:
        raise ValueError("--best-checkpoint-metric kl: there is no smaller student: name loss")
    if metric.startswith("student_") and metric not in names:
        raise ValueError(
            f"--best-checkpoint-metric {metric}: is of none of the students: name "
            + (f"one of {', '.join(names)}" if names else "loss")
        )


def check_bleu(cfg: DictConfig, chosen: str | None) -> None:
    """Raises: ValueError if the BLEU of validation is that of a student that is not trained.

    Args:
        chosen: of --eval-bleu-student, if it is said
    """
    students = students_of(cfg)
    if chosen and str(Layers.parse(chosen)) not in map(str, students):
        raise ValueError(
            f"--eval-bleu-student {chosen}: is not trained: name one of --student-layers, "
            f"{', '.join(map(str, students))}"
        )


def check_layerdrop(cfg: DictConfig, sides: Sequence[str]) -> None:
    """Raises: ValueError if a side's layers are dropped at random."""
    for side in sides:
        layerdrop = getattr(cfg, f"{side}_layerdrop") or 0  # some families' has no default
        if layerdrop > 0:
            raise ValueError(
                f"--{side}-layerdrop {layerdrop} would drop the student's layers: set it to 0, "
                "or train with fairseq's own criterion"
            )


def check_teaching(cfg: DictConfig, students: Sequence[Layers]) -> None:
    """Raises: ValueError for a setting of TeachingConfig that is out of range."""
    for name in ("alpha", "alpha_start_update", "alpha_warmup_updates", "student_ce"):
        if getattr(cfg, name) < 0:
            flag = f"--{name.replace('_', '-')}"
            raise ValueError(f"{flag} {getattr(cfg, name)}: must not be negative")
    if cfg.kl_temperature <= 0:
        raise ValueError(f"--kl-temperature {cfg.kl_temperature}: must be above 0")
    if cfg.student_sampling is not None and not 1 <= cfg.student_sampling <= len(students):
        raise ValueError(
            f"--student-sampling {cfg.student_sampling}: choose 1 to {len(students)}, the number "
            "of students in --student-layers"
        )


def check_teacher(cfg: DictConfig) -> None:
    """Raises: ValueError for options of a teacher that is not named."""
    for name in ("teacher_weight", "teacher_temperature"):
        value = getattr(cfg, name)
        if cfg.teacher is None and value is not None:
            flag = f"--{name.replace('_', '-')}"
            raise ValueError(
                f"{flag} {value} needs --teacher, a checkpoint: leave it out, or add that"
            )
