"""Apply a Python function to the elements of a `tf.data.Dataset`, several at a time, in threads."""

from __future__ import annotations

import os
import random
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any, Self

import numpy as np

from mltk.data.seeding import batch_rng
from mltk.data.tf_data import record_failure
from mltk.errors import DatasetError, SpecificationError
from mltk.model.operation import get_active_model
from mltk.utils.logging import get_mltk_logger
from mltk.utils.threads import worker_count

DEFAULT_SEED = 42
"""Seed of the global generators where no operation runs on a model."""


class ProcessPool:
    """What calls of `parallel_process` share: how many at a time, and an end. The name is the reference's.

    Args:
        entry_point: The callback, for messages only.
        n_jobs: Callbacks at a time: a number, or a fraction (0 to 1) of the cores.
        name: For messages.
        env: Accepted for compatibility: there are no subprocesses that it could be set in.
        disable_gpu_in_subprocesses: Place what a callback computes with TensorFlow on the CPU.
        **kwargs: Ignored; the reference takes a logger.
    """

    def __init__(
        self,
        entry_point: Callable[..., Any] | None = None,
        n_jobs: float = 4,
        name: str = "ParallelProcess",
        env: Mapping[str, str] | None = None,
        disable_gpu_in_subprocesses: bool = True,
        **kwargs: Any,
    ) -> None:
        self.entry_point = entry_point
        self.n_jobs = worker_count(n_jobs, "n_jobs")
        self.name = name
        self.cpu_only = disable_gpu_in_subprocesses
        self.closed = False
        if env:
            get_mltk_logger().info(
                f"parallel_process('{name}'): env has no effect, as callbacks run in threads of this process."
            )

    def shutdown(self) -> None:
        """Refuse further calls. Those under way end by themselves."""
        self.closed = True

    close = shutdown

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.shutdown()


def parallel_process(
    dataset: Any,
    callback: Callable[..., Any],
    dtype: Any = np.float32,
    n_jobs: float = 4,
    job_batch_size: int | None = None,
    pool: ProcessPool | None = None,
    name: str = "ParallelProcess",
    env: Mapping[str, str] | None = None,
    disable_gpu_in_subprocesses: bool = True,
) -> tuple[Any, ProcessPool]:
    """Apply a Python function to each element of a data set, several at a time in threads; the order stays.

    A callback that draws from the global generators of `random` or `numpy.random` would disturb others that do. It is
    found out, and then called once at a time, with generators that are seeded by the model's seed, the pass and the
    element, and put back afterwards. A callback that makes its own generator (`numpy.random.default_rng(seed)`), or
    uses TensorFlow's stateless operations, runs in parallel.

    What an element is decides what the callback gets: one sample, or a batch where the data set was batched. Each
    component of an element is an argument: an array, a NumPy scalar, or bytes for a text.

    The shape of the result is not known to TensorFlow. mltk tells it the network's when the model is trained; use
    `tf.ensure_shape` where a later step needs it.

    Args:
        dataset: A `tf.data.Dataset`, of tensors or tuples of tensors.
        callback: `f(*components)` → array, or a tuple of arrays. What it raises ends the operation on the model, with
            its own traceback and the element.
        dtype: Type of the result, or a tuple or list of types for several; results are converted.
        n_jobs: Calls at a time: a number, or a fraction (0 to 1) of the cores.
        job_batch_size: Greatest number of elements that are under way or ready; at least `n_jobs`, the default.
        pool: A pool of an earlier call, to share its number of jobs.
        name: For messages.
        env: Accepted for compatibility.
        disable_gpu_in_subprocesses: Place what the callback computes with TensorFlow on the CPU.

    Returns:
        The data set of results, and the pool; call its `shutdown` when the data set is no longer needed.

    Raises:
        SpecificationError: A setting is not usable.
    """
    import tensorflow as tf

    if not callable(callback):
        raise SpecificationError(f"The callback of parallel_process('{name}') is no function: {callback!r}.")
    if job_batch_size is not None and job_batch_size < 1:
        raise SpecificationError(f"job_batch_size must be at least 1, not {job_batch_size}.")
    pool = pool or ProcessPool(callback, n_jobs, name, env, disable_gpu_in_subprocesses)
    calls = _Calls(callback, pool, name)
    several = isinstance(dtype, list | tuple)
    types = [tf.as_dtype(t) for t in (dtype if several else [dtype])]

    def run(position: Any, key: Any, *args: Any) -> Any:
        try:
            result = calls(args, int(position), int(key))
            return _converted(result if several else [result], types, several, name)
        except Exception as e:
            raise RuntimeError(record_failure(e)) from e

    def step(position: Any, key: Any, element: Any) -> Any:
        parts = element if isinstance(element, tuple) else (element,)
        # Not stateful: TensorFlow would run one call at a time when it is to be deterministic.
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
    # On threads of their own, callbacks cannot take those that their own TensorFlow functions need.
    others = dataset.options().threading.private_threadpool_size or 0
    options.threading.private_threadpool_size = max(pool.n_jobs + 1, os.cpu_count() or 1, others)
    return processed.with_options(options), pool


