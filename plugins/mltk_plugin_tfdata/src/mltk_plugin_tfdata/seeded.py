"""Batches that are a pure function of seed, epoch and position, computed by TensorFlow operations."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from mltk.data import BatchIterator, batch_rng, data_errors
from mltk.errors import DatasetError, SpecificationError
from mltk_plugin_tfdata.service import ServiceStream

if TYPE_CHECKING:
    import tensorflow as tf
    from numpy.typing import ArrayLike

_WORKERS = 2
_PREFETCH = 4

SampleFunction = Callable[..., object]
"""`f(*columns, seed)` in TensorFlow operations → `x`, `(x, y)` or `(x, y, sample_weight)`."""


def seeded_batches(
    columns: ArrayLike | tf.Tensor | tuple[ArrayLike | tf.Tensor, ...],
    function: SampleFunction | None = None,
    *,
    batch_size: int,
    seed: int,
    shuffle: bool = True,
) -> SeededBatches:
    """Return batches of samples that `function` computes from the rows of columns.

    Order and randomness only depend on seed, epoch and position. A resumed training run therefore gives the same result
    as an uninterrupted one, also with `my_model.tf_data_service` (see `TfDataDatasetMixin`).

    Args:
        columns: An array, list or tensor, or a tuple of these with equal lengths, such as paths and labels.
        function: `f(*row, seed)` in TensorFlow operations, called for one sample; seed is int32 `(2,)`, for
            `tf.random.stateless_*` and `tf.image.stateless_*`. Returns `x`, `(x, y)` or `(x, y, sample_weight)`. By
            default, the row is the sample.
        batch_size: Samples per batch; the last batch of an epoch may be smaller.
        seed: Seed of order and augmentation, usually `my_model.seed`.
        shuffle: Shuffle the rows in each epoch. Otherwise, order and sample seeds are the same in each epoch.

    Returns:
        Batches for `fit` and the operations of mltk.

    Raises:
        DatasetError: There are no rows, or the columns differ in length.
    """
    if batch_size < 1:
        raise SpecificationError(f"batch_size must be at least 1, got {batch_size}.")
    return SeededBatches(_Rows(_to_columns(columns), function, batch_size, seed, shuffle))


class SeededBatches(BatchIterator):
    """The result of `seeded_batches`: a `BatchIterator` over TensorFlow operations."""

    source: _Rows

    def __init__(self, source: _Rows) -> None:
        super().__init__(source, workers=_WORKERS, prefetch=_PREFETCH)

    def use_service(self, stream: ServiceStream) -> None:
        """Read batches from workers of the `tf.data` service."""
        self.source.stream = stream

    def close(self) -> None:
        """Stop all iterations, also on other machines."""
        super().close()
        if self.source.stream is not None:
            self.source.stream.close()

    shutdown = close


class _Rows:
    """`BatchSource` that computes the batch at a position."""

    def __init__(
        self,
        columns: tuple[tf.Tensor, ...],
        function: SampleFunction | None,
        batch_size: int,
        seed: int,
        shuffle: bool,
    ) -> None:
        import tensorflow as tf

        self._columns = columns
        self._function = function
        self._batch_size = batch_size
        self._shuffle = shuffle
        self._n = int(columns[0].shape[0])
        keys = batch_rng(seed, 0, 0, "tf.data").integers(0, 2**31, 4, dtype=np.int32)
        self._order_key, self._sample_key = tf.constant(keys[:2]), tf.constant(keys[2:])
        self.stream: ServiceStream | None = None
        self._make = tf.function(self.make, input_signature=[tf.TensorSpec([], tf.int64)], autograph=False)

    def __len__(self) -> int:
        return -(-self._n // self._batch_size)

    @property
    def nbytes(self) -> int:
        """Size of the columns in bytes."""
        return sum(
            sum(map(len, c.numpy().flat)) if c.dtype.name == "string" else int(c.numpy().nbytes)
            for c in self._columns
        )

    def batch(self, epoch: int, index: int) -> tuple[np.ndarray, ...]:
        """Return one batch."""
        position = epoch * len(self) + index
        return self.make_locally(position) if self.stream is None else self.stream.get(position)

    def make_locally(self, position: int) -> tuple[np.ndarray, ...]:
        """Compute the batch at a position, counted over all epochs, in this process."""
        import tensorflow as tf

        with data_errors():
            tensors = self._make(tf.constant(position, tf.int64))
        return self.check(position, tuple(t.numpy() for t in tensors))

    def check(self, position: int, batch: tuple[np.ndarray, ...]) -> tuple[np.ndarray, ...]:
        """Return a batch, or raise an error if it contains values that are not finite."""
        if any(part.dtype.kind == "f" and not np.isfinite(part).all() for part in batch):
            raise DatasetError(
                f"Batch {position % len(self) + 1} of the data contains NaN or infinite values."
            )
        return batch

    def make(self, position: tf.Tensor) -> tuple[tf.Tensor, ...]:
        """Return the tensors of the batch at a position, an int64 scalar."""
        import tensorflow as tf

        n, size, batches = self._n, self._batch_size, len(self)
        epoch, index = position // batches, position % batches
        rows = tf.range(index * size, tf.minimum((index + 1) * size, n))
        # Unshuffled data serve for validation and evaluation: they are the same in each epoch.
        epoch = epoch if self._shuffle else tf.zeros_like(epoch)
        if self._shuffle:
            key = tf.random.experimental.stateless_fold_in(self._order_key, epoch)
            rows = tf.random.experimental.index_shuffle(rows, key, tf.constant(n - 1, tf.int64))
        columns = tuple(tf.gather(column, rows) for column in self._columns)
        key = tf.random.experimental.stateless_fold_in(self._sample_key, epoch)

        def sample(row: tf.Tensor, *values: tf.Tensor) -> tuple[object, ...]:
            if self._function is None:
                return values
            made = self._function(*values, tf.random.experimental.stateless_fold_in(key, row))
            return tuple(made) if isinstance(made, list | tuple) else (made,)

        samples = tf.data.Dataset.from_tensor_slices((rows, *columns))
        samples = samples.map(sample, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
        return tuple(samples.batch(size).get_single_element())


def _to_columns(columns: object) -> tuple[tf.Tensor, ...]:
    import tensorflow as tf

    # The input pipeline runs on the CPU.
    with tf.device("/CPU:0"):
        tensors = tuple(
            tf.convert_to_tensor(c) for c in (columns if isinstance(columns, tuple) else (columns,))
        )
    lengths = [int(t.shape[0]) if t.shape.rank else 0 for t in tensors]
    if len(set(lengths)) != 1:
        raise DatasetError(f"The columns differ in length: {', '.join(map(str, lengths))}.")
    if lengths[0] == 0:
        raise DatasetError("The data set is empty.")
    return tensors
