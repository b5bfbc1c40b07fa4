"""Prefetch the batches of any data source on threads, in a fixed order.

A `BatchSource` says what each batch is, as a pure function of its position; `BatchIterator` decides when and
on which thread it is made. So the number of threads, an interruption or a resume change nothing in the data.
"""

from __future__ import annotations

import threading
import weakref
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, contextmanager
from functools import cache
from typing import TYPE_CHECKING, Protocol, Self

from mltk.data.allocator import keep_freed_memory
from mltk.errors import SpecificationError

if TYPE_CHECKING:
    import keras
    import numpy as np

    Batch = tuple[np.ndarray, ...]


class BatchSource(Protocol):
    """Source of the batches of a data set."""

    def __len__(self) -> int:
        """Return the number of batches in an epoch."""
        ...

    def batch(self, epoch: int, index: int) -> Batch:
        """Return `(x,)`, `(x, y)` or `(x, y, sample_weight)`.

        A pure function, called on several threads at once.

        Args:
            epoch: Counted from 0, without an upper limit. A source with the same batches in all epochs ignores it.
            index: 0 to `len(self) - 1`.
        """
        ...


class BatchIterator:
    """Iterator over the batches of a source, which prefetches the next ones on threads.

    Iterating yields the batches of the epoch `epoch`, then increments `epoch`. Threads exist only during an
    iteration: they end with it, when it is abandoned, and on `close`.

    Args:
        source: Makes the batches.
        workers: Number of threads; 0 makes each batch in the calling thread when it is needed, so that breakpoints
            in callbacks work.
        prefetch: Maximum number of batches to make in advance; at least 1.
    """

    def __init__(self, source: BatchSource, workers: int = 1, prefetch: int = 4) -> None:
        if workers < 0:
            raise SpecificationError(f"workers must be at least 0, got {workers}.")
        if prefetch < 1:
            raise SpecificationError(f"prefetch must be at least 1, got {prefetch}.")
        self.source = source
        self.workers = workers
        self.prefetch = prefetch
        self.epoch = 0
        """Epoch of the next iteration, counted from 0; may be set, e.g. to resume a training run."""
        self.failure: BaseException | None = None
        """Exception that stopped Keras, which hides its class; see `original_errors`."""
        self._windows: weakref.WeakSet[_Window] = weakref.WeakSet()
        self._closed = False
        self._peeked: dict[int, Batch] = {}

    def __len__(self) -> int:
        """Return the number of batches in an epoch."""
        return len(self.source)

    def __getitem__(self, index: int) -> Batch:
        """Return a batch of the current epoch, made in the calling thread."""
        n = len(self)
        if not -n <= index < n:
            raise IndexError(f"There is no batch {index}: an epoch has {n} batches.")
        return self.source.batch(self.epoch, index % n)

    def __iter__(self) -> Iterator[Batch]:
        n, epoch = len(self), self.epoch
        with closing(self._open(stop=(epoch + 1) * n)) as window:
            for index in range(n):
                yield window.get(epoch * n + index)
        self.epoch = epoch + 1

    def peek(self) -> Batch:
        """Return the first batch of the current epoch, which the next iteration gets without making it again."""
        position = self.epoch * len(self)
        if position not in self._peeked:
            self._peeked = {position: self[0]}
        return self._peeked[position]

    def reset(self) -> None:
        """Set `epoch` to 0."""
        self.epoch = 0

    def close(self) -> None:
        """End all iterations and their threads; no further iteration can begin."""
        self._closed = True
        for window in list(self._windows):
            window.close()

    shutdown = close

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def to_keras(self, steps: int | None = None) -> keras.utils.PyDataset:
        """Return the data set as `fit`, `evaluate` and `predict` of Keras accept it.

        Each epoch of Keras reads the epoch `epoch` and increments it; the first batches of the next epoch are
        prefetched at the end of an epoch. Threads end on `close`, or when the result is garbage-collected.

        Args:
            steps: Number of batches in one epoch of Keras, instead of `steps_per_epoch`: the next epoch continues
                where the last one stopped, and any epoch can be resumed. `None`: all batches of the source.
        """
        return _keras_class()(self, steps or len(self))

    def epoch_callback(self) -> keras.callbacks.Callback:
        """Return a Keras callback that sets `epoch` to the epoch of the training run, also of a resumed one."""
        return _callback_class()(self)

    def _open(self, stop: int | None) -> _Window:
        if self._closed:
            raise RuntimeError("The batch iterator was closed.")
        window = _Window(self.source, self.workers, self.prefetch, stop, self._peeked)
        self._peeked = {}
        self._windows.add(window)
        return window


