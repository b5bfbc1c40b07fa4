from __future__ import annotations

import numpy as np
import pytest

from mltk.core import MltkModel, TrainMixin


class Model(MltkModel, TrainMixin):
    pass


@pytest.fixture
def randomize():
    """Give a network random, nonzero weights: the converter omits biases that are 0."""

    def fill(network, seed=1):
        rng = np.random.default_rng(seed)
        for weight in network.weights:
            values = rng.normal(0, 0.05, weight.shape)
            if weight.path.endswith(("variance", "gamma")):
                values = 1 + np.abs(values)
            weight.assign(values)
        return network

    return fill


@pytest.fixture
def to_int8():
    """Convert a network to an int8 `TfliteModel`, calibrated with samples or normally distributed noise."""
    from mltk.core import TfliteModel
    from mltk.operations.conversion.converter import convert
    from mltk.operations.conversion.settings import converter_settings

    def to_tflite(network, io_type="int8", samples=None):
        if samples is None:
            samples = np.random.default_rng(0).normal(size=(3, *network.inputs[0].shape[1:]))
        model = Model()
        settings = converter_settings(
            model, {"inference_input_type": io_type, "inference_output_type": io_type}
        )
        return TfliteModel(
            convert(
                model, network, settings, lambda: ([sample[None].astype(np.float32)] for sample in samples)
            )
        )

    return to_tflite
