"""Intervals of figures that were measured on a sample."""

from __future__ import annotations

import math

_Z = 1.959964
"""Quantile of the normal distribution for intervals of 95 %."""


def proportion_interval(successes: float, count: int) -> tuple[float, float]:
    """Return the 95 % interval of a share, such as an accuracy.

    Wilson, "Probable Inference, the Law of Succession, and Statistical Inference", 1927.

    Args:
        successes: Number of successes, 0 to `count`.
        count: Number of trials, at least 1.

    Returns:
        Lower and upper end, 0 to 1.
    """
    share = successes / count
    center = share + _Z**2 / (2 * count)
    spread = _Z * math.sqrt(share * (1 - share) / count + (_Z / (2 * count)) ** 2)
    scale = 1 + _Z**2 / count
    return max(0.0, (center - spread) / scale), min(1.0, (center + spread) / scale)


def auc_interval(area: float, positives: int, negatives: int) -> tuple[float, float]:
    """Return the 95 % interval of the area under a ROC curve.

    Hanley & McNeil, "The Meaning and Use of the Area under a Receiver Operating Characteristic (ROC) Curve", 1982.

    Args:
        area: The area, 0 to 1.
        positives: Number of positive samples, at least 1.
        negatives: Number of negative samples, at least 1.

    Returns:
        Lower and upper end, 0 to 1.
    """
    both_positive = area / (2 - area)
    both_negative = 2 * area**2 / (1 + area)
    variance = (
        area * (1 - area)
        + (positives - 1) * (both_positive - area**2)
        + (negatives - 1) * (both_negative - area**2)
    ) / (positives * negatives)
    spread = _Z * math.sqrt(max(variance, 0.0))
    return max(0.0, area - spread), min(1.0, area + spread)
