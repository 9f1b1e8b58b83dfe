"""Which runs a corpus' settings ask for, what is cut out of each, and by what each cut is scored:
Run, Cut, Score."""

from typing import NamedTuple, Protocol

import methods
from depths import evenly, kept_of_cut, own_depth, parse_layers, repeated, sides, smaller
from methods import Method, System
from settings import Settings


class Run(NamedTuple):
    """One training: a method at a depth, with a seed."""

    settings: Settings
    system: str  # as METHOD names it: plain@3, selfteach=4x2
    method: Method
    seed: str
    depths: tuple[str, ...]  # of the model; of a schedule, those it goes through
    students: tuple[str, ...]  # smaller ones that are trained with it, or only cut out
    itself: tuple[str, ...] = ()  # its own depth, if it is a student, too: R-Drop

    @property
    def name(self) -> str:
        return f"{self.system}-seed{self.seed}"

    @property
    def is_schedule(self) -> bool:
        return len(self.depths) > 1

    @property
    def smaller(self) -> tuple[str, ...]:
        """The depths of the models that are cut out of it, besides its own."""
        return (*self.depths[1:], *self.students)

    @property
    def cuts(self) -> list["Cut"]:
        depths = (self.depths[0], *self.smaller)
        return [Cut(self, depth, n) for n in self.settings.average for depth in depths]

    @property
    def teacher(self) -> str:
        """The run that it learns from."""
        return f"{methods.TEACHER}-seed{self.seed}" if self.method.has_teacher else ""

    @property
    def data(self) -> str:
        """The folder that it trains on."""
        return f"translated-seed{self.seed}" if self.method.trains_on_translations else "data"

    def columns(self) -> dict[str, str]:
        encoder, decoder = sides(self.depths[0])
        teacher = f"{self.teacher}-{self.settings.layers}" if self.teacher else ""
        return {
            "name": self.name,
            "system": self.system,
            "method": self.method.name,
            "seed": self.seed,
            "schedule": ",".join(self.depths) if self.is_schedule else "",
            "encoder": str(encoder),
            "decoder": str(decoder),
            "budget": self._budget(),
            "teacher": teacher,  # the model cut out of the teacher's run
            "data": self.data,
            "needs": self._needs(teacher),  # stages
            "costs": " ".join(self._costs()),  # the folders whose cost is its own
            "cuts": " ".join(dict.fromkeys(cut.depth for cut in self.cuts)),
            "flags": " ".join(self._flags()),
        }

    def _budget(self) -> str:
        if not self.settings.updates:
            return ""
        if self.is_schedule:  # no more updates in all than one training
            return f"--stage-updates {int(self.settings.updates) // (len(self.depths) - 1)}"
        return f"--max-update {self.settings.updates}"

    def _needs(self, teacher: str) -> str:
        if self.method.trains_on_translations:
            return f"distil-seed{self.seed}"
        return f"binarise truncate-{teacher}" if teacher else "binarise"

    def _costs(self) -> list[str]:
        translated = [self.data] if self.method.trains_on_translations else []
        return [self.name, *([self.teacher] if self.teacher else []), *translated]

    def _flags(self) -> list[str]:
        updates = self.settings.updates
        students = (*self.itself, *self.smaller)
        return [methods.fill_in(flag, students, updates) for flag in self.method.flags]


class Cut(NamedTuple):
    """A model that is cut out of a run and scored: the run's own, or a smaller one."""

    run: Run
    depth: str
    of_epochs: str = "0"  # the average of so many last ones; 0: the best one

    @property
    def system(self) -> str:
        is_beside = self.of_epochs != self.run.settings.average[0]
        return f"{self.run.system}+average" if is_beside else self.run.system

    @property
    def scores(self) -> list["Score"]:
        return [Score(self, engine) for engine in self.run.settings.engines]

    def columns(self) -> dict[str, str]:
        return {
            "name": f"{self.system}-seed{self.run.seed}",
            "system": self.system,
            **{name: self.run.columns()[name] for name in ("seed", "costs")},
            "depth": self.depth,
            "stage": self._stage(),  # the one that leaves the checkpoint
            "checkpoint": self._checkpoint(),
            "keep": self._keep(),
        }

    def _stage(self) -> str:
        return f"{'train' if self.of_epochs == '0' else 'average'}-{self.run.name}"

    def _checkpoint(self) -> str:
        if self.run.is_schedule:  # has left a model of each depth
            layers = parse_layers(self.depth, self.run.settings.kind == "classes")
            return f"{self.run.name}/model-{layers}.pt"
        if self.of_epochs != "0":
            return f"{self.run.name}.average.pt"
        return f"{self.run.name}/{self.run.settings.checkpoint}"

    def _keep(self) -> str:
        if self.run.is_schedule:
            return kept_of_cut(self.depth)
        if not self.run.method.cuts_every_other_layer:
            return f"--layers {self.depth}"
        encoder, decoder = (
            ",".join(map(str, evenly(depth, kept)))
            for depth, kept in zip(sides(self.run.depths[0]), sides(self.depth), strict=True)
        )
        return f"--keep-encoder {encoder} --keep-decoder {decoder}"


