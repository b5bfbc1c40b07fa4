"""Generated images and recordings for the benchmarks."""

from __future__ import annotations

import wave
from pathlib import Path

import numpy as np

GESTURES = ("rock", "paper", "scissors")
WORDS = ("up", "down", "left", "right")
OTHER_WORDS = ("yes", "no", "stop", "go")
RATE = 16_000


def write_images(folder: Path, n: int, seed: int = 1, size: int = 96) -> Path:
    """Write `n` smooth random grayscale images as JPEG files, in three classes that a small network can learn."""
    import cv2

    rng = np.random.default_rng(seed)
    for name in GESTURES:
        (folder / name).mkdir(parents=True, exist_ok=True)
    for i in range(n):
        cells = 3 + 3 * (i % 3)
        coarse = rng.integers(0, 256, (cells, cells), dtype=np.uint8)
        image = cv2.resize(coarse, (size, size), interpolation=cv2.INTER_CUBIC)
        cv2.imwrite(str(folder / GESTURES[i % 3] / f"{i:06}.jpg"), image, [cv2.IMWRITE_JPEG_QUALITY, 90])
    return folder


def write_clips(folder: Path, n: int, seed: int = 1) -> Path:
    """Write `n` one-second WAV files named as in Speech Commands, and two minutes of background noise.

    A clip is a chord with an envelope, 0.4 to 0.8 s long, with faint noise; the classes differ in pitch.
    """
    rng = np.random.default_rng(seed)
    words = (*WORDS, *OTHER_WORDS)
    for i in range(n):
        word = i % len(words)
        length = int(rng.uniform(0.4, 0.8) * RATE)
        start = int(rng.uniform(0, RATE - length))
        t = np.arange(length) / RATE
        pitch = 150 * 1.25**word * rng.uniform(0.95, 1.05)
        tones = sum(np.sin(2 * np.pi * pitch * k * t + rng.uniform(0, 6)) / k for k in range(1, 8))
        clip = rng.normal(0, 0.001, RATE)
        clip[start : start + length] += 0.2 * tones * np.hanning(length)
        _write_wav(folder / words[word] / f"{i // 16:08x}_nohash_{i % 16}.wav", clip)
    for name, exponent in (("pink", 1.0), ("brown", 2.0)):
        spectrum = np.fft.rfft(rng.normal(size=60 * RATE))
        spectrum[1:] /= np.arange(1, len(spectrum)) ** (exponent / 2)
        noise = np.fft.irfft(spectrum)
        _write_wav(folder / "_background_noise_" / f"{name}.wav", 0.3 * noise / np.abs(noise).max())
    return folder


def _write_wav(path: Path, samples: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes((np.clip(samples, -1, 1) * 32767).astype("<i2").tobytes())
