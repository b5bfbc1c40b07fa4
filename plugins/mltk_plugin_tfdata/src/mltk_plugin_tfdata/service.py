"""Prepare batches on other machines with TensorFlow's `tf.data` service.

A trainer registers a pipeline with a dispatcher, which distributes it to workers. A batch of `seeded_batches` is a
function of its position, so the trainer can restore the order and compute batches lost with a worker itself. Training
runs with and without a service are therefore identical, bit by bit.

This does not hold for other pipelines (measured with TensorFlow 2.21): their order varies; `zip((x, y))` distributes x
and y independently, so with three workers a third of the samples got wrong labels; and an epoch does not end after a
worker has ended.
"""

from __future__ import annotations

import socket
import threading
import time
from typing import TYPE_CHECKING, Protocol

import numpy as np

from mltk.data import data_errors
from mltk.errors import DatasetError, SpecificationError
from mltk.utils.logging import get_mltk_logger

if TYPE_CHECKING:
    import tensorflow as tf

CONNECT_TIMEOUT = 10.0
"""Maximum seconds to wait for the dispatcher."""

FIRST_BATCH_TIMEOUT = 60.0
"""Maximum seconds to wait for the first batch of a worker."""

STALL_TIMEOUT = 20.0
"""Seconds without a new batch after which the trainer computes the next batch itself."""

# Maximum number of batches that wait for a late one.
_AHEAD = 64
# Several threads request the next batches at once.
_SLACK = 8
_LARGEST_COLUMNS = 1 << 30
_FOREVER = 1 << 62

_PYTHON = ("PyFunc", "PyFuncStateless", "EagerPyFunc")


def parse_address(address: str) -> tuple[str, int]:
    """Split `grpc://host:port` into host and port.

    Raises:
        SpecificationError: The address has another form.
    """
    protocol, separator, rest = address.partition("://")
    host, _, port = rest.rpartition(":")
    if protocol != "grpc" or not separator or not host or not port.isdigit() or not 0 < int(port) < 65536:
        raise SpecificationError(f"my_model.tf_data_service must be 'grpc://HOST:PORT', got '{address}'.")
    return host.strip("[]"), int(port)


def connect(address: str, timeout: float | None = None) -> None:
    """Wait until a dispatcher listens at an address.

    Args:
        address: `grpc://host:port`.
        timeout: Maximum seconds to wait; `CONNECT_TIMEOUT` by default.

    Raises:
        DatasetError: No dispatcher listens there.
    """
    host, port = parse_address(address)
    timeout = CONNECT_TIMEOUT if timeout is None else timeout
    end = time.monotonic() + timeout
    while True:
        try:
            socket.create_connection((host, port), timeout=timeout).close()
        except OSError as e:
            if time.monotonic() > end or isinstance(e, socket.gaierror):
                raise DatasetError(
                    f"No dispatcher answers at my_model.tf_data_service = '{address}': {e.strerror or e}. Start one "
                    f"there (mltk tfdata-service dispatcher --port {port}), or remove the property."
                ) from e
            time.sleep(0.2)
        else:
            return


class Rows(Protocol):
    """Source of batches that are a function of their position, counted over all epochs."""

    @property
    def nbytes(self) -> int:
        """Size of the columns in bytes."""

    def make(self, position: tf.Tensor) -> tuple[tf.Tensor, ...]:
        """Return the tensors of the batch at a position."""

    def make_locally(self, position: int) -> tuple[np.ndarray, ...]:
        """Compute a batch in this process."""

    def check(self, position: int, batch: tuple[np.ndarray, ...]) -> tuple[np.ndarray, ...]:
        """Return a batch, or raise an error if it contains values that are not finite."""


