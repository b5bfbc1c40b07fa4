"""Measure image batches: the augmentation of the reference's `image_example1`, grey 96×96 JPEG files."""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from pathlib import Path

import numpy as np


def write_images(folder: Path, n: int, seed: int = 1) -> None:
    """Write `n` smooth random grey pictures as JPEG files in three classes."""
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


def measure(folder: Path, workers: int, cache_bytes: int, epochs: int) -> tuple[float, list[float]]:
    """Return the seconds to the first batch, and the samples per second of each epoch."""
    from mltk_plugin_image import ParallelImageDataGenerator

    start = time.perf_counter()
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
    return first, rates


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=3000)
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2])
    arguments = parser.parse_args()
    start = time.perf_counter()

    print(f"import: {time.perf_counter() - start:.2f} s (numpy included: {'numpy' in sys.modules})")
    with tempfile.TemporaryDirectory() as name:
        write_images(Path(name), arguments.images)
        for workers in arguments.workers:
            first, rates = measure(Path(name), workers, 256 * 2**20, arguments.epochs)
            _, uncached = measure(Path(name), workers, 0, 3)
            print(
                f"workers {workers}: first batch {first:.3f} s; samples/s: first epoch {rates[0]:,.0f}, "
                f"later epochs {statistics.median(rates[1:]):,.0f}, "
                f"without cache {statistics.median(uncached):,.0f}"
            )


if __name__ == "__main__":
    main()
