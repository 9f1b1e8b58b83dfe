"""Score records as tables, and translations side by side."""

from collections.abc import Iterable
from pathlib import Path
from statistics import mean, stdev

from ..files import lines_of
from . import rouge
from .groups import (
    check_comparable,
    check_seeds,
    conditions_of,
    grouped,
    options_of,
    same_conditions,
)
from .records import CLASSES, TRANSLATIONS, Record, kind_of, translations

Row = dict[str, str]  # the cells by their columns
_SHOWN_IF_ANY, _SHOWN_IF_ALL = ("sparsity",), ("valid_bits", "chrfpp", "rougeL")
_OF_ROUGE = ("rouge1", "rouge2", "rougeL")


def rows(records: list[Record]) -> tuple[list[Row], list[Row]]:
    """Two tables of score records, quality and cost: lists of rows that map columns to text.

    A row has the means over the seeds of a model, and the standard deviations of its scores.
    Percentages and speed-ups are relative to the first row; there is no speed-up where machine,
    threads or batches are other ones. Engines are a column, unless all records are of fairseq, and
    so is sparsity, if one is of a pruned model. Where all records have it, the likelihood is one,
    in the place of the share of BLEU, chrF++ stands for chrF, and ROUGE for all but BLEU.

    Raises: ValueError if the records' scores have different signatures, or two are of one seed.
    """
    check_comparable(records)
    check_seeds(records)
    groups = grouped(records)
    base = next(iter(groups.values()))
    shown = {name for name in _SHOWN_IF_ANY if any(record.get(name) for record in records)}
    shown |= {name for name in _SHOWN_IF_ALL if all(name in record for record in records)}
    quality = [_quality(model, runs, base, shown) for model, runs in groups.items()]
    return quality, [_cost(model, runs, base) for model, runs in groups.items()]


def tables(records: list[Record]) -> str:
    """Score records as two Markdown tables, with what BLEU, speed and translations depend on.

    Raises: ValueError if the records' scores have different signatures.
    """
    quality, cost = rows(records)
    notes = [f"speed: {line}" for line in conditions_of(records)]
    if kind_of(records[0]) is TRANSLATIONS:
        notes += [f"BLEU: {records[0]['bleu_signature']}"]
    if rouge.NAMES["rougeL"] in quality[0] and "rougeL_signature" in records[0]:
        notes += [f"ROUGE: {records[0]['rougeL_signature']}"]
    if {"bits", "engine"} <= quality[0].keys():
        notes += ["bits: of the checkpoint, whatever the engine"]
    notes += [f"fairseq-generate: {line}" for line in options_of(records)]
    return "\n\n".join([markdown(quality), markdown(cost), "\n".join(notes)])


def _quality(model, runs, base, shown):
    # Beside the engines there is room for it in the other table only.
    parameters = {} if model.engine else {"parameters": _parameters(runs)}
    return {
        **_head(model),
        **parameters,
        **({"sparsity": _sparsity(runs)} if "sparsity" in shown else {}),
        "seeds": str(len(runs)),
        **(
            _of_classes(runs)
            if kind_of(runs[0]) is CLASSES
            else _of_translations(runs, base, shown)
        ),
    }


def _of_classes(runs):
    return {
        "accuracy": _with_deviation(runs, "accuracy"),
        "F1": _with_deviation(runs, "f1"),
        "MCC": _with_deviation(runs, "mcc"),
    }


def _of_translations(runs, base, shown):
    bleu, base_bleu = _mean(runs, "bleu"), _mean(base, "bleu")
    share = f"{bleu / base_bleu:.1%}" if base_bleu else "-"
    return {
        "BLEU": _with_deviation(runs, "bleu"),
        **_more(runs, share, shown),
        **({"bits": _with_deviation(runs, "valid_bits", 3)} if "valid_bits" in shown else {}),
    }


def _more(runs, share, shown):
    """Scores beside BLEU; `share`: that of the first row's BLEU."""
    if "rougeL" in shown:
        return {rouge.NAMES[name]: _with_deviation(runs, name) for name in _OF_ROUGE}
    chrf, head = ("chrfpp", "chrF++") if "chrfpp" in shown else ("chrf", "chrF")
    return {
        **({} if "valid_bits" in shown else {"of BLEU": share}),
        "lower-cased": _with_deviation(runs, "bleu_lc"),
        head: _with_deviation(runs, chrf),
    }


def _cost(model, runs, base):
    speed, base_speed = (_mean(several, "sentences_per_second") for several in (runs, base))
    compared = base_speed and same_conditions([*runs, *base])
    seconds = _mean(runs, "training_seconds")
    memory = _mean(runs, "peak_memory_bytes")
    return {
        **_head(model),
        **({"params": _parameters(runs)} if model.engine else {}),
        "file": f"{runs[0]['bytes'] / 1e6:.1f} MB",
        "sent./s": f"{speed:.0f}",
        "speed": f"{speed / base_speed:.2f} x" if compared else "-",
        "training": _duration(seconds) if seconds else "-",
        "memory": f"{memory / 1e9:.2f} GB" if memory else "-",
    }


def _head(model):
    return {name: text for name, text in model._asdict().items() if text or name != "engine"}


def _parameters(runs):
    return f"{runs[0]['parameters'] / 1e6:.2f} M"


def _sparsity(runs):
    """What does not say how many of its weights are zero has none such."""
    return f"{mean(run.get('sparsity') or 0 for run in runs):.1%}"


def _mean(runs, key):
    values = [run.get(key) for run in runs]
    return None if None in values else mean(values)


def _with_deviation(runs, key, digits=1):
    if (score := _mean(runs, key)) is None:
        return "-"
    text = f"{score:.{digits}f}"
    return text if len(runs) == 1 else f"{text} ± {stdev(run[key] for run in runs):.{digits}f}"


def _duration(seconds):
    return f"{seconds / 3600:.1f} h" if seconds >= 6000 else f"{seconds / 60:.1f} min"


def markdown(rows: list[Row]) -> str:
    """Dictionaries with the same keys as a Markdown table, its first column aligned left."""
    lines = [list(rows[0]), *([cell.replace("|", "\\|") for cell in row.values()] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]

    def line(cells):
        first, *rest = zip(cells, widths, strict=True)
        padded = [first[0].ljust(first[1]), *(cell.rjust(width) for cell, width in rest)]
        return f"| {' | '.join(padded)} |"

    rule = "|".join("-" * (width + 1) + ("-" if i == 0 else ":") for i, width in enumerate(widths))
    return "\n".join([line(lines[0]), f"|{rule}|", *map(line, lines[1:])])


def sentences(paths: Iterable[Path | str], source: Path | str, count: int) -> str:
    """Source sentences, evenly spaced over the file, with each record's translation."""
    sources = lines_of(source)
    texts = [("source", sources)]
    files = [Path(path) for path in paths]
    stems = ["source", *(file.stem for file in files)]
    for file in files:
        name = file.stem if stems.count(file.stem) == 1 else str(file.with_suffix(""))
        texts.append((name, translations(file)))
    for name, lines in texts:
        if len(lines) != len(sources):
            raise ValueError(f"{name}: {len(lines)} translations of {len(sources)} sentences")
    width = max(len(name) for name, _ in texts)
    step = max(1, len(sources) // count)
    return "\n\n".join(
        "\n".join(f"{name:{width}}  {lines[i]}" for name, lines in texts)
        for i in range(0, min(len(sources), step * count), step)
    )
