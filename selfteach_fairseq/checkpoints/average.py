"""The mean of the models in several checkpoints of one run."""

import re
from dataclasses import fields, replace
from pathlib import Path

from ..errors import CheckpointError
from ..models.family import Settings, Weights
from .checkpoint import Checkpoint

# Settings that change nothing of what a model computes from its weights once it is trained.
_OF_TRAINING = re.compile(
    r"\w*dropout|\w*layerdrop|quant_noise_\w+|\w+_activations|min_params_to_wrap|base_shuffle|"
    r"\w+_embed_path|max_\w+_positions|stock_update"
)


def average(paths: list[Path | str]) -> tuple[Checkpoint, list[Path | str]]:
    """The mean of the models in several checkpoints, with the settings of the most trained one.

    A state of the training counts once, though several files hold it, as checkpoint_last.pt does.

    Returns: (checkpoint, copies): the paths that were left out, for their state is another's.
    Raises: CheckpointError if they are not of one shape and one run.
    """
    latest: Checkpoint | None = None
    total: Weights = {}
    counted: dict[int, tuple[Path | str, bytes]] = {}
    copies = []
    for path in paths:
        one = Checkpoint.read(path)
        if latest is not None:
            _check_alike(one, latest, path, paths[0])
        updates, digest = one.updates, one.digest
        if updates in counted:
            first, same = counted[updates]
            if digest != same:
                raise CheckpointError(
                    f"{path}: has other weights than {first} after as many updates ({updates:,}): "
                    "average one run's"
                )
            copies.append(path)
            continue
        counted[updates] = path, digest
        for name, tensor in one.weights.items():
            total[name] = total[name] + tensor.double() if name in total else tensor.double()
        if latest is None or updates > latest.updates:
            latest = one
    if latest is None:
        raise CheckpointError("there is nothing to average: name checkpoints of one run")
    mean = {
        name: (total[name] / len(counted)).to(tensor.dtype)
        for name, tensor in latest.weights.items()
    }
    if latest.family:
        latest.family.tie(mean)
    return replace(latest, path=None, weights=mean, resumable=False), copies


def _check_alike(one: Checkpoint, other: Checkpoint, path: Path | str, first: Path | str) -> None:
    """Raises: CheckpointError unless two models have the same shapes and settings."""
    shapes, wanted = (
        {name: tensor.shape for name, tensor in each.weights.items()} for each in (one, other)
    )
    if shapes != wanted:
        raise CheckpointError(f"{path}: not of the same shape as {first}: average one run's")
    if one.kept_layers != other.kept_layers:
        raise CheckpointError(
            f"{path}: is made of other layers of its model than {first}: average one student's"
        )
    found, expected = _settings(one), _settings(other)
    for name in found.keys() | expected.keys():
        if found.get(name) != expected.get(name):
            raise CheckpointError(
                f"{path}: its {name} is {found.get(name)}, and that of {first} "
                f"{expected.get(name)}: average one run's"
            )


def _settings(checkpoint: Checkpoint) -> Settings:
    """What a model computes by, beside its weights; of an unknown family only its name."""
    settings, family = checkpoint.settings, checkpoint.family
    if family is None:
        return {"architecture": settings["_name"]}
    complete = family.complete(settings)
    return {
        field.name: complete.get(field.name)
        for field in fields(family.config)
        if field.name != "_name" and not _OF_TRAINING.fullmatch(field.name)
    }
