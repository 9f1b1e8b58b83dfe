"""The mean of the models in several checkpoints of one run."""

import re
from argparse import Namespace

from fairseq.models import ARCH_CONFIG_REGISTRY

from .checkpoint import digest, load, tie_embeddings, without_training_state
from .model import TransformerSelfteachConfig
from .sound import CheckpointError, is_transformer

# Settings that change nothing of what a model computes from its weights once it is trained.
_OF_TRAINING = re.compile(
    r"\w*dropout|\w*layerdrop|quant_noise_\w+|\w+_activations|min_params_to_wrap|base_shuffle|"
    r"\w+_embed_path|max_\w+_positions"
)


def average(paths):
    """The mean of the models in several checkpoints, with the settings of the most trained one.

    A state of the training counts once, though several files hold it, as checkpoint_last.pt does.

    Returns: (checkpoint, copies): the paths that were left out, for their state is another's.
    Raises: CheckpointError if they are not of one shape and one run.
    """
    latest, total, counted, copies = None, {}, {}, []
    for path in paths:
        state = load(path)
        if latest is not None:
            _check_alike(state, latest, path, paths[0])
        updates, weights = _updates(state), digest(state["model"])
        if updates in counted:
            first, same = counted[updates]
            if weights != same:
                raise CheckpointError(
                    f"{path}: has other weights than {first} after as many updates ({updates:,}): "
                    "average one run's"
                )
            copies.append(path)
            continue
        counted[updates] = path, weights
        for name, tensor in state["model"].items():
            total[name] = total[name] + tensor.double() if name in total else tensor.double()
        if latest is None or updates > _updates(latest):
            latest = state
    latest["model"] = {
        name: (total[name] / len(counted)).to(tensor.dtype)
        for name, tensor in latest["model"].items()
    }
    tie_embeddings(latest["model"])
    return without_training_state(latest), copies


def _check_alike(state, other, path, first):
    """Raises: CheckpointError unless two models have the same shapes and settings."""
    shapes, wanted = (
        {name: tensor.shape for name, tensor in one["model"].items()} for one in (state, other)
    )
    if shapes != wanted:
        raise CheckpointError(f"{path}: not of the same shape as {first}: average one run's")
    settings, wanted = (_settings(one["cfg"]["model"]) for one in (state, other))
    for name in settings.keys() | wanted.keys():
        if settings.get(name) != wanted.get(name):
            raise CheckpointError(
                f"{path}: its {name} is {settings.get(name)}, and that of {first} "
                f"{wanted.get(name)}: average one run's"
            )


def _settings(settings):
    """What a model computes by, beside its weights; of another than a Transformer only its name."""
    if not is_transformer(settings):
        return {"architecture": settings["_name"]}
    every = Namespace(**settings)
    ARCH_CONFIG_REGISTRY[settings["_name"]](every)
    names = TransformerSelfteachConfig.__dataclass_fields__
    return {
        name: getattr(every, name, None)
        for name in names
        if name != "_name" and not _OF_TRAINING.fullmatch(name)
    }


def _updates(state):
    return state["optimizer_history"][-1]["num_updates"]
