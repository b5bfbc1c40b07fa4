"""What is done with every clip of a batch, compiled, so that threads do not wait for each other's Python."""

from __future__ import annotations

import numpy as np
from numba import njit


@njit(nogil=True, cache=True, fastmath={"reassoc", "contract"})  # type: ignore[untyped-decorator]
def loud_span(samples: np.ndarray, step: int, share: float) -> tuple[int, int]:
    """Return from where to where any four blocks of `step` samples have `share` of the greatest mean power."""
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


@njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def add_noise(noise: np.ndarray, first: int, scale: np.float32, factor: np.float32, out: np.ndarray) -> None:
    """Add int16 or float32 samples from `first` on, which begin again at their end, times two factors to `out`."""
    position = first
    for i in range(out.size):
        out[i] += factor * (scale * np.float32(noise[position]))
        position += 1
        if position == noise.size:
            position = 0
