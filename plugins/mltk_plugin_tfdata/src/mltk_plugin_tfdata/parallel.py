"""Apply a Python function to the elements of a `tf.data.Dataset` in parallel threads."""

from __future__ import annotations

import os
import random
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from mltk.data import batch_rng, record_failure
from mltk.errors import DatasetError, SpecificationError
from mltk.model import get_active_model
from mltk.utils.logging import get_mltk_logger
from mltk.utils.threads import worker_count

if TYPE_CHECKING:
    import tensorflow as tf

DEFAULT_SEED = 42
"""Seed of the global generators outside of operations on a model."""

DType = str | type | np.dtype
_State = tuple[Any, Any]


class ProcessPool:
    """Settings that calls of `parallel_process` share.

    Args:
        entry_point: The callback; kept as an attribute.
        n_jobs: Maximum number of parallel calls, or a fraction (0 to 1) of the cores.
        name: Name for messages.
        env: Ignored, as there are no subprocesses.
        disable_gpu_in_subprocesses: Run TensorFlow operations of the callback on the CPU.
        **kwargs: Ignored.
    """

    def __init__(
        self,
        entry_point: Callable[..., object] | None = None,
        n_jobs: float = 4,
        name: str = "ParallelProcess",
        env: Mapping[str, str] | None = None,
        disable_gpu_in_subprocesses: bool = True,
        **kwargs: object,
    ) -> None:
        self.entry_point = entry_point
        self.n_jobs = worker_count(n_jobs, "n_jobs")
        self.name = name
        self.cpu_only = disable_gpu_in_subprocesses
        self.closed = False
        if env:
            get_mltk_logger().info(
                f"parallel_process('{name}'): env has no effect: callbacks run in threads of this process."
            )

    def shutdown(self) -> None:
        """Reject further calls; running calls continue."""
        self.closed = True

    close = shutdown

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.shutdown()


def parallel_process(
    dataset: tf.data.Dataset,
    callback: Callable[..., object],
    dtype: DType | Sequence[DType] = np.float32,
    n_jobs: float = 4,
    job_batch_size: int | None = None,
    pool: ProcessPool | None = None,
    name: str = "ParallelProcess",
    env: Mapping[str, str] | None = None,
    disable_gpu_in_subprocesses: bool = True,
) -> tuple[tf.data.Dataset, ProcessPool]:
    """Apply a Python function to each element of a data set in parallel threads, in order.

    A callback that uses the global generators of `random` or `numpy.random` is detected and runs in one thread at a
    time, with generators seeded by model, epoch and element and restored afterwards. A callback with its own generator
    (`numpy.random.default_rng(seed)`) or with TensorFlow's stateless operations runs in parallel.

    The callback gets the components of an element (a sample, or a batch if the data set is batched) as arguments:
    arrays, NumPy scalars, or bytes for strings.

    TensorFlow does not know the shape of the result. Training sets it to the input shape of the network; use
    `tf.ensure_shape` if an earlier step needs it.

    Args:
        dataset: A `tf.data.Dataset` of tensors or tuples of tensors.
        callback: `f(*components)` → array, or a tuple of arrays. Its exceptions end the operation, with their own
            traceback and the element.
        dtype: Type that the result is converted to, or a tuple or list of types for several results.
        n_jobs: Maximum number of parallel calls, or a fraction (0 to 1) of the cores.
        job_batch_size: Maximum number of elements in progress or ready; at least `n_jobs`, the default.
        pool: Pool of an earlier call, to share its settings.
        name: Name for messages.
        env: Ignored.
        disable_gpu_in_subprocesses: Run TensorFlow operations of the callback on the CPU.

    Returns:
        The data set of results and the pool; call `shutdown` of the pool when the data set is no longer needed.

    Raises:
        SpecificationError: An argument is invalid.
    """
    import tensorflow as tf

    if not callable(callback):
        raise SpecificationError(
            f"The callback of parallel_process('{name}') must be callable, got {callback!r}."
        )
    if job_batch_size is not None and job_batch_size < 1:
        raise SpecificationError(f"job_batch_size must be at least 1, got {job_batch_size}.")
    pool = pool or ProcessPool(callback, n_jobs, name, env, disable_gpu_in_subprocesses)
    calls = _Calls(callback, pool, name)
    several = isinstance(dtype, list | tuple)
    types = [tf.as_dtype(t) for t in (dtype if isinstance(dtype, list | tuple) else [dtype])]

    def run(position: np.int64, key: np.int64, *args: object) -> list[np.ndarray]:
        try:
            result = calls(args, int(position), int(key))
            return _convert(result if several else [result], types, several, name)
        except Exception as e:
            raise RuntimeError(record_failure(e)) from e

    def step(position: tf.Tensor, key: tf.Tensor, element: tf.Tensor) -> tuple[tf.Tensor, ...] | tf.Tensor:
        parts = element if isinstance(element, tuple) else (element,)
        # With determinism enabled, TensorFlow runs stateful functions one at a time.
        results = tf.numpy_function(run, [position, key, *parts], types, stateful=False)
        return tuple(results) if several else results[0]

    model = get_active_model()
    seed = int(batch_rng(model.seed if model else DEFAULT_SEED, 0, 0, name).integers(2**31))
    keys = tf.data.Dataset.random(seed=seed, rerandomize_each_iteration=True)
    numbered = tf.data.Dataset.zip((tf.data.Dataset.counter(), keys, dataset))
    processed = numbered.map(step, num_parallel_calls=pool.n_jobs, deterministic=True)
    if job_batch_size is not None and job_batch_size > pool.n_jobs:
        processed = processed.prefetch(job_batch_size - pool.n_jobs)
    options = tf.data.Options()
    # Private threads: callbacks must not block the threads that TensorFlow functions in them need.
    others = dataset.options().threading.private_threadpool_size or 0
    options.threading.private_threadpool_size = max(pool.n_jobs + 1, os.cpu_count() or 1, others)
    return processed.with_options(options), pool


