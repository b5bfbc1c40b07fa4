"""Scores: distances between reconstructions and originals, computed for whole batches with NumPy."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from mltk.errors import EvaluationError, SpecificationError, did_you_mean

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    Array = NDArray[Any]
    Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Score:
    """A measure of the distance between originals and reconstructions: the larger, the less normal.

    Called with one sample and its reconstruction, of equal shape, it returns a number.
    """

    name: str
    batch: Callable[[Array, Array], Floats]
    """Takes originals and reconstructions `(n, …)`, returns float64 `(n,)`."""
    compares: bool = True
    """Takes reconstructions of the shape of the originals; otherwise any output of the network."""

    def __call__(self, original: ArrayLike, decoded: ArrayLike) -> float:
        """Return the score of one sample."""
        return float(self.batch(np.asarray(original)[None], np.asarray(decoded)[None])[0])


def structural_similarity(max_val: float = 2.0) -> Score:
    """Return the score `ssim`: 1 - SSIM, from 0 (equal) to 2.

    Wang et al., "Image Quality Assessment: From Error Visibility to Structural Similarity", 2004, with their window:
    Gaussian, 11 pixels (the smaller side of smaller images), standard deviation 1.5; mean over channels.

    Args:
        max_val: Range of the values: 2 for -1 to 1, 255 for pixels.
    """

    def batch(original: Array, decoded: Array) -> Floats:
        a, b = _as_images(original), _as_images(decoded)
        kernel = _gaussian(min(11, *a.shape[1:3]))
        c1, c2 = (0.01 * max_val) ** 2, (0.03 * max_val) ** 2
        mean_a, mean_b = _filter_images(a, kernel), _filter_images(b, kernel)
        product, squares = mean_a * mean_b, mean_a**2 + mean_b**2
        covariance = _filter_images(a * b, kernel) - product
        variances = _filter_images(a**2 + b**2, kernel) - squares
        similarity = (2 * product + c1) * (2 * covariance + c2) / ((squares + c1) * (variances + c2))
        score: Floats = 1 - similarity.mean(axis=(1, 2, 3))
        return score

    return Score("ssim", batch)


def _mse(original: Array, decoded: Array) -> Floats:
    difference = _flatten(original) - _flatten(decoded)
    score: Floats = np.einsum("ij,ij->i", difference, difference) / difference.shape[1]
    return score


def _mae(original: Array, decoded: Array) -> Floats:
    score: Floats = np.abs(_flatten(original) - _flatten(decoded)).mean(axis=1)
    return score


def _mean_output(original: Array, output: Array) -> Floats:
    score: Floats = _flatten(output).mean(axis=1)
    return score


def _mean_square_output(original: Array, output: Array) -> Floats:
    score: Floats = np.square(_flatten(output)).mean(axis=1)
    return score


def _corr(original: Array, decoded: Array) -> Floats:
    a, b = _flatten(original), _flatten(decoded)
    a -= a.mean(axis=1, keepdims=True)
    b -= b.mean(axis=1, keepdims=True)
    norm = np.sqrt(np.einsum("ij,ij->i", a, a) * np.einsum("ij,ij->i", b, b))
    # A constant sample has no correlation.
    score: Floats = 1 - np.einsum("ij,ij->i", a, b) / np.where(norm > 0, norm, np.inf)
    return score


SCORES = {
    "mse": Score("mse", _mse),
    "mae": Score("mae", _mae),
    "corr": Score("corr", _corr),
    "ssim": structural_similarity(),
    "output": Score("output", _mean_output, compares=False),
    "output_squared": Score("output_squared", _mean_square_output, compares=False),
}
"""Mean squared error, mean absolute error, 1 - Pearson's correlation (0 to 2), 1 - SSIM for values from -1 to 1; for
networks that compute a score or an error themselves, the mean and the mean square of their output."""

_LONG_NAMES = {
    "meansquarederror": "mse",
    "meanabsoluteerror": "mae",
    "correlation": "corr",
    "structuralsimilarity": "ssim",
    "outputsquared": "output_squared",
}


def find_score(name: str) -> Score | None:
    """Return the score with this name (short, long, or a class name as in Keras); `None` for another name."""
    plain = name.replace("_", "").lower()
    return SCORES.get(_LONG_NAMES.get(plain, plain))


def as_score(value: object) -> Score:
    """Convert a name or a function to a score.

    Args:
        value: A name; a function `f(original, decoded) -> float` of one sample; an object with a method `batch` as
            `Score` has it, or with an attribute `score` that is one.

    Raises:
        SpecificationError: There is no score of that name, or the value has another type.
    """
    if isinstance(value, Score):
        return value
    if isinstance(value, str):
        score = find_score(value)
        if score is None:
            raise SpecificationError(
                f"There is no scoring function '{value}'.{did_you_mean(value, SCORES)} It may be one of "
                f"{', '.join(SCORES)}, or a function f(original, decoded) -> float."
            )
        return score
    own = getattr(value, "score", None)
    if isinstance(own, Score):
        return own
    name = getattr(value, "__name__", None) or type(value).__name__
    batch = getattr(value, "batch", None)
    if callable(batch):
        return Score(name, batch)
    if not callable(value):
        raise SpecificationError(
            f"my_model.scoring_function must be one of {', '.join(SCORES)} or a function, "
            f"not of type {type(value).__name__}."
        )
    return Score(name, _loop_over_samples(value, name))


def score_of_loss(loss: object) -> Score | None:
    """Return the score that equals a loss, by its name, class or attribute `score`; `None` without one."""
    own = getattr(loss, "score", None)
    if isinstance(own, Score):
        return own
    names = [loss] if isinstance(loss, str) else [getattr(loss, "__name__", ""), type(loss).__name__]
    return next((score for score in map(find_score, names) if score is not None), None)


def _loop_over_samples(
    function: Callable[[Array, Array], float], name: str
) -> Callable[[Array, Array], Floats]:
    def batch(originals: Array, decoded: Array) -> Floats:
        scores = np.empty(len(originals))
        for i in range(len(originals)):
            value = function(originals[i], decoded[i])
            if np.ndim(value):
                raise EvaluationError(
                    f"The scoring function '{name}' returned an array of shape {np.shape(value)} for one sample; "
                    f"it must return a number."
                )
            scores[i] = float(value)
        return scores

    return batch


def _flatten(batch: Array) -> Floats:
    """Return a float64 copy with one row for each sample."""
    return batch.reshape(len(batch), -1).astype(np.float64)


def _as_images(batch: Array) -> Floats:
    if batch.ndim == 3:
        batch = batch[..., None]
    if batch.ndim != 4:
        raise EvaluationError(
            f"The score ssim needs images of shape (height, width) or (height, width, channels), not samples of shape "
            f"{batch.shape[1:]}."
        )
    return batch.astype(np.float64)


def _gaussian(size: int) -> Floats:
    offsets = np.arange(size) - (size - 1) / 2
    weights = np.exp(-(offsets**2) / (2 * 1.5**2))
    normalized: Floats = weights / weights.sum()
    return normalized


def _filter_images(images: Floats, kernel: Floats) -> Floats:
    """Return the weighted means of all windows that lie within the images, `(n, height, width, channels)`."""
    for axis in (1, 2):
        images = np.lib.stride_tricks.sliding_window_view(images, len(kernel), axis=axis) @ kernel
    return images