class _Turns:
    """Lets calls run together, or one alone; who wants to run alone waits for those that run, and goes next."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._running = 0
        self._waiting = 0
        self._is_alone = False

    @contextmanager
    def together(self) -> Iterator[None]:
        with self._changed:
            self._changed.wait_for(lambda: not self._is_alone and not self._waiting)
            self._running += 1
        try:
            yield
        finally:
            with self._changed:
                self._running -= 1
                self._changed.notify_all()

    @contextmanager
    def alone(self) -> Iterator[None]:
        with self._changed:
            self._waiting += 1
            self._changed.wait_for(lambda: not self._is_alone and not self._running)
            self._waiting -= 1
            self._is_alone = True
        try:
            yield
        finally:
            with self._changed:
                self._is_alone = False
                self._changed.notify_all()


class _Calls:
    """Calls a callback: as many at a time as there are threads, or alone where it draws from a global generator."""

    # The generators are those of the process, so are the turns.
    _turns = _Turns()

    def __init__(self, callback: Callable[..., Any], pool: ProcessPool, name: str) -> None:
        self._callback = callback
        self._pool = pool
        self._name = name
        self._draws: bool | None = None

    def __call__(self, args: Sequence[Any], position: int, key: int) -> Any:
        if self._pool.closed:
            raise DatasetError(
                f"The pool of parallel_process('{self._name}') was shut down, but its data set is read again. "
                f"Make the data set anew, or shut the pool down later."
            )
        try:
            with _placement(self._pool.cpu_only):
                if self._draws is False:
                    with _Calls._turns.together():
                        before = _global_generators()
                        result = self._callback(*args)
                        if _same(before, _global_generators()):
                            return result
                # Not known yet, or it drew. What it drew may have been disturbed, so it is called again.
                with _Calls._turns.alone(), _seeded_global_generators(key) as before:
                    result = self._callback(*args)
                    self._note(draws=not _same(before, _global_generators()))
                return result
        except Exception as e:
            e.add_note(f"It happened in parallel_process('{self._name}'), in {_described(args, position)}.")
            raise

    def _note(self, draws: bool) -> None:
        if draws and not self._draws and self._pool.n_jobs > 1:
            get_mltk_logger().info(
                f"parallel_process('{self._name}'): the callback draws from the global generator of numpy or random, "
                f"so it is called once at a time; with numpy.random.default_rng(seed) it would run in parallel."
            )
        self._draws = self._draws or draws


def _placement(cpu_only: bool) -> Any:
    if not cpu_only:
        return nullcontext()
    import tensorflow as tf

    return tf.device("/CPU:0")


def _converted(results: Any, types: Sequence[Any], several: bool, name: str) -> list[np.ndarray]:
    if several and (not isinstance(results, list | tuple) or len(results) != len(types)):
        given = f"{len(results)} results" if isinstance(results, list | tuple) else type(results).__name__
        raise SpecificationError(
            f"The callback of parallel_process('{name}') must return {len(types)} arrays, as dtype says, not {given}."
        )
    if any(result is None for result in results):
        raise SpecificationError(
            f"The callback of parallel_process('{name}') returned None. Is a `return` missing?"
        )
    return [
        np.asarray(result) if t.as_numpy_dtype is object else np.asarray(result, t.as_numpy_dtype)
        for result, t in zip(results, types, strict=True)
    ]


def _described(args: Sequence[Any], position: int) -> str:
    names = [
        os.fsdecode(text)
        for arg in args
        for text in (arg.flat if isinstance(arg, np.ndarray) and arg.dtype == object else [arg])
        if isinstance(text, bytes)
    ]
    shown = ", ".join(f"'{name}'" for name in names[:3]) + (", …" if len(names) > 3 else "")
    return f"element {position} of the data set" + (f": {shown}" if shown else "")


def _global_generators() -> tuple[Any, Any]:
    return random.getstate(), np.random.get_state(legacy=False)


def _same(one: tuple[Any, Any], other: tuple[Any, Any]) -> bool:
    (python, numpy_state), (python_2, numpy_state_2) = one, other
    first, second = numpy_state["state"], numpy_state_2["state"]
    return bool(
        python == python_2 and first["pos"] == second["pos"] and np.array_equal(first["key"], second["key"])
    )


@contextmanager
def _seeded_global_generators(key: int) -> Iterator[tuple[Any, Any]]:
    """Seed the global generators for the block; yields their state at its beginning."""
    saved = _global_generators()
    # A callback may draw from them whatever we think of it.
    random.seed(key)
    np.random.seed(key % 2**32)
    try:
        yield _global_generators()
    finally:
        random.setstate(saved[0])
        np.random.set_state(saved[1])
