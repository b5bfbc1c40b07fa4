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

    Newcombe, "Confidence intervals for an effect size measure based on the Mann-Whitney statistic. Part 2: asymptotic
    methods and evaluation", 2006, method 5. It is not empty for an area of 1.

    Args:
        area: The area, 0 to 1.
        positives: Number of positive samples, at least 1.
        negatives: Number of negative samples, at least 1.

    Returns:
        Lower and upper end, 0 to 1.
    """

    def deviation(true: float) -> float:
        others = (positives + negatives) / 2 - 1
        spread = 1 + others * (1 - true) / (2 - true) + others * true / (1 + true)
        return math.sqrt(true * (1 - true) * spread / (positives * negatives))

    def find_end(end: float) -> float:
        """Return the area between the measured one and `end` from which the measured one is 1.96 deviations away."""
        inside, outside = area, end
        for _ in range(60):
            middle = (inside + outside) / 2
            if abs(area - middle) < _Z * deviation(middle):
                inside = middle
            else:
                outside = middle
        return (inside + outside) / 2

    return find_end(0.0), find_end(1.0)
