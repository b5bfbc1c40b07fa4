"""Expected calibration error and reliability diagram.

Guo, Pleiss, Sun, Weinberger: On Calibration of Modern Neural Networks, ICML 2017.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import numpy as np
from mltk.core import EvaluationResults
from mltk.errors import EvaluationError

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from mltk.plugins import EvaluationContext

BINS = 15


class CalibrationResults(EvaluationResults):
    """Figures on how well confidence agrees with accuracy, as a dictionary that goes into JSON."""

    def generate_summary(self, include_all: bool = True) -> str:
        """Return the figures as text.

        Args:
            include_all: Add a line per bin.
        """
        lines = [
            f"Name: {self.name}",
            f"Expected calibration error: {self['expected_calibration_error']:.2%}",
            f"Maximum calibration error: {self['maximum_calibration_error']:.2%}",
            f"Mean confidence: {self['mean_confidence']:.2%}",
            f"Accuracy: {self['accuracy']:.2%}",
        ]
        if include_all:
            lines.append("Confidence  Accuracy  Samples")
            lines += [
                f"{confidence:10.2%}  {accuracy:8.2%}  {count:7d}"
                for confidence, accuracy, count in zip(
                    self["bin_confidence"], self["bin_accuracy"], self["bin_count"], strict=True
                )
                if count
            ]
        return "\n".join(lines)

    def figures(self) -> Iterator[tuple[str, str, Callable[[Figure], None]]]:
        """Yield the reliability diagram: accuracy over confidence, and the share of the samples per bin."""
        yield "reliability", "reliability", self._draw_reliability

    def _draw_reliability(self, figure: Figure) -> None:
        count = np.asarray(self["bin_count"])
        used = count > 0
        centers = (np.arange(BINS) + 0.5) / BINS
        axes = figure.add_subplot()
        axes.bar(centers, count / count.sum(), 1 / BINS, color="0.85", label="share of the samples")
        axes.plot([0, 1], [0, 1], "--", color="0.4", label="perfectly calibrated")
        confidence, accuracy = (np.asarray(self[key])[used] for key in ("bin_confidence", "bin_accuracy"))
        axes.plot(confidence, accuracy, "o-", label="this model")
        axes.set(xlim=(0, 1), ylim=(0, 1), xlabel="confidence", ylabel="accuracy", title=self.name)
        axes.legend()


def evaluate(context: EvaluationContext) -> CalibrationResults:
    """Judge the model's confidence over the evaluation data."""
    confidence, correct = [], []
    for x, y in context.batches():
        if y is None:
            raise EvaluationError("Calibration needs labels, and the data has none.")
        scores = _probabilities(context.predictor.predict(x))
        confidence.append(scores.max(axis=1))
        correct.append(scores.argmax(axis=1) == _class_ids(y))
    if not confidence:
        raise EvaluationError("Calibration needs at least one sample, and the data has none.")
    figures = calibration(np.concatenate(confidence), np.concatenate(correct))
    results = CalibrationResults(name=context.predictor.name, model_type="calibration", **figures)
    results.generate_plots(show=context.show, output_dir=context.output_dir, logger=context.logger)
    return results


def calibration(confidence: np.ndarray, correct: np.ndarray) -> dict[str, object]:
    """Compare confidence with accuracy in 15 bins of equal width.

    Args:
        confidence: Highest score per sample, 0 to 1, `(n,)`.
        correct: Whether the class with that score is the right one, bool `(n,)`.

    Returns:
        `expected_calibration_error` and `maximum_calibration_error` (0 to 1), `mean_confidence`, `accuracy`,
        and per bin `bin_confidence`, `bin_accuracy` (means, 0 for an empty bin) and `bin_count`.
    """
    # A bin includes its upper edge, as in the paper.
    bins = np.clip(np.ceil(confidence.astype(np.float64) * BINS).astype(int) - 1, 0, BINS - 1)
    count = np.bincount(bins, minlength=BINS)
    divisor = np.maximum(count, 1)
    bin_confidence = np.bincount(bins, confidence, BINS) / divisor
    bin_accuracy = np.bincount(bins, correct, BINS) / divisor
    gap = np.abs(bin_confidence - bin_accuracy)
    return {
        "expected_calibration_error": float(gap @ count / count.sum()),
        "maximum_calibration_error": float(gap.max()),
        "mean_confidence": float(confidence.mean()),
        "accuracy": float(correct.mean()),
        "bin_confidence": bin_confidence.tolist(),
        "bin_accuracy": bin_accuracy.tolist(),
        "bin_count": count.tolist(),
    }


def _probabilities(scores: np.ndarray) -> np.ndarray:
    """Return one column per class; a single output is the probability of the second of two."""
    scores = scores.reshape(len(scores), -1)
    if scores.shape[1] == 1:
        scores = np.hstack([1 - scores, scores])
    # A softmax in int8 is off by up to half a step of 1/256.
    if scores.min() < -0.01 or scores.max() > 1.01:
        raise EvaluationError("Calibration needs probabilities; the model's outputs are not within 0 to 1.")
    return scores.clip(0, 1)


def _class_ids(y: np.ndarray) -> np.ndarray:
    """Return class ids from ids or one-hot rows."""
    y = np.asarray(y).reshape(len(y), -1)
    return y[:, 0].astype(int) if y.shape[1] == 1 else y.argmax(axis=1)
