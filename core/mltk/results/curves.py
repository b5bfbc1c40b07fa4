"""Curves of a classifier: rates by threshold, precision by recall."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Integers = NDArray[np.int64]

THRESHOLDS = np.arange(101) / 100
"""Thresholds of the ROC curves: 0, 0.01, … 1."""


def compute_rates(scores: Floats, ids: Integers, sizes: Integers) -> tuple[Floats, Floats]:
    """Return the true and the false positive rates, `(classes, 101)`."""
    count = scores.shape[1]
    tpr = np.zeros((count, len(THRESHOLDS)))
    fpr = np.zeros((count, len(THRESHOLDS)))
    for i in range(count):
        own = ids == i
        for rates, members in ((tpr, np.sort(scores[own, i])), (fpr, np.sort(scores[~own, i]))):
            above = len(members) - np.searchsorted(members, THRESHOLDS, side="right")
            rates[i] = above / max(len(members), 1)
    # The curve begins at (1, 1), though a score of exactly 0 is not above the threshold 0.
    tpr[:, 0] = fpr[:, 0] = 1.0
    return tpr, fpr


def compute_precision_and_recall(scores: Floats, positive: NDArray[np.bool_]) -> tuple[Floats, Floats]:
    """Return precision and recall at ascending scores, ending with (1, 0).

    Like scikit-learn's `precision_recall_curve(…, drop_intermediate=True)`: only the first and last of
    neighbouring points with the same recall are kept.
    """
    order = np.argsort(scores, kind="stable")[::-1]
    descending = scores[order]
    last_of_its_value = np.flatnonzero(np.r_[descending[1:] != descending[:-1], True])
    hits = np.cumsum(positive[order])[last_of_its_value]
    chosen = last_of_its_value + 1
    if len(hits) > 2:
        changes = np.diff(hits) != 0
        kept = np.r_[True, changes[:-1] | changes[1:], True]
        hits, chosen = hits[kept], chosen[kept]
    precision = hits / chosen
    recall = hits / hits[-1] if hits[-1] else np.ones(len(hits))
    return np.r_[precision[::-1], 1.0], np.r_[recall[::-1], 0.0]
