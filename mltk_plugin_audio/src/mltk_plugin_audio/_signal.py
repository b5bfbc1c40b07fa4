"""Operations on the samples of one clip: convert, resample, trim, pad, and add noise.

The loops are compiled, so that threads that make batches do not wait for each other.
"""

from __future__ import annotations

import numpy as np
import soxr

from mltk.errors import DatasetError
from mltk_plugin_audio._compilation import compiled

_TRIM_WINDOW_SECONDS = 0.025


def to_float(samples: np.ndarray) -> np.ndarray:
    """Convert samples to float32 from -1 to 1; integers are divided by the full scale of their type."""
    if samples.dtype.kind == "i":
        scale = np.float32(-1 / float(np.iinfo(samples.dtype).min))
        return np.asarray(np.multiply(samples, scale, dtype=np.float32))
    if samples.dtype == np.uint8:
        return (samples.astype(np.float32) - 128) / 128
    return np.asarray(samples, np.float32)


def to_int16(samples: np.ndarray) -> np.ndarray:
    """Convert float samples from -1 to 1 to int16: rounded, and clipped beyond full scale."""
    return np.clip(np.rint(samples * 32768.0), -32768, 32767).astype(np.int16)


def resample(samples: np.ndarray, rate: float, target_rate: float) -> np.ndarray:
    """Convert float32 `(n,)` samples to another sample rate, band-limited; releases the GIL."""
    if rate == target_rate or not len(samples):
        return samples
    result: np.ndarray = soxr.resample(samples, rate, target_rate, quality="HQ")
    return result


def find_speech(samples: np.ndarray, rate: float, threshold_db: float) -> tuple[int, int]:
    """Find where a clip starts and stops without the silence at both ends.

    A part is silent if it is more than `threshold_db` below the loudest 25 ms. A clip of zeros is kept whole.

    Raises:
        DatasetError: The threshold is negative.
    """
    if threshold_db < 0:
        # No block reaches such a threshold, and the compiled loop would search beyond the end of the array.
        raise DatasetError(f"The threshold for trimming silence must be 0 dB or more, got {threshold_db}.")
    if not len(samples):
        return 0, 0
    step = max(1, round(rate * _TRIM_WINDOW_SECONDS / 4))
    start, stop = _find_loud_span(np.ascontiguousarray(samples, np.float32), step, 10 ** (-threshold_db / 10))
    return int(start), int(stop)


def cuts_sound(samples: np.ndarray, rate: float, threshold_db: float) -> bool:
    """Return whether trimming cuts off 0.1 s of sound or more that is at least 5 dB above the noise.

    That is what a threshold higher by 15 dB keeps. The level of the noise is that of the quietest tenth of the clip.
    """
    step = max(1, round(rate * _TRIM_WINDOW_SECONDS))
    blocks = len(samples) // step
    if blocks < 10:
        return False
    powers = np.sort(np.mean(np.square(samples[: blocks * step].reshape(blocks, step)), axis=1))
    wider = threshold_db + 15
    if powers[blocks // 10] * 10 ** ((wider + 5) / 10) > powers[-1]:
        return False
    lengths = [stop - start for start, stop in (find_speech(samples, rate, t) for t in (threshold_db, wider))]
    return (lengths[1] - lengths[0]) / rate >= 0.1


def pad_or_crop(samples: np.ndarray, length: int, offset: float, out: np.ndarray) -> tuple[int, int]:
    """Write a clip of any length into an array of `length` samples.

    Args:
        samples: `(n,)`.
        length: Number of samples wanted.
        offset: Fraction of the difference in length that comes before: 0 is the start, 1 the end.
        out: `(length,)` zeros, overwritten.

    Returns:
        Start and stop of the clip in `out`.
    """
    slack = length - len(samples)
    position = round(abs(slack) * offset)
    if slack >= 0:
        out[position : position + len(samples)] = samples
        return position, position + len(samples)
    out[:] = samples[position : position + length]
    return 0, length


@compiled()
def add_noise(noise: np.ndarray, first: int, scale: np.float32, factor: np.float32, out: np.ndarray) -> None:
    """Add noise to `out`, multiplied by `scale` and `factor`.

    Args:
        noise: int16 or float32 `(n,)`; repeated from its start when it ends.
        first: Position in `noise` of the first sample added.
        scale: Converts `noise` to the range -1 to 1.
        factor: Gain of the noise.
        out: float32 samples, modified in place.
    """
    position = first
    for i in range(out.size):
        out[i] += factor * (scale * np.float32(noise[position]))
        position += 1
        if position == noise.size:
            position = 0


@compiled(fastmath={"reassoc", "contract"})
def _find_loud_span(samples: np.ndarray, step: int, share: float) -> tuple[int, int]:
    """Find the first and the last four blocks of `step` samples with `share` of the maximum mean power."""
    n = samples.size
    blocks = max(4, -(-n // step))
    energies = np.zeros(blocks, np.float32)
    for block in range(-(-n // step)):
        energy = np.float32(0)
        for i in range(block * step, min((block + 1) * step, n)):
            energy += samples[i] * samples[i]
        energies[block] = energy
    powers = np.empty(blocks - 3, np.float32)
    for i in range(blocks - 3):
        length = min((i + 4) * step, n) - i * step
        powers[i] = (energies[i] + energies[i + 1] + energies[i + 2] + energies[i + 3]) / length
    threshold = powers.max() * share
    if not threshold > 0:
        return 0, n
    first, last = 0, blocks - 4
    while powers[first] < threshold:
        first += 1
    while powers[last] < threshold:
        last -= 1
    return first * step, min((last + 4) * step, n)
