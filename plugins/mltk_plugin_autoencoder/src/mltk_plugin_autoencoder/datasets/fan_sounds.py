"""Sounds of a fan, sound and faulty: synthetic, computed from a seed.

A motor shaft with seven blades, heard by a microphone: tones of the shaft and of the blades, hum of the mains, the rush
of the air that the blades chop, and noise of the room, each clip with a speed, a distance and a background of its own.
Three faults are added to that:

- `bearing`: a damaged outer race; each ball that passes over it rings the housing between 3 and 5 kHz;
- `rub`: a blade that touches the guard, a hiss once in each turn;
- `overspeed`: the shaft turns 4 to 15 % faster.

To try things out: a model that is good at these sounds says nothing about a real machine.
"""

from __future__ import annotations

import logging
import os
import wave
from functools import cache
from pathlib import Path

import numpy as np

from mltk.data import batch_rng
from mltk.utils.files import cache_dir
from mltk.utils.folders import write_folder_once

__all__ = ["CLASSES", "FAULTS", "RATE", "fan_sound", "load_data"]

RATE = 16000
"""Samples per second."""

FAULTS = ("bearing", "rub", "overspeed")

CLASSES = ("normal", *FAULTS)
"""Class labels, the normal one first."""

_TURNS_PER_SECOND = 24.0
_BLADES = 7
# Balls that pass over a point of the outer race in one turn: 0.4 times the number of balls, about.
_BALL_PASSES = 3.58
_SIZES = {"train": {"normal": 240}, "test": {"normal": 60, **dict.fromkeys(FAULTS, 40)}}

logger = logging.getLogger("mltk.autoencoder")


def load_data(subset: str = "training", dest_dir: str | os.PathLike[str] | None = None) -> str:
    """Write the clips as WAV files, `<train or test>/<class>/<i>.wav`, unless they are there.

    Args:
        subset: `evaluation` asks for the test clips, 60 normal ones and 40 with each fault; anything else for the 240
            training clips, which are all normal.
        dest_dir: A new or empty folder; `None` means `datasets/fan_sounds` in mltk's own folder.

    Returns:
        The folder with the folders of the classes.
    """
    _label()
    content = {"dataset": "fan_sounds", "version": 1}
    folder = write_folder_once(dest_dir or cache_dir() / "datasets" / "fan_sounds", content, _write)
    return str(Path(folder, "test" if subset == "evaluation" else "train"))


def fan_sound(rng: np.random.Generator, fault: str | None = None, seconds: float = 1.0) -> np.ndarray:
    """Return one clip: float32 `(seconds * RATE,)`, peak below 1.

    Args:
        rng: The source of all that is random.
        fault: One of `FAULTS`, or `None` for a sound fan.
        seconds: Length.

    Raises:
        ValueError: There is no such fault.
    """
    if fault is not None and fault not in FAULTS:
        raise ValueError(f"There is no fault '{fault}'; it may be {', '.join(FAULTS)}.")
    n = round(seconds * RATE)
    time = np.arange(n) / RATE
    speed = _TURNS_PER_SECOND * rng.uniform(0.985, 1.015)
    if fault == "overspeed":
        speed *= rng.uniform(1.04, 1.15)
    # The speed wanders a little: the angle is the integral of it.
    wander = 0.004 * np.sin(2 * np.pi * (rng.uniform(0.3, 1.2) * time + rng.random()))
    turns = np.cumsum(speed * (1 + wander)) / RATE + rng.random()

    chop = 1 + 0.4 * np.cos(2 * np.pi * _BLADES * turns)
    sound = (
        0.05 * (speed / _TURNS_PER_SECOND) ** 2.5 * chop * _noise(n, rng, 150, 7500, rng.uniform(0.95, 1.1))
    )
    for order, level in ((1, 0.05), (2, 0.03), (3, 0.015)):
        sound += _tone(order * turns, level, rng)
    for order, level in ((1, 0.12), (2, 0.05), (3, 0.03), (4, 0.015), (5, 0.008)):
        sound += _tone(_BLADES * order * turns, level, rng)
    sound += _tone(100 * time + rng.random(), 0.03, rng)
    if fault == "bearing":
        sound += _bearing(turns, rng)
    elif fault == "rub":
        sound += _rub(turns, rng)
    sound *= 10 ** (rng.uniform(-6, 6) / 20)
    sound += 0.004 * 10 ** (rng.uniform(-4, 4) / 20) * _noise(n, rng, 50, RATE / 2)
    # A loud clip is rounded off, as by the microphone's amplifier.
    limited: np.ndarray = (0.7 * np.tanh(sound / 0.7)).astype(np.float32)
    return limited


def _tone(turns: np.ndarray, level: float, rng: np.random.Generator) -> np.ndarray:
    amplitude = level * 10 ** (rng.uniform(-2, 2) / 20)
    return amplitude * np.sin(2 * np.pi * (turns + rng.random()))


def _noise(n: int, rng: np.random.Generator, low: float, high: float, exponent: float = 1.0) -> np.ndarray:
    """Return noise of unit power between two frequencies f in Hz, with the power spectrum f ** -exponent."""
    frequency = np.fft.rfftfreq(n, 1 / RATE)
    within = (frequency >= low) & (frequency <= high)
    shape = np.where(within, np.maximum(frequency, low) ** (-exponent / 2), 0)
    noise = np.fft.irfft(shape * np.fft.rfft(rng.standard_normal(n)), n)
    normalized: np.ndarray = noise / noise.std()
    return normalized


def _bearing(turns: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    # Balls slip, so that their passes are not quite regular.
    passes = np.arange(turns[0] * _BALL_PASSES, turns[-1] * _BALL_PASSES)
    at = np.searchsorted(turns, (passes + 0.02 * rng.standard_normal(len(passes))) / _BALL_PASSES)
    impulses = np.zeros(len(turns))
    np.add.at(impulses, np.minimum(at, len(turns) - 1), rng.uniform(0.5, 1.5, len(at)))
    decay = np.arange(round(0.008 * RATE)) / RATE
    ring = np.exp(-decay / 0.0015) * np.sin(2 * np.pi * rng.uniform(3000, 5000) * decay)
    return rng.uniform(0.04, 0.1) * np.convolve(impulses, ring)[: len(turns)]


def _rub(turns: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    # The part of a turn in which the blade touches.
    touch = np.exp(-0.5 * (((turns + rng.random()) % 1 - 0.5) / 0.04) ** 2)
    sound: np.ndarray = rng.uniform(0.045, 0.11) * touch * _noise(len(turns), rng, 2000, 7000)
    return sound


@cache
def _label() -> None:
    logger.info("These sounds of a fan are synthetic.")


def _write(folder: Path) -> None:
    for part, sizes in _SIZES.items():
        for name, count in sizes.items():
            (folder / part / name).mkdir(parents=True)
            for i in range(count):
                clip = fan_sound(
                    batch_rng(0, 0, i, f"{part} {name}"), fault=None if name == "normal" else name
                )
                with wave.open(str(folder / part / name / f"{i:03d}.wav"), "wb") as file:
                    file.setparams((1, 2, RATE, 0, "NONE", ""))
                    file.writeframes(np.rint(clip * 32767).astype("<i2").tobytes())
