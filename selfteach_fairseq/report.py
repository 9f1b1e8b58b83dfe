"""Score records as a table."""

import json
from pathlib import Path


def read(path):
    """Raises: ValueError if there is no score record in the file."""
    try:
        record = json.loads(Path(path).read_text(encoding="utf-8"))
        record["bleu"] + record["chrf"] + record["parameters"] + record["sentences_per_second"]
    except (ValueError, KeyError, TypeError):
        raise ValueError(f"{path}: no record of `selfteach score`") from None
    return {**record, "system": record.get("system") or Path(path).stem}


def table(records, base):
    """Markdown rows of score records, with speed and BLEU beside those of record `base`."""
    head = ("system", "layers", "parameters", "file", "BLEU", "chrF", "sent./s", "speed", "of BLEU")
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
        )
        for record in records
    ]
    if any(record.get("training_minutes") is not None for record in records):
        head += ("training",)
        rows = [
            (*row, f"{record['training_minutes']:.1f} min" if "training_minutes" in record else "")
            for row, record in zip(rows, records, strict=True)
        ]
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]

    def line(cells):
        first, *rest = (
            cell.ljust(width) if i == 0 else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(cells, widths, strict=True))
        )
        return "| " + " | ".join((first, *rest)) + " |"

    rule = "|-" + "-|-".join("-" * width + (":" if i else "") for i, width in enumerate(widths))
    return "\n".join([line(head), rule + "-|", *map(line, rows)])
