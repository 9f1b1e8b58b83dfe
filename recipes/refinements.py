"""What is trained a little further after it was cut out, and how: REFINE, REFINE_DEPTHS."""

import re
from collections.abc import Iterator
from itertools import pairwise
from typing import NamedTuple

import methods
from depths import kept_of_cut, parse_layers, sides
from methods import Method
from plan import Cut, Score, runs_of
from settings import RECIPES, Settings

ALL = ("plain", "r3f", "intra-distillation")  # REFINE=all
SHARE = 10  # a tenth of the training's updates, and of its learning rate


class Refinement(NamedTuple):
    """A training that goes on from a cut model; what it leaves is scored as that one is."""

    cut: Cut
    method: Method

    @property
    def name(self) -> str:
        return f"{self.cut.run.system}+{self.method.name}-seed{self.cut.run.seed}"

    @property
    def folder(self) -> str:
        """Where it trains."""
        return f"{self.name}-{self.cut.depth}"

    @property
    def scores(self) -> list[Score]:
        return [Score(self, engine) for engine in self.cut.run.settings.engines]

    def columns(self) -> dict[str, str]:
        """Those of a Cut, and what its training is."""
        settings, cut = self.cut.run.settings, self.cut.columns()
        encoder, decoder = sides(self.cut.depth)
        return {
            "name": self.name,
            "system": f"{self.cut.run.system}+{self.method.name}",
            "seed": cut["seed"],
            "costs": f"{cut['costs']} {self.folder}",
            "depth": cut["depth"],
            "stage": f"refine-{self.folder}",
            "checkpoint": f"{self.folder}/{settings.checkpoint}",
            "keep": kept_of_cut(cut["depth"]),
            "start": f"{cut['name']}-{cut['depth']}",  # the cut model
            "encoder": str(encoder),
            "decoder": str(decoder),
            "updates": str(updates(settings)),
            "rate": learning_rate(settings),
            "flags": " ".join(self.method.flags),
        }


def refinements_of(settings: Settings) -> list[Refinement]:
    """All, in the order of the runs. Raises: ValueError if no model of a depth is cut out."""
    cuts = [cut for run in runs_of(settings) for cut in run.cuts if cut.system == run.system]
    wanted = depths(settings) if settings.refine else ()
    for depth in wanted:
        if all(parse_layers(cut.depth) != parse_layers(depth) for cut in cuts):
            raise ValueError(
                f"REFINE_DEPTHS: no model of {depth} layers is cut out: name one of "
                f"{' '.join(dict.fromkeys(cut.depth for cut in cuts))}"
            )
    kept = {parse_layers(depth) for depth in wanted}
    names = ALL if settings.refine == ("all",) else settings.refine
    found = [find(name) for name in names]
    return [
        Refinement(cut, one) for cut in cuts if parse_layers(cut.depth) in kept for one in found
    ]


def faults(settings: Settings) -> Iterator[str]:
    """What is wrong with the settings, a line each; depths and METHOD are right."""
    if not settings.refine:
        return
    for build in (refinements_of, updates, learning_rate):
        try:
            build(settings)
        except ValueError as error:
            yield str(error)


def find(name: str) -> Method:
    """The flags of a way to refine.

    Raises: ValueError if there is none of this name, or if its file says what only a method can.
    """
    path = RECIPES / "refine" / f"{name}.flags"
    if "/" in name or not path.is_file():
        raise ValueError(f"REFINE={name}: there is no recipes/refine/{name}.flags")
    way = methods.read(path)
    if any((way.cuts_every_other_layer, way.has_teacher, way.has_students, way.needs_updates)):
        raise ValueError(
            f"REFINE={name}: 'cut:', 'text:', {{students}}, {{teacher}} and shares of the updates "
            f"are for methods: leave them out of recipes/refine/{name}.flags"
        )
    return way


def depths(settings: Settings) -> tuple[str, ...]:
    """REFINE_DEPTHS, or the smallest student. Raises: ValueError if one is no depth."""
    for depth in settings.refine_depths:
        try:
            parse_layers(depth)
        except ValueError as error:
            raise ValueError(f"REFINE_DEPTHS: {error}") from None
    smallest = min((settings.layers, *settings.students), key=lambda depth: sum(sides(depth)))
    return settings.refine_depths or (smallest,)


def updates(settings: Settings) -> int:
    """How many. Raises: ValueError if neither the settings nor the training say so."""
    if settings.refine_updates:
        if not re.fullmatch("[1-9][0-9]*", settings.refine_updates):
            raise ValueError(f"REFINE_UPDATES: '{settings.refine_updates}' is no number above 0")
        return int(settings.refine_updates)
    if not settings.updates:
        raise ValueError("REFINE_UPDATES: say how many updates, for the training has no number")
    return max(1, int(settings.updates) // SHARE)


def learning_rate(settings: Settings) -> str:
    """Raises: ValueError if the training has none that is a number."""
    words = settings.training
    rates = [value for flag, value in pairwise(words) if flag == "--lr"]
    rates += [word.removeprefix("--lr=") for word in words if word.startswith("--lr=")]
    try:
        return f"{float(rates[-1]) / SHARE:g}"
    except (IndexError, ValueError):
        raise ValueError(
            "REFINE: a tenth of the training's learning rate: write one number for --lr in "
            "training=()"
        ) from None
