"""Random numbers that depend only on a seed and a position in the data."""

from __future__ import annotations

import zlib
from functools import cache

import numpy as np


def batch_rng(seed: int, epoch: int, index: int, stream: str = "transform") -> np.random.Generator:
    """Return the random generator of one batch.

    Equal arguments give equal numbers on every machine; different arguments give independent numbers.

    Args:
        seed: Seed of the training run, at least 0.
        epoch: Counted from 0.
        index: Position of the batch in the epoch, counted from 0.
        stream: Purpose of the numbers; draws of one stream do not affect those of another.
    """
    return np.random.Generator(np.random.Philox(np.random.SeedSequence([_key(stream), seed, epoch, index])))


def epoch_permutation(n: int, seed: int, epoch: int) -> np.ndarray:
    """Return the order of `n` samples in an epoch: int64, a permutation of 0 to n - 1."""
    return batch_rng(seed, epoch, 0, "order").permutation(n)


def balanced_order(ids: np.ndarray, seed: int, epoch: int) -> np.ndarray:
    """Return sample numbers of an epoch in which every class is drawn equally often: int64, as many as samples.

    Successive samples take turns between the classes; within a class, every sample is drawn once before any is drawn
    again.

    Args:
        ids: Class id of each sample.
        seed: Seed of the training run, at least 0.
        epoch: Counted from 0.
    """
    rng = batch_rng(seed, epoch, 0, "order")
    groups = [np.flatnonzero(ids == label) for label in np.unique(ids)]
    rounds = -(-len(ids) // max(len(groups), 1))
    columns = [
        np.concatenate([rng.permutation(group) for _ in range(-(-rounds // len(group)))])[:rounds]
        for group in groups
    ]
    table = rng.permuted(np.stack(columns, axis=1), axis=1) if columns else np.empty(0, np.int64)
    return table.reshape(-1)[: len(ids)]


def standard_normal(count: int, rng: np.random.Generator) -> np.ndarray:
    """Return `count` float32 numbers from a normal distribution truncated at 4.2 standard deviations.

    Several times faster than `Generator.standard_normal`: 16 random bits select a quantile.
    """
    bits = np.random.SFC64(rng.integers(2**63)).random_raw(-(-count // 4)).view(np.uint16)[:count]
    return np.take(_normal_quantiles(), bits, mode="clip")


@cache
def _normal_quantiles() -> np.ndarray:
    z = np.linspace(-6, 6, 24001)
    distribution = np.cumsum(np.exp(-z * z / 2))
    distribution = (distribution - distribution[0] / 2) / distribution[-1]
    return np.interp((np.arange(65536) + 0.5) / 65536, distribution, z).astype(np.float32)


def _key(stream: str) -> int:
    return zlib.crc32(stream.encode())