class ServiceStream:
    """Batches of `seeded_batches` computed by the workers of a service, in order.

    Args:
        rows: Source of the batches.
        address: `grpc://host:port` of the dispatcher.

    Raises:
        DatasetError: No dispatcher answers at the address, or the columns are too large to send to workers.
        SpecificationError: The function calls Python.
    """

    def __init__(self, rows: Rows, address: str) -> None:
        if rows.nbytes > _LARGEST_COLUMNS:
            raise DatasetError(
                f"The columns have {rows.nbytes >> 20:,} MiB, but at most {_LARGEST_COLUMNS >> 20:,} MiB can be sent "
                f"to workers of a tf.data service. Pass file paths as columns and read the files in the function."
            )
        self.address = address
        self.taken_over = 0
        """Number of batches that this process computed because no worker sent them."""
        self.received = 0
        """Number of batches received from workers since the start of the stream."""
        self._rows = rows
        # The condition guards all attributes below.
        self._changed = threading.Condition()
        self._ready: dict[int, tuple[np.ndarray, ...]] = {}
        self._next = 0
        self._stalled = False
        self._failure: Exception | None = None
        self._reader: threading.Thread | None = None
        _check_no_python(self._dataset(0))
        connect(address)

    def get(self, position: int) -> tuple[np.ndarray, ...]:
        """Return the batch at a position; compute it here if its worker has ended.

        Raises:
            DatasetError: No worker sent a batch within `FIRST_BATCH_TIMEOUT`, or the batch is invalid.
        """
        with self._changed:
            if self._reader is None or abs(position - self._next) > _AHEAD:
                self._start(position)
            batch = self._wait(position)
            self._next = max(self._next, position + 1)
            self._forget_old()
            self._changed.notify_all()
        if batch is None:
            self._report_taken_over()
            return self._rows.make_locally(position)
        return self._rows.check(position, batch)

    def close(self) -> None:
        """Stop reading batches."""
        with self._changed:
            self._reader = None
            self._ready.clear()
            self._changed.notify_all()

    def _wait(self, position: int) -> tuple[np.ndarray, ...] | None:
        """Wait for a batch; return `None` if no worker will send it."""
        received, since = self.received, time.monotonic()
        while position not in self._ready:
            # Positions are distributed in order, so a batch this late was lost with its worker.
            if self._failure or self._stalled or len(self._ready) >= _AHEAD or self._reader is None:
                return None
            if received != self.received:
                received, since = self.received, time.monotonic()
            limit = STALL_TIMEOUT if received else FIRST_BATCH_TIMEOUT
            left = since + limit - time.monotonic()
            if left <= 0 and not received:
                raise DatasetError(_no_worker_message(self.address, limit))
            if left <= 0:
                self._stalled = True
            else:
                self._changed.wait(left)
        return self._ready.pop(position)

    def _forget_old(self) -> None:
        for old in [p for p in self._ready if p < self._next - _SLACK]:
            del self._ready[old]

    def _report_taken_over(self) -> None:
        self.taken_over += 1
        if self.taken_over == 1:
            reason = f" ({self._failure})" if self._failure else ""
            get_mltk_logger().warning(
                f"A batch of the tf.data service at {self.address} was lost{reason}. "
                f"This process computes such batches itself; the result is the same."
            )

    def _start(self, position: int) -> None:
        self._ready.clear()
        self._next, self.received, self._stalled, self._failure = position, 0, False, None
        self._reader = threading.Thread(
            target=self._read, args=(position,), name="mltk-tfdata-service", daemon=True
        )
        self._reader.start()

    def _read(self, start: int) -> None:
        me = threading.current_thread()
        try:
            with data_errors():
                for position, *batch in self._distributed(start).as_numpy_iterator():
                    with self._changed:
                        self.received += 1
                        self._stalled = False
                        while len(self._ready) >= _AHEAD and self._reader is me:
                            self._changed.wait()
                        if self._reader is not me:
                            return
                        self._ready[int(position)] = tuple(batch)
                        self._forget_old()
                        self._changed.notify_all()
        # After any error, batches are computed in this process, which also reports errors in the data.
        except Exception as e:  # noqa: BLE001
            with self._changed:
                if self._reader is me:
                    self._failure = e
                    self._changed.notify_all()

    def _dataset(self, start: int) -> tf.data.Dataset:
        import tensorflow as tf

        def make(position: tf.Tensor) -> tuple[tf.Tensor, ...]:
            return (position, *self._rows.make(position))

        return tf.data.Dataset.range(start, _FOREVER).map(make, num_parallel_calls=2, deterministic=True)

    def _distributed(self, start: int) -> tf.data.Dataset:
        import tensorflow as tf

        service = tf.data.experimental.service
        return self._dataset(start).apply(
            service.distribute(service.ShardingPolicy.DYNAMIC, service=self.address)
        )


def _check_no_python(dataset: tf.data.Dataset) -> None:
    import tensorflow as tf
    from tensorflow.core.framework import graph_pb2

    serialized = tf.raw_ops.DatasetToGraphV2(
        input_dataset=tf.data.experimental.to_variant(dataset), external_state_policy=1
    )
    library = graph_pb2.GraphDef.FromString(serialized.numpy()).library
    if any(node.op in _PYTHON for function in library.function for node in function.node_def):
        raise SpecificationError(
            "The function of seeded_batches calls Python (numpy_function or py_function), which workers of a tf.data "
            "service cannot run. Use TensorFlow operations, or remove my_model.tf_data_service."
        )


def _no_worker_message(address: str, seconds: float) -> str:
    return (
        f"No worker of the tf.data service at {address} sent a batch within {seconds:.0f} s. Start one: "
        f"mltk tfdata-service worker --dispatcher {address.partition('://')[2]}"
    )
