"""Random numbers that depend on nothing but a seed and a position in the data."""

from __future__ import annotations

import zlib

import numpy as np


def batch_rng(seed: int, epoch: int, index: int, stream: str = "transform") -> np.random.Generator:
    """Return the generator of one batch.

    Equal arguments give equal numbers on every machine; any two different ones give independent numbers.

    Args:
        seed: Seed of the whole run, 0 or greater.
        epoch: Counted from 0.
        index: Position of the batch in the epoch, counted from 0.
        stream: Name of what the numbers are for; draws for one purpose then do not move those for another.
    """
    return np.random.Generator(np.random.Philox(np.random.SeedSequence([_key(stream), seed, epoch, index])))


def epoch_permutation(n: int, seed: int, epoch: int) -> np.ndarray:
    """Return the order of `n` samples in an epoch: int64, a permutation of 0 to n - 1."""
    return batch_rng(seed, epoch, 0, "order").permutation(n)


def _key(stream: str) -> int:
    return zlib.crc32(stream.encode())
