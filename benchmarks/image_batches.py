"""Measure image batches: augmentation of the reference's `image_example1`, grayscale 96×96 JPEG files."""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np


def write_images(folder: Path, n: int, seed: int = 1) -> None:
    """Write `n` smooth random grayscale images as JPEG files in three classes."""
    import cv2
    from PIL import Image

    rng = np.random.default_rng(seed)
    for i in range(n):
        target = folder / ("rock", "paper", "scissors")[i % 3]
        target.mkdir(exist_ok=True)
        small = rng.integers(0, 256, (12, 12), dtype=np.uint8)
        image = cv2.resize(small, (96, 96), interpolation=cv2.INTER_CUBIC)
        Image.fromarray(image).save(target / f"{i:05}.jpg", quality=90)


def settings(workers: int, cache_bytes: int) -> dict[str, object]:
    return {
        "cores": workers,
        "cache_bytes": cache_bytes,
        "rotation_range": 35,
        "width_shift_range": 5,
        "height_shift_range": 5,
        "brightness_range": (0.5, 1.1),
        "contrast_range": (0.5, 1.1),
        "noise": ["gauss", "poisson", "s&p"],
        "horizontal_flip": True,
        "vertical_flip": True,
        "samplewise_center": True,
        "samplewise_std_normalization": True,
        "max_batches_pending": 8,
    }


def measure(folder: Path, workers: int, cache_bytes: int, epochs: int) -> dict[str, float]:
    """Return seconds to the first batch, including imports, and samples per second. Call it in a new process."""
    start = time.perf_counter()
    from mltk_plugin_image import ParallelImageDataGenerator

    generator = ParallelImageDataGenerator(**settings(workers, cache_bytes))
    iterator = generator.flow_from_directory(folder, (96, 96), "grayscale", ["rock", "paper", "scissors"])
    first = 0.0
    rates = []
    for _ in range(epochs):
        begin = time.perf_counter()
        n = 0
        for x, _y in iterator:
            first = first or time.perf_counter() - start
            n += len(x)
        rates.append(n / (time.perf_counter() - begin))
    return {"first_batch_s": first, "first_epoch": rates[0], "later_epochs": statistics.median(rates[1:])}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=3000)
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--cache", type=int, default=256 * 2**20, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.folder:
        figures = measure(arguments.folder, arguments.workers[0], arguments.cache, arguments.epochs)
        print(json.dumps(figures))
        return
    with tempfile.TemporaryDirectory() as name:
        write_images(Path(name), arguments.images)
        for workers in arguments.workers:
            for cache in (arguments.cache, 0):
                command = [sys.executable, __file__, "--folder", name, "--cache", str(cache)]
                command += ["--workers", str(workers), "--epochs", str(arguments.epochs)]
                runs = [
                    json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
                    for _ in range(arguments.runs)
                ]
                figures = {key: statistics.median(run[key] for run in runs) for key in runs[0]}
                shown = "  ".join(f"{key} {value:,.4g}" for key, value in figures.items())
                print(f"{workers} worker(s), {'with' if cache else 'without'} cache: {shown}")


if __name__ == "__main__":
    main()
