"""Functions in several processes: `mltk.utils.process_pool`."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ProcessPoolExecutor
from typing import Self

get_cpu_count = multiprocessing.cpu_count


def calculate_n_jobs(n_jobs: float = -1) -> int:
    """Return a number of processes: all processors for -1, a share of them below 1."""
    count = get_cpu_count()
    wanted = count if n_jobs < 0 else n_jobs * count if n_jobs < 1 else n_jobs
    return max(1, min(int(wanted), count))


class ProcessPool:
    """Calls a function in other processes.

    Args:
        entry_point: Function of a module, which new processes can import.
        n_jobs: Number of processes (see `calculate_n_jobs`).
        debug: Call the function in this process.
        env: Environment variables of the processes.
        **_: Arguments of silabs-mltk without effect here.
    """

    def __init__(
        self,
        entry_point: Callable[..., object],
        n_jobs: float = -1,
        debug: bool = False,
        env: Mapping[str, str] | None = None,
        **_: object,
    ) -> None:
        self.n_jobs = 1 if debug else calculate_n_jobs(n_jobs)
        self._function = entry_point
        self._pool = (
            None
            if debug
            else ProcessPoolExecutor(
                self.n_jobs, multiprocessing.get_context("spawn"), _set_variables, (dict(env or {}),)
            )
        )

    def process(
        self,
        *args: object,
        pool_callback: Callable[[object], object] | None = None,
        pool_batch: ProcessPoolBatch | None = None,
        **kwargs: object,
    ) -> object:
        """Call the function.

        Args:
            *args: Arguments of the function.
            pool_callback: Called with the result; `process` does not wait.
            pool_batch: Collects the result; `process` does not wait.
            **kwargs: Arguments of the function.

        Returns:
            The result, or `None` if `process` does not wait.
        """
        future: Future[object]
        if self._pool is None:
            future = Future()
            future.set_result(self._function(*args, **kwargs))
        else:
            future = self._pool.submit(self._function, *args, **kwargs)
        if pool_batch is not None:
            pool_batch.add(future)
        if pool_callback is not None:
            future.add_done_callback(lambda done: pool_callback(done.result()))
        return future.result() if pool_batch is None and pool_callback is None else None

    __call__ = process

    def create_batch(self, size: int = 0) -> ProcessPoolBatch:
        """Return a collection of results for `process`."""
        return ProcessPoolBatch()

    def shutdown(self) -> None:
        """End the processes."""
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.shutdown()


def _set_variables(env: Mapping[str, str]) -> None:
    os.environ.update(env)


class ProcessPoolBatch:
    """Results of several calls."""

    def __init__(self) -> None:
        self._futures: list[Future[object]] = []

    def add(self, future: Future[object]) -> None:
        """Add a call."""
        self._futures.append(future)

    @property
    def size(self) -> int:
        """Number of calls."""
        return len(self._futures)

    def wait(self) -> list[object]:
        """Wait for all calls and return their results, in the order of the calls."""
        return [future.result() for future in self._futures]
