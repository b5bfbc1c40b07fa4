"""Composition of one long recording from the clips of a data set and background noise."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mltk.data import batch_rng, standard_normal
from mltk.errors import DatasetError
from mltk_plugin_audio._noise_and_rooms import find_folder, load_noises
from mltk_plugin_audio._signal import find_speech, to_float, to_int16
from mltk_plugin_audio.streaming.labels import Event
from mltk_plugin_audio.streaming.long_recordings import BLOCK_SECONDS, Recording, read_blocks

_SPEECH_RANGE_DB = 30.0


@dataclass(frozen=True)
class Composition:
    """Settings of a recording that is composed of clips."""

    seed: int = 0
    max_minutes: float = 60.0
    """Maximum length. If there are more clips, the same time is filled with random clips of each class."""
    gap_ms: tuple[float, float] = (1500.0, 4000.0)
    """Minimum and maximum pause between clips; pauses are drawn uniformly."""
    snr_db: float = 20.0
    """Median power of the clips relative to the power of the background."""
    background: str | os.PathLike[str] | None = None
    """Recording, or folder of recordings, that plays throughout; `None` means pink noise."""


@dataclass(frozen=True)
class _Layout:
    """Clips with their positions in a recording."""

    clips: list[tuple[int, np.ndarray]]
    """Start in samples, and int16 samples; sorted by start."""
    events: tuple[Event, ...]
    length: int
    power: float
    """Median mean square of the clips that are not silent; 0 without such clips."""


def compose(
    clips: Iterable[tuple[np.ndarray, int]], classes: Sequence[str], rate: int, how: Composition
) -> Recording:
    """Place clips one after the other on top of a background.

    The unmodified clips come in random order with pauses between them, including those of classes that start with
    `_`, which must not be detected. For the other classes, the label covers the speech in the clip, from which
    latencies are
    measured: the part that starts and ends with sound less than 30 dB below its loudest 25 ms. The background has a
    constant gain, chosen so that the clip of median power is `snr_db` above it. Equal arguments give equal
    recordings.

    Args:
        clips: float32 samples `(n,)` from -1 to 1 at `rate`, and class id, of each clip.
        classes: Class names.
        rate: Sample rate in Hz.
        how: Settings.

    Raises:
        DatasetError: There are no clips, or the background cannot be read.
    """
    rng = batch_rng(how.seed, 0, 0, "streaming")
    chosen = _choose_clips(clips, len(classes), rate, how, rng)
    if not chosen:
        raise DatasetError("There are no evaluation clips to make a recording of.")
    layout = _arrange(chosen, classes, rate, how, rng)
    power = layout.power / 10 ** (how.snr_db / 10)
    background = _load_background(how.background, rate, how.seed)
    background *= np.float32(math.sqrt(power / max(float(np.mean(np.square(background))), 1e-20)))
    return Recording("evaluation clips", layout.events, lambda: _mix(layout, background, rate))


def _arrange(
    chosen: list[tuple[np.ndarray, int]],
    classes: Sequence[str],
    rate: int,
    how: Composition,
    rng: np.random.Generator,
) -> _Layout:
    order = rng.permutation(len(chosen))
    pauses = np.round(rng.uniform(*how.gap_ms, len(chosen) + 1) * rate / 1000).astype(np.int64)
    clips: list[tuple[int, np.ndarray]] = []
    events = []
    position = int(pauses[0])
    powers = []
    for index, pause in zip(order, pauses[1:], strict=True):
        samples, class_id = chosen[index]
        first, last = find_speech(to_float(samples), rate, _SPEECH_RANGE_DB)
        if not classes[class_id].startswith("_"):
            events.append(Event(1000 * (position + first) / rate, 1000 * (position + last) / rate, class_id))
        if samples.any():
            powers.append(float(np.mean(np.square(to_float(samples[first:last])))))
        clips.append((position, samples))
        position += len(samples) + int(pause)
    return _Layout(clips, tuple(events), position, float(np.median(powers)) if powers else 0.0)


def _mix(layout: _Layout, background: np.ndarray, rate: int) -> Iterator[np.ndarray]:
    """Yield blocks of the background with the clips added."""
    clips, size = layout.clips, BLOCK_SECONDS * rate
    following = 0
    for start in range(0, layout.length, size):
        stop = min(start + size, layout.length)
        block = np.take(background, np.arange(start, stop), mode="wrap")
        while following < len(clips) and clips[following][0] + len(clips[following][1]) <= start:
            following += 1
        for at, samples in clips[following:]:
            if at >= stop:
                break
            first, last = max(at, start), min(at + len(samples), stop)
            if first < last:
                block[first - start : last - start] += to_float(samples[first - at : last - at])
        yield np.clip(block, -1, 1)


def _choose_clips(
    clips: Iterable[tuple[np.ndarray, int]],
    n_classes: int,
    rate: int,
    how: Composition,
    rng: np.random.Generator,
) -> list[tuple[np.ndarray, int]]:
    """Sample the same time of each class, so that memory holds little more than the recording."""
    pause = sum(how.gap_ms) / 2000
    seconds_per_class = how.max_minutes * 60 / max(n_classes, 1)
    kept: list[list[np.ndarray]] = [[] for _ in range(n_classes)]
    seen = [0] * n_classes
    held = [0.0] * n_classes
    for samples, class_id in clips:
        pcm = to_int16(samples)
        seen[class_id] += 1
        seconds = len(pcm) / rate + pause
        if held[class_id] + seconds <= seconds_per_class or not kept[class_id]:
            kept[class_id].append(pcm)
            held[class_id] += seconds
        elif (at := int(rng.integers(seen[class_id]))) < len(kept[class_id]):
            kept[class_id][at] = pcm
    return [(pcm, class_id) for class_id, of_class in enumerate(kept) for pcm in of_class]


def _load_background(path: str | os.PathLike[str] | None, rate: int, seed: int) -> np.ndarray:
    """Return the background as float32 `(n,)` of any power."""
    if path is None:
        return _make_pink_noise(60 * rate, batch_rng(seed, 0, 0, "streaming background"))
    if Path(path).is_file():
        parts = [np.concatenate(list(read_blocks(path, rate)))]
    else:
        noises = load_noises(find_folder("background", path, None), rate)
        parts = [to_float(samples) for samples in noises.samples]
    # All recordings get the same power.
    powers = [float(np.mean(np.square(part))) for part in parts]
    return np.concatenate(
        [
            part / np.float32(math.sqrt(power)) if power else part
            for part, power in zip(parts, powers, strict=True)
        ]
    )


def _make_pink_noise(length: int, rng: np.random.Generator) -> np.ndarray:
    spectrum = np.fft.rfft(standard_normal(length, rng))
    spectrum[1:] /= np.sqrt(np.arange(1, len(spectrum)))
    spectrum[0] = 0
    return np.fft.irfft(spectrum, length).astype(np.float32)
