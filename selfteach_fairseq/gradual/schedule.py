"""The depths that a gradual schedule goes through, such as 6,5,4,3 (Li and Odoom 2023, 3.2)."""

import re
from collections.abc import Callable
from itertools import pairwise

from ..layers import SIDES, Layers

_NAMED = re.compile(r"(single|halving|decreasing|auto):([\dx]+)-([\dx]+)")
_FORMS = "6,5,4,3, or 6x6,6x4,6x3, or single:6-3, halving:12-3, decreasing:12-3, auto:6-3"


def parse_schedule(
    spec: str,
    importance: Callable[[], dict[tuple[str, int], float]] | None = None,
    encoder_only: bool = False,
) -> tuple[Layers, ...]:
    """Read the depths one by one (`6,5,4,3`, `6x6,6x4,6x3`), or by the kind of their steps.

    A depth may be of other layers than the first, of the model before: `6,last4,last3`.

    `single:6-3` cuts one layer at a time; `halving:12-3` half of what is there; `decreasing:12-3`
    half of what is still to go, so that it ends with single layers (section 4.5); `auto:6-3` layers
    of about the same importance. Where encoder and decoder take another number of steps, the one
    with fewer waits, so that both end together.

    Args:
        importance: a function without arguments that returns the importance of each layer by
            ("encoder" or "decoder", number from 1); for `auto` only
        encoder_only: of models without a decoder

    Returns: a tuple of two or more Layers, the full model first.
    Raises: ValueError if there is no schedule in `spec`, or if a step is none.
    """
    named = _NAMED.fullmatch(spec)
    try:
        if named:
            first, last = (Layers.parse(named[i], encoder_only) for i in (2, 3))
            _check_step(first, last)
            depths = _by_name(named[1], first, last, importance)
        else:
            depths = tuple(Layers.parse(depth, encoder_only) for depth in spec.split(","))
        if len(depths) < 2:
            raise ValueError("has one depth only")
        if not depths[0].are_first:
            raise ValueError(f"begins with {depths[0]}, which is no whole model")
        for before, after in pairwise(depths):
            _check_step(before, after)
    except ValueError as error:
        raise ValueError(f"--schedule {spec}: {error}: write {_FORMS}") from None
    return depths


def _check_step(before, after):
    if after == before:
        raise ValueError(f"{after} stands twice in a row")
    if after.counts == before.counts:
        raise ValueError(f"{after} after {before} cuts nothing")
    if any(a > b for a, b in zip(after.counts, before.counts, strict=True)):
        raise ValueError(f"{after} after {before} grows")
    if min(after.counts) < 1:
        raise ValueError(f"{after} leaves no layer")
    after.within(Layers.first(*before.counts))


def _by_name(kind, first, last, importance):
    if kind == "auto":
        layers = importance()
        present = SIDES[: len(first.counts)]
        depth = Layers.first(*(sum(key[0] == side for key in layers) for side in present))
        if depth != first:
            raise ValueError(f"the model has {depth} layers, not {first}")
        sides = [
            _of_equal_importance(start, end, lambda layer, side=side: layers[side, layer])
            for side, start, end in zip(present, first.counts, last.counts, strict=True)
        ]
    else:
        step = {"single": _single, "halving": _halving, "decreasing": _decreasing}[kind]
        ends = zip(first.counts, last.counts, strict=True)
        sides = [_steps(start, end, step) for start, end in ends]
    longest = max(map(len, sides))
    waiting = ([side[0]] * (longest - len(side)) + side for side in sides)
    return tuple(map(Layers.first, *waiting))


def _steps(start, end, step):
    depths = [start]
    while depths[-1] > end:
        depths.append(max(end, depths[-1] - step(depths[-1], end)))
    return depths


def _single(depth, end):
    return 1


def _halving(depth, end):
    return (depth + 1) // 2


def _decreasing(depth, end):
    return (depth - end + 1) // 2


def _of_equal_importance(start, end, importance):
    """Cuts at each step as many layers as are together no more important than the weightiest one.

    Args:
        importance: a function of the layer's number, from 1
    """
    most = max((importance(layer) for layer in range(end + 1, start + 1)), default=0)

    def step(depth, end):
        cut = 1
        while depth - cut > end:
            layers = range(depth - cut, depth + 1)
            if sum(importance(layer) for layer in layers) > most:
                break
            cut += 1
        return cut

    return _steps(start, end, step)
