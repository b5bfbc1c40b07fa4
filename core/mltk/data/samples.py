"""Data of an evaluation, in any form, as batches of NumPy arrays."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from mltk.data.arrays import first_not_finite
from mltk.data.loader import BatchIterator
from mltk.data.tf_data import data_errors
from mltk.errors import DatasetError, EvaluationError
from mltk.utils.trees import Tree, as_tree, iterate_leaves, length_of, take_rows

_KEYS = (("x", "y"), ("x_test", "y_test"))


def iterate_batches(
    x: Any, y: Any = None, steps: int | None = None, batch_size: int = 32
) -> Iterator[tuple[Any, Any]]:
    """Yield `(x, y)` batches, each sample once, without sample weights.

    Args:
        x: Samples as an array or nested lists of numbers, or `(x, y)` or `(x, y, sample_weight)`; or any source of
            batches of these forms: a `BatchIterator`, a `tf.data.Dataset`, a `keras.utils.PyDataset`, a generator.
            As in Keras, a list of arrays and a dictionary have an array for each of several inputs or outputs.
        y: Labels, if `x` has all samples; ignored if `x` yields batches with labels.
        steps: Maximum number of batches; required for an infinite generator or data set.
        batch_size: Samples in a batch, if `x` has all samples.

    Yields:
        The samples, and the labels or `None`; arrays, or lists and dictionaries of arrays.

    Raises:
        DatasetError: A `tf.data` pipeline failed.
        EvaluationError: Values are not finite, the numbers of samples and labels differ, a data set is infinite, or
            the form of the data is not supported.
    """
    if isinstance(x, tuple):
        x, y = _unpack(x)
    done = 0
    with data_errors():
        for batch in islice(_batches(x, y, batch_size, steps), steps):
            samples, labels = (None if part is None else as_tree(part) for part in _unpack(batch))
            for name, array in iterate_leaves(samples, "x"):
                row = first_not_finite(array)
                if row is not None:
                    raise EvaluationError(
                        f"Sample {done + row} of {name} holds values that are not finite (NaN or infinite)."
                    )
            done += length_of(samples)
            yield samples, labels


def load_arrays(path: str | os.PathLike[str]) -> tuple[np.ndarray, np.ndarray | None]:
    """Read samples and labels from a `.npz` file of `numpy.savez`.

    Args:
        path: A file with the arrays `x` and `y`, or `x_test` and `y_test`.

    Returns:
        `(x, y)`; y is `None` if the file has no labels.

    Raises:
        DatasetError: The file is missing, damaged or of another kind, or lacks these arrays.
    """
    name = os.fspath(path)
    x, y = _find_arrays(name, load_named_arrays(path))
    if x.ndim == 0:
        raise DatasetError(
            f"The samples in '{name}' have the shape {x.shape}; the first axis must be the sample."
        )
    if y is not None and (y.ndim == 0 or len(y) != len(x)):
        raise DatasetError(f"'{name}' has {len(x):,} samples but labels of the shape {y.shape}.")
    return x, y


def load_named_arrays(path: str | os.PathLike[str]) -> dict[str, np.ndarray]:
    """Read all arrays of a `.npz` file of `numpy.savez`, by name.

    Raises:
        DatasetError: The file is missing, damaged or of another kind.
    """
    name = os.fspath(path)
    try:
        # Opened here: NumPy does not close a damaged file.
        with Path(name).open("rb") as opened:
            loaded = np.load(opened, allow_pickle=False)
            if isinstance(loaded, np.ndarray):
                raise DatasetError(f"'{name}' is a single array, not a .npz file with arrays 'x' and 'y'.")
            return dict(loaded)
    except FileNotFoundError as error:
        raise DatasetError(f"The file with arrays '{name}' does not exist.") from error
    except DatasetError:
        raise
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise DatasetError(
            f"'{name}' cannot be read as a .npz file of plain arrays: it is damaged or of another kind."
        ) from error


def _find_arrays(name: str, file: Mapping[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray | None]:
    for x_key, y_key in _KEYS:
        if x_key in file:
            return file[x_key], file.get(y_key)
    found = ", ".join(f"'{key}' {file[key].shape}" for key in file) or "none"
    raise DatasetError(
        f"'{name}' must have the arrays 'x' (samples, first axis the sample) and 'y' (class ids or one-hot), "
        f"or 'x_test' and 'y_test'. It has: {found}."
    )


def _batches(x: Any, y: Any, batch_size: int, steps: int | None) -> Iterable[Any]:
    if hasattr(x, "shape") or isinstance(x, list | Mapping):
        return _slices(as_tree(x), None if y is None else as_tree(y), batch_size)
    if y is not None and not isinstance(getattr(x, "element_spec", None), tuple):
        raise EvaluationError(f"y cannot be combined with a {type(x).__name__}: its batches must be (x, y).")
    if hasattr(x, "as_numpy_iterator"):
        # -1 means an infinite data set.
        if steps is None and int(x.cardinality()) == -1:
            raise EvaluationError(
                "The data set repeats without an end: remove repeat(), or set the number of steps."
            )
        return x.as_numpy_iterator()  # type: ignore[no-any-return]  # TensorFlow is untyped
    # By position if possible: iterating over an iterator in the style of Keras 2 never ends.
    if hasattr(x, "__getitem__") and hasattr(x, "__len__") and not isinstance(x, BatchIterator):
        return (x[i] for i in range(len(x)))
    if hasattr(x, "__iter__"):
        return x  # type: ignore[no-any-return]  # any iterable
    raise EvaluationError(f"A {type(x).__name__} is not supported as data of an evaluation.")


def _slices(x: Tree, y: Tree | None, batch_size: int) -> Iterator[tuple[Tree, Tree | None]]:
    length = length_of(x)
    for name, array in (*iterate_leaves(x, "x"), *(() if y is None else iterate_leaves(y, "y"))):
        if len(array) != length:
            what = "labels" if name.startswith("y") else f"rows of {name}"
            raise EvaluationError(f"There are {len(array):,} {what} for {length:,} samples.")
    for start in range(0, length, batch_size):
        rows = slice(start, start + batch_size)
        yield take_rows(x, rows), None if y is None else take_rows(y, rows)


def _unpack(batch: Any) -> tuple[Any, Any]:
    if not isinstance(batch, tuple | list):
        return batch, None
    if not 1 <= len(batch) <= 3:
        raise EvaluationError(
            f"Data must be x, (x, y) or (x, y, sample_weight), got a tuple of {len(batch)}."
        )
    return batch[0], batch[1] if len(batch) > 1 else None
