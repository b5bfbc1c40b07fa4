"""Long recordings with what is said in them: files with labels, or clips placed into background noise."""

from __future__ import annotations

import csv
import math
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mltk.data.seeding import batch_rng, standard_normal
from mltk.errors import DatasetError, did_you_mean
from mltk_plugin_audio._files import as_float, check_finite, check_length, opened, speech_bounds
from mltk_plugin_audio._recordings import find_folder, load_noises

LABEL_ENDINGS = (".txt", ".csv", ".tsv")

_BLOCK_SECONDS = 10
_MOST_VALUES = 1 << 22
_SPEECH_RANGE_DB = 30.0
_FULL_SCALE = 32768


@dataclass(frozen=True)
class Event:
    """Something of a class that is heard in a recording."""

    start_ms: float
    end_ms: float
    class_id: int


@dataclass(frozen=True)
class Recording:
    """A long recording, which is read piece by piece."""

    name: str
    events: tuple[Event, ...]
    """In the order of time. What the device must not report, `_unknown_` and the like, is not among them."""
    blocks: Callable[[], Iterator[np.ndarray]]
    """Starts to read it: float32 or int16 `(n,)` of any length, at the sample rate that was asked for."""


def open_recording(
    path: str | os.PathLike[str],
    rate: int,
    classes: Sequence[str],
    labels: str | os.PathLike[str] | None = None,
) -> Recording:
    """Open a file of sound, with its labels.

    Args:
        path: WAV, FLAC, OGG or MP3 of any rate and length; the first channel is used.
        rate: Sample rate to convert to, in Hz.
        classes: Names of the classes.
        labels: File of labels, see `read_labels`; by default the one of the same name as the recording with the ending
            `.txt`, `.csv` or `.tsv`. Without one, everything that is detected is a false accept.

    Raises:
        DatasetError: There is no such file, or the labels are not readable.
    """
    path = Path(path)
    if not path.is_file():
        raise DatasetError(f"There is no recording {path}.")
    beside = [path.with_suffix(ending) for ending in LABEL_ENDINGS]
    file = Path(labels) if labels is not None else next((p for p in beside if p.is_file()), None)
    events = read_labels(file, classes) if file is not None else ()
    return Recording(path.name, events, lambda: read_blocks(path, rate))


