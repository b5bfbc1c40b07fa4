from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

RATE = 16000


@pytest.fixture(scope="session")
def shared() -> Path:
    """Folder with data that is not part of the repository."""
    folder = Path(__file__).resolve().parents[3] / "shared"
    if not folder.is_dir():
        pytest.skip("needs the folder 'shared'")
    return folder


@pytest.fixture(autouse=True)
def private_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("MLTK_CACHE_DIR", str(tmp_path / "cache"))


def tone(hertz, seconds=1.0, rate=RATE, amplitude=0.5):
    return (amplitude * np.sin(2 * np.pi * hertz * np.arange(round(seconds * rate)) / rate)).astype(
        np.float32
    )


@pytest.fixture(name="tone")
def tone_fixture():
    return tone


@pytest.fixture
def recordings(tmp_path):
    """Return a function that makes a folder of tones: one pitch per class, by speakers a, b, c, …"""
    import soundfile

    def make(counts=None, seconds=0.5, rate=RATE, speakers=4, noise=False) -> Path:
        root = tmp_path / "recordings"
        counts = counts or {"yes": 8, "no": 8, "maybe": 8, "never": 8}
        for c, (name, n) in enumerate(counts.items()):
            (root / name).mkdir(parents=True)
            for i in range(n):
                x = tone(300 * (c + 1), seconds, rate, 0.3 + 0.05 * (i % 8))
                path = root / name / f"{chr(ord('a') + i % speakers)}_nohash_{i // speakers}.wav"
                soundfile.write(path, x, rate, subtype="PCM_16")
        if noise:
            (root / "_background_noise_").mkdir()
            x = 0.2 * np.random.default_rng(1).standard_normal(3 * rate)
            soundfile.write(root / "_background_noise_" / "hiss.wav", x, rate, subtype="PCM_16")
        return root

    return make
