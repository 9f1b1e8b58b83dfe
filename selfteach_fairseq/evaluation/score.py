"""Translate a test set and say how good, how large and how fast a model is."""

import platform
import re
import shlex
import sys
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version
from operator import itemgetter
from pathlib import Path

import torch

from .. import __version__
from ..checkpoints.checkpoint import Checkpoint
from ..checkpoints.data import dictionaries, has_targets, lacks_targets, languages
from ..classes import classifier
from ..errors import CheckpointError, TextError
from ..files import lines_of
from ..layers import SIDES
from ..programs.generate import Hypothesis, Search, check_options
from . import quality, rouge
from .engines import Task, of_ctranslate2, of_fairseq
from .likelihood import bits
from .records import Record


def score(
    checkpoint: Path | str,
    data: Path | str,
    *,
    subset: str,
    beam: int,
    lenpens: list[float],
    batch_size: int,
    tokenizer: str | None,
    metric: str = quality.METRICS[0],
    references: Path | str | None,
    repeat: int,
    engine: str,
    quantization: str,
    threads: int | None,
    options: list[str],
) -> tuple[Record, list[str]]:
    """Translate with one checkpoint, and run sacreBLEU over it; or classify with a classifier.

    Args:
        checkpoint: path of any fairseq Transformer checkpoint; of a RoBERTa's, `data` has labels,
            and what is of searches, references and engines does not count
        data: folder of fairseq-preprocess
        subset: test, valid, ...
        beam, batch_size: as fairseq-generate's options; batch_size in sentences
        lenpens: length penalties; of several that which is best on `valid` is taken
        tokenizer: of sacreBLEU's; None: the one for the target's language
        metric: of quality.METRICS, which decides that
        references: file of raw reference translations, one a line; None: the targets in `data`
        repeat: translate so many times; the speed is the median one
        engine: of engines.ENGINES
        quantization: of the model in CTranslate2, as quantization.QUANTIZATIONS has them
        threads: of the engine; None: those that torch takes
        options: further options for fairseq-generate, a list of strings

    Returns: (record, translations): plain data for JSON, and the detokenised translations.
    Raises: ValueError for a checkpoint, data folder or references that don't fit each other,
        for an option that is an argument here, or where there is nothing to compare with.
    """
    said = check_options(options)
    model = Checkpoint.read(checkpoint).stock()
    assert model.layers is not None  # of a stock model they are known
    if model.is_encoder:
        _check_classifier(
            said,
            engine=engine != "fairseq",  # and the command's other defaults
            references=references is not None,
            metric=metric != quality.METRICS[0],
            tokenizer=tokenizer is not None,
            lenpen=lenpens != [1.0],
            beam=beam != 5,
        )
        return _classified(model, checkpoint, data, subset, batch_size, repeat, threads)
    source, target = languages(model, data)
    both = dictionaries(model, data, (source, target))
    if references is None and lacks_targets(data, subset, (source, target)):
        raise ValueError(f"{data}: its {subset} has no targets: name --references")
    if len(lenpens) > 1 and lacks_targets(data, "valid", (source, target)):
        raise ValueError(f"{data}: its valid has no targets to choose by: name one --lenpen")
    tokenizer = _tokenizer(tokenizer, target)
    quality.deciding(metric, tokenizer)  # before hours of translating
    given = None if references is None else lines_of(references)
    if metric == "rouge":
        rouge.check_words(both[1], joined="bpe" in said)
        rouge.check_letters(given or [])
    threads = threads or torch.get_num_threads()
    task = Task(model, Path(checkpoint), data, (source, target), both, batch_size, threads, options)
    chosen_engine = of_fairseq(task) if engine == "fairseq" else of_ctranslate2(task, quantization)
    with chosen_engine as used:
        lenpen, chosen = _choose(lenpens, used, beam, tokenizer, metric)
        runs = [used.search(subset, Search(beam, lenpen)) for _ in range(repeat)]
    found = runs[0].translations
    numbers = sorted(found)
    translations = [found[number] for number in numbers]
    targets = [runs[0].targets.get(number, "") for number in numbers]
    speed = sorted((run.speed for run in runs), key=itemgetter("seconds"))[repeat // 2]
    if given is not None:
        if len(given) != len(translations):
            raise TextError(
                f"{references}: {len(given)} lines for {len(translations)} sentences of {subset}"
            )
        targets = given

    record = {
        **_of_checkpoint(model, checkpoint, subset),
        "source": source,
        "target": target,
        "references": "targets of the data folder" if references is None else str(references),
        **quality.quality(translations, targets, tokenizer, metric),
        **_likelihood(model, data, (source, target), both, cpu="cpu" in said),
        **used.facts,
        **speed,
        "speed_runs": repeat,
        "beam": beam,
        "lenpen": lenpen,
        **chosen,
        "batch_size": batch_size,
        "options": shlex.join(options),
        "hardware": hardware(threads, cpu="cpu" in said or used.on_cpu),
        "versions": _versions("sacrebleu", *("ctranslate2",) * (engine == "ctranslate2")),
    }
    return record, translations


def _check_classifier(said, **given):
    for name in (*said, *(name for name in given if given[name])):
        raise ValueError(f"--{name} is for translations, and this checkpoint a classifier's")


def _classified(model, path, data, subset, batch_size, repeat, threads):
    """As score(), of a classifier."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads or before)
    try:
        fields, labels = classifier.score(model, data, subset, batch_size, repeat)
    except CheckpointError as error:
        raise CheckpointError(f"{path}: {error}") from None
    finally:
        torch.set_num_threads(before)
    record = {
        **_of_checkpoint(model, path, subset),
        **fields,
        "speed_runs": repeat,
        "batch_size": batch_size,
        "threads": threads or before,
        "bytes": Path(path).stat().st_size,
        "hardware": hardware(threads),
        "versions": _versions("scikit-learn"),
    }
    return record, labels


def _of_checkpoint(model, path, subset):
    """The fields that all records have."""
    sides = zip(SIDES, model.layers.counts, strict=False)
    return {
        "checkpoint": str(path),
        "subset": subset,
        **{f"{side}_layers": count for side, count in sides},
        **({"kept_layers": str(model.kept_layers)} if model.kept_layers else {}),
        "parameters": model.parameters,
        **_sparsity(model),
        "updates": model.updates,
        "training_seconds": model.training_seconds,
    }


def _likelihood(model, data, pair, both, cpu):
    """Of validation text, if there is any: what models and settings are best chosen by."""
    if not has_targets(data, "valid", pair):
        return {}
    return {"valid_bits": round(bits(model, data, "valid", pair, both, cpu), 4)}


def _sparsity(model):
    """Of a pruned model; others have hardly ever a weight that is zero."""
    sparsity = round(model.sparsity, 4)
    return {"sparsity": sparsity} if sparsity else {}


def _tokenizer(name, language):
    """What counts the tokens: by name, or the one for the language. Raises: ValueError without."""
    if name is None:
        name, note = quality.tokenizer_for(language)
        if note:
            print(note, file=sys.stderr)
    quality.bleu(name)  # before hours of translating
    return name


def _choose(lenpens, engine, beam, tokenizer, metric=quality.METRICS[0]):
    """Returns: (length penalty, what to note): the best of `lenpens` on validation text."""
    if len(lenpens) == 1:
        return lenpens[0], {}
    decides = quality.deciding(metric, tokenizer)
    scores = {
        lenpen: quality.score(decides, *lines)
        for lenpen, lines in _validated(lenpens, engine, beam).items()
    }
    best = max(scores, key=scores.get)  # the first of equals
    tried = ",".join(map(str, lenpens))
    return best, {"lenpen_of": tried, f"lenpen_valid_{metric}": round(scores[best], 2)}


def _validated(lenpens, engine, beam):
    """{length penalty: (translations, targets)} of the validation text."""
    if not engine.one_search_for_all:
        outputs = {lenpen: engine.search("valid", Search(beam, lenpen)) for lenpen in lenpens}
        return {
            lenpen: (
                [*found.translations.values()],
                [found.targets.get(number, "") for number in found.hypotheses],
            )
            for lenpen, found in outputs.items()
        }
    # With the penalty 0 a hypothesis' score is the log-probability of all its tokens.
    found = engine.search("valid", Search(beam, 0, nbest=beam))
    targets = [found.targets.get(number, "") for number in found.hypotheses]
    return {
        lenpen: ([best_of(several, lenpen).text for several in found.hypotheses.values()], targets)
        for lenpen in lenpens
    }


def best_of(hypotheses: Iterable[Hypothesis], lenpen: float) -> Hypothesis:
    """The Hypothesis that is best with a length penalty, of those of a search without one (0)."""
    return max(hypotheses, key=lambda one: one.score / one.length**lenpen)


def hardware(threads: int | None = None, cpu: bool = False) -> str:
    """What models run on here: the GPU, if there is one; with `cpu` (fairseq's --cpu) the CPU."""
    threads = threads or torch.get_num_threads()
    if torch.cuda.is_available() and not cpu:
        return torch.cuda.get_device_name()
    return f"{_cpu_name()}, {threads} threads"


def _cpu_name():
    try:
        found = re.search(r"model name\s*:\s*(.+)", Path("/proc/cpuinfo").read_text())
    except OSError:
        found = None
    return found[1] if found else platform.processor() or platform.machine()


def _versions(*others):
    versions = {"selfteach_fairseq": __version__, "python": platform.python_version()}
    for package in ("ve-fairseq", "fairseq", "torch", *others):
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            continue
    return versions
