"""Measure the time of commands that only read; the target is at most 10 times `python -c pass`, plus 60 ms.

Also measure `mltk --help` with 200 additional plugins; the target is less than twice the time without them.

python benchmarks/startup.py
"""

from __future__ import annotations

import compileall
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

COMMANDS = (["--help"], ["--version"], ["plugins", "list"])
RUNS = 15
PLUGINS = 200


def main() -> None:
    """Print the medians; empty and full runs alternate, so that other load affects both."""
    with tempfile.TemporaryDirectory() as folder:
        for command in COMMANDS:
            empty, full = [], []
            for _ in range(RUNS):
                empty.append(_seconds(folder, "-c", "pass"))
                full.append(_seconds(folder, "-m", "mltk", *command))
            base, time_ = statistics.median(empty), statistics.median(full)
            limit = 10 * base + 0.060
            print(
                f"mltk {' '.join(command):14}  {time_ * 1e3:6.0f} ms   python -c pass {base * 1e3:4.0f} ms   "
                f"limit {limit * 1e3:4.0f} ms   {'kept' if time_ <= limit else 'MISSED'}"
            )
        plugins = Path(folder) / "plugins"
        _write_plugins(plugins)
        without, with_ = [], []
        for _ in range(RUNS):
            without.append(_seconds(folder, "-m", "mltk", "--help"))
            with_.append(_seconds(folder, "-m", "mltk", "--help", PYTHONPATH=str(plugins)))
        few, many = statistics.median(without), statistics.median(with_)
        print(
            f"mltk --help, {PLUGINS} more plugins {many * 1e3:6.0f} ms   without {few * 1e3:4.0f} ms   "
            f"{many / few:.2f} times   {'kept' if many < 2 * few else 'MISSED'}"
        )


def _write_plugins(folder: Path) -> None:
    folder.mkdir()
    for n in range(PLUGINS):
        module = f"many_{n}"
        (folder / f"{module}.py").write_text(
            "from mltk.plugins import Command, hookimpl\n\n\n"
            "@hookimpl\n"
            f"def mltk_commands():\n    return [Command('many{n}', 'Command {n}.', '{module}:command')]\n"
        )
        info = folder / f"{module}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: many-{n}\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[mltk.plugins]\nmany{n} = {module}\n")
    # pip does the same.
    compileall.compile_dir(folder, quiet=1)


def _seconds(folder: str, *args: str, **variables: str) -> float:
    start = time.perf_counter()
    subprocess.run(
        [sys.executable, *args],
        capture_output=True,
        check=True,
        cwd=folder,
        env={**os.environ, **variables},
    )
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
