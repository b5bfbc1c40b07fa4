"""Normalize samples."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from mltk.plugins import Parameter

if TYPE_CHECKING:
    from numpy.typing import DTypeLike

    from mltk.data.generator_settings import GeneratorSettings

EPSILON = 1e-6
"""Added to a standard deviation before dividing by it, so that a constant sample gives zeros."""


def normalize(
    x: np.ndarray,
    rescale: float | None = None,
    samplewise_center: bool = False,
    samplewise_std_normalization: bool = False,
    samplewise_normalize_range: tuple[float, float] | None = None,
    dtype: DTypeLike | None = None,
) -> np.ndarray:
    """Normalize one sample, in the order of the arguments.

    Args:
        x: The sample, of any shape and numeric type; it is not changed.
        rescale: Multiply by this factor.
        samplewise_center: Subtract the sample's mean.
        samplewise_std_normalization: Divide by the sample's standard deviation plus 1e-6.
        samplewise_normalize_range: Map the sample's minimum and maximum to this `(low, high)`; a constant
            sample becomes `low`.
        dtype: Data type of the result; `None` means float32. The calculation uses float32, or float64 if `x` or the
            result has that type.

    Returns:
        A new array of the shape of `x`.
    """
    normalized: np.ndarray = normalize_batch(
        np.asarray(x)[None],
        rescale=rescale,
        samplewise_center=samplewise_center,
        samplewise_std_normalization=samplewise_std_normalization,
        samplewise_normalize_range=samplewise_normalize_range,
        dtype=dtype,
    )[0]
    return normalized


def normalize_batch(
    batch: np.ndarray,
    rescale: float | None = None,
    samplewise_center: bool = False,
    samplewise_std_normalization: bool = False,
    samplewise_normalize_range: tuple[float, float] | None = None,
    dtype: DTypeLike | None = None,
) -> np.ndarray:
    """Normalize each sample of a batch (first axis); the further arguments are those of `normalize`."""
    batch = np.asarray(batch)
    result_type = np.dtype(np.float32 if dtype is None else dtype)
    wide = np.float64 in (batch.dtype, result_type)
    values: np.ndarray = batch.astype(np.float64 if wide else np.float32)
    axes = tuple(range(1, values.ndim))
    if rescale is not None:
        values *= rescale
    if samplewise_center:
        values -= values.mean(axis=axes, keepdims=True)
    if samplewise_std_normalization:
        values /= values.std(axis=axes, keepdims=True) + EPSILON
    if samplewise_normalize_range is not None and values.size:
        low, high = samplewise_normalize_range
        smallest = values.min(axis=axes, keepdims=True)
        extent = values.max(axis=axes, keepdims=True) - smallest
        values -= smallest
        values *= (high - low) / np.where(extent > 0, extent, 1)
        values += low
    return values.astype(result_type, copy=False)


def normalization_parameters(datagen: GeneratorSettings) -> dict[str, Parameter]:
    """Return the model parameters that tell a device how to normalize samples."""
    both = bool(datagen.samplewise_center and datagen.samplewise_std_normalization)
    rescale = Parameter(float(datagen.rescale), "float") if datagen.rescale else Parameter(0.0, "double")
    return {
        "samplewise_norm.rescale": rescale,
        "samplewise_norm.mean_and_std": Parameter(both, "bool"),
    }
