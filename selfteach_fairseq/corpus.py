"""The folder of a corpus' results: the records in it, and one page of all that it has.

- DIR/*.json: records of `selfteach score`; other JSON is left aside
- DIR/logs/train-*.log: of fairseq-train, with --log-format simple
- DIR/importance*/*: pictures of `selfteach importance`, .svg or .png, a folder for each run

- DIR/report.html: the page, which needs no other file
- DIR/pictures/*: its pictures, .svg and .png
"""

import json
from pathlib import Path

from . import curves, page, pictures, plots, report
from .files import whole

_BASE = "plain"  # the recipes' name of ordinary training
_FACTS = {  # fields of the records, by what the page calls them
    "source language": "source",
    "target language": "target",
    "data set": "subset",
    "sentences": "sentences",
    "beam": "beam",
    "length penalty": "lenpen",
    "sentences in a batch": "batch_size",
    "speed: median run of": "speed_runs",
    "hardware": "hardware",
    "updates": "updates",
    "memory in training": "peak_memory_of",
    "BLEU": "bleu_signature",
    "BLEU, lower-cased": "bleu_lc_signature",
    "chrF": "chrf_signature",
}
_IMPORTANCE = {  # pictures of `selfteach importance`
    "training": "Importance of each layer through training.",
    "ranks": "Ranks of the layers by importance through training.",
    "depth": "Importance over the layers, darker the later in training.",
    "sides": "Encoder and decoder, layer by layer, at the last checkpoint.",
    "sub-layers": "Attention and feed-forward apart, at the last checkpoint.",
}


def record_paths(folder):
    """The score records in a folder, in the order of the tables.

    Ordinary training comes first, to which the others are compared, then the systems with the
    deepest models; of each its deepest model.

    Raises: ValueError if there are none, or one is broken; OSError if one can't be read.
    """
    paths = [path for path in sorted(Path(folder).glob("*.json")) if _is_record(path)]
    found = {path: report.read(path) for path in paths}
    if not found:
        raise ValueError(
            f"{folder}: no record of `selfteach score` is there: let it write -o {folder}/NAME.json"
        )
    deepest = {}
    for record in found.values():
        system = record["system"]
        deepest[system] = max(_layers(record), deepest.get(system, 0))

    def place(path):
        system = found[path]["system"]
        return system != _BASE, -deepest[system], system, -_layers(found[path])

    return sorted(found, key=place)


def write_page(folder, records):
    """Write the page of a folder's records, and its pictures.

    Returns: the page's path.
    Raises: ValueError without matplotlib; OSError, with one line, if they can't be written.
    """
    folder = Path(folder)
    runs = curves.runs(folder)
    systems = [*(record["system"] for record in records), *(run.system for run in runs)]
    style = plots.styles(systems)
    (folder / "pictures").mkdir(exist_ok=True)
    parts = [*_quality_and_cost(folder, records, style)]
    if runs:
        parts += [page.heading("Training"), page.pictures(_training(folder, runs, style))]
    if importance := _importance(folder):
        parts += [page.heading("Importance of the layers"), page.pictures(*importance)]
    parts += [page.heading("How it was measured"), page.facts(_facts(records))]
    name = ", ".join(_different(records, "corpus")) or folder.resolve().name
    lead = f"{len(records)} scored models: {', '.join(_different(records, 'system'))}"
    path = folder / "report.html"
    with whole(path) as file:  # a record may hold characters that UTF-8 has not
        text = page.document(f"Results on {name}", lead, *parts)
        file.write(text.encode(errors="xmlcharrefreplace"))
    return path


def _is_record(path):
    """What can't be read counts as one, too: report.read says what is wrong with it."""
    if not path.is_file():
        return False
    try:
        content = json.loads(path.read_bytes())
    except (ValueError, RecursionError):
        return True
    return isinstance(content, dict) and "bleu" in content


def _layers(record):
    return sum(report.layers_of(record).counts)


def _quality_and_cost(folder, records, style):
    quality, cost = report.rows(records)
    seeds = " Bars: standard deviation over the seeds." if len(records) > len(quality) else ""
    figures = [
        _drawn(
            plots.layers(records, style),
            folder / "pictures/layers.svg",
            "BLEU against layers. " + _listed(quality, "BLEU"),
            "Quality against depth: models at the sum of their encoder and decoder layers; a line "
            "joins those of one system. The axis of BLEU does not begin at 0; what has not half of "
            f"the best is named at its foot.{seeds} BLEU {_joined(records, 'bleu_signature')}.",
        ),
        _drawn(
            plots.speed(records, style),
            folder / "pictures/speed.svg",
            "BLEU against sentences per second. " + _listed(cost, "sent./s"),
            "Quality against decoding speed: a marker's area is the number of parameters."
            f"{seeds} Measured on {_joined(records, 'hardware')}.",
        ),
    ]
    if plots.crowded(records):
        yield from map(page.pictures, figures)
    else:
        yield page.pictures(*figures)
    yield page.heading("Quality")
    yield page.table(
        quality, "Means over the seeds ± standard deviation; of BLEU: relative to the first row."
    )
    yield page.heading("Cost")
    yield page.table(
        cost, "speed: relative to the first row; training and memory: of the run it was cut out of."
    )


def _training(folder, runs, style):
    last = [
        f"{run.system} {model} {points[-1][1]:.2f}"
        for run in runs
        for model, points in run.curves.items()
    ]
    return _drawn(
        plots.training(runs, style),
        folder / "pictures/training.svg",
        "Validation loss against updates; in the end " + ", ".join(last),
        "Validation loss of full models (solid) and their students (broken lines), not smoothed, "
        "per subword; a line for each seed.",
    )


def _importance(folder):
    """The pictures that are there, one of each name: .svg, which prints better, before .png."""
    paths = {
        (path.parent.name, path.stem): path
        for suffix in (".png", ".svg")
        for path in sorted(folder.glob(f"importance*/*{suffix}"))
        if path.is_file()
    }
    figures = []
    for (run, name), path in sorted(paths.items()):
        text = _IMPORTANCE.get(name, name)
        run = run.removeprefix("importance").lstrip("-")
        text = f"{run}: {text}" if run else text
        figures.append(page.figure(path, f"Importance: {text}", text))
    return figures


def _drawn(figure, path, alt, caption):
    pictures.save(figure, path)
    return page.figure(path, alt, caption)


def _listed(rows, column):
    return ", ".join(f"{row['system']} {row['layers']}: {row[column]}" for row in rows)


def _different(records, key):
    """The values of a field, each once, as text."""
    values = [record.get(key) for record in records]
    return list(dict.fromkeys(str(value) for value in values if value is not None))


def _joined(records, key):
    return "; ".join(_different(records, key)) or "unknown"


def _facts(records):
    facts = {name: _different(records, key) for name, key in _FACTS.items()}
    for record in records:
        for package, version in record["versions"].items():
            facts.setdefault(package, []).append(version)
    facts["options of fairseq-generate"] = report.options_of(records)
    return {name: "; ".join(dict.fromkeys(values)) for name, values in facts.items() if values}
