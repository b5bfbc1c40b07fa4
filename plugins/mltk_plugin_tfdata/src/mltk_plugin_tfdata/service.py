"""Prepare batches on other machines with TensorFlow's `tf.data` service.

A trainer registers a pipeline with a dispatcher, which hands its work out to workers. Ours is a function of the batch's
position (see `seeded_batches`), so the trainer puts the batches back into their order and makes those itself that a
worker took along when it ended. A training is therefore the same with and without a service, to the bit.

Of pipelines in general nothing of this holds (measured with TensorFlow 2.21): the order differs from run to run; the
elements of `zip((x, y))` are handed out for x and y apart, so that with three workers a third of the samples got the
labels of others; and an epoch never ends when a worker has.
"""

from __future__ import annotations

import socket
import threading
import time
from typing import TYPE_CHECKING, Any

import numpy as np

from mltk.data.tf_data import data_errors
from mltk.errors import DatasetError, SpecificationError
from mltk.utils.logging import get_mltk_logger

if TYPE_CHECKING:
    from mltk_plugin_tfdata.seeded import _Rows

CONNECT_TIMEOUT = 10.0
"""Seconds until a dispatcher must answer."""

FIRST_BATCH_TIMEOUT = 60.0
"""Seconds until a worker must have given something."""

STALL_TIMEOUT = 20.0
"""Seconds without anything new after which the trainer makes the next batch itself."""

# Batches that may wait for one that is late.
_AHEAD = 64
# Several threads ask for the next batches at once.
_SLACK = 8
_LARGEST_COLUMNS = 1 << 30
_FOREVER = 1 << 62

_PYTHON = ("PyFunc", "PyFuncStateless", "EagerPyFunc")


def parse_address(address: str) -> tuple[str, int]:
    """Return host and port of `grpc://host:port`.

    Raises:
        SpecificationError: It is no such address.
    """
    protocol, separator, rest = address.partition("://")
    host, _, port = rest.rpartition(":")
    if protocol != "grpc" or not separator or not host or not port.isdigit() or not 0 < int(port) < 65536:
        raise SpecificationError(f"my_model.tf_data_service must be 'grpc://HOST:PORT', not '{address}'.")
    return host.strip("[]"), int(port)


def connect(address: str, timeout: float | None = None) -> None:
    """Wait until somebody listens at an address.

    Args:
        address: `grpc://host:port`.
        timeout: Seconds to wait; `CONNECT_TIMEOUT` by default.

    Raises:
        DatasetError: Nobody does.
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
                    f"Nobody answers at my_model.tf_data_service = '{address}': {e.strerror or e}. Start a dispatcher "
                    f"there (mltk tfdata-service dispatcher --port {port}), or leave the property out."
                ) from e
            time.sleep(0.2)
        else:
            return


class ServiceStream:
    """The batches of a `seeded_batches`, made by the workers of a service and put back into their order.

    Args:
        rows: What the batches are.
        address: `grpc://host:port` of the dispatcher.

    Raises:
        DatasetError: Nobody answers at the address, or the columns are too large to be sent to workers.
        SpecificationError: The function calls Python.
    """

    def __init__(self, rows: _Rows, address: str) -> None:
        if rows.nbytes > _LARGEST_COLUMNS:
            raise DatasetError(
                f"The columns have {rows.nbytes >> 20:,} MiB; up to {_LARGEST_COLUMNS >> 20:,} can be sent to the "
                f"workers of a tf.data service. Give the paths of files, and read them in the function."
            )
        self.address = address
        self.taken_over = 0
        """Batches that this process made itself, because no worker gave them."""
        self.received = 0
        """Batches that workers gave since the stream was started."""
        self._rows = rows
        # All below is guarded by the condition.
        self._changed = threading.Condition()
        self._ready: dict[int, tuple[np.ndarray, ...]] = {}
        self._next = 0
        self._stalled = False
        self._failure: Exception | None = None
        self._reader: threading.Thread | None = None
        _check_no_python(self._dataset(0))
        connect(address)

    def get(self, position: int) -> tuple[np.ndarray, ...]:
        """Return the batch at a position; waits for workers, but not for one that has ended.

        Raises:
            DatasetError: No worker gave anything at all within `FIRST_BATCH_TIMEOUT`, or the batch is not usable.
        """
        with self._changed:
            if self._reader is None or abs(position - self._next) > _AHEAD:
                self._start(position)
            batch = self._wait(position)
            self._next = max(self._next, position + 1)
            self._forget_old()
            self._changed.notify_all()
        if batch is None:
            self._say_taken_over()
            return self._rows.local(position)
        return self._rows.checked(position, batch)

    def close(self) -> None:
        """Take no more batches."""
        with self._changed:
            self._reader = None
            self._ready.clear()
            self._changed.notify_all()

    def _wait(self, position: int) -> tuple[np.ndarray, ...] | None:
        """Return a batch when it comes; `None` when no worker will give it."""
        received, since = self.received, time.monotonic()
        while position not in self._ready:
            # Positions are handed out in order: what so many have overtaken has gone with its worker.
            if self._failure or self._stalled or len(self._ready) >= _AHEAD or self._reader is None:
                return None
            if received != self.received:
                received, since = self.received, time.monotonic()
            limit = STALL_TIMEOUT if received else FIRST_BATCH_TIMEOUT
            left = since + limit - time.monotonic()
            if left <= 0 and not received:
                raise DatasetError(_no_worker(self.address, limit))
            if left <= 0:
                self._stalled = True
            else:
                self._changed.wait(left)
        return self._ready.pop(position)

    def _forget_old(self) -> None:
        for old in [p for p in self._ready if p < self._next - _SLACK]:
            del self._ready[old]

    def _say_taken_over(self) -> None:
        self.taken_over += 1
        if self.taken_over == 1:
            reason = f" ({self._failure})" if self._failure else ""
            get_mltk_logger().warning(
                f"No worker of the tf.data service at {self.address} gave a certain batch{reason}. "
                f"This process makes such batches itself; the training is the same."
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
        # Whatever it is: batches are made here from now on, and if it is the data, the first of them shows it.
        except Exception as e:  # noqa: BLE001
            with self._changed:
                if self._reader is me:
                    self._failure = e
                    self._changed.notify_all()

    def _dataset(self, start: int) -> Any:
        import tensorflow as tf

        def make(position: Any) -> Any:
            return (position, *self._rows.make(position))

        return tf.data.Dataset.range(start, _FOREVER).map(make, num_parallel_calls=2, deterministic=True)

    def _distributed(self, start: int) -> Any:
        import tensorflow as tf

        service = tf.data.experimental.service
        return self._dataset(start).apply(
            service.distribute(service.ShardingPolicy.DYNAMIC, service=self.address)
        )


def _check_no_python(dataset: Any) -> None:
    import tensorflow as tf
    from tensorflow.core.framework import graph_pb2

    serialized = tf.raw_ops.DatasetToGraphV2(
        input_dataset=tf.data.experimental.to_variant(dataset), external_state_policy=1
    )
    library = graph_pb2.GraphDef.FromString(serialized.numpy()).library
    if any(node.op in _PYTHON for function in library.function for node in function.node_def):
        raise SpecificationError(
            "The function of seeded_batches calls Python (numpy_function or py_function), which the workers of a "
            "tf.data service cannot run. Use TensorFlow's operations, or leave my_model.tf_data_service out."
        )


def _no_worker(address: str, seconds: float) -> str:
    return (
        f"No worker of the tf.data service at {address} gave a batch within {seconds:.0f} s. Start one: "
        f"mltk tfdata-service worker --dispatcher {address.partition('://')[2]}"
    )
