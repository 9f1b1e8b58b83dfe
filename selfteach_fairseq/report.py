"""Score records as tables, and translations side by side."""

from pathlib import Path
from statistics import mean, stdev

from .errors import one_line
from .files import lines_of, read_json, write_table
from .layers import Layers
from .score import translations_path

_NUMBERS = (
    *("bleu", "bleu_lc", "chrf", "bytes", "parameters", "sentences_per_second"),
    *("encoder_layers", "decoder_layers"),
)
_OPTIONAL_NUMBERS = ("training_seconds", "peak_memory_bytes")
_OPTIONAL_TEXT = ("tokenizer", "options")
_SIGNATURES = ("bleu_signature", "bleu_lc_signature", "chrf_signature")
_LARGEST = 2**63  # larger numbers are no file sizes and would break the tables


def read(path):
    """Read a score record.

    Raises: ValueError if the file holds none.
    """
    record = read_json(path)
    record = {"system": Path(path).stem, **record}
    wrong = [name for name in _NUMBERS if not _is_number(record.get(name))]
    optional = {name: record.get(name) for name in _OPTIONAL_NUMBERS}
    wrong += [n for n, value in optional.items() if value is not None and not _is_number(value)]
    wrong += [n for n in ("system", "bleu_signature") if not _is_text(record.get(n))]
    wrong += [n for n in _OPTIONAL_TEXT if not isinstance(record.get(n, ""), str)]
    versions = record.get("versions")
    if not isinstance(versions, dict) or not all(map(_is_text, versions.values())):
        wrong.append("versions")
    wrong += [n for n in record if n != "versions" and isinstance(record[n], list | dict)]
    if wrong:
        raise ValueError(
            f"{path}: no record of `selfteach score`: its {wrong[0]} is not that of one"
        )
    return record


def read_cost(path):
    """Read what recipes/measure.py has measured.

    Raises: ValueError if the file lacks a part of it.
    """
    cost = read_json(path)
    kinds = {
        "training_seconds": _is_number,  # of the whole run, not until the checkpoint was saved
        "peak_memory_bytes": _is_number,
        "peak_memory_of": _is_text,
    }
    if not all(is_kind(cost.get(name)) for name, is_kind in kinds.items()):
        raise ValueError(f"{path}: lacks one of {', '.join(kinds)}: measure again")
    return {name: cost[name] for name in kinds}


def _is_number(value):
    """Finite and not negative; a bool is no number here, though Python counts it as one."""
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < _LARGEST


def _is_text(value):
    return isinstance(value, str) and value.isprintable()


def translations(path):
    """The translations that `selfteach score` wrote beside a record."""
    return lines_of(translations_path(path))


def sentences(paths, source, count):
    """Source sentences, evenly spaced over the file, with each record's translation."""
    sources = lines_of(source)
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


def check_comparable(records):
    """Raises: ValueError if the scores of two records have different signatures."""
    first = records[0]
    for record in records:
        for name in _SIGNATURES:
            if record.get(name) != first.get(name):
                raise ValueError(
                    f"{first['system']} has the {name} {first.get(name)} and {record['system']} "
                    f"{record.get(name)}, so they can't be compared: score both with the same "
                    "--tokenizer and sacreBLEU"
                )


def options_of(records):
    """The options given to fairseq-generate: a line for each set, naming its models if not all."""
    given = {}
    for record in records:
        name = f"{record['system']} {layers_of(record)}"
        given.setdefault(record.get("options", ""), []).append(name)
    lines = []
    for options, names in given.items():
        if options:
            of = "" if len(given) == 1 else f" ({', '.join(dict.fromkeys(names))})"
            lines.append(one_line(f"{options}{of}"))
    return lines


def layers_of(record):
    """The Layers that the scored model has."""
    return Layers.first(record["encoder_layers"], record["decoder_layers"])


def grouped(records):
    """The records of each system and depth, such as ("selfteach", "6x3"): one record a seed."""
    groups = {}
    for record in records:
        depth = str(layers_of(record))
        groups.setdefault((record["system"], depth), []).append(record)
    return groups


def rows(records):
    """Two tables of score records, quality and cost: lists of rows that map columns to text.

    A row has the means over the seeds of a system, and the standard deviations of its scores.
    Percentages and speed-ups are relative to the first row.

    Raises: ValueError if the records' scores have different signatures.
    """
    check_comparable(records)
    groups = grouped(records)
    base = next(iter(groups.values()))
    quality = [_quality(*key, runs, base) for key, runs in groups.items()]
    return quality, [_cost(*key, runs, base) for key, runs in groups.items()]


def tables(records):
    """Score records as two Markdown tables, with BLEU's signature and fairseq-generate's options.

    Raises: ValueError if the records' scores have different signatures.
    """
    quality, cost = rows(records)
    notes = [f"BLEU: {records[0]['bleu_signature']}"]
    notes += [f"fairseq-generate: {line}" for line in options_of(records)]
    return "\n\n".join([markdown(quality), markdown(cost), "\n".join(notes)])


def write_csv(records, path):
    """Write a row for each record, with all of its fields.

    Raises: OSError, with one line, if the file can't be written.
    """
    flat = [{**record, **record["versions"]} for record in records]
    for row in flat:
        del row["versions"]
    write_table(flat, path)


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
        "speed": f"{speed / of:.2f} x" if of else "-",
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


def markdown(rows):
    """Dictionaries with the same keys as a Markdown table, its first column aligned left."""
    lines = [list(rows[0]), *(list(row.values()) for row in rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]

    def line(cells):
        first, *rest = zip(cells, widths, strict=True)
        padded = [first[0].ljust(first[1]), *(cell.rjust(width) for cell, width in rest)]
        return f"| {' | '.join(padded)} |"

    rule = "|".join("-" * (width + 1) + ("-" if i == 0 else ":") for i, width in enumerate(widths))
    return "\n".join([line(lines[0]), f"|{rule}|", *map(line, lines[1:])])
