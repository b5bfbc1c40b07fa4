"""Results of the evaluation of an autoencoder."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Generic, TypedDict, TypeVar, overload

import numpy as np

from mltk.errors import EvaluationError
from mltk.results import EvaluationResults, auc_interval, line_styles

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import ArrayLike, NDArray

    Floats = NDArray[np.float64]


class ClassStats(TypedDict):
    """Curves of one abnormal class against the normal one."""

    fpr: Floats
    tpr: Floats
    thr: Floats
    auc: float
    precision: Floats
    recall: Floats


ALL = "all"
"""Key of the figures over all abnormal classes in `class_stats`."""

_T = TypeVar("_T")


class _Entry(Generic[_T]):
    """A property that reads an entry of the dictionary."""

    def __init__(self, key: str, doc: str) -> None:
        self._key = key
        self.__doc__ = doc

    @overload
    def __get__(self, instance: None, owner: type) -> _Entry[_T]: ...
    @overload
    def __get__(self, instance: AutoEncoderEvaluationResults, owner: type) -> _T: ...
    def __get__(self, instance: AutoEncoderEvaluationResults | None, owner: type) -> _Entry[_T] | _T:
        if instance is None:
            return self
        value: _T = instance[self._key]
        return value


class AutoEncoderEvaluationResults(EvaluationResults):
    """Results of separating normal from abnormal samples by their scores; filled by `calculate`.

    The first class is the normal one. "Overall" means all abnormal classes together. A sample whose score is above the
    threshold counts as abnormal.
    """

    def __init__(
        self, values: Mapping[str, object] | Iterable[tuple[str, object]] = (), /, **more: object
    ) -> None:
        super().__init__(values, **{"model_type": "auto_encoder", **more})

    classes = _Entry[list[str]]("classes", "Class labels, the normal one first.")
    all_scores = _Entry["list[Floats]"]("all_scores", "The scores of the samples of each class.")

    @property
    def n_samples(self) -> int:
        """Number of samples."""
        return sum(len(scores) for scores in self.all_scores)

    overall_accuracy = _Entry[float]("overall_accuracy", "Maximum accuracy over all thresholds.")
    overall_thresholds = _Entry["Floats"](
        "thresholds", "101 thresholds from the lowest score to the highest, in equal steps."
    )
    overall_precision = _Entry["Floats"](
        "overall_precision",
        "Share of the samples above each threshold that are abnormal; 0 where none is above.",
    )
    overall_recall = _Entry["Floats"]("overall_recall", "Share of the abnormal samples above each threshold.")
    overall_pr_accuracy = _Entry[float](
        "overall_pr_accuracy", "Maximum over the thresholds of the mean of precision and recall."
    )
    overall_tpr = _Entry["Floats"](
        "overall_tpr", "Share of the abnormal samples above each threshold; 1 at the first."
    )
    overall_fpr = _Entry["Floats"](
        "overall_fpr", "Share of the normal samples above each threshold; 1 at the first."
    )
    overall_roc_auc = _Entry[float](
        "overall_roc_auc",
        "Area below the exact ROC curve: the probability that an abnormal sample scores above a normal one.",
    )

    @property
    def class_stats(self) -> dict[str, ClassStats]:
        """For each abnormal class against the normal one, and for `all` of them where there are several.

        `fpr` and `tpr`: exact ROC curve, at each threshold `thr` the samples that score at least that; `auc`: the area
        below it; `precision` and `recall` at each score, from the lowest, and at last (1, 0).
        """
        stats: dict[str, ClassStats] = self["class_stats"]
        return stats

    recommended_threshold = _Entry[float](
        "recommended_threshold",
        "Lowest threshold with at most `max_false_positive_rate` of the normal samples above it.",
    )

    def generate_headline(self) -> str:
        """Return AUC and accuracy, with the number and kind of the samples and the interval, as one line of text."""
        normal = len(self.all_scores[0])
        area = self.overall_roc_auc
        if not 0 < normal < self.n_samples:
            return f"{self.overall_accuracy:.2%} accuracy on {self.n_samples:,} samples"
        samples = self.describe_samples(self.n_samples, auc_interval(area, self.n_samples - normal, normal))
        return f"AUC {area:.2%} {samples}, accuracy {self.overall_accuracy:.2%}"

    def calculate(
        self,
        y: ArrayLike | None = None,
        y_pred: ArrayLike | None = None,
        all_scores: Sequence[ArrayLike] | None = None,
        thresholds: ArrayLike | None = None,
        *,
        max_false_positive_rate: float = 0.05,
    ) -> None:
        """Compute all results.

        Args:
            y: Class ids `(n,)`, 0 for normal; not needed with `all_scores`.
            y_pred: Scores `(n,)`; not needed with `all_scores`.
            all_scores: The scores of each class, in the order of the classes.
            thresholds: Ascending thresholds for the overall rates; by default 101 from the lowest score to the highest.
            max_false_positive_rate: For the recommended threshold; 0 to below 1.

        Raises:
            EvaluationError: There are fewer than two classes, a class has no score, or a score is not finite.
        """
        labels: list[str] = self.setdefault("classes", ["normal", "abnormal"])
        if all_scores is None:
            ids, values = np.asarray(y).reshape(-1), np.asarray(y_pred, np.float64).reshape(-1)
            all_scores = [values[ids == i] for i in range(len(labels))]
        scores = [np.asarray(s, np.float64).reshape(-1) for s in all_scores]
        _check(scores, labels)
        normal, abnormal = np.sort(scores[0]), np.sort(np.concatenate(scores[1:]))
        if thresholds is None:
            low, high = min(normal[0], abnormal[0]), max(normal[-1], abnormal[-1])
            thresholds = np.linspace(low, high, 101)
        levels = np.asarray(thresholds, np.float64)

        overall = _Curve(normal, abnormal)
        stats = {
            label: _Curve(normal, own).stats() for label, own in zip(labels[1:], scores[1:], strict=True)
        }
        if len(labels) > 2:
            stats[ALL] = overall.stats()
        false, true = _above(normal, levels), _above(abnormal, levels)
        precision, recall = true / np.maximum(true + false, 1), true / len(abnormal)
        threshold = recommend(normal, max_false_positive_rate)
        false_positives = int(_above(normal, np.array([threshold]))[0])
        self.update(
            all_scores=scores,
            thresholds=levels,
            overall_accuracy=overall.best_accuracy(),
            overall_precision=precision,
            overall_recall=recall,
            overall_pr_accuracy=float((precision + recall).max() / 2),
            # The lowest score is not above the first threshold, but the curve must begin with all samples.
            overall_tpr=np.r_[1.0, recall[1:]],
            overall_fpr=np.r_[1.0, false[1:] / len(normal)],
            overall_roc_auc=overall.area(),
            class_stats=stats,
            max_false_positive_rate=max_false_positive_rate,
            recommended_threshold=threshold,
            recommended_fpr=false_positives / len(normal),
            recommended_fpr_limits_95=wilson_limits(false_positives, len(normal)),
            recommended_tpr=float(_above(abnormal, np.array([threshold]))[0] / len(abnormal)),
        )

    def generate_summary(self, include_all: bool = True) -> str:
        """Return a readable text.

        Args:
            include_all: Add the figures of each class and the recommended threshold.
        """
        lines = [
            f"Name: {self.name}",
            f"Model Type: {self.model_type}",
            f"Overall accuracy: {self.overall_accuracy:.3%}",
            f"Precision/recall accuracy: {self.overall_pr_accuracy:.3%}",
            f"Overall ROC AUC: {self.overall_roc_auc:.3%}",
        ]
        if not include_all:
            return "\n".join(lines)
        width = max(map(len, self.class_stats))
        if len(self.classes) > 2:
            lines.append("Individual class ROC AUC:")
            lines += [f"- {label:<{width}} = {s['auc']:.3%}" for label, s in self.class_stats.items()]
        low, high = self["recommended_fpr_limits_95"]
        normal = len(self.all_scores[0])
        lines += [
            f"Recommended threshold: {self.recommended_threshold:.6g}",
            f"- false positives: {self['recommended_fpr']:.2%} of {normal:,} normal samples "
            f"(95 % limits {low:.1%} to {high:.1%})",
            f"- detected: {self['recommended_tpr']:.2%} of {self.n_samples - normal:,} abnormal samples",
        ]
        return "\n".join(lines)

    def figures(self) -> Iterator[tuple[str, str, Callable[[Figure], None]]]:
        """Yield the plots: overall ROC, precision against recall, histogram of the scores, curves of the classes."""
        for name, draw in (
            ("overall_roc", self._draw_overall_roc),
            ("overall_precision_vs_recall", self._draw_overall_precision_vs_recall),
            ("histogram", self._draw_histogram),
            ("class_roc", self._draw_class_roc),
        ):
            yield name, name, draw

    def _overall_stats(self) -> ClassStats:
        # With one abnormal class, its curve is the overall curve.
        return self.class_stats.get(ALL) or next(iter(self.class_stats.values()))

    def _draw_overall_roc(self, figure: Figure) -> None:
        figure.set_size_inches(6.4, 5.0)
        axes = figure.subplots()
        _prepare(axes, f"{self.name}: overall ROC", "False positive rate", "True positive rate")
        stats = self._overall_stats()
        axes.plot(stats["fpr"], stats["tpr"], label=f"AUC {stats['auc']:.4f}")
        axes.plot(
            [self["recommended_fpr"]],
            [self["recommended_tpr"]],
            "o",
            label=f"threshold {self.recommended_threshold:.4g}",
        )
        # Zoom into the corner of low rates if the curve passes through it.
        axes.set_xlim(0, 0.1 if stats["tpr"][stats["fpr"] <= 0.1].max() >= 0.5 else 1)
        axes.legend(loc="lower right")

    def _draw_overall_precision_vs_recall(self, figure: Figure) -> None:
        figure.set_size_inches(6.4, 5.0)
        axes = figure.subplots()
        _prepare(axes, f"{self.name}: overall precision and recall", "Recall", "Precision")
        stats = self._overall_stats()
        axes.plot(stats["recall"], stats["precision"])

    def _draw_histogram(self, figure: Figure) -> None:
        figure.set_size_inches(9.0, 6.4)
        upper, lower = figure.subplots(2, 1)
        upper.set_title(f"{self.name}: scores")
        upper.set(xlabel="Sample", ylabel="Score")
        lower.set(xlabel="Score", ylabel="Density")
        low, high = self.overall_thresholds[0], self.overall_thresholds[-1]
        bins = np.linspace(low, high if high > low else low + 1, 101)
        for label, scores, style in zip(
            self.classes, self.all_scores, line_styles(len(self.classes)), strict=True
        ):
            color = style["color"]
            upper.plot(scores, ".", markersize=3, color=color, label=label)
            lower.hist(scores, bins=bins, density=True, alpha=0.5, color=color, label=label)
        for axes, line in ((upper, upper.axhline), (lower, lower.axvline)):
            line(self.recommended_threshold, color="#444444", linestyle="--", linewidth=1, label="threshold")
            axes.grid(True)
        upper.legend(loc="upper left", bbox_to_anchor=(1, 1))

    def _draw_class_roc(self, figure: Figure) -> None:
        figure.set_size_inches(7.6, 9.6)
        upper, lower = figure.subplots(2, 1)
        _prepare(upper, f"{self.name}: ROC of each class", "False positive rate", "True positive rate")
        _prepare(lower, "Precision and recall", "Recall", "Precision")
        styles = line_styles(len(self.class_stats))
        for (label, stats), style in zip(self.class_stats.items(), styles, strict=True):
            upper.plot(stats["fpr"], stats["tpr"], label=f"{label} (AUC {stats['auc']:.4f})", **style)
            lower.plot(stats["recall"], stats["precision"], label=label, **style)
        upper.legend(loc="lower right")


def recommend(normal: ArrayLike, max_false_positive_rate: float) -> float:
    """Return the lowest score of a normal sample that at most a given share of the normal samples exceeds.

    Args:
        normal: Scores of normal samples, at least one.
        max_false_positive_rate: The share, 0 to below 1.
    """
    ordered = np.sort(np.asarray(normal, np.float64))
    # The product of 0.07 and 100 is not exactly 7 in floating point.
    allowed = math.floor(max_false_positive_rate * len(ordered) + 1e-9)
    return float(ordered[len(ordered) - 1 - allowed])


def wilson_limits(count: int, total: int) -> tuple[float, float]:
    """Return the 95 % confidence interval of a proportion, given `count` of `total` samples.

    Wilson, "Probable Inference, the Law of Succession, and Statistical Inference", 1927.
    """
    z = 1.959964
    share = count / total
    center = share + z * z / (2 * total)
    half = z * math.sqrt(share * (1 - share) / total + z * z / (4 * total * total))
    scale = 1 + z * z / total
    return max(0.0, (center - half) / scale), min(1.0, (center + half) / scale)


class _Curve:
    """Counts of samples at or above each distinct score, from the highest score to the lowest.

    Args:
        normal: Scores of normal samples.
        abnormal: Scores of abnormal samples.
    """

    def __init__(self, normal: Floats, abnormal: Floats) -> None:
        scores = np.concatenate([normal, abnormal])
        order = np.argsort(-scores, kind="stable")
        descending = scores[order]
        last = np.flatnonzero(np.r_[descending[1:] != descending[:-1], True])
        # The first threshold is above every score.
        self.thresholds = np.r_[np.nextafter(descending[0], np.inf), descending[last]]
        self.true = np.r_[0, np.cumsum(order >= len(normal))[last]]
        self.false = np.r_[0, last + 1] - self.true
        self.sizes = len(normal), len(abnormal)

    def area(self) -> float:
        """Return the area below the ROC curve."""
        normal, abnormal = self.sizes
        return float(np.trapezoid(self.true, self.false) / (normal * abnormal))

    def best_accuracy(self) -> float:
        """Return the maximum share of correctly classified samples."""
        normal, abnormal = self.sizes
        return float((self.true + normal - self.false).max() / (normal + abnormal))

    def stats(self) -> ClassStats:
        """Return the entry of `class_stats`, without the points on straight parts of the ROC curve."""
        normal, abnormal = self.sizes
        kept = np.ones(len(self.true), bool)
        kept[2:-1] = (np.diff(self.true[1:], 2) != 0) | (np.diff(self.false[1:], 2) != 0)
        precision = self.true[1:] / (self.true[1:] + self.false[1:])
        return {
            "fpr": self.false[kept] / normal,
            "tpr": self.true[kept] / abnormal,
            "thr": self.thresholds[kept],
            "auc": self.area(),
            "precision": np.r_[precision[::-1], 1.0],
            "recall": np.r_[self.true[:0:-1] / abnormal, 0.0],
        }


def _above(ascending: Floats, thresholds: Floats) -> NDArray[np.int64]:
    return len(ascending) - np.searchsorted(ascending, thresholds, side="right")


def _check(scores: Sequence[Floats], labels: Sequence[str]) -> None:
    if len(labels) < 2:
        raise EvaluationError(
            f"An autoencoder needs normal and abnormal samples: name at least two classes, the normal "
            f"one first, not only {', '.join(labels) or 'none'}."
        )
    if len(scores) != len(labels):
        raise EvaluationError(f"There are scores of {len(scores)} classes, but {len(labels)} class names.")
    if len(labels) > 2 and ALL in labels[1:]:
        raise EvaluationError(f"No abnormal class may be called '{ALL}', which stands for all of them.")
    for i, (label, own) in enumerate(zip(labels, scores, strict=True)):
        if not len(own):
            kind = "normal" if i == 0 else "abnormal"
            raise EvaluationError(
                f"There is no sample of the {kind} class '{label}' to evaluate with. "
                f"The classes, the normal one first, are my_model.eval_classes or --classes."
            )
        if not np.isfinite(own).all():
            raise EvaluationError(
                f"{np.count_nonzero(~np.isfinite(own)):,} of {len(own):,} scores of the class '{label}' are NaN or "
                f"infinite: the model is unusable, probably because the training diverged."
            )


def _prepare(axes: Axes, title: str, x: str, y: str) -> None:
    axes.set_title(title)
    axes.set(xlabel=x, ylabel=y, xlim=(0, 1.01), ylim=(0, 1.01))
    axes.grid(True)
