"""The share of texts whose label is right, as a metric that sacreBLEU's tests take."""

from typing import Any

import numpy as np
from sacrebleu.metrics.base import Metric, Score, Signature


class Accuracy(Metric):
    """In percent, of one label a line."""

    _SIGNATURE_TYPE = Signature

    def _preprocess_segment(self, sent: str) -> str:
        return sent

    def _extract_reference_info(self, refs: Any) -> dict[str, Any]:
        (label,) = refs
        return {"label": label}

    def _compute_segment_statistics(self, hypothesis: str, ref_kwargs: dict) -> list[int]:
        return [hypothesis == ref_kwargs["label"], 1]

    def _aggregate_and_compute(self, stats: Any) -> Score:
        return self._compute_score_from_stats(np.sum(stats, axis=0))

    def _compute_score_from_stats(self, stats: Any) -> Score:
        right, count = stats
        return Score("accuracy", 100 * right / count)