class Scored(Protocol):
    """What leaves a model to translate with: a Cut, or a training that goes on from one."""

    def columns(self) -> dict[str, str]: ...


class Score(NamedTuple):
    """An engine that translates with a cut model."""

    cut: Scored
    engine: str  # fairseq, ctranslate2, or ctranslate2-QUANTIZATION

    def columns(self) -> dict[str, str]:
        engine, _, quantization = self.engine.partition("-")
        columns = self.cut.columns()
        name = f"{columns['name']}-{columns['depth']}"
        return {
            **columns,
            "record": name if self.engine == "fairseq" else f"{name}.{self.engine}",
            "engine": f"--engine {engine}"
            + (f" --quantization {quantization}" if quantization else ""),
        }


def runs_of(settings: Settings) -> list[Run]:
    """All runs, by METHOD and then by SEEDS. Raises: ValueError if a method can't be run."""
    return [run for system in systems(settings) for run in runs_of_system(settings, system)]


def systems(settings: Settings) -> tuple[str, ...]:
    """METHOD, with what `all` stands for."""
    if settings.methods != ("all",):
        return settings.methods
    depths = dict.fromkeys(map(own_depth, settings.students))
    return tuple(
        system
        for name in (methods.ALL_OF_CLASSES if settings.kind == "classes" else methods.ALL)
        for system in ([f"{name}{depth}" for depth in depths] if name[-1] == "@" else [name])
    )


def runs_of_system(settings: Settings, system: str) -> list[Run]:
    """Raises: ValueError if it can't be run."""
    name, chosen, depth = System.parse(system)
    method = methods.find(name, settings.family, settings.kind)
    if chosen and (name == methods.GRADUAL or not method.has_students):
        raise ValueError(f"METHOD={system}: {name} trains no students: leave out what is behind =")
    depths, students = (depth or settings.layers,), chosen or settings.students
    if name == methods.GRADUAL:
        depths, students = tuple(depth.split("-")) if depth else one_by_one(settings), ()
    elif depth and not method.has_students:
        students = ()  # it is a student itself
    else:
        students = smaller(students, depths[0], strict=not depth)
    if method.has_students and not (*depths[1:], *students):
        raise ValueError(
            f'METHOD={name}: of STUDENTS="{" ".join(chosen or settings.students)}" none is smaller '
            f"than the model of {depths[0]} layers"
        )
    if method.needs_updates and not settings.updates:
        raise ValueError(
            f"METHOD={name} goes by the number of updates, {settings.corpus} by that of epochs: "
            "write updates=50000, or another number, into a file, and say SETTINGS=FILE"
        )
    if name == methods.SELF_KD and depth:
        raise ValueError(f"METHOD={system}: self-kd has its teacher's size: say word-kd@{depth}")
    if twice := repeated(chosen):
        raise ValueError(f"METHOD={system}: {twice} stands there twice: leave one out")
    itself = tuple(word for word in chosen if sides(word) == sides(depths[0]))
    if itself and (settings.kind == "classes" or "shared" in method.flags):
        raise ValueError(
            f"METHOD={system}: {itself[0]} is the whole model, which learns from itself by "
            "dropout of its own alone: leave it out"
        )
    return [
        Run(settings, system, method, seed, depths, students, itself) for seed in settings.seeds
    ]


def one_by_one(settings: Settings) -> tuple[str, ...]:
    """The depths from the full model's down to the smallest student's: 6, 5, 4, 3."""
    depths = [settings.layers, *settings.students]
    numbers = [int(depth) for depth in depths if depth.isdecimal()]
    if len(numbers) < len(depths) or min(numbers) == numbers[0]:
        raise ValueError(
            f"METHOD=gradual goes from LAYERS={settings.layers} to STUDENTS="
            f"{' '.join(settings.students)}: say gradual@6x6-6x4-6x3"
        )
    return tuple(map(str, range(numbers[0], min(numbers) - 1, -1)))
