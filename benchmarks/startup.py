"""Time of commands that only look, against `python -c pass`; the aim is at most 10 times that, plus 60 ms.

python benchmarks/startup.py
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time

COMMANDS = (["--help"], ["--version"], ["plugins", "list"])
RUNS = 15


def main() -> None:
    """Print the medians; empty and full runs alternate, so that a busy machine slows both."""
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


def _seconds(folder: str, *args: str) -> float:
    start = time.perf_counter()
    subprocess.run([sys.executable, *args], capture_output=True, check=True, cwd=folder)
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
