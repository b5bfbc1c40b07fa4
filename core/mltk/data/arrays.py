"""Batches of arrays in memory, as seeded and resumable as those of generators."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from mltk.data.loader import BatchIterator
from mltk.data.seeding import epoch_permutation
from mltk.errors import DatasetError
from mltk.utils.trees import Tree, as_tree, iterate_leaves, take_rows

if TYPE_CHECKING:
    from mltk.data.loader import Batch

_NAMES = ("x", "y", "sample_weight")
_ROWS = 1024


class ArraySource:
    """Batches of arrays in memory; their order is a function of (seed, epoch).

    Args:
        arrays: `(x,)`, `(x, y)` or `(x, y, sample_weight)`: arrays of equal length, or lists and dictionaries of
            arrays.
        batch_size: Samples in a batch; the last batch has the remaining samples.
        seed: Seed of the order; `None` keeps the order of the arrays.
    """

    def __init__(self, arrays: tuple[Tree, ...], batch_size: int, seed: int | None) -> None:
        self.n = check_lengths(arrays)
        if self.n == 0:
            raise DatasetError("The data set has no sample.")
        self.arrays = arrays
        self.batch_size = batch_size
        self.seed = seed
        self._order: tuple[int, np.ndarray] | None = None

    def __len__(self) -> int:
        return -(-self.n // self.batch_size)

    def batch(self, epoch: int, index: int) -> Batch:
        """Return one batch."""
        rows: Any = slice(index * self.batch_size, (index + 1) * self.batch_size)
        if self.seed is not None:
            order = self._order
            if order is None or order[0] != epoch:
                order = self._order = (epoch, epoch_permutation(self.n, self.seed, epoch))
            rows = order[1][rows]
        return tuple(take_rows(tree, rows) for tree in self.arrays)


def array_iterator(
    x: Tree, y: Any = None, sample_weight: Any = None, *, batch_size: int, seed: int | None
) -> BatchIterator:
    """Return a `BatchIterator` over arrays, or lists and dictionaries of arrays.

    Raises:
        DatasetError: The arrays are empty or differ in length, or `sample_weight` is given without `y`.
    """
    if sample_weight is not None and y is None:
        raise DatasetError("sample_weight needs y.")
    arrays = tuple(as_tree(a) for a in (x, y, sample_weight) if a is not None)
    return BatchIterator(ArraySource(arrays, batch_size, seed), workers=0)


def check_lengths(trees: Sequence[Tree]) -> int:
    """Return the number of samples in all arrays of `x`, `y` and `sample_weight`.

    Raises:
        DatasetError: They differ in length.
    """
    named = [leaf for name, tree in zip(_NAMES, trees, strict=False) for leaf in iterate_leaves(tree, name)]
    lengths = {name: len(array) for name, array in named}
    if len(set(lengths.values())) != 1:
        found = ", ".join(f"{name} has {length:,}" for name, length in lengths.items())
        raise DatasetError(f"The arrays of the data set differ in their number of samples: {found}.")
    return next(iter(lengths.values()))


def check_finite(tree: Tree, name: str) -> None:
    """Refuse arrays with values that are no numbers.

    Args:
        tree: The arrays.
        name: Name of the tree, for the message.

    Raises:
        DatasetError: A value is NaN or infinite; the message names the first such sample.
    """
    for leaf_name, array in iterate_leaves(tree, name):
        # In parts: the result for the whole array would take a quarter of its memory.
        for start in range(0, len(array), _ROWS) if array.dtype.kind == "f" else ():
            row = first_not_finite(array[start : start + _ROWS])
            if row is not None:
                raise DatasetError(
                    f"Sample {start + row} of {leaf_name} holds values that are not finite (NaN or infinite)."
                )


def first_not_finite(array: np.ndarray) -> int | None:
    """Return the index of the first sample with a value that is NaN or infinite; `None` if there is none."""
    if array.dtype.kind != "f" or np.isfinite(array).all():
        return None
    return int(np.argmin(np.isfinite(array).reshape(len(array), -1).all(axis=1)))
