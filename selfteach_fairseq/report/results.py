"""A folder of results: the score records in it, and one page that shows all of it.

It reads:

- DIR/*.json: records of `selfteach score`; other JSON is ignored
- DIR/logs/train-*.log: logs of fairseq-train with --log-format simple
- DIR/importance*/*: pictures of `selfteach importance`, .svg or .png, one folder a run

and writes:

- DIR/report.html: the page, which needs no other file
- DIR/pictures/*: its pictures, .svg and .png
"""

import json
from pathlib import Path

from .. import pictures
from ..evaluation import groups, tables
from ..evaluation import records as score_records
from ..evaluation.choice import DOMINATED, Choice
from ..evaluation.records import Record
from ..files import whole
from . import curves, page, plots

_BASE = "plain"  # the recipes' name of ordinary training
_FACTS = {  # what the page calls the fields of records
    "source language": "source",
    "target language": "target",
    "data set": "subset",
    "sentences": "sentences",
    "beam": "beam",
    "length penalty": "lenpen",
    "sentences per batch": "batch_size",
    "speed: median run of": "speed_runs",
    "hardware": "hardware",
    "threads": "threads",
    "updates": "updates",
    "memory in training": "peak_memory_of",
    "BLEU": "bleu_signature",
    "BLEU, lower-cased": "bleu_lc_signature",
    "chrF": "chrf_signature",
    "chrF++": "chrfpp_signature",
    "ROUGE": "rougeL_signature",
}
_IMPORTANCE = {  # pictures of `selfteach importance`
    "training": "Importance of each layer through training.",
    "ranks": "Ranks of the layers by importance through training.",
    "depth": "Importance over the layers, darker the later in training.",
    "sides": "Encoder and decoder, layer by layer, at the last checkpoint.",
    "sub-layers": "Attention and feed-forward apart, at the last checkpoint.",
}


def record_paths(folder: Path | str) -> list[Path]:
    """The score records in a folder, in the order of the tables.

    Ordinary training comes first, because the others are compared with it. The other systems
    follow by their deepest model, and each system's models by depth, deepest first; each model in
    fairseq, then in CTranslate2 as float32, then quantised.

    Raises: ValueError if there are none, or one is broken; OSError if one can't be read.
    """
    paths = [path for path in sorted(Path(folder).glob("*.json")) if _is_record(path)]
    records = {path: score_records.read(path) for path in paths}
    if not records:
        raise ValueError(
            f"{folder}: no record of `selfteach score` is there: let it write -o {folder}/NAME.json"
        )
    deepest: dict[str, int] = {}
    for record in records.values():
        system = record["system"]
        deepest[system] = max(_layers(record), deepest.get(system, 0))

    def place(path):
        record = records[path]
        system, counts = record["system"], score_records.layers_of(record).counts
        engine = score_records.engine_of(record)
        engine_place = engine != score_records.FAIRSEQ, engine != "CT2 float32", engine
        return system != _BASE, -deepest[system], system, -_layers(record), counts, engine_place

    return sorted(records, key=place)


def write_page(folder: Path | str, records: list[Record], choice: Choice | None = None) -> Path:
    """Write the page of a folder's records, and its pictures; with a choice, if one is given.

    Returns: the page's path.
    Raises: ValueError without matplotlib; OSError, with one line, if a file can't be written.
    """
    folder = Path(folder)
    kind = score_records.kind_of(records[0])
    runs = curves.runs(folder, kind.figure)
    systems = [*(record["system"] for record in records), *(run.system for run in runs)]
    style = plots.styles(systems)
    (folder / "pictures").mkdir(exist_ok=True)
    quality, cost = tables.rows(records)
    html = page.render(
        name=", ".join(_different(records, "corpus")) or folder.resolve().name,
        models=len(records),
        systems=_different(records, "system"),
        engines=list(dict.fromkeys(filter(None, (m.engine for m in groups.models(records))))),
        scores=_scores(folder, records, style, quality, cost, choice),
        large=plots.large(records),
        quality=quality,
        cost=cost,
        choice=choice,
        dominated=DOMINATED,
        training=[_training(folder, runs, style, kind)] if runs else [],
        importance=_importance(folder),
        facts=_facts(records),
    )
    path = folder / "report.html"
    with whole(path) as file:  # JSON can hold lone surrogates, which UTF-8 can't encode
        file.write(html.encode(errors="xmlcharrefreplace"))
    return path