@contextmanager
def original_errors(*data: object) -> Iterator[None]:
    """Raise the exception that stopped a batch iterator, instead of the TensorFlow error that Keras makes of it.

    Args:
        *data: Arguments of Keras in the block; everything but a `BatchIterator` is ignored.
    """
    iterators = [d for d in data if isinstance(d, BatchIterator)]
    for iterator in iterators:
        iterator.failure = None
    try:
        yield
    except Exception:
        for iterator in iterators:
            if iterator.failure is not None:
                raise iterator.failure from None
        raise


class _Window:
    """Sequence of batches, of which the next few are being made.

    Positions count through all epochs: batch `i` of epoch `e` is at `e * len(source) + i`. There is no reference to
    the iterator, so that an unused iterator is garbage-collected together with its threads.
    """

    def __init__(
        self, source: BatchSource, workers: int, prefetch: int, stop: int | None, peeked: dict[int, Batch]
    ) -> None:
        self._peeked = peeked
        self._source = source
        self._stop = stop
        self._prefetch = prefetch
        self._pending: deque[tuple[int, Future[Batch]]] = deque()
        self._executor = ThreadPoolExecutor(workers, thread_name_prefix="mltk-batch") if workers else None
        keep_freed_memory()

    def get(self, position: int) -> Batch:
        """Return the batch at `position`, and start to make the next ones."""
        if position in self._peeked:
            return self._peeked.pop(position)
        if self._executor is None:
            return _make(self._source, position)
        if not self._pending or self._pending[0][0] != position:
            self._cancel()
            self._submit(position)
        _, future = self._pending.popleft()
        following = self._pending[-1][0] + 1 if self._pending else position + 1
        end = position + 1 + self._prefetch
        for ahead in range(following, end if self._stop is None else min(end, self._stop)):
            self._submit(ahead)
        return future.result()

    def close(self) -> None:
        self._cancel()
        if self._executor is not None:
            self._executor.shutdown(wait=True, cancel_futures=True)

    def _submit(self, position: int) -> None:
        assert self._executor is not None
        self._pending.append((position, self._executor.submit(_make, self._source, position)))

    def _cancel(self) -> None:
        while self._pending:
            self._pending.pop()[1].cancel()


def _make(source: BatchSource, position: int) -> Batch:
    return source.batch(*divmod(position, len(source)))


@cache
def _keras_class() -> type[keras.utils.PyDataset]:
    import keras

    class KerasBatches(keras.utils.PyDataset):
        def __init__(self, iterator: BatchIterator, steps: int) -> None:
            super().__init__(workers=1)
            self._iterator = iterator
            self._steps = steps
            self._window = iterator._open(stop=None)
            self._lock = threading.Lock()
            # Keras reads the first two batches to learn their shapes, before the first epoch begins.
            self._peeked: dict[int, Batch] = {}
            self._epoch: int | None = None
            self._next = 0

        def __len__(self) -> int:
            return self._steps

        def on_epoch_begin(self) -> None:
            with self._lock:
                self._epoch = self._iterator.epoch
                self._next = self._epoch * self._steps

        def on_epoch_end(self) -> None:
            with self._lock:
                if self._epoch is not None:  # Keras also calls it before the first epoch.
                    self._iterator.epoch = self._epoch + 1
                    self._epoch = None

        def __getitem__(self, index: int) -> Batch:
            with self._lock:
                try:
                    if self._epoch is None:
                        position = self._iterator.epoch * self._steps + index
                        if position not in self._peeked:
                            self._peeked[position] = self._window.get(position)
                        return self._peeked[position]
                    # Not by `index`: `fit` shuffles the indices by default, with a random generator that is not
                    # seeded by us. The samples are shuffled already.
                    position = self._next
                    self._next += 1
                    if position in self._peeked:
                        return self._peeked.pop(position)
                    self._peeked.clear()
                    return self._window.get(position)
                except Exception as e:
                    self._iterator.failure = e
                    raise

    return KerasBatches


@cache
def _callback_class() -> type[keras.callbacks.Callback]:
    import keras

    class EpochSetter(keras.callbacks.Callback):
        def __init__(self, iterator: BatchIterator) -> None:
            super().__init__()
            self._iterator = iterator

        def on_epoch_begin(self, epoch: int, logs: dict[str, object] | None = None) -> None:
            self._iterator.epoch = epoch

    return EpochSetter
