"""What a model is compared with: the nearest neighbor among the training data, on the same features."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np

from mltk.data.samples import iterate_batches
from mltk.results.labels import class_ids

if TYPE_CHECKING:
    from mltk.model.full_model import FullModel

MAX_SAMPLES = 5000
"""Samples of the training data, and of the evaluation data, beyond which nothing is measured."""
MAX_VALUES = 50_000_000
"""Numbers of the training data (200 MB) beyond which nothing is measured."""

Samples = Iterable[tuple[np.ndarray, np.ndarray | None]]


def measure_nearest_neighbor(mltk_model: FullModel, evaluation: Samples) -> float | None:
    """Return the accuracy of answering the class of the nearest training sample.

    The distance is Euclidean, after each feature got the mean 0 and the deviation 1. The training data are read without
    augmentation where the data set has a generator.

    Args:
        mltk_model: The specification. Its evaluation data are unloaded.
        evaluation: Batches of the evaluation data.

    Returns:
        The accuracy, 0 to 1; `None` if there are too many data, or data of another kind than numbers with labels.
    """
    tested = _collect(evaluation)
    mltk_model.unload_dataset()
    if tested is None:
        return None
    options = {"augment": False} if hasattr(mltk_model, "datagen") else {}
    mltk_model.load_dataset("training", test=mltk_model.test_mode_enabled, **options)
    try:
        known = _collect(iterate_batches(mltk_model.x, mltk_model.y, steps=mltk_model.steps_per_epoch))
    finally:
        mltk_model.unload_dataset()
    if known is None or known[0].shape[1] != tested[0].shape[1]:
        return None
    mean, deviation = known[0].mean(axis=0), known[0].std(axis=0)
    deviation[deviation == 0] = 1
    nearest = _find_nearest((known[0] - mean) / deviation, (tested[0] - mean) / deviation)
    return float(np.mean(known[1][nearest] == tested[1]))


def _collect(batches: Samples) -> tuple[np.ndarray, np.ndarray] | None:
    """Return flat samples, float32 `(n, values)`, and class ids; `None` if they are too many or not of this kind."""
    samples: list[np.ndarray] = []
    ids: list[np.ndarray] = []
    count = 0
    for x, y in batches:
        if y is None or not isinstance(x, np.ndarray) or x.dtype.kind not in "fiu":
            return None
        samples.append(x.reshape(len(x), -1).astype(np.float32))
        ids.append(class_ids(np.asarray(y)))
        count += len(x)
        if count > MAX_SAMPLES or count * samples[0].shape[1] > MAX_VALUES:
            return None
    return (np.concatenate(samples), np.concatenate(ids)) if samples else None


def _find_nearest(known: np.ndarray, tested: np.ndarray) -> np.ndarray:
    """Return the index of the nearest of `known` for each of `tested`."""
    squares = np.square(known).sum(axis=1)
    # The distance to all is a matrix product, without the square of the tested sample, which is the same for all.
    parts = np.array_split(tested, max(1, len(tested) // 256))
    return np.concatenate([(squares - 2 * part @ known.T).argmin(axis=1) for part in parts])
