"""Compare mltk with the reference in alternating runs; print medians and ratios.

    benchmarks/install_reference.sh /path/to/reference
    python benchmarks/reference/run.py --reference /path/to/reference/bin/python [CASE …] [--runs 3]

Both sides use the same generated data, settings and work. Memory is the maximum of the proportional set size (PSS) of
all processes of a command, sampled every 10 ms.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from importlib.util import find_spec
from pathlib import Path

import data

HERE = Path(__file__).parent
SPECS = HERE / "specs"
Figures = dict[str, float]


@dataclass(frozen=True)
class Side:
    """One side of the comparison: interpreter and cache directory."""

    name: str
    python: Path
    home: Path

    def run(self, *command: object, memory: bool = False, **variables: object) -> tuple[Figures, str]:
        """Run the interpreter; return the time in seconds, with `memory` also the memory in MB, and the output."""
        environment = {
            **os.environ,
            "MLTK_CACHE_DIR": str(self.home / "cache"),
            "HOME": str(self.home),
            "TF_CPP_MIN_LOG_LEVEL": "3",
            "CUDA_VISIBLE_DEVICES": "-1",
            # Users do not install the plugin template, an evaluator.
            **({"MLTK_BLOCK_PLUGINS": "example"} if find_spec("mltk_plugin_example") else {}),
            **{name: str(value) for name, value in variables.items()},
        }
        environment.pop("TF_USE_LEGACY_KERAS", None)
        if self.name == "reference":
            environment["TF_USE_LEGACY_KERAS"] = "0"
        start = time.perf_counter()
        with tempfile.TemporaryFile() as output:
            process = subprocess.Popen(
                [self.python, *map(str, command)],
                env=environment,
                cwd=self.home,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
            peak = _Peak(process.pid) if memory else None
            code = process.wait()
            figures = {"seconds": time.perf_counter() - start}
            if peak:
                figures["megabytes"] = peak.stop() / 2**20
            output.seek(0)
            text = output.read().decode(errors="replace")
        if code:
            raise SystemExit(f"{self.name}: {' '.join(map(str, command))} ended with {code}:\n{text[-3000:]}")
        return figures, text

    def mltk(self, *arguments: object, **options: object) -> Figures:
        program = self.python.with_name("mltk")
        return self.run(program, *arguments, **options)[0]

    def measure(self, case: str, **settings: object) -> Figures:
        variables = {name: settings.pop(name) for name in list(settings) if name.isupper()}
        text = self.run(HERE / "measure.py", case, *(f"{k}={v}" for k, v in settings.items()), **variables)[1]
        return json.loads(text.strip().splitlines()[-1])


class _Peak:
    """Memory monitor of a process and its descendants."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._peak = 0
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()

    def stop(self) -> int:
        self._end.set()
        self._thread.join()
        return self._peak

    def _watch(self) -> None:
        while True:
            self._peak = max(self._peak, sum(map(self._bytes, self._family(self._pid))))
            if self._end.wait(0.01):
                return

    def _family(self, pid: int) -> list[int]:
        try:
            text = "".join(path.read_text() for path in Path(f"/proc/{pid}/task").glob("*/children"))
        except OSError:  # the process has ended
            return []
        return [pid, *(p for child in text.split() for p in self._family(int(child)))]

    def _bytes(self, pid: int) -> int:
        try:
            lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
        except OSError:
            return 0
        return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))


@dataclass
class Case:
    """A benchmark, with the target ratio of each figure."""

    summary: str
    run: Callable[[Side], Figures]
    targets: dict[str, float] = field(default_factory=dict)
    memory: Callable[[Side], Figures] | None = None
    """The same run with memory sampling, which affects the time, so its time is ignored."""
    prepare: Callable[[Side], object] = lambda _: None


def train(spec: str, folder: Path, side: Side, memory: bool = False) -> Figures:
    """Train, quantize and evaluate a copy of the specification, like a user."""
    copy = side.home / "specs"
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(SPECS, copy)
    return side.mltk("train", copy / f"{spec}.py", "--clean", memory=memory, MLTK_BENCHMARK_DATA=folder)


def listing(folder: Path, side: Side) -> Figures:
    return side.measure("list_models", MLTK_MODEL_PATHS=folder)


def many_specs(folder: Path, n: int) -> Path:
    folder.mkdir()
    text = (SPECS / "bench_image.py").read_text()
    for i in range(n):
        (folder / f"model_{i}.py").write_text(text)
    return folder


def imports(side: Side, memory: bool = False) -> Figures:
    return side.run("-c", "import mltk.core", memory=memory)[0]


def summarize(tflite: Path, side: Side, memory: bool = False) -> Figures:
    return side.mltk("summarize", tflite, memory=memory)


