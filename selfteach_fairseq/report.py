"""Score records as tables, and translations side by side."""

import csv
import io
import json
from pathlib import Path
from statistics import mean, stdev

from .files import whole
from .score import translations_path


def read(path):
    """Raises: ValueError if there is no score record in the file."""
    try:
        record = json.loads(Path(path).read_text(encoding="utf-8"))
        record["bleu"] + record["bleu_lc"] + record["chrf"]
        record["bytes"] + record["sentences_per_second"]
        record["encoder_layers"], record["decoder_layers"], record["training_seconds"]
    except (ValueError, KeyError, TypeError):
        raise ValueError(f"{path}: no record of `selfteach score`") from None
    return {"system": Path(path).stem, **record}


def translations(path):
    """The translations that `selfteach score` wrote beside a record."""
    return translations_path(path).read_text(encoding="utf-8").splitlines()


def sentences(paths, source, count):
    """Some source sentences, evenly spread over the file, with each record's translation."""
    sources = Path(source).read_text(encoding="utf-8").splitlines()
    systems = {"source": sources, **{Path(path).stem: translations(path) for path in paths}}
    for name, lines in systems.items():
        if len(lines) != len(sources):
            raise ValueError(f"{name}: {len(lines)} translations of {len(sources)} sentences")
    width = max(map(len, systems))
    step = max(1, len(sources) // count)
    return "\n\n".join(
        "\n".join(f"{name:{width}}  {lines[i]}" for name, lines in systems.items())
        for i in range(0, min(len(sources), step * count), step)
    )


def tables(records):
    """Two Markdown tables of score records, and what their BLEU counts.

    A row has the mean over the seeds of a system, with the standard deviation of its scores.
    Percentages, and how many times as fast a model is, are relative to the first row.
    """
    systems = {}
    for record in records:
        depth = f"{record['encoder_layers']}x{record['decoder_layers']}"
        systems.setdefault((record["system"], depth), []).append(record)
    base = next(iter(systems.values()))
    quality = [_quality(*key, runs, base) for key, runs in systems.items()]
    cost = [_cost(*key, runs, base) for key, runs in systems.items()]
    counted = f"BLEU: {records[0]['bleu_signature']}"
    return f"{_markdown(quality)}\n\n{_markdown(cost)}\n\n{counted}"


def write_csv(records, path):
    """A row for each record, with all of its fields.

    Raises: OSError, with one line, if it can't be written.
    """
    flat = [{**record, **record["versions"]} for record in records]
    for row in flat:
        del row["versions"]
    fields = dict.fromkeys(key for row in flat for key in row)
    table = io.StringIO()
    writer = csv.DictWriter(table, fields)
    writer.writeheader()
    writer.writerows(flat)
    with whole(path) as file:
        file.write(table.getvalue().encode())


def _quality(system, layers, runs, base):
    bleu, of = _mean(runs, "bleu"), _mean(base, "bleu")
    return {
        "system": system,
        "layers": layers,
        "parameters": f"{runs[0]['parameters'] / 1e6:.2f} M",
        "seeds": str(len(runs)),
        "BLEU": _with_deviation(runs, "bleu"),
        "of BLEU": f"{bleu / of:.1%}" if of else "-",
        "lower-cased": _with_deviation(runs, "bleu_lc"),
        "chrF": _with_deviation(runs, "chrf"),
    }


def _cost(system, layers, runs, base):
    speed, of = _mean(runs, "sentences_per_second"), _mean(base, "sentences_per_second")
    seconds = _mean(runs, "training_seconds")
    memory = _mean(runs, "peak_memory_bytes")
    return {
        "system": system,
        "layers": layers,
        "file": f"{runs[0]['bytes'] / 1e6:.1f} MB",
        "sent./s": f"{speed:.0f}",
        "speed": f"{speed / of:.2f} x",
        "training": _duration(seconds) if seconds else "-",
        "memory": f"{memory / 1e9:.2f} GB" if memory else "-",
    }


def _mean(runs, key):
    values = [run.get(key) for run in runs]
    return None if None in values else mean(values)


def _with_deviation(runs, key):
    text = f"{_mean(runs, key):.1f}"
    return text if len(runs) == 1 else f"{text} ± {stdev(run[key] for run in runs):.1f}"


def _duration(seconds):
    return f"{seconds / 3600:.1f} h" if seconds >= 6000 else f"{seconds / 60:.1f} min"


def _markdown(rows):
    """Dictionaries with the same keys as a table, its first column flush left."""
    lines = [list(rows[0]), *(list(row.values()) for row in rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]

    def line(cells):
        first, *rest = zip(cells, widths, strict=True)
        padded = [first[0].ljust(first[1]), *(cell.rjust(width) for cell, width in rest)]
        return f"| {' | '.join(padded)} |"

    rule = "|".join("-" * (width + 1) + ("-" if i == 0 else ":") for i, width in enumerate(widths))
    return "\n".join([line(lines[0]), f"|{rule}|", *map(line, lines[1:])])
