"""Score records as a table, and translations side by side."""

import json
from pathlib import Path


def read(path):
    """Raises: ValueError if there is no score record in the file."""
    try:
        record = json.loads(Path(path).read_text(encoding="utf-8"))
        record["bleu"] + record["chrf"] + record["bytes"] + record["sentences_per_second"]
        record["encoder_layers"], record["decoder_layers"], record["training_seconds"]
    except (ValueError, KeyError, TypeError):
        raise ValueError(f"{path}: no record of `selfteach score`") from None
    return {**record, "system": Path(path).stem}


def translations(path):
    """The translations that `selfteach score` wrote beside a record."""
    return Path(path).with_suffix(".hyp.txt").read_text(encoding="utf-8").splitlines()


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


def table(records, base):
    """Markdown rows of score records, with speed and BLEU beside those of record `base`."""
    head = ("system", "layers", "parameters", "file", "BLEU", "chrF", "sent./s", "speed", "of BLEU")
    head += ("training",)
    rows = [
        (
            record["system"],
            f"{record['encoder_layers']}x{record['decoder_layers']}",
            f"{record['parameters'] / 1e6:.2f} M",
            f"{record['bytes'] / 1e6:.1f} MB",
            f"{record['bleu']:.1f}",
            f"{record['chrf']:.1f}",
            f"{record['sentences_per_second']:.0f}",
            f"{record['sentences_per_second'] / base['sentences_per_second']:.2f} x",
            f"{record['bleu'] / base['bleu']:.1%}" if base["bleu"] else "-",
            f"{record['training_seconds'] / 60:.1f} min" if record["training_seconds"] else "-",
        )
        for record in records
    ]
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]

    def line(cells):
        first, *rest = (
            cell.ljust(width) if i == 0 else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(cells, widths, strict=True))
        )
        return "| " + " | ".join((first, *rest)) + " |"

    rule = "|".join("-" * (width + 1) + ("-" if i == 0 else ":") for i, width in enumerate(widths))
    return "\n".join([line(head), f"|{rule}|", *map(line, rows)])
