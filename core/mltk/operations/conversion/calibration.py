"""Collect the samples that quantization is calibrated with."""

from __future__ import annotations

import contextlib
import sys
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np

from mltk.data.samples import iterate_batches
from mltk.data.tf_data import data_errors
from mltk.errors import DatasetError
from mltk.model.mixins.dataset import DatasetMixin

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mltk.model.any_model import AnyModel
    from mltk.operations.conversion.settings import ConverterSettings

TEST_SAMPLES = 3


def representative_samples(
    mltk_model: AnyModel, settings: ConverterSettings
) -> list[list[np.ndarray]] | None:
    """Return the samples to calibrate with, or `None` if the settings ask for none.

    Each sample is a list of one array, with a batch axis of 1, per input.

    Raises:
        DatasetError: There are no samples.
    """
    wanted = settings["representative_dataset"]
    if wanted is None:
        return None
    limit = TEST_SAMPLES if mltk_model.test_mode_enabled else settings["representative_dataset_max_samples"]
    samples: list[list[np.ndarray]] = []
    with _calibration_data(mltk_model):
        if callable(wanted):
            for item in wanted():
                samples += islice(_single_samples(item), limit - len(samples))
                if len(samples) >= limit:
                    break
        else:
            for batch in _validation_batches(mltk_model):
                samples += [
                    [np.asarray(sample, np.float32)[None]] for sample in batch[: limit - len(samples)]
                ]
                if len(samples) >= limit:
                    break
    if not samples:
        raise DatasetError("The representative data set for the quantization has no sample.")
    return samples


def _single_samples(item: object) -> Iterator[list[np.ndarray]]:
    """Split an item of a representative dataset, which may be a batch, into samples."""
    arrays = [np.asarray(array) for array in (item if isinstance(item, (list, tuple)) else [item])]
    # NumPy computes in double precision, which no network takes.
    arrays = [array.astype(np.float32) if array.dtype == np.float64 else array for array in arrays]
    sizes = {array.shape[0] if array.ndim else 1 for array in arrays}
    if len(sizes) > 1 or sizes == {1}:
        yield arrays
        return
    for i in range(sizes.pop()):
        yield [array[i : i + 1] for array in arrays]


@contextlib.contextmanager
def _calibration_data(mltk_model: AnyModel) -> Iterator[None]:
    """Load the validation data within the block."""
    has_data = isinstance(mltk_model, DatasetMixin)
    try:
        if has_data:
            mltk_model.load_dataset("validation", test=mltk_model.test_mode_enabled)
        with data_errors():
            yield
    finally:
        if has_data:
            mltk_model.unload_dataset()


def _validation_batches(mltk_model: AnyModel) -> Iterator[np.ndarray]:
    data = mltk_model.validation_data
    if data is None:
        data = mltk_model.x
    if data is None:
        raise DatasetError(
            f"The data set of '{mltk_model.name}' gave no data to calibrate the quantization with. "
            f"Let its loader return data for the subset 'validation', or set "
            f"my_model.tflite_converter['representative_dataset']."
        )
    # An endless data set is read until there are enough samples.
    for x, _ in iterate_batches(data, steps=mltk_model.validation_steps or sys.maxsize):
        yield x