def read_blocks(path: str | os.PathLike[str], rate: int) -> Iterator[np.ndarray]:
    """Read the first channel of a recording piece by piece, at another rate.

    Args:
        path: WAV, FLAC, OGG or MP3, whatever the ending of its name.
        rate: Wanted sample rate in Hz.

    Yields:
        float32 `(n,)`, -1 to 1; together, the whole recording.

    Raises:
        DatasetError: The file is missing, damaged, truncated or empty, or holds numbers that are not finite.
    """
    import soxr

    with opened(path) as sound:
        resampler = None
        if sound.samplerate != rate:
            resampler = soxr.ResampleStream(sound.samplerate, rate, 1, dtype="float32", quality="HQ")
        read, announced = 0, sound.frames
        # A damaged file may announce any rate and many channels.
        size = min(_BLOCK_SECONDS * sound.samplerate, _MOST_VALUES // sound.channels)
        last = False
        while not last:
            block = sound.read(size, dtype="float32", always_2d=True)[:, 0]
            block = np.ascontiguousarray(block)
            read += len(block)
            check_finite(path, block)
            last = not len(block)
            if resampler is not None:
                yield resampler.resample_chunk(block, last=last)
            elif not last:
                yield block
        check_length(path, read, announced, sound.format)


def read_labels(path: str | os.PathLike[str], classes: Sequence[str]) -> tuple[Event, ...]:
    r"""Read what is said when.

    One event per line, `start<TAB>end<TAB>label` with times in seconds, as Audacity writes its label tracks; commas
    or semicolons in place of tabs are understood, as are a line of headings (`start`, …), empty lines, lines that
    start with `#`, and the lines of frequencies of Audacity (they start with a backslash).

    Args:
        path: The file, UTF-8.
        classes: Names of the classes. Names are compared without regard to case; classes that start with `_` are
            accepted and left out, as the device does not report them.

    Returns:
        The events in the order of time.

    Raises:
        DatasetError: The file is not readable, or a line is not of this form; the message names the line.
    """
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as e:
        reason = getattr(e, "strerror", None) or "it is not a text file"
        raise DatasetError(f"The labels {path} cannot be read: {reason}.") from e
    ids = {name.casefold(): i for i, name in enumerate(classes)}
    events = []
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip() or line.lstrip().startswith(("#", "\\")):
            continue
        cells = _cells(line)
        if number == 1 and cells[0].casefold() in ("start", "begin", "onset"):
            continue
        start, end, label = _event(cells, f"{path}, line {number}")
        if label.startswith("_"):
            continue
        class_id = ids.get(label.casefold())
        if class_id is None:
            raise DatasetError(
                f"{path}, line {number}: the model has no class '{label}'.{did_you_mean(label, classes)} "
                "Name what is no class of the model _unknown_."
            )
        events.append(Event(1000 * start, 1000 * end, class_id))
    return tuple(sorted(events, key=lambda e: (e.start_ms, e.end_ms, e.class_id)))


def format_labels(events: Iterable[Event], classes: Sequence[str]) -> str:
    """Return the text of a file of labels, as `read_labels` and Audacity read it."""
    return "".join(f"{e.start_ms / 1000:.6f}\t{e.end_ms / 1000:.6f}\t{classes[e.class_id]}\n" for e in events)


def _cells(line: str) -> list[str]:
    delimiter = next((d for d in "\t;," if d in line), "\t")
    return [cell.strip() for cell in next(csv.reader([line], delimiter=delimiter))]


def _event(cells: list[str], where: str) -> tuple[float, float, str]:
    try:
        start, end, label = float(cells[0]), float(cells[1]), cells[2]
    except (ValueError, IndexError):
        raise DatasetError(
            f"{where}: expected start, end and label, separated by tabs or commas, with times in seconds."
        ) from None
    if not (math.isfinite(start) and math.isfinite(end) and 0 <= start <= end):
        raise DatasetError(f"{where}: the event must start at 0 or later and end after that.")
    if not label:
        raise DatasetError(f"{where}: the event has no label.")
    return start, end, label


@dataclass(frozen=True)
class Composition:
    """How clips are made into one recording."""

    seed: int = 0
    max_minutes: float = 60.0
    """Length; when there are more clips, as many are drawn from each class until it is full."""
    gap_ms: tuple[float, float] = (1500.0, 4000.0)
    """Shortest and longest pause between clips; each is drawn evenly between."""
    snr_db: float = 20.0
    """Power of a clip in the middle of all clips' powers, relative to that of the background."""
    background: str | os.PathLike[str] | None = None
    """A recording, or a folder with recordings, that goes on beneath the clips; pink noise without."""


def compose(
    clips: Iterable[tuple[np.ndarray, int]], classes: Sequence[str], rate: int, how: Composition
) -> Recording:
    """Place clips into a background, one after the other.

    The clips come in a random order, unchanged, with pauses between. Classes that start with `_` are in it as well:
    they are what must not be detected. Of a clip of another class the labelled part, from which the latency is
    counted, is the speech in it: the part that begins and ends with sound of less than 30 dB below its loudest 25 ms.
    The background, scaled once so that the clip of middle power is `snr_db` above it, goes on through everything.
    The same arguments give the same recording.

    Args:
        clips: Samples, float32 `(n,)` from -1 to 1 at `rate`, and class id.
        classes: Names of the classes.
        rate: Sample rate in Hz.
        how: The settings.

    Raises:
        DatasetError: There are no clips, or the background cannot be read.
    """
    rng = batch_rng(how.seed, 0, 0, "streaming")
    chosen = _draw(clips, len(classes), rate, how, rng)
    if not chosen:
        raise DatasetError("There are no evaluation clips to make a recording of.")
    order = rng.permutation(len(chosen))
    pauses = np.round(rng.uniform(*how.gap_ms, len(chosen) + 1) * rate / 1000).astype(np.int64)
    placed: list[tuple[int, np.ndarray]] = []
    events = []
    position = int(pauses[0])
    powers = []
    for index, pause in zip(order, pauses[1:], strict=True):
        samples, class_id = chosen[index]
        first, last = speech_bounds(as_float(samples), rate, _SPEECH_RANGE_DB)
        if not classes[class_id].startswith("_"):
            events.append(Event(1000 * (position + first) / rate, 1000 * (position + last) / rate, class_id))
        if samples.any():
            powers.append(float(np.mean(np.square(as_float(samples[first:last])))))
        placed.append((position, samples))
        position += len(samples) + int(pause)
    power = float(np.median(powers)) / 10 ** (how.snr_db / 10) if powers else 0.0
    background = _background(how.background, rate, how.seed)
    background *= np.float32(math.sqrt(power / max(float(np.mean(np.square(background))), 1e-20)))
    length = position

    def blocks() -> Iterator[np.ndarray]:
        size = _BLOCK_SECONDS * rate
        following = 0
        for start in range(0, length, size):
            stop = min(start + size, length)
            block = np.take(background, np.arange(start, stop), mode="wrap")
            while following < len(placed) and placed[following][0] + len(placed[following][1]) <= start:
                following += 1
            for at, samples in placed[following:]:
                if at >= stop:
                    break
                first, last = max(at, start), min(at + len(samples), stop)
                if first < last:
                    block[first - start : last - start] += as_float(samples[first - at : last - at])
            yield np.clip(block, -1, 1)

    return Recording("evaluation clips", tuple(events), blocks)


def _draw(
    clips: Iterable[tuple[np.ndarray, int]],
    n_classes: int,
    rate: int,
    how: Composition,
    rng: np.random.Generator,
) -> list[tuple[np.ndarray, int]]:
    """Choose evenly from the classes what fills the recording, without ever holding much more than that."""
    pause = sum(how.gap_ms) / 2000
    seconds_per_class = how.max_minutes * 60 / max(n_classes, 1)
    kept: list[list[np.ndarray]] = [[] for _ in range(n_classes)]
    seen = [0] * n_classes
    held = [0.0] * n_classes
    for samples, class_id in clips:
        pcm = np.clip(np.rint(samples * _FULL_SCALE), -_FULL_SCALE, _FULL_SCALE - 1).astype(np.int16)
        seen[class_id] += 1
        seconds = len(pcm) / rate + pause
        if held[class_id] + seconds <= seconds_per_class or not kept[class_id]:
            kept[class_id].append(pcm)
            held[class_id] += seconds
        elif (at := int(rng.integers(seen[class_id]))) < len(kept[class_id]):
            kept[class_id][at] = pcm
    return [(pcm, class_id) for class_id, of_class in enumerate(kept) for pcm in of_class]


def _background(path: str | os.PathLike[str] | None, rate: int, seed: int) -> np.ndarray:
    """Return the background, to be repeated: float32 `(n,)` of any power."""
    if path is None:
        return _pink_noise(60 * rate, batch_rng(seed, 0, 0, "streaming background"))
    if Path(path).is_file():
        parts = [np.concatenate(list(read_blocks(path, rate)))]
    else:
        noises = load_noises(find_folder("background", path, None), rate)
        parts = [as_float(samples) for samples in noises.samples]
    # Each recording is as loud as the others.
    powers = [float(np.mean(np.square(part))) for part in parts]
    return np.concatenate(
        [
            part / np.float32(math.sqrt(power)) if power else part
            for part, power in zip(parts, powers, strict=True)
        ]
    )


def _pink_noise(length: int, rng: np.random.Generator) -> np.ndarray:
    spectrum = np.fft.rfft(standard_normal(length, rng))
    spectrum[1:] /= np.sqrt(np.arange(1, len(spectrum)))
    spectrum[0] = 0
    return np.fft.irfft(spectrum, length).astype(np.float32)
