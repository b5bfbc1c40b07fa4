"""Expected calibration error (Guo et al., On Calibration of Modern Neural Networks, ICML 2017)."""

import numpy as np
from mltk.core import EvaluationResults
from mltk.errors import EvaluationError
from mltk.plugins import EvaluationContext

BINS = 15


class CalibrationResults(EvaluationResults):
    """Calibration error, mean confidence and accuracy (0 to 1), and the number of samples per bin."""

    def generate_summary(self, include_all: bool = True) -> str:
        """Return the results as text."""
        error = f"Expected calibration error: {self['expected_calibration_error']:.2%}"
        means = f"Mean confidence: {self['mean_confidence']:.2%}\nAccuracy: {self['accuracy']:.2%}"
        return f"Name: {self.name}\n{error}" + (f"\n{means}" if include_all else "")


def evaluate(context: EvaluationContext) -> CalibrationResults:
    """Compare the confidence of the model with its accuracy on the evaluation data."""
    confidence, correct = [], []
    for x, y in context.batches():
        if y is None:
            raise EvaluationError("Calibration needs labels, but the data set has none.")
        scores = context.predictor.predict(x)
        scores = scores.reshape(len(scores), -1)
        if scores.shape[1] == 1:
            scores = np.hstack([1 - scores, scores])
        # Quantized probabilities are off by up to half a step of 1/256.
        if scores.min() < -0.01 or scores.max() > 1.01:
            raise EvaluationError("Calibration needs probabilities, but the outputs are not within 0 to 1.")
        labels = np.reshape(y, (len(scores), -1))
        classes = labels[:, 0] if labels.shape[1] == 1 else labels.argmax(axis=1)
        confidence.append(scores.max(axis=1))
        correct.append(scores.argmax(axis=1) == classes)
    if not confidence:
        raise EvaluationError("Calibration needs at least one sample, but the data set is empty.")
    return compare(context.predictor.name, np.concatenate(confidence), np.concatenate(correct))


def compare(name: str, confidence: np.ndarray, correct: np.ndarray) -> CalibrationResults:
    """Compare confidence with accuracy in bins of equal width.

    Args:
        name: Name of the model.
        confidence: Highest score per sample, 0 to 1, `(n,)`.
        correct: True where the class with that score is the right one, `(n,)`.
    """
    # A bin includes its upper edge, as in the paper.
    bins = np.clip(np.ceil(confidence.astype(np.float64) * BINS).astype(int) - 1, 0, BINS - 1)
    gap = np.abs(np.bincount(bins, confidence, BINS) - np.bincount(bins, correct, BINS))
    return CalibrationResults(
        name=name,
        model_type="calibration",
        expected_calibration_error=float(gap.sum() / len(bins)),
        mean_confidence=float(confidence.mean()),
        accuracy=float(correct.mean()),
        bin_count=np.bincount(bins, minlength=BINS).tolist(),
    )
