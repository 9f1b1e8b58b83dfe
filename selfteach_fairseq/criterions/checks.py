"""Settings that can't work with a student, refused at start: each error names the way out."""

from fairseq.distributed.utils import get_data_parallel_world_size
from fairseq.models import ARCH_MODEL_REGISTRY
from omegaconf import DictConfig

from ..layers import Layers, parse_students
from ..models.students import WithStudents


def students_of(cfg: DictConfig) -> tuple[Layers, ...]:
    """The students that `--student-layers` names; by default the one of half depth.

    Raises: ValueError if it is malformed, or names one that is no part of the model.
    """
    full = Layers.first(int(cfg.encoder_layers), int(cfg.decoder_layers))
    if cfg.student_layers is None:
        half = Layers.first(*(max(1, count // 2) for count in full.counts))
        if half == full:
            raise ValueError(
                f"--encoder-layers {cfg.encoder_layers} --decoder-layers {cfg.decoder_layers}: "
                "there is no smaller student: use --criterion label_smoothed_cross_entropy"
            )
        return (half,)
    try:
        students = parse_students(cfg.student_layers)
        known = {_numbers(full, full): full}
        for student in students:
            same = known.setdefault(_numbers(student, full), student)
            if same is full:
                raise ValueError(f"{student} is the whole model: name a student of fewer layers")
            if same is not student:
                raise ValueError(f"{student} is the same layers as {same}: name them once")
    except ValueError as error:
        raise ValueError(f"--student-layers {cfg.student_layers}: {error}") from None
    return students


def _numbers(layers, full):
    return tuple(layers.within(full).values())


def check(cfg: DictConfig) -> None:
    """Checks the criterion's settings, and those of the model and of the workers beside them.

    Raises: ValueError that names the flag, its value and the way out.
    """
    _check_model(cfg)
    _check_workers(cfg)
    _check_loss(cfg)
    _check_students(cfg)
    _check_teacher(cfg)


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
    for side in ("encoder", "decoder"):
        layerdrop = getattr(cfg, f"{side}_layerdrop") or 0  # BART's has no default
        if layerdrop > 0:
            raise ValueError(
                f"--{side}-layerdrop {layerdrop} would drop the student's layers: set it to 0, "
                "or use --criterion label_smoothed_cross_entropy"
            )
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
    own_pass = [str(student) for student in students_of(cfg) if not student.encoder.are_first]
    if (
        own_pass
        and (cfg.checkpoint_activations or cfg.offload_activations)
        and cfg.ddp_backend not in ("legacy_ddp", "no_c10d")
        and get_data_parallel_world_size() > 1
    ):
        raise ValueError(
            f"--student-layers {','.join(own_pass)} takes an encoder pass of its own, and "
            "--checkpoint-activations computes it again, which pytorch_ddp does not allow: "
            "use --ddp-backend legacy_ddp"
        )


def _check_loss(cfg):
    for name in ("alpha", "alpha_start_update", "alpha_warmup_updates", "student_ce"):
        if getattr(cfg, name) < 0:
            flag = f"--{name.replace('_', '-')}"
            raise ValueError(f"{flag} {getattr(cfg, name)}: must not be negative")
    if cfg.kl_temperature <= 0:
        raise ValueError(f"--kl-temperature {cfg.kl_temperature}: must be above 0")
    if cfg.loss_chunk_tokens is not None and cfg.loss_chunk_tokens < 1:
        raise ValueError(f"--loss-chunk-tokens {cfg.loss_chunk_tokens}: must be 1 or more")


def _check_students(cfg):
    students = len(students_of(cfg))
    if cfg.student_sampling is not None and not 1 <= cfg.student_sampling <= students:
        raise ValueError(
            f"--student-sampling {cfg.student_sampling}: choose 1 to {students}, the number of "
            "students in --student-layers"
        )


def _check_teacher(cfg):
    for name in ("teacher_weight", "teacher_temperature"):
        value = getattr(cfg, name)
        if cfg.teacher is None and value is not None:
            flag = f"--{name.replace('_', '-')}"
            raise ValueError(
                f"{flag} {value} needs --teacher, a checkpoint: leave it out, or add that"
            )
