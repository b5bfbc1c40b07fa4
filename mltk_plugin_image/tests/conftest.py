from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest


@pytest.fixture
def rock_paper(tmp_path):
    """Make a folder `rock/0.png…`, `paper/…` of smooth grey pictures; returns a function."""
    from PIL import Image

    def make(counts=None, size=(12, 16), file_format="png", seed=0) -> Path:
        root = tmp_path / "pictures"
        rng = np.random.default_rng(seed)
        for name, n in (counts or {"rock": 6, "paper": 4}).items():
            (root / name).mkdir(parents=True)
            for i in range(n):
                pixels = rng.integers(0, 256, size, dtype=np.uint8)
                Image.fromarray(pixels).save(root / name / f"{i}.{file_format}")
        return root

    return make
