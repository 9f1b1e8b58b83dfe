"""Says all that is wrong with a corpus' settings at once: recipes/check.py CORPUS [STAGE...]

What a training asks of the machine is looked at if `train` or `refine` is among the stages.
"""

import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import methods
import refinements
from depths import parse_depth, parse_layers, repeated
from methods import System
from plan import runs_of_system, systems
from settings import Machine, Settings, SettingsError, read
from workers import count_gpus

NORMALIZATIONS = ("identity", "nfkc", "nmt_nfkc", "nfkc_cf", "nmt_nfkc_cf")
QUANTIZATIONS = ("int8", "int8_float32", "int8_float16", "int16", "float16", "bfloat16")
TEST_SETS = ("test", "test1")
METRICS = ("", "rouge", "bleu")
MOST_PIECES = 1023  # of a sentence, which a model of 1,024 positions takes with its end
PRECISIONS = ("fp32", "fp16", "bf16")


def faults(settings: Settings, machine: Machine) -> Iterator[str]:
    """What is wrong with settings and environment, whatever the machine: a line each."""
    yield from _of_the_folder(settings)
    for name, words in (
        *(("METHOD", settings.methods), ("SEEDS", settings.seeds)),
        *(("STUDENTS", settings.students), ("ENGINES", settings.engines)),
    ):
        if twice := repeated(words):
            yield f"{name}: {twice} stands there twice: leave one out"
    wrong = [settings.layers] * (not _is(parse_depth, settings.layers))
    wrong += [word for word in settings.students if not _is(parse_layers, word)]
    for word in wrong:
        yield (
            f"'{word}' is no depth: write LAYERS and STUDENTS as 3 or 6x3, several with spaces "
            "between; STUDENTS also as last3x3 or 0+2x0+2"
        )
    of_methods = list(_of_methods(settings, depths_are_right=not wrong))
    yield from of_methods
    if settings.normalization not in NORMALIZATIONS:
        yield (
            f"SPM_NORMALIZATION={settings.normalization}: choose identity, which leaves the text "
            "as it is, nfkc, nmt_nfkc, nfkc_cf or nmt_nfkc_cf"
        )
    for word in (settings.types, *settings.seeds, *settings.average):
        if not _is_number(word):
            yield f"TYPES, SEEDS, AVERAGE: '{word}' is no number"
    best, *others = settings.average or ("",)
    if others and (best != "0" or len(others) > 1 or others == ["0"]):
        yield (
            f'AVERAGE="{" ".join(settings.average)}": write one number, or 0 and one: "0 5", for '
            "the best checkpoint and the average of the last five"
        )
    if settings.updates and not _is_number(settings.updates):
        yield f"updates: '{settings.updates}' is no number"
    elif not (wrong or of_methods):
        yield from refinements.faults(settings)
        if settings.bart:
            yield from _of_bart(settings)
    yield from _of_engines(settings)
    yield from _of_texts(settings)
    if settings.kind == "classes":
        yield from _of_classes(settings)
    if settings.test_set not in TEST_SETS:
        yield f"TEST_SET={settings.test_set}: choose test, or test1 where a corpus has it"
    for name, words in (("LENPENS", settings.lenpens), ("WITHIN", settings.within.split())):
        for word in words:
            if not re.fullmatch(r"[0-9]+(\.[0-9]+)?", word):
                yield f"{name}: '{word}' is no number"
    yield from _of_the_environment(machine)


def faults_of_training(
    settings: Settings, machine: Machine, count_gpus: Callable[[], int]
) -> Iterator[str]:
    """What this machine lacks for the training."""
    if int(machine.nnodes) > 1 and not (machine.node_rank and machine.master_addr):
        yield (
            f"NNODES={machine.nnodes}: say NODE_RANK, the number of this machine from 0, and "
            "MASTER_ADDR"
        )
    wants_gpu = settings.needs_gpu and machine.cpu != "1"
    if not (wants_gpu or machine.precision != "fp32" or machine.workers > 1):
        return
    gpus = count_gpus()
    if wants_gpu and gpus == 0:
        yield (
            f"there is no GPU, and on a CPU {settings.corpus} trains for days. Say CPU=1 to do it "
            "all the same, or SETTINGS=recipes/small.sh for a small model"
        )
    if machine.precision != "fp32" and gpus == 0:
        yield f"PRECISION={machine.precision} needs a GPU"
    if 0 < gpus < int(machine.nproc_per_node):
        yield f"NPROC_PER_NODE={machine.nproc_per_node}: this machine has {gpus} GPUs"
    if (
        any(System.parse(word).name == methods.GRADUAL for word in settings.methods)
        and machine.workers > 1
        and (gpus == 0 or int(machine.nnodes) > 1)
    ):
        yield "METHOD=gradual trains on one machine, and with several workers on its GPUs only"


def faults_of_stages(
    settings: Settings, machine: Machine, stages: tuple[str, ...]
) -> Iterator[str]:
    """What the last of these stages would lack."""
    if "export" in stages and not settings.ship:
        yield f"export: say which depth, one of {' '.join(_depths(settings))}: SHIP=..."
    if {"train", "importance"} <= {*stages} and not machine.keep_every:
        yield (
            "importance: say KEEP_EVERY=150, or another number: training keeps a checkpoint of "
            "every so many updates"
        )


