"""Cut a model out of a checkpoint: a stock fairseq `transformer` of fewer layers."""

import re
from argparse import Namespace
from itertools import pairwise

import torch
from fairseq.models import ARCH_CONFIG_REGISTRY, ARCH_MODEL_INV_REGISTRY

from .checkpoint import depth, load, without_training_state
from .sound import NOT_LEARNT, CheckpointError, check_fits, is_transformer

_LAYER = re.compile(r"(encoder|decoder)\.layers\.(\d+)\.(.+)")
_PLAIN_CRITERION = "label_smoothed_cross_entropy"
_OUR_CRITERIA = ("label_smoothed_ce_selfteach", "word_level_distillation", "r_drop")


def first_layers(student):
    """The layers to keep for a Student, as truncate() takes them."""
    return {
        "encoder": list(range(student.encoder_layers)),
        "decoder": list(range(student.decoder_layers)),
    }


def load_stock(path):
    """All of a checkpoint as that of a stock `transformer`, without the optimizer's state.

    Raises: CheckpointError if there is no sound one in the file, or it is of another architecture.
    """
    state = load(path)
    try:
        return truncate(state, first_layers(depth(state["model"])))
    except CheckpointError as error:
        raise CheckpointError(f"{path}: {error}") from None


def truncate(state, keep, fp16=False):
    """The checkpoint of a stock `transformer` that has only some of a checkpoint's layers.

    Args:
        state: a checkpoint as checkpoint.load() returns it, of an architecture of this package's
            model or of fairseq's model `transformer`
        keep: the numbers of the layers to keep, from 0 and rising, by "encoder" and "decoder"
        fp16: store the numbers in half precision

    Raises: CheckpointError for another architecture, a choice of layers that isn't there, or if
        what is left would be no model that stock fairseq loads.
    """
    cut = without_training_state(state)
    settings = _stock_settings(cut["cfg"]["model"])
    there = depth(state["model"])._asdict()
    for side, layers in keep.items():
        _check_choice(side, layers, there[f"{side}_layers"])
        settings[f"{side}_layers"] = len(layers)
    cut["cfg"] = {**state["cfg"], **_stock_surroundings(state["cfg"]), "model": settings}
    cut["model"] = _keep_layers(state["model"], keep)
    check_fits(settings, cut["model"], {side: len(layers) for side, layers in keep.items()})
    if fp16:
        _halve(cut["model"])
    return cut


def _stock_settings(settings):
    """The model's settings as those of fairseq's `transformer`, every one of them spelt out.

    What is missing, or null, was left to the architecture.
    """
    name = settings["_name"]
    if not is_transformer(settings):
        stock = ", ".join(ARCH_MODEL_INV_REGISTRY["transformer"])
        raise CheckpointError(
            f"is of architecture {name}: what can be cut or scored is transformer_selfteach*, or "
            f"of fairseq's model transformer: {stock}"
        )
    preset = Namespace(**{key: value for key, value in settings.items() if value is not None})
    ARCH_CONFIG_REGISTRY[name](preset)
    settings = {**settings, **vars(preset), "_name": "transformer", "arch": "transformer"}
    for side in ("encoder", "decoder"):
        settings[f"{side}_layerdrop"] = 0
        settings[f"{side}_layers_to_keep"] = None
    return settings


def _stock_surroundings(cfg):
    """The other settings without what only this package can read."""
    changed = {}
    if (cfg.get("common") or {}).get("user_dir"):
        changed["common"] = {**cfg["common"], "user_dir": None}
    if cfg["task"]["_name"] == "translation_selfteach":
        task = {key: value for key, value in cfg["task"].items() if key != "eval_bleu_student"}
        changed["task"] = {**task, "_name": "translation"}
    criterion = cfg.get("criterion") or {}
    if criterion.get("_name") in _OUR_CRITERIA:
        shared = ("label_smoothing", "report_accuracy", "ignore_prefix_size", "sentence_avg")
        changed["criterion"] = {
            "_name": _PLAIN_CRITERION,
            **{key: criterion[key] for key in shared if key in criterion},
        }
    return changed


def _check_choice(side, layers, there):
    rising = all(a < b for a, b in pairwise(layers))
    if not layers or not rising or layers[0] < 0 or layers[-1] >= there:
        raise CheckpointError(
            f"has {there} {side} layers, 0 to {there - 1}: keep some of these, in rising order, "
            f"not {','.join(map(str, layers)) or 'none'}"
        )


def _keep_layers(model, keep):
    new_number = {
        (side, str(old)): new for side, layers in keep.items() for new, old in enumerate(layers)
    }
    kept = {}
    for name, tensor in model.items():
        match = _LAYER.fullmatch(name)
        if not match:
            kept[name] = tensor
        elif match.group(1, 2) in new_number:
            kept[f"{match[1]}.layers.{new_number[match.group(1, 2)]}.{match[3]}"] = tensor
    return kept


def _halve(model):
    halves = {}  # by tensor, so that tied ones stay tied
    for name, tensor in model.items():
        if tensor.is_floating_point() and not name.endswith(NOT_LEARNT):
            if tensor.abs().max() > torch.finfo(torch.float16).max:
                raise CheckpointError(f"{name} holds numbers too large for --fp16: leave it out")
            model[name] = halves.setdefault(id(tensor), tensor.half())
