"""Data sets of arrays in memory: training and test arrays, their labels, and the rows of each subset."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from mltk.data.labels import Labels
from mltk.data.loading import GeneratorLoader
from mltk.errors import DatasetError


@dataclass(frozen=True)
class LabeledArrays:
    """Samples in memory with their labels."""

    x: np.ndarray
    """`(n, …)`."""
    y: np.ndarray | None
    """Class ids `(n,)` or shares of classes `(n, classes)`; `None` without labels."""

    @classmethod
    def of(cls, x: ArrayLike, y: ArrayLike | None = None) -> LabeledArrays:
        """Return the arrays.

        Raises:
            DatasetError: They differ in length.
        """
        samples, labels = np.asarray(x), None if y is None else np.asarray(y)
        if labels is not None and len(samples) != len(labels):
            raise DatasetError(f"The data set has {len(samples)} samples but {len(labels)} labels.")
        return cls(samples, labels)

    def check_ids(self, class_mode: str | None, classes: Sequence[str]) -> np.ndarray:
        """Return the class id of each sample: int64 `(n,)`; -1 without labels.

        Raises:
            DatasetError: There are no labels, which the mode needs, or they do not fit the classes.
        """
        if self.y is None:
            if class_mode in ("input", None):
                return np.full(len(self.x), -1, np.int64)
            raise DatasetError(
                f"The data set has no labels, which my_model.class_mode = '{class_mode}' needs."
            )
        ids = get_class_ids(self.y)
        if class_mode in ("input", None):
            return ids
        wide = self.y.shape[1] if self.y.ndim == 2 and self.y.shape[1] > 1 else None
        if wide not in (None, len(classes)) or ids.min(initial=0) < 0 or ids.max(initial=0) >= len(classes):
            found = f"rows of {wide} values" if wide else f"values from {self.y.min()} to {self.y.max()}"
            raise DatasetError(
                f"The labels of the data set are {found}, but my_model.classes names {len(classes)} classes."
            )
        return ids

    def soft_labels(self, rows: np.ndarray) -> np.ndarray | None:
        """Return labels that are shares of classes, which class ids cannot express; else `None`."""
        y = self.y
        if y is None or y.ndim != 2 or y.shape[1] < 2 or bool(np.isin(y, (0, 1)).all()):
            return None
        return np.asarray(y[rows])


@dataclass(frozen=True)
class ArrayParts:
    """Data that `my_model.dataset` returns if it is not a folder."""

    train: LabeledArrays
    test: LabeledArrays | None = None

    @classmethod
    def of(cls, found: object, name: str) -> ArrayParts:
        """Recognize `((x_train, y_train), (x_test, y_test))`, `(x, y)`, or four arrays.

        Args:
            found: What the data set of the model returned.
            name: Name of the model, for the error.

        Raises:
            DatasetError: It is something else.
        """
        if isinstance(found, tuple | list):
            if len(found) == 2 and all(isinstance(pair, tuple | list) and len(pair) == 2 for pair in found):
                return cls(LabeledArrays.of(*found[0]), LabeledArrays.of(*found[1]))
            if len(found) == 4:
                a, b, c, d = found
                samples_first = np.ndim(b) >= 3 or (np.ndim(b) == 2 and np.shape(a)[1:] == np.shape(b)[1:])
                return cls(
                    LabeledArrays.of(a, c if samples_first else b),
                    LabeledArrays.of(b if samples_first else c, d),
                )
            if len(found) == 2:
                return cls(LabeledArrays.of(*found))
        raise DatasetError(
            f"The data set of '{name}' is of type {type(found).__name__}; it must be a folder, "
            f"((x_train, y_train), (x_test, y_test)), or four arrays."
        )

    def is_held_out(self, subset: str, split: float) -> bool:
        """Return whether a subset is the test arrays."""
        return self.test is not None and (subset == "evaluation" or (subset == "validation" and split == 0))

    def of_subset(self, subset: str, split: float) -> LabeledArrays:
        """Return the arrays that a subset is taken from."""
        return self.test if self.test is not None and self.is_held_out(subset, split) else self.train

    def select(self, loader: GeneratorLoader, subset: str, limit: int = -1) -> tuple[np.ndarray, Labels]:
        """Return the samples and labels of a subset.

        Args:
            loader: The loader of the model's data set.
            subset: `training`, `validation` or `evaluation`.
            limit: Maximum number of samples of each class; -1 for no limit.

        Raises:
            DatasetError: The labels do not fit the classes, or there is no sample.
        """
        arrays = self.of_subset(subset, loader.split)
        mode, classes = loader.model.class_mode, loader.classes
        ids = arrays.check_ids(mode, classes)
        chosen = np.ones(len(arrays.x), bool)
        part = loader.get_part(subset)
        if part is not None and not self.is_held_out(subset, loader.split):
            chosen = _select_first(ids, lambda n: math.ceil(n * loader.split))
            chosen = chosen if part == "validation" else ~chosen
        only = loader.options.get("classes")
        if only:
            chosen &= np.isin(ids, [classes.index(name) for name in only])
        rows = np.flatnonzero(chosen)
        if limit >= 0:
            rows = rows[_select_first(ids[rows], lambda _: limit)]
        if not len(rows):
            raise DatasetError(f"The data set of '{loader.model.name}' has no sample for '{subset}'.")
        x = arrays.x[rows] if len(rows) < len(arrays.x) else arrays.x
        return x, Labels(ids[rows], mode, len(classes), values=arrays.soft_labels(rows))


def get_class_ids(labels: np.ndarray) -> np.ndarray:
    """Return int64 `(n,)` class ids of one-hot rows or of ids; -1 for labels that are neither."""
    if labels.ndim == 2 and labels.shape[1] > 1:
        return np.asarray(labels.argmax(axis=1))
    flat = labels.reshape(len(labels), -1)
    if flat.shape[1] == 1 and flat.dtype.kind in "biuf" and (flat == np.rint(flat)).all():
        return flat[:, 0].astype(np.int64)
    return np.full(len(labels), -1, np.int64)


def _select_first(ids: np.ndarray, count: Callable[[int], int]) -> np.ndarray:
    """Return a mask of the first `count(n)` of the `n` samples of each class."""
    mask = np.zeros(len(ids), bool)
    for class_id in np.unique(ids):
        rows = np.flatnonzero(ids == class_id)
        mask[rows[: count(len(rows))]] = True
    return mask
