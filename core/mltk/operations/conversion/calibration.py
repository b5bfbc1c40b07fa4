"""Collect the samples that quantization is calibrated with."""

from __future__ import annotations

import contextlib
import sys
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np

from mltk.data.generator_batches import GeneratorIterator
from mltk.data.samples import iterate_batches
from mltk.data.tf_data import data_errors
from mltk.errors import DatasetError
from mltk.keras.inputs import arrange_inputs, fit_input, input_specs
from mltk.model.mixins.dataset import DatasetMixin
from mltk.utils.trees import Tree

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    import keras

    from mltk.model.full_model import FullModel
    from mltk.operations.conversion.settings import ConverterSettings

TEST_SAMPLES = 3


def representative_samples(
    mltk_model: FullModel, keras_model: keras.Model, settings: ConverterSettings
) -> list[list[np.ndarray]] | None:
    """Return the samples to calibrate with, or `None` if the settings ask for none.

    Each sample is a list of one array, with a batch axis of 1, per input.

    Raises:
        DatasetError: There are no samples, or they do not fit the inputs of the network.
    """
    wanted = settings["representative_dataset"]
    if wanted is None:
        return None
    limit = TEST_SAMPLES if mltk_model.test_mode_enabled else settings["representative_dataset_max_samples"]
    samples: list[list[np.ndarray]] = []
    with _calibration_data(mltk_model):
        for item in wanted() if callable(wanted) else _validation_batches(mltk_model):
            samples += islice(single_samples(keras_model, item), limit - len(samples))
            if len(samples) >= limit:
                break
    if not samples:
        raise DatasetError("The representative data set for the quantization has no sample.")
    return samples


def single_samples(keras_model: keras.Model, item: object) -> Iterator[list[np.ndarray]]:
    """Split an item of a representative data set into samples.

    Args:
        keras_model: The network.
        item: A batch, or one sample with or without a batch axis: an array, or a list or dictionary with one for each
            input.

    Raises:
        DatasetError: The item does not fit the inputs of the network.
    """
    arrays = arrange_inputs(keras_model, item)
    specs = input_specs(keras_model)
    if specs:
        arrays = [
            fit_input(array, spec, "The samples for the quantization (representative_dataset) have")
            for array, spec in zip(arrays, specs, strict=True)
        ]
    else:
        # A subclassed model tells no shapes. NumPy computes in double precision, which no network takes.
        arrays = [
            np.atleast_1d(a).astype(np.float32) if a.dtype == np.float64 else np.atleast_1d(a) for a in arrays
        ]
    sizes = {len(array) for array in arrays}
    if len(sizes) > 1:
        raise DatasetError(
            f"The samples for the quantization (representative_dataset) have arrays of {_join(sizes)} rows "
            f"for the inputs of the network; they must be equally many."
        )
    for i in range(sizes.pop()):
        yield [array[i : i + 1] for array in arrays]


def _join(sizes: Iterable[int]) -> str:
    return " and ".join(map(str, sorted(sizes)))


@contextlib.contextmanager
def _calibration_data(mltk_model: FullModel) -> Iterator[None]:
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


def _validation_batches(mltk_model: FullModel) -> Iterator[Tree]:
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
    batches = iterate_batches(data, steps=mltk_model.validation_steps or sys.maxsize)
    for index, (x, _) in enumerate(batches):
        made = data.batches.made_samples(index) if isinstance(data, GeneratorIterator) else None
        # By turns, as a limit may end within a batch.
        yield x if made is None else np.stack([x, made], axis=1).reshape(-1, *x.shape[1:])