def _is_record(path):
    """Broken JSON counts as a record too, so that records.read says what is wrong with it."""
    if not path.is_file():
        return False
    try:
        content = json.loads(path.read_bytes())
    except (ValueError, RecursionError):
        return True
    return isinstance(content, dict) and any(kind.score in content for kind in score_records.KINDS)


def _layers(record):
    return sum(score_records.layers_of(record).counts)


def _scores(folder, records, style, quality, cost, choice):
    kind = score_records.kind_of(records[0])
    name, signature = kind.name, ""
    if kind is score_records.TRANSLATIONS:
        signature = f" BLEU {_joined(records, 'bleu_signature')}."
    seeds = " Bars: standard deviation over the seeds." if len(records) > len(quality) else ""
    engine = plots.engine_of_layers(records)
    in_engine = f" Scores are of {engine}." if engine else ""
    kinds = (
        "colours show systems, markers engines, and their areas" if engine else "a marker's area"
    )
    line = f" Dashed: the least {name} of the choice." if choice else ""
    warning = (
        ""
        if groups.same_conditions(records)
        else (" Speeds were measured under different conditions, so don't compare them.")
    )
    return [
        _drawn(
            plots.layers(records, style),
            folder / "pictures/layers.svg",
            f"{name} against layers. " + _listed(quality, name),
            "Quality against depth: the sum of a model's layers; a line joins the models of one "
            f"system. The {name} axis does not start at 0; models below half of the best {name} "
            f"are named at the bottom.{in_engine}{seeds}{signature}",
        ),
        _drawn(
            plots.speed(records, style, choice and choice.least),
            folder / "pictures/speed.svg",
            f"{name} against sentences per second. " + _listed(cost, "sent./s"),
            f"Quality against speed: {kinds} the number of parameters.{line}"
            f"{seeds} Measured with: {'; '.join(groups.conditions_of(records))}.{warning}",
        ),
    ]


def _training(folder, runs, style, kind):
    last = [
        f"{run.system} {model} {points[-1][1]:.2f}"
        for run in runs
        for model, points in run.curves.items()
    ]
    return _drawn(
        plots.training(runs, style, kind),
        folder / "pictures/training.svg",
        f"Validation {kind.figure_name} against updates; at the end " + ", ".join(last),
        f"Validation {kind.figure_name}, not smoothed, of full models (solid lines) and their "
        "students (broken lines); one line for each seed.",
    )


def _importance(folder):
    """One picture of each name: .svg, which prints better, rather than .png."""
    paths = {
        (path.parent.name, path.stem): path
        for suffix in (".png", ".svg")
        for path in sorted(folder.glob(f"importance*/*{suffix}"))
        if path.is_file()
    }
    found = []
    for (run, name), path in sorted(paths.items()):
        text = _IMPORTANCE.get(name, name)
        run = run.removeprefix("importance").lstrip("-")
        text = f"{run}: {text}" if run else text
        found.append(page.picture(path, f"Importance: {text}", text))
    return found


def _drawn(figure, path, alt, caption):
    pictures.save(figure, path)
    return page.picture(path, alt, caption)


def _listed(rows, column):
    names = (" ".join(row[n] for n in ("system", "layers", "engine") if n in row) for row in rows)
    return ", ".join(f"{name}: {row[column]}" for name, row in zip(names, rows, strict=True))


def _different(records, key):
    """The distinct values of a field, as text."""
    values = [record.get(key) for record in records]
    return list(dict.fromkeys(str(value) for value in values if value is not None))


def _joined(records, key):
    return "; ".join(_different(records, key)) or "unknown"


def _facts(records):
    facts = {name: _different(records, key) for name, key in _FACTS.items()}
    for record in records:
        if computed := record.get("compute_type"):
            engine = score_records.engine_of(record)
            facts.setdefault("computed as", []).append(f"{computed} ({engine})")
    for record in records:
        for package, version in record["versions"].items():
            facts.setdefault(package, []).append(version)
    facts["options of fairseq-generate"] = groups.options_of(records)
    return {name: "; ".join(dict.fromkeys(values)) for name, values in facts.items() if values}
