"""Batches of arrays in memory, as seeded and resumable as those of generators."""

from __future__ import annotations

from typing import Any

import numpy as np

from mltk.data.loader import BatchIterator
from mltk.data.seeding import epoch_permutation
from mltk.errors import DatasetError


class ArraySource:
    """Batches of arrays in memory; their order is a function of (seed, epoch).

    Args:
        arrays: `(x,)`, `(x, y)` or `(x, y, sample_weight)`, of equal length.
        batch_size: Samples in a batch; the last batch has the remaining samples.
        seed: Seed of the order; `None` keeps the order of the arrays.
    """

    def __init__(self, arrays: tuple[np.ndarray, ...], batch_size: int, seed: int | None) -> None:
        lengths = {len(a) for a in arrays}
        if len(lengths) != 1:
            raise DatasetError(
                f"x, y and sample_weight differ in length: {', '.join(str(len(a)) for a in arrays)}."
            )
        self.n = lengths.pop()
        if self.n == 0:
            raise DatasetError("The data set has no sample.")
        self.arrays = arrays
        self.batch_size = batch_size
        self.seed = seed
        self._order: tuple[int, np.ndarray] | None = None

    def __len__(self) -> int:
        return -(-self.n // self.batch_size)

    def batch(self, epoch: int, index: int) -> tuple[np.ndarray, ...]:
        """Return one batch."""
        rows: Any = slice(index * self.batch_size, (index + 1) * self.batch_size)
        if self.seed is not None:
            order = self._order
            if order is None or order[0] != epoch:
                order = self._order = (epoch, epoch_permutation(self.n, self.seed, epoch))
            rows = order[1][rows]
        return tuple(a[rows] for a in self.arrays)


def array_iterator(
    x: np.ndarray, y: Any = None, sample_weight: Any = None, *, batch_size: int, seed: int | None
) -> BatchIterator:
    """Return a `BatchIterator` over arrays.

    Raises:
        DatasetError: The arrays are empty or differ in length, or `sample_weight` is given without `y`.
    """
    if sample_weight is not None and y is None:
        raise DatasetError("sample_weight needs y.")
    arrays = tuple(np.asarray(a) for a in (x, y, sample_weight) if a is not None)
    return BatchIterator(ArraySource(arrays, batch_size, seed), workers=0)