class _SharedLock:
    """A lock for shared or exclusive use; waiting exclusive users go first."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._running = 0
        self._waiting = 0
        self._is_exclusive = False

    @contextmanager
    def shared(self) -> Iterator[None]:
        with self._changed:
            self._changed.wait_for(lambda: not self._is_exclusive and not self._waiting)
            self._running += 1
        try:
            yield
        finally:
            with self._changed:
                self._running -= 1
                self._changed.notify_all()

    @contextmanager
    def exclusive(self) -> Iterator[None]:
        with self._changed:
            self._waiting += 1
            self._changed.wait_for(lambda: not self._is_exclusive and not self._running)
            self._waiting -= 1
            self._is_exclusive = True
        try:
            yield
        finally:
            with self._changed:
                self._is_exclusive = False
                self._changed.notify_all()


class _Calls:
    """Calls of a callback: parallel, or exclusive if it uses a global generator."""

    # The generators are global, so is the lock.
    _lock = _SharedLock()

    def __init__(self, callback: Callable[..., object], pool: ProcessPool, name: str) -> None:
        self._callback = callback
        self._pool = pool
        self._name = name
        self._uses_global: bool | None = None

    def __call__(self, args: Sequence[object], position: int, key: int) -> object:
        if self._pool.closed:
            raise DatasetError(
                f"The pool of parallel_process('{self._name}') was shut down, but its data set is still in use. "
                f"Create the data set again, or shut the pool down later."
            )
        try:
            with _placement(self._pool.cpu_only):
                if self._uses_global is False:
                    with _Calls._lock.shared():
                        before = _global_generators()
                        result = self._callback(*args)
                        if _is_equal(before, _global_generators()):
                            return result
                # First call, or it used a global generator: call it (again) with seeded generators.
                with _Calls._lock.exclusive(), _seeded_global_generators(key) as before:
                    result = self._callback(*args)
                    self._note(uses_global=not _is_equal(before, _global_generators()))
                return result
        except Exception as e:
            e.add_note(f"Raised in parallel_process('{self._name}') by {_describe_element(args, position)}.")
            raise

    def _note(self, uses_global: bool) -> None:
        if uses_global and not self._uses_global and self._pool.n_jobs > 1:
            get_mltk_logger().info(
                f"parallel_process('{self._name}'): the callback uses the global generator of numpy or random, "
                f"so calls do not run in parallel. Use numpy.random.default_rng(seed) instead."
            )
        self._uses_global = self._uses_global or uses_global


def _placement(cpu_only: bool) -> AbstractContextManager[object]:
    if not cpu_only:
        return nullcontext()
    import tensorflow as tf

    device: AbstractContextManager[object] = tf.device("/CPU:0")
    return device


def _convert(results: Any, types: Sequence[tf.DType], several: bool, name: str) -> list[np.ndarray]:
    if several and (not isinstance(results, list | tuple) or len(results) != len(types)):
        given = f"{len(results)} results" if isinstance(results, list | tuple) else type(results).__name__
        raise SpecificationError(
            f"The callback of parallel_process('{name}') must return {len(types)} arrays "
            f"(dtype has {len(types)} types), got {given}."
        )
    if any(result is None for result in results):
        raise SpecificationError(
            f"The callback of parallel_process('{name}') returned None. Is a `return` missing?"
        )
    return [
        np.asarray(result) if t.as_numpy_dtype is object else np.asarray(result, t.as_numpy_dtype)
        for result, t in zip(results, types, strict=True)
    ]


def _describe_element(args: Sequence[object], position: int) -> str:
    names = [
        os.fsdecode(text)
        for arg in args
        for text in (arg.flat if isinstance(arg, np.ndarray) and arg.dtype == object else [arg])
        if isinstance(text, bytes)
    ]
    shown = ", ".join(f"'{name}'" for name in names[:3]) + (", …" if len(names) > 3 else "")
    return f"element {position} of the data set" + (f": {shown}" if shown else "")


def _global_generators() -> _State:
    return random.getstate(), np.random.get_state(legacy=False)


def _is_equal(one: _State, other: _State) -> bool:
    (python, numpy_state), (python_2, numpy_state_2) = one, other
    first, second = numpy_state["state"], numpy_state_2["state"]
    return bool(
        python == python_2 and first["pos"] == second["pos"] and np.array_equal(first["key"], second["key"])
    )


@contextmanager
def _seeded_global_generators(key: int) -> Iterator[_State]:
    """Seed the global generators within the block, and yield their initial state."""
    saved = _global_generators()
    random.seed(key)
    np.random.seed(key % 2**32)
    try:
        yield _global_generators()
    finally:
        random.setstate(saved[0])
        np.random.set_state(saved[1])
