"""Compare engines that prefetch batches: concurrent.futures (used by mltk), grain, tf.data.

Each engine runs in a separate process, with a source that augments images with NumPy and OpenCV, and with a source of
precomputed batches, which shows the overhead of the engine.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from mltk.data.seeding import batch_rng

Batch = tuple[np.ndarray, ...]
Engine = Callable[[Any, int], Iterator[Batch]]


class Images:
    """Batches of 32 images, 96×96×1, rotated and with noise; about 2 ms each."""

    def __init__(self, batches: int) -> None:
        self.batches = batches
        self.images = np.random.default_rng(0).integers(0, 256, (256, 96, 96, 1), dtype=np.uint8)

    def __len__(self) -> int:
        return self.batches

    def batch(self, epoch: int, index: int) -> Batch:
        from mltk_plugin_image._augmentation import RandomTransforms

        transforms = RandomTransforms(rotation=35, brightness=(0.5, 1.1), noise=(("gauss", 0.04),))
        rng = batch_rng(1, epoch, index)
        return (transforms(self.images[rng.integers(256, size=32)].astype(np.float32), rng),)


class Nothing:
    """Precomputed batches."""

    def __init__(self, batches: int) -> None:
        self.batches = batches
        self.made = (np.zeros((1, 1), np.float32),)

    def __len__(self) -> int:
        return self.batches

    def batch(self, epoch: int, index: int) -> Batch:
        return self.made


def futures(source: Any, workers: int) -> Iterator[Batch]:
    from mltk.data.loader import BatchIterator

    return iter(BatchIterator(source, workers, prefetch=4))


def grain(source: Any, workers: int) -> Iterator[Batch]:
    import grain

    class Indexed:
        def __len__(self) -> int:
            return len(source)

        def __getitem__(self, index: int) -> Batch:
            return source.batch(0, index)

    options = grain.ReadOptions(num_threads=workers, prefetch_buffer_size=4)
    return iter(grain.MapDataset.source(Indexed()).to_iter_dataset(options))


def tf_data(source: Any, workers: int) -> Iterator[Batch]:
    import tensorflow as tf

    example = source.batch(0, 0)
    data = (
        tf.data.Dataset.range(len(source))
        .map(
            lambda i: tf.numpy_function(lambda i: source.batch(0, int(i)), [i], [a.dtype for a in example]),
            num_parallel_calls=workers,
            deterministic=True,
        )
        .prefetch(4)
    )
    return iter(data.as_numpy_iterator())


ENGINES: dict[str, tuple[Engine, str]] = {
    "concurrent.futures": (futures, "mltk.data.loader"),
    "grain": (grain, "grain"),
    "tf.data": (tf_data, "tensorflow"),
}


def measure(name: str, workers: int) -> dict[str, float]:
    """Measure one engine. Call it in a new process."""
    import cv2  # noqa: F401 (needed by the source of every engine, so not measured)

    engine, module = ENGINES[name]
    before, start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.perf_counter()
    __import__(module)
    figures = {"import_s": time.perf_counter() - start}
    figures["import_MB"] = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    threads = threading.active_count()
    start = time.perf_counter()
    batches = engine(Images(2000), workers)
    next(batches)
    figures["first_batch_s"] = time.perf_counter() - start
    start = time.perf_counter()
    for _ in range(300):
        next(batches)
    figures["images_per_s"] = 300 * 32 / (time.perf_counter() - start)
    start = time.perf_counter()
    if hasattr(batches, "close"):
        batches.close()
    del batches
    figures["close_s"] = time.perf_counter() - start
    figures["threads_left"] = threading.active_count() - threads
    start = time.perf_counter()
    n = sum(1 for _ in engine(Nothing(20000), workers))
    figures["overhead_us"] = (time.perf_counter() - start) / n * 1e6
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--one", choices=list(ENGINES), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        print(json.dumps(measure(arguments.one, arguments.workers[0])))
        return
    for workers in arguments.workers:
        results: dict[str, list[dict[str, float]]] = {name: [] for name in ENGINES}
        for _ in range(arguments.runs):
            for name in ENGINES:
                command = [sys.executable, __file__, "--one", name, "--workers", str(workers)]
                run = subprocess.run(command, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
                results[name].append(json.loads(run.stdout.splitlines()[-1]))
        print(f"\n{workers} worker(s), medians of {arguments.runs} runs")
        for name, runs in results.items():
            medians = {key: float(np.median([run[key] for run in runs])) for key in runs[0]}
            print(f"{name:20}" + "  ".join(f"{key} {value:,.3g}" for key, value in medians.items()))


if __name__ == "__main__":
    main()
