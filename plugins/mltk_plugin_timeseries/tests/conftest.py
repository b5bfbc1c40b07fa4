from __future__ import annotations

import numpy as np
import pytest


def make_walk(kind, rows, rng):
    """Return three channels: a slow or a fast swing with a random phase, and gravity on the last one."""
    speed = 0.15 if kind == "slow" else 0.9
    swing = np.sin(speed * np.arange(rows)[:, None] + rng.uniform(0, 6, 3))
    return swing + 0.1 * rng.standard_normal((rows, 3)) + [0, 0, 9.81]


@pytest.fixture
def write_recordings(tmp_path):
    """Return a function that writes CSV files into `moves/<class>/`, and returns `moves`."""

    def write(folders=("slow", "fast"), count=6, rows=50, seed=0):
        rng = np.random.default_rng(seed)
        root = tmp_path / "moves"
        for folder in folders:
            (root / folder).mkdir(parents=True)
            for i in range(count):
                length = rows if isinstance(rows, int) else rows[i % len(rows)]
                values = make_walk(folder.rpartition("/")[2], length, rng)
                np.savetxt(
                    root / folder / f"{i}.csv",
                    values,
                    "%.5f",
                    delimiter=",",
                    header="acc_x,acc_y,acc_z",
                    comments="",
                )
        return root

    return write
