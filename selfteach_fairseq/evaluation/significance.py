"""Whether a system's BLEU differs from that of a model of its size trained from scratch.

sacreBLEU's paired bootstrap (Koehn 2004) compares two lists of translations: it says how often the
choice of test sentences alone would make such a difference. With several seeds it runs once for
each seed that both systems have, on the two models of that seed. Joining the seeds into one list
would count a sentence several times as if it were several sentences, and so find too many
differences significant; the spread between seeds shows in the differences themselves.
"""

import logging
from collections.abc import Sequence
from pathlib import Path
from statistics import mean
from typing import Any

from sacrebleu.significance import PairedTest

from ..files import lines_of
from ..layers import Layers
from . import quality
from .records import check_comparable, layers_of, read, translations
from .tables import Row

SIGNIFICANT = 0.05  # p below this


def compare(paths: Sequence[Path | str], references: Path | str, base: str) -> list[dict[str, Any]]:
    """Compare systems with the one trained from scratch at their depth, where there is one.

    A system named `base@3` is trained from scratch at depth 3, and `base` at its full depth, that
    of its deepest record.

    Args:
        paths: of score records, each with its translations beside it
        references: file of reference translations, one per line
        base: name of the plain method

    Returns: a list of rows, dictionaries of numbers and text, one for each system and seed.
    Raises: ValueError if a record has no translations, no two can be compared, or their scores
        have different signatures.
    """
    reference_lines = lines_of(references)
    quality.check_references(reference_lines)
    records = {path: read(path) for path in paths}
    check_comparable([*records.values()])
    tokenizer = records[paths[0]].get("tokenizer", quality.BEFORE_RECORDED)
    runs: dict[tuple[Layers, str], dict[str, Path | str]] = {}
    for path, record in records.items():
        layers = layers_of(record)
        runs.setdefault((layers, record["system"]), {})[str(record.get("seed", ""))] = path
    scratch = {layers: s for layers, s in runs if _depth_trained(runs, s, base) == layers}
    rows = []
    for (layers, system), by_seed in runs.items():
        if layers not in scratch or system == scratch[layers]:
            continue
        bases = runs[layers, scratch[layers]]
        for seed in sorted(by_seed.keys() & bases.keys()):
            found = _test(bases[seed], by_seed[seed], reference_lines, tokenizer)
            about = {"system": system, "layers": str(layers), "base": scratch[layers], "seed": seed}
            rows.append({**about, **found})
    if not rows:
        raise ValueError(
            f"there is nothing to compare: no system has the depth and the seed of {base} or "
            f"{base}@DEPTH: score that, too, or name another --base"
        )
    return rows


def _depth_trained(runs, system, base):
    """The depth at which a system was trained from scratch; None if it was not."""
    name, _, own = system.partition("@")
    if name != base:
        return None
    try:
        return Layers.parse(own) if own else max(layers for layers, s in runs if s == system)
    except ValueError:
        return None


def _test(base, other, references, tokenizer):
    lists = {str(path): translations(path) for path in (base, other)}
    for path, lines in lists.items():
        if len(lines) != len(references):
            raise ValueError(f"{path}: {len(lines)} translations, {len(references)} references")
    logging.getLogger("sacrebleu").setLevel(logging.WARNING)
    metrics = {"BLEU": quality.bleu(tokenizer)}
    signatures, scores = PairedTest([*lists.items()], metrics, [references], test_type="bs")()
    base_score, score = scores["BLEU"]
    return {
        "bleu": score.score,
        "base_bleu": base_score.score,
        "difference": score.score - base_score.score,
        "p": score.p_value,
        "bleu_signature": str(signatures["BLEU"]),
    }


def cells(rows: list[dict[str, Any]]) -> list[Row]:
    """The rows of compare() as rows of a table, which map columns to text: one a system."""
    systems: dict[tuple[str, str, str], list[dict[str, Any]]] = {}
    for row in rows:
        systems.setdefault((row["system"], row["layers"], row["base"]), []).append(row)
    return [
        {
            "system": system,
            "layers": layers,
            "against": base,
            "BLEU": f"{mean(row['difference'] for row in of_one):+.1f}",
            "by seed": " ".join(f"{row['difference']:+.1f}" for row in of_one),
            "p": " ".join(f"{row['p']:.3f}" for row in of_one),
            "verdict": _verdict(of_one),
        }
        for (system, layers, base), of_one in systems.items()
    ]


def _verdict(rows):
    """Better or worse, if every seed says so significantly; otherwise open."""
    if all(row["p"] < SIGNIFICANT for row in rows):
        if all(row["difference"] > 0 for row in rows):
            return "better"
        if all(row["difference"] < 0 for row in rows):
            return "worse"
    return "open"