def cases(folder: Path) -> dict[str, Case]:
    """Create the data and return the cases by name."""
    images = data.write_images(folder / "images", 1350)
    clips = data.write_clips(folder / "clips", 1326)
    specs = partial(many_specs, folder / "many")
    tflite = folder / "bench_arrays.tflite"

    def once(side: Side) -> None:
        train("bench_arrays", images, side)
        shutil.copy(side.home / "cache/models/bench_arrays/bench_arrays.tflite", tflite)

    def trained_once(side: Side) -> None:
        train("bench_image", images, side)

    def evaluate_images(share: float) -> Callable[[Side], Figures]:
        """Evaluate with this fraction of 11,112 images."""

        def run(side: Side) -> Figures:
            pictures = folder / "pictures"
            if not pictures.exists():
                data.write_images(pictures, 11_112)
            return side.measure(
                "evaluate_int8",
                spec=side.home / "specs/bench_image.py",
                samples=round(11_112 * share),
                MLTK_BENCHMARK_DATA=pictures,
                MLTK_BENCHMARK_SPLIT=share,
            )

        return run

    def batches(case: str, path: Path, workers: int, **more: object) -> Callable[[Side], Figures]:
        return lambda side: side.measure(case, data=path, workers=workers, epochs=4, **more)

    rate = {"samples_per_s": 6.0}
    trained = {"seconds": 1 / 0.35, "megabytes": 1 / 0.6}
    return {
        "images-1": Case("image batches, 1 worker", batches("image_batches", images, 1), rate),
        "images-2": Case("image batches, 2 workers", batches("image_batches", images, 2), rate),
        "clips-1": Case("audio batches, 1 worker", batches("audio_batches", clips, 1), {"samples_per_s": 2}),
        "clips-2": Case("audio batches, 2 workers", batches("audio_batches", clips, 2), {"samples_per_s": 2}),
        "changed-clips-2": Case(
            "audio batches with loudness, speed and pitch changes, 2 workers",
            batches("audio_batches", clips, 2, changes="all"),
            {"samples_per_s": 8},
        ),
        "evaluate-images-1000": Case(
            "evaluation of an int8 .tflite, 1,000 JPEG files",
            evaluate_images(0.09),
            {"samples_per_s": 20},
            prepare=trained_once,
        ),
        "evaluate-images": Case(
            "evaluation of an int8 .tflite, 10,000 JPEG files",
            evaluate_images(0.9),
            {"samples_per_s": 20},
            prepare=trained_once,
        ),
        "evaluate": Case(
            "evaluation of an int8 .tflite, 10,000 arrays",
            lambda side: side.measure(
                "evaluate_int8", spec=side.home / "specs/bench_arrays.py", samples=10_000
            ),
            {"samples_per_s": 20},
            prepare=once,
        ),
        "train-images": Case(
            "whole mltk train, 1,350 pictures",
            partial(train, "bench_image", images),
            trained,
            partial(train, "bench_image", images, memory=True),
        ),
        "train-clips": Case(
            "whole mltk train, 1,326 clips",
            partial(train, "bench_audio", clips),
            trained,
            partial(train, "bench_audio", clips, memory=True),
        ),
        "quantize": Case(
            "quantize, float32 and int8",
            lambda side: side.measure("quantize", spec=side.home / "specs/bench_arrays.py"),
            {},
            prepare=once,
        ),
        "help": Case("mltk --help", lambda side: side.mltk("--help"), {"seconds": 4}),
        "import": Case("import mltk.core", imports, {"seconds": 15}, partial(imports, memory=True)),
        "summarize": Case(
            "mltk summarize x.tflite",
            partial(summarize, tflite),
            {"seconds": 8},
            partial(summarize, tflite, memory=True),
            prepare=once,
        ),
        "list": Case(
            "list_mltk_models, 2,000 specs",
            partial(listing, folder / "many"),
            {"seconds": 3},
            prepare=lambda _: (folder / "many").exists() or specs(2000),
        ),
    }


# Figures for which higher is better; for others, lower is better.
MORE_IS_BETTER = {"samples_per_s", "first_epoch"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("cases", nargs="*")
    parser.add_argument("--reference", type=Path, required=True, help="its interpreter")
    parser.add_argument("--runs", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        known = cases(folder)
        unknown = set(options.cases) - set(known)
        if unknown:
            parser.error(f"No such case: {', '.join(unknown)}. There are {', '.join(known)}.")
        sides = [
            Side(side, python.absolute(), folder / side)
            for side, python in (("mltk", Path(sys.executable)), ("reference", options.reference))
        ]
        for side in sides:
            side.home.mkdir()
        print("| what | figure | mltk | reference | times better | asked for |")
        print("| --- | --- | --- | --- | --- | --- |")
        for case in (known[name] for name in options.cases or known):
            for side in sides:
                case.prepare(side)
            runs = [[case.run(side) for side in sides] for _ in range(options.runs)]
            if case.memory:
                for side, own in zip(sides, zip(*runs, strict=True), strict=True):
                    megabytes = case.memory(side)["megabytes"]
                    for figures in own:
                        figures["megabytes"] = megabytes
            for figure in runs[0][0]:
                ours, theirs = (statistics.median(run[i][figure] for run in runs) for i in range(2))
                better = ours / theirs if figure in MORE_IS_BETTER else theirs / ours
                asked = f"{case.targets[figure]:.1f}" if figure in case.targets else ""
                print(
                    f"| {case.summary} | {figure} | {ours:,.4g} | {theirs:,.4g} | {better:.2f} | {asked} |",
                    flush=True,
                )


if __name__ == "__main__":
    main()
