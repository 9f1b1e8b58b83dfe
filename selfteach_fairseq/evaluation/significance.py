"""Whether a system's BLEU, ROUGE-L or accuracy differs from that of a plain model of its size.

sacreBLEU's paired bootstrap (Koehn 2004) compares two lists of translations, or of labels: it says
how often the choice of test sentences alone would make such a difference. With several seeds it
runs once for each seed that both systems have, on the two models of that seed. Joining the seeds
into one list would count a sentence several times as if it were several sentences, and so find too
many differences significant; the spread between seeds shows in the differences themselves.
"""

import logging
from collections.abc import Sequence
from pathlib import Path
from statistics import mean
from typing import Any, NamedTuple

from sacrebleu.significance import PairedTest

from ..files import lines_of
from ..layers import Layers
from . import quality, rouge
from .accuracy import Accuracy
from .groups import check_comparable
from .records import CLASSES, FAIRSEQ, engine_of, kind_of, layers_of, read, translations
from .tables import Row

SIGNIFICANT = 0.05  # p below this


class _Key(NamedTuple):
    """A model; its layers can be compared, unlike those of records.Model."""

    layers: Layers
    system: str
    engine: str


def compare(
    paths: Sequence[Path | str],
    references: Path | str,
    base: str,
    metric: str | None = None,
) -> list[dict[str, Any]]:
    """Compare systems with the plain one trained at their depth, where there is one.

    A system named `base@3` is trained at depth 3, and `base` at its full depth, that of its deepest
    record. Both are of one engine.

    Args:
        paths: of score records, each with its translations beside it
        references: file of reference translations, or labels, one per line
        base: name of the plain method
        metric: of quality.METRICS, the first by default; None for classifiers

    Returns: a list of rows, dictionaries of numbers and text, one for each system and seed.
    Raises: ValueError if a record has no translations, no two can be compared, their scores have
        different signatures, two are of the same model and seed, or classifiers have a metric.
    """
    reference_lines = lines_of(references)
    quality.check_references(reference_lines)
    records = {path: read(path) for path in paths}
    check_comparable([*records.values()])
    decides = _deciding(records[paths[0]], metric)
    runs: dict[_Key, dict[str, Path | str]] = {}
    for path, record in records.items():
        key = _Key(layers_of(record), record["system"], engine_of(record))
        of_model = runs.setdefault(key, {})
        seed = str(record.get("seed", ""))
        if seed in of_model:
            raise ValueError(
                f"{path}: is of the same system, layers, engine and seed as {of_model[seed]}: "
                "name one of them"
            )
        of_model[seed] = path
    scratch = {
        (key.layers, key.engine): key
        for key in runs
        if _depth_trained(runs, key.system, base) == key.layers
    }
    rows = []
    for key, by_seed in runs.items():
        other = scratch.get((Layers.first(*key.layers.counts), key.engine), key)
        if other == key:
            continue
        for seed in sorted(by_seed.keys() & runs[other].keys()):
            found = _test(runs[other][seed], by_seed[seed], reference_lines, decides)
            about = {
                "system": key.system,
                "layers": str(key.layers),
                "engine": key.engine,
                "base": other.system,
                "seed": seed,
            }
            rows.append({**about, **found})
    if not rows:
        raise ValueError(
            f"there is nothing to compare: no system has the depth and the seed of {base} or "
            f"{base}@DEPTH: score that, too, or name another --base"
        )
    return rows


def _deciding(record, metric):
    if kind_of(record) is not CLASSES:
        tokenizer = record.get("tokenizer", quality.BEFORE_RECORDED)
        return quality.deciding(metric or quality.METRICS[0], tokenizer)
    if metric:
        raise ValueError(f"--metric {metric}: is for translations, and these are of a classifier")
    return Accuracy()


def _depth_trained(runs, system, base):
    """The depth at which a system was trained as a plain model; None if it was not.

    Its full model counts whatever engine that was scored in, lest a cut one pass for it.
    """
    name, _, own = system.partition("@")
    if name != base:
        return None
    encoder_only = all(key.layers.decoder is None for key in runs)
    try:
        if own:
            return Layers.parse(own, encoder_only)
        return max(key.layers for key in runs if key.system == system)
    except ValueError:
        return None


def _test(base, other, references, metric):
    lists = {str(path): translations(path) for path in (base, other)}
    for path, lines in lists.items():
        if len(lines) != len(references):
            raise ValueError(f"{path}: {len(lines)} translations, {len(references)} references")
    logging.getLogger("sacrebleu").setLevel(logging.WARNING)
    test = PairedTest([*lists.items()], {"": metric}, [references], test_type="bs")
    signatures, scores = test()
    ((name, signature),) = signatures.items()  # of its one metric, as it calls that
    base_score, score = scores[name]
    column = {shown: name for name, shown in rouge.NAMES.items()}.get(name, name.lower())
    return {
        "metric": name,
        column: score.score,
        f"base_{column}": base_score.score,
        "difference": score.score - base_score.score,
        "p": score.p_value,
        f"{column}_signature": str(signature),
    }


def cells(rows: list[dict[str, Any]]) -> list[Row]:
    """The rows of compare() as rows of a table, which map columns to text: one a model.

    Engines are a column, unless all rows are of fairseq.
    """
    heads = ["system", "layers", *(["engine"] if {r["engine"] for r in rows} != {FAIRSEQ} else [])]
    of_models: dict[tuple[str, ...], list[dict[str, Any]]] = {}
    for row in rows:
        key = tuple(row[name] for name in (*heads, "base"))
        of_models.setdefault(key, []).append(row)
    return [
        {
            **dict(zip((*heads, "against"), key, strict=True)),
            of_one[0]["metric"]: f"{mean(row['difference'] for row in of_one):+.1f}",
            "by seed": " ".join(f"{row['difference']:+.1f}" for row in of_one),
            "p": " ".join(f"{row['p']:.3f}" for row in of_one),
            "verdict": _verdict(of_one),
        }
        for key, of_one in of_models.items()
    ]


def _verdict(rows):
    """Better or worse, if every seed says so significantly; otherwise open."""
    if all(row["p"] < SIGNIFICANT for row in rows):
        if all(row["difference"] > 0 for row in rows):
            return "better"
        if all(row["difference"] < 0 for row in rows):
            return "worse"
    return "open"