def _of_the_folder(settings: Settings) -> Iterator[str]:
    work = settings.work
    if set(work) & set("],:*?["):
        yield (
            f"WORK={work}: to fairseq or the shell one of , : * ? [ ] is no part of a name: choose "
            "another"
        )
    owner = Path(work, ".stages", "corpus")
    if owner.is_file() and (name := owner.read_text().rstrip("\n")) != settings.corpus:
        yield f"{work} is for {name}: choose another WORK for {settings.corpus}"


def _of_methods(settings: Settings, depths_are_right: bool) -> Iterator[str]:
    if not settings.methods or not settings.seeds:
        yield "METHOD, SEEDS: name one at least"
    found = []
    for system in systems(settings):
        name, students, depth = System.parse(system)
        depths, at = depth.split("-"), "@" in system
        if name == methods.GRADUAL:
            right = not at or (
                len(depths) > 1
                and _is(parse_depth, depths[0])
                and all(_is(parse_layers, depth) for depth in depths)
            )
            usage = "gradual, or gradual@6-5-4-3 for these depths"
        else:
            right = not at or _is(parse_depth, depth)
            right &= all(_is(parse_layers, student) for student in students)
            usage = "plain, or plain@3 for one of 3 layers, or selfteach=4x2-2 for these students"
        if not right or not re.fullmatch(r"[^@|/]+", name):
            found.append(f"METHOD={system}: write {usage}")
            continue
        try:
            methods.find(name, settings.family, settings.kind)
            if depths_are_right:
                runs_of_system(settings, system)
        except ValueError as error:
            found.append(str(error))
        if name == methods.GRADUAL and settings.average != ("0",):
            found.append(
                f"AVERAGE={' '.join(settings.average)}: METHOD=gradual goes on from the best "
                "checkpoint"
            )
    yield from dict.fromkeys(found)  # each once


def _of_engines(settings: Settings) -> Iterator[str]:
    for word in settings.engines:
        engine, dash, quantization = word.partition("-")
        known = quantization in QUANTIZATIONS if dash else engine == "fairseq"
        if not known and word != "ctranslate2":
            yield (
                f"ENGINES: '{word}' is none: name fairseq, ctranslate2, or ctranslate2-int8 (also "
                f"{', '.join(QUANTIZATIONS[1:])})"
            )
    if not settings.engines:
        yield "ENGINES: name one at least"
    if settings.quantization not in ("none", *QUANTIZATIONS):
        yield f"QUANTIZATION={settings.quantization}: choose none, {', '.join(QUANTIZATIONS)}"
    cuts = _depths(settings)
    if settings.ship and settings.ship not in cuts:
        yield f"SHIP={settings.ship}: choose one of {' '.join(cuts)}, which are cut out"


def _depths(settings: Settings) -> list[str]:
    """All that LAYERS, STUDENTS and METHOD name, each once."""
    of_systems = [depth for word in settings.methods for depth in System.parse(word).depths]
    return list(dict.fromkeys([settings.layers, *settings.students, *of_systems]))


def _of_texts(settings: Settings) -> Iterator[str]:
    for word in filter(None, (settings.cut_source, settings.longest_text)):
        if not (_is_number(word) and 0 < int(word) <= MOST_PIECES):
            yield f"LONGEST={word}: write a number of pieces, 1 to {MOST_PIECES:,}"
    if settings.metric not in METRICS:
        yield f"METRIC={settings.metric}: choose rouge or bleu"


def _of_bart(settings: Settings) -> Iterator[str]:
    """What its pieces, which are joined by an option of fairseq-generate, can't be had with."""
    if settings.engines != ("fairseq",) or settings.ship:
        yield "BART, ENGINES, SHIP: a BART's summaries are fairseq's alone"
    for system in systems(settings):
        name = System.parse(system).name
        if methods.find(name, settings.family, settings.kind).trains_on_translations:
            yield f"METHOD={system}: has no teacher with a BART's pieces: leave it out, or BART"


def _of_classes(settings: Settings) -> Iterator[str]:
    for word in _depths(settings):
        if "x" in word:
            yield f"'{word}': a classifier has an encoder alone: write {word.partition('x')[0]}"
    if settings.engines != ("fairseq",):
        yield f"ENGINES={' '.join(settings.engines)}: classifiers are fairseq's alone"
    if settings.refine:
        yield f"REFINE={' '.join(settings.refine)}: is of translation models"


def _of_the_environment(machine: Machine) -> Iterator[str]:
    if machine.precision not in PRECISIONS:
        yield f"PRECISION={machine.precision}: choose fp32, fp16 or bf16"
    for name in ("keep_every", "nproc_per_node", "nnodes", "node_rank"):
        word = getattr(machine, name)
        if word and not _is_number(word):
            yield f"{name.upper()}: '{word}' is no number"


def _is(parse: Callable[[str], object], word: str) -> bool:
    try:
        parse(word)
    except ValueError:
        return False
    return True


def _is_number(word: str) -> bool:
    return bool(re.fullmatch(r"[0-9]+", word))


def refuse_faults(settings: Settings, stages: tuple[str, ...] = ()) -> None:
    """Raises: SettingsError with all that is wrong."""
    machine = Machine.from_environment()
    found = [*faults(settings, machine), *faults_of_stages(settings, machine, stages)]
    if not found and not {"train", "refine"}.isdisjoint(stages):
        found = list(faults_of_training(settings, machine, count_gpus))
    if found:
        raise SettingsError("\n".join(f"recipes: {fault}" for fault in found))


def main(corpus: str, *stages: str) -> None:
    refuse_faults(read(corpus), stages)


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except SettingsError as error:
        raise SystemExit(str(error)) from None
