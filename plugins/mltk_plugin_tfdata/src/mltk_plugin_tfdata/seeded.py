"""Batches that are a pure function of seed, epoch and position, computed by TensorFlow, here or on other machines."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from mltk.data.loader import BatchIterator
from mltk.data.seeding import batch_rng
from mltk.data.tf_data import data_errors
from mltk.errors import DatasetError, SpecificationError

if TYPE_CHECKING:
    from mltk_plugin_tfdata.service import ServiceStream

_WORKERS = 2
_PREFETCH = 4

SampleFunction = Callable[..., Any]
"""`f(*columns, seed)` in TensorFlow operations → `x`, `(x, y)` or `(x, y, sample_weight)`."""


def seeded_batches(
    columns: Any,
    function: SampleFunction | None = None,
    *,
    batch_size: int,
    seed: int,
    shuffle: bool = True,
) -> SeededBatches:
    """Return batches of samples that `function` makes of the rows of some columns.

    Order and randomness depend on the seed, the epoch and the position alone. So a training that was interrupted goes
    on as if it had not been, and `my_model.tf_data_service` (see `TfDataDatasetMixin`) changes no bit of the result.

    Args:
        columns: An array, list or tensor, or a tuple of these with equal lengths: paths and labels, for instance.
        function: `f(*row, seed)`, called for one sample with scalars or tensors of the columns, and a seed int32 `(2,)`
            for `tf.random.stateless_*` and `tf.image.stateless_*`. Traced once, so in TensorFlow operations. Returns
            `x`, `(x, y)` or `(x, y, sample_weight)`. By default the row itself.
        batch_size: Samples per batch; the last of an epoch may have fewer.
        seed: Of order and randomness: `my_model.seed`.
        shuffle: Another order in each epoch. Without it, each sample also gets the same seed in each epoch.

    Returns:
        What `fit` and the operations of mltk take in place of a `tf.data.Dataset`.

    Raises:
        DatasetError: There are no rows, or the columns differ in length.
    """
    if batch_size < 1:
        raise SpecificationError(f"batch_size must be at least 1, not {batch_size}.")
    return SeededBatches(_Rows(_as_columns(columns), function, batch_size, seed, shuffle))


class SeededBatches(BatchIterator):
    """The batches of `seeded_batches`; a `BatchIterator` over TensorFlow operations."""

    source: _Rows

    def __init__(self, source: _Rows) -> None:
        super().__init__(source, workers=_WORKERS, prefetch=_PREFETCH)

    def use_service(self, stream: ServiceStream) -> None:
        """Take batches from workers of the `tf.data` service."""
        self.source.stream = stream

    def close(self) -> None:
        """End all passes, also those on other machines."""
        super().close()
        if self.source.stream is not None:
            self.source.stream.close()

    shutdown = close


class _Rows:
    """The `BatchSource`: what the batch at a position is."""

    def __init__(
        self,
        columns: tuple[Any, ...],
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
        """Size of the columns; texts count with their length."""
        return sum(
            sum(map(len, c.numpy().flat)) if c.dtype.name == "string" else int(c.numpy().nbytes)
            for c in self._columns
        )

    def batch(self, epoch: int, index: int) -> tuple[np.ndarray, ...]:
        """Return one batch."""
        position = epoch * len(self) + index
        return self.local(position) if self.stream is None else self.stream.get(position)

    def local(self, position: int) -> tuple[np.ndarray, ...]:
        """Return the batch at a position, counted through all epochs, made by this process."""
        import tensorflow as tf

        with data_errors():
            tensors = self._make(tf.constant(position, tf.int64))
        return self.checked(position, tuple(t.numpy() for t in tensors))

    def checked(self, position: int, batch: tuple[np.ndarray, ...]) -> tuple[np.ndarray, ...]:
        """Return a batch, or refuse it for values that are not finite."""
        if any(part.dtype.kind == "f" and not np.isfinite(part).all() for part in batch):
            raise DatasetError(
                f"Batch {position % len(self) + 1} of the data holds values that are not finite (NaN or infinite)."
            )
        return batch

    def make(self, position: Any) -> tuple[Any, ...]:
        """Return the tensors of the batch at a position: int64, a scalar tensor."""
        import tensorflow as tf

        n, size, batches = self._n, self._batch_size, len(self)
        epoch, index = position // batches, position % batches
        rows = tf.range(index * size, tf.minimum((index + 1) * size, n))
        # What is not shuffled is validated or evaluated with: the same in each epoch.
        epoch = epoch if self._shuffle else tf.zeros_like(epoch)
        if self._shuffle:
            key = tf.random.experimental.stateless_fold_in(self._order_key, epoch)
            rows = tf.random.experimental.index_shuffle(rows, key, tf.constant(n - 1, tf.int64))
        columns = tuple(tf.gather(column, rows) for column in self._columns)
        key = tf.random.experimental.stateless_fold_in(self._sample_key, epoch)

        def sample(row: Any, *values: Any) -> Any:
            if self._function is None:
                return values
            made = self._function(*values, tf.random.experimental.stateless_fold_in(key, row))
            return tuple(made) if isinstance(made, list | tuple) else (made,)

        samples = tf.data.Dataset.from_tensor_slices((rows, *columns))
        samples = samples.map(sample, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
        return tuple(samples.batch(size).get_single_element())


def _as_columns(columns: Any) -> tuple[Any, ...]:
    import tensorflow as tf

    # Kept on the CPU, where the data are prepared.
    with tf.device("/CPU:0"):
        tensors = tuple(
            tf.convert_to_tensor(c) for c in (columns if isinstance(columns, tuple) else (columns,))
        )
    lengths = [int(t.shape[0]) if t.shape.rank else 0 for t in tensors]
    if len(set(lengths)) != 1:
        raise DatasetError(f"The columns differ in length: {', '.join(map(str, lengths))}.")
    if lengths[0] == 0:
        raise DatasetError("The data set has no sample.")
    return tensors
