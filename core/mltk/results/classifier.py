"""Metrics of a classifier: accuracy, ROC, precision and recall, confusion matrix."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, cast

import numpy as np

from mltk.errors import EvaluationError
from mltk.results.curves import THRESHOLDS, compute_precision_and_recall, compute_rates
from mltk.results.evaluation import EvaluationResults
from mltk.results.labels import class_ids
from mltk.results.plots import line_styles
from mltk.results.statistics import proportion_interval

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import ArrayLike, NDArray

    Floats = NDArray[np.float64]
    Integers = NDArray[np.int64]

_MOST_DRAWN = 40
"""More curves cannot be told apart, and more numbers of a confusion matrix cannot be read."""


class ClassifierEvaluationResults(EvaluationResults):
    """Results of a classifier; `calculate` fills them.

    The keys are `classes`, `overall_accuracy`, `class_accuracies`, `roc_thresholds`, `fpr`, `tpr`,
    `roc_auc`, `roc_auc_avg`, `precision`, `recall` and `confusion_matrix`; each is also a property.
    The curves are one class against all others.
    """

    def __init__(
        self,
        values: Mapping[str, object] | Iterable[tuple[str, object]] = (),
        /,
        *,
        classes: Sequence[str] | None = None,
        **more: object,
    ) -> None:
        super().__init__(values, **{"model_type": "classification", **more})
        if classes:
            self["classes"] = [str(label) for label in classes]

    @property
    def classes(self) -> list[str]:
        """Class labels, by class id."""
        return cast("list[str]", self["classes"])

    @property
    def n_samples(self) -> int:
        """Number of samples."""
        return int(self.confusion_matrix.sum())

    @property
    def overall_accuracy(self) -> float:
        """Share of correctly classified samples, 0 to 1."""
        return cast("float", self["overall_accuracy"])

    @property
    def class_accuracies(self) -> list[float]:
        """Accuracy of each class; 0 for a class without samples."""
        return cast("list[float]", self["class_accuracies"])

    @property
    def roc_thresholds(self) -> Floats:
        """The 101 thresholds 0, 0.01, … 1."""
        return cast("Floats", self["roc_thresholds"])

    @property
    def fpr(self) -> Floats:
        """False positive rates, `(classes, 101)`: share of the other classes' samples above the threshold."""
        return cast("Floats", self["fpr"])

    @property
    def tpr(self) -> Floats:
        """True positive rates, `(classes, 101)`: share of the class's own samples above the threshold."""
        return cast("Floats", self["tpr"])

    @property
    def roc_auc(self) -> list[float]:
        """Area below the 101 points `(fpr, tpr)` of each class; 0 if no or all samples are of that class."""
        return cast("list[float]", self["roc_auc"])

    @property
    def roc_auc_avg(self) -> float:
        """Unweighted mean of the areas of the classes with a curve."""
        return cast("float", self["roc_auc_avg"])

    @property
    def precision(self) -> list[Floats]:
        """Precision of each class at ascending thresholds, ending with 1."""
        return cast("list[Floats]", self["precision"])

    @property
    def recall(self) -> list[Floats]:
        """Recall of each class at the thresholds of `precision`, ending with 0."""
        return cast("list[Floats]", self["recall"])

    @property
    def confusion_matrix(self) -> Integers:
        """Number of samples, `(classes, classes)`: actual class by predicted class."""
        return cast("Integers", self["confusion_matrix"])

    def calculate(self, y: ArrayLike, y_pred: ArrayLike) -> None:
        """Compute all results.

        Args:
            y: The actual classes: ids `(n,)` or `(n, 1)`, or one-hot `(n, classes)`.
            y_pred: Scores `(n, classes)`, or the probability `(n,)` or `(n, 1)` of the second of two classes.
                The class with the highest score is predicted; a probability of 0.5 predicts the first class.

        Raises:
            EvaluationError: The shapes or the number of classes do not match, or a score is NaN or infinite.
        """
        scores = _to_scores(np.asarray(y_pred))
        count = scores.shape[1]
        ids = class_ids(np.asarray(y))
        if len(ids) != len(scores):
            raise EvaluationError(f"There are {len(ids):,} labels for {len(scores):,} predictions.")
        if not len(ids):
            raise EvaluationError("There are no samples to evaluate.")
        if ids.min() < 0 or ids.max() >= count:
            wrong = ids.min() if ids.min() < 0 else ids.max()
            raise EvaluationError(
                f"A label is class {wrong}, but the model has only the classes 0 to {count - 1}."
            )
        labels = self.setdefault("classes", [str(i) for i in range(count)])
        if len(labels) != count:
            raise EvaluationError(f"The model has {count} classes, but there are names for {len(labels)}.")

        matrix = np.bincount(ids * count + scores.argmax(axis=1), minlength=count * count).reshape(
            count, count
        )
        sizes = matrix.sum(axis=1)
        tpr, fpr = compute_rates(scores, ids, sizes)
        areas = ((tpr[:, :-1] + tpr[:, 1:]) / 2 * (fpr[:, :-1] - fpr[:, 1:])).sum(axis=1)
        # A class with all samples or none has no curve.
        has_curve = (sizes > 0) & (sizes < len(ids))
        areas[~has_curve] = 0.0
        curves = [compute_precision_and_recall(scores[:, i], ids == i) for i in range(count)]
        self.update(
            overall_accuracy=float(matrix.trace() / len(ids)),
            class_accuracies=(matrix.diagonal() / np.maximum(sizes, 1)).tolist(),
            fpr=fpr,
            tpr=tpr,
            roc_auc=areas.tolist(),
            roc_thresholds=THRESHOLDS,
            roc_auc_avg=float(areas[has_curve].mean()) if has_curve.any() else 0.0,
            precision=[precision for precision, _ in curves],
            recall=[recall for _, recall in curves],
            confusion_matrix=matrix,
            accuracy_interval=list(proportion_interval(int(matrix.trace()), len(ids))),
            largest_class=labels[int(sizes.argmax())],
            largest_class_accuracy=float(sizes.max() / len(ids)),
            **_compute_class_figures(matrix),
        )

    def generate_headline(self) -> str:
        """Return the accuracy, with the number and kind of the samples and the interval, as one line of text."""
        interval = self.get("accuracy_interval") or proportion_interval(
            self.overall_accuracy * self.n_samples, self.n_samples
        )
        return f"{self.overall_accuracy:.2%} accuracy {self.describe_samples(self.n_samples, interval)}"

    def describe_baselines(self) -> str:
        """Return what simpler answers reach, as one line of text."""
        texts = [f"{self['largest_class_accuracy']:.2%} always '{self['largest_class']}'"]
        if (nearest := self.get("nearest_neighbor_accuracy")) is not None:
            texts.append(f"{nearest:.2%} nearest neighbor in the training data")
        return ", ".join(texts)

    def generate_summary(self, include_all: bool = True) -> str:
        """Return a summary as text.

        Args:
            include_all: Include the values of each class, best first.
        """
        lines = [f"Name: {self.name}", f"Model Type: {self.model_type}"]
        lines.append(f"Overall accuracy: {self.overall_accuracy:.3%}")
        if include_all:
            lines += ["Class accuracies:", *self._list_by_class(self.class_accuracies)]
        lines.append(f"Average ROC AUC: {self.roc_auc_avg:.3%}")
        if include_all:
            lines += ["Class ROC AUC:", *self._list_by_class(self.roc_auc)]
        if include_all and "class_f1" in self:
            lines += ["Class precision, recall, F1 and samples:", *self._list_class_figures()]
            lines += [f"Measured: {self.generate_headline()}", f"Baselines: {self.describe_baselines()}"]
        return "\n".join(lines)

    def _list_class_figures(self) -> list[str]:
        width = max(map(len, self.classes))
        sizes = self.confusion_matrix.sum(axis=1)
        columns = zip(
            self.classes, self["class_precision"], self.class_accuracies, self["class_f1"], sizes, strict=True
        )
        return [
            f"- {label:<{width}} = {precision:.3f}  {recall:.3f}  {f1:.3f}  {size:,}"
            if size
            else f"- {label:<{width}} = no samples"
            for label, precision, recall, f1, size in columns
        ]

    def _list_by_class(self, values: Sequence[float]) -> list[str]:
        order = sorted(range(len(values)), key=lambda i: -values[i])
        width = max(map(len, self.classes))
        sizes = self.confusion_matrix.sum(axis=1)
        return [
            f"- {self.classes[i]:<{width}} = {f'{values[i]:.3%}' if sizes[i] else 'no samples'}"
            for i in order
        ]

    def figures(self) -> Iterator[tuple[str, str, Callable[[Figure], None]]]:
        """Yield the plots: ROC, precision against recall, rates against threshold, confusion matrix."""
        yield "roc", "roc", self._draw_roc
        yield "precision_vs_recall", "precision_vs_recall", self._draw_precision_vs_recall
        yield "tpr", "tpr", partial(self._draw_rates, rates={"True positive rate": self.tpr})
        yield "fpr", "fpr", partial(self._draw_rates, rates={"False positive rate": self.fpr})
        both = {"True positive rate": self.tpr, "False positive rate": self.fpr}
        yield "tfp_fpr", "tpr_and_fpr", partial(self._draw_rates, rates=both)
        yield "confusion_matrix", "confusion_matrix", self._draw_confusion_matrix

    def _draw_roc(self, figure: Figure) -> None:
        axes = self._make_axes(figure, "Receiver operating characteristic")
        axes.set(xlabel="False positive rate", ylabel="True positive rate", xlim=(0, 0.1), ylim=(0.5, 1.01))
        present = self.confusion_matrix.sum(axis=1) > 0
        reached = np.where(self.fpr <= 0.1, self.tpr, 0).max(axis=1)
        if (reached[present] < 0.5).any():
            # The curve would lie outside the zoomed corner.
            axes.set(xlim=(0, 1), ylim=(0, 1.01))
        captions = [
            f"{label} (AUC {area:.4f})" for label, area in zip(self.classes, self.roc_auc, strict=True)
        ]
        self._draw_lines(axes, self.fpr, self.tpr, captions)
        _add_legend(figure, axes, f"Average AUC {self.roc_auc_avg:.4f}")

    def _draw_precision_vs_recall(self, figure: Figure) -> None:
        axes = self._make_axes(figure, "Precision and recall")
        axes.set(xlabel="Recall", ylabel="Precision", xlim=(0, 1.01), ylim=(0, 1.01))
        self._draw_lines(axes, self.recall, self.precision, self.classes)
        _add_legend(figure, axes)

    def _draw_rates(self, figure: Figure, rates: dict[str, Floats]) -> None:
        figure.set_size_inches(*_compute_size(len(self.classes), panels=len(rates)))
        axes: Sequence[Axes] = figure.subplots(1, len(rates), squeeze=False)[0]
        for panel, (title, values) in zip(axes, rates.items(), strict=True):
            panel.set_title(self._title(title))
            panel.set(xlabel="Threshold", ylabel=title, xlim=(0, 1), ylim=(-0.01, 1.01))
            panel.grid(True)
            self._draw_lines(panel, [self.roc_thresholds] * len(values), values, self.classes)
        _add_legend(figure, axes[-1])

    def _draw_confusion_matrix(self, figure: Figure) -> None:
        from matplotlib.colors import PowerNorm

        matrix, count = self.confusion_matrix, len(self.classes)
        shares = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
        side = max(4.4, count * (0.78 if count <= 12 else 0.52))
        step = -(-count // _MOST_DRAWN)
        side = min(side, 0.52 * _MOST_DRAWN)
        label_width = 0.09 * max(map(len, self.classes))
        slanted = label_width > side * step / count
        figure.set_size_inches(side + label_width + 1.8, side + (label_width if slanted else 0) + 1.2)
        # This layout is for axes with a fixed aspect ratio.
        figure.set_layout_engine("compressed")
        axes = figure.subplots()
        # The square root makes rare errors visible.
        image = axes.imshow(shares, cmap="Blues", norm=PowerNorm(0.5, vmin=0, vmax=1))
        axes.spines[:].set_visible(False)
        axes.set_title(
            f"{self.name}: confusion matrix, {self.n_samples:,} samples, accuracy {self.overall_accuracy:.2%}"
        )
        axes.set(xlabel="Predicted class", ylabel="Actual class")
        axes.set_xticks(range(0, count, step), self.classes[::step])
        if slanted:
            axes.tick_params("x", rotation=45)
            for label in axes.get_xticklabels():
                label.set(ha="right", rotation_mode="anchor")
        axes.set_yticks(range(0, count, step), self.classes[::step])
        axes.tick_params(which="both", length=0)
        if step == 1:
            self._draw_numbers(axes, shares)
        bar = figure.colorbar(image, ax=axes, fraction=0.04, pad=0.02, label="Share of the actual class")
        bar.set_ticks(
            [0, 0.01, 0.05, 0.1, 0.25, 0.5, 1], labels=["0", "1%", "5%", "10%", "25%", "50%", "100%"]
        )
        bar.ax.minorticks_off()
        bar.outline.set_visible(False)

    def _draw_numbers(self, axes: Axes, shares: Floats) -> None:
        """Write the number of samples and their share into the cells of the confusion matrix."""
        matrix, count = self.confusion_matrix, len(self.classes)
        axes.set_xticks(np.arange(count + 1) - 0.5, minor=True)
        axes.set_yticks(np.arange(count + 1) - 0.5, minor=True)
        axes.tick_params(which="minor", length=0)
        axes.grid(True, which="minor", color="white", linewidth=1)
        size = 11.0 if count <= 12 else 8.0
        # Zeros are left out so that the errors stand out.
        for row, column in zip(*np.nonzero(matrix), strict=True):
            share = shares[row, column]
            color = "white" if share > 0.35 else "#222222"
            for text, above, scale in (
                (f"{matrix[row, column]:,}", True, 1.0),
                (_format_percent(share), False, 0.72),
            ):
                axes.annotate(
                    text,
                    (column, row),
                    (0, 0.5 if above else -2.5),
                    textcoords="offset points",
                    ha="center",
                    va="bottom" if above else "top",
                    color=color,
                    fontsize=size * scale,
                )

    def _make_axes(self, figure: Figure, title: str) -> Axes:
        figure.set_size_inches(*_compute_size(len(self.classes)))
        axes = figure.subplots()
        axes.set_title(self._title(title))
        axes.grid(True)
        return axes

    def _title(self, title: str) -> str:
        count = len(self.classes)
        part = f", {_MOST_DRAWN} worst of {count} classes" if count > _MOST_DRAWN else ""
        return f"{self.name}: {title.lower()}{part}"

    def _draw_lines(
        self, axes: Axes, x: Sequence[Floats] | Floats, y: Sequence[Floats] | Floats, captions: Sequence[str]
    ) -> None:
        sizes = self.confusion_matrix.sum(axis=1)
        drawn = self._drawn_classes()
        for i, style in zip(drawn, line_styles(len(drawn)), strict=True):
            if sizes[i]:
                axes.plot(x[i], y[i], label=captions[i], **style)
            else:
                axes.plot([], [], label=f"{self.classes[i]} (no samples)", **style)

    def _drawn_classes(self) -> list[int]:
        """Return the classes whose curves are drawn: all, or of very many those with the lowest ROC AUC."""
        count = len(self.classes)
        if count <= _MOST_DRAWN:
            return list(range(count))
        sizes = self.confusion_matrix.sum(axis=1)
        worst = sorted(range(count), key=lambda i: (not sizes[i], self.roc_auc[i]))
        return sorted(worst[:_MOST_DRAWN])


def _compute_class_figures(matrix: Integers) -> dict[str, list[float]]:
    """Return precision and F1 of each class (its accuracy is its recall); 0 where there is nothing to divide by."""
    hits = matrix.diagonal()
    actual, predicted = matrix.sum(axis=1), matrix.sum(axis=0)
    return {
        "class_precision": (hits / np.maximum(predicted, 1)).tolist(),
        "class_f1": (2 * hits / np.maximum(actual + predicted, 1)).tolist(),
    }


def _to_scores(predictions: np.ndarray) -> Floats:
    """Return the scores in float64 with one column per class."""
    scores = predictions.astype(np.float64)
    unusable = np.count_nonzero(~np.isfinite(scores))
    if unusable:
        raise EvaluationError(
            f"{unusable:,} of {scores.size:,} predicted values are NaN or infinite: the model is unusable,"
            " probably because training diverged."
        )
    if scores.ndim == 1 or (scores.ndim == 2 and scores.shape[1] == 1):
        second = scores.reshape(-1)
        return np.stack([1 - second, second], axis=1)
    if scores.ndim != 2:
        raise EvaluationError(
            f"A classifier must predict one score per class, but the model's output has the shape {scores.shape}."
        )
    return scores


def _compute_size(classes: int, panels: int = 1) -> tuple[float, float]:
    return 5.2 * panels + (2.2 if classes <= 20 else 4.2), 5.0 if classes <= 20 else 6.0


def _add_legend(figure: Figure, axes: Axes, title: str | None = None) -> None:
    handles, labels = axes.get_legend_handles_labels()
    columns = 1 if len(labels) <= 20 else 2
    figure.legend(handles, labels, loc="outside right upper", ncols=columns, title=title, fontsize=9)


def _format_percent(share: float) -> str:
    if share in (0, 1):
        return f"{share:.0%}"
    return "<0.1%" if share < 0.0005 else f"{min(share, 0.999):.1%}"
