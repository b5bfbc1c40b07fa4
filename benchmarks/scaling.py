"""Measure the scaling of batches: throughput by worker threads, start-up time and memory by number of files.

    python benchmarks/scaling.py [--workers 1 2] [--files 100 1000 10000 100000]

Images use the full augmentation of the reference's `image_example1`, clips that of `audio_example1`. Each figure is
measured in a new process. Most files are hard links to a few files.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE / "reference"))
import data  # noqa: E402
import measure  # noqa: E402


def write_links(folder: Path, count: int) -> Path:
    """Create `count` image paths in three classes; a thousand hard links share a file."""
    originals = folder.with_name("originals")
    if not originals.exists():
        data.write_images(originals, 300)
    for name in data.GESTURES:
        (folder / name).mkdir(parents=True)
        files = sorted((originals / name).iterdir())
        for i in range(count // 3 + 1):
            os.link(files[i % len(files)], folder / name / f"{i:07}.jpg")
    return folder


def first_batch(folder: str) -> dict[str, float]:
    """Return the time to the first batch in seconds and the memory per file in bytes, without imports."""
    from mltk_plugin_image import ParallelImageDataGenerator

    def memory() -> int:
        return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()

    def start(path: str) -> tuple[object, float]:
        begin = time.perf_counter()
        # Measure the list of files only, not the cache of decoded images.
        generator = ParallelImageDataGenerator(cores=1, rotation_range=35, cache_bytes=0)
        iterator = generator.flow_from_directory(path, (96, 96), "grayscale", list(data.GESTURES))
        next(iter(iterator))
        return iterator, time.perf_counter() - begin

    start(str(Path(folder).with_name("originals")))
    before = memory()
    iterator, seconds = start(folder)
    return {"seconds": seconds, "bytes": (memory() - before) / len(iterator.filenames)}


def in_process(function: str, *arguments: object) -> dict[str, float]:
    """Call a function of this file in a new process."""
    words = [sys.executable, __file__, "--call", function, *map(str, arguments)]
    done = subprocess.run(words, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(done.stderr[-2000:])
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--files", type=int, nargs="+", default=[100, 1000, 10_000, 100_000])
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--call", nargs="+", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.call:
        name, *arguments = options.call
        function = {"images": measure.image_batches, "clips": measure.audio_batches, "first": first_batch}[
            name
        ]
        print(json.dumps(function(*arguments)))
        return
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        sources = {
            "images": data.write_images(work / "images", 1350),
            "clips": data.write_clips(work / "clips", 1326),
        }
        print("| samples per second | " + " | ".join(f"{n} threads" for n in options.workers) + " |")
        print("| --- |" + " --- |" * len(options.workers))
        for name, path in sources.items():
            rates: dict[int, list[float]] = {n: [] for n in options.workers}
            for _ in range(options.runs):
                for n, own in rates.items():
                    own.append(in_process(name, path, n, 6)["samples_per_s"])
            medians = [statistics.median(own) for own in rates.values()]
            cells = [f"{rate:,.0f} ({rate / medians[0]:.2f})" for rate in medians]
            print(f"| {name} | {' | '.join(cells)} |", flush=True)
        print("\n| files | seconds to the first batch | bytes of memory for a file |\n| --- | --- | --- |")
        for count in options.files:
            path = write_links(work / f"links{count}", count)
            runs = [in_process("first", path) for _ in range(options.runs)]
            medians = [statistics.median(run[key] for run in runs) for key in ("seconds", "bytes")]
            print(f"| {count:,} | {medians[0]:.2f} | {medians[1]:,.0f} |", flush=True)


if __name__ == "__main__":
    main()
