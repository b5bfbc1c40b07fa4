from __future__ import annotations

import contextlib
import io
import warnings

import numpy as np
import pytest


@pytest.fixture
def randomize():
    """Give a network weights of which none is 0, as a trained one has: the converter leaves out biases of 0."""

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
    """Convert a network to an int8 `TfliteModel`, calibrated with normal noise."""
    import tensorflow as tf

    from mltk.core import TfliteModel
    from mltk.core.keras.environment import native_stderr

    def convert(network, io_type=tf.int8, samples=None):
        shape = network.inputs[0].shape[1:]
        if samples is None:
            samples = np.random.default_rng(0).normal(size=(5, *shape))
        converter = tf.lite.TFLiteConverter.from_keras_model(network)
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        converter.inference_input_type = converter.inference_output_type = io_type
        converter.representative_dataset = lambda: ([sample[None].astype(np.float32)] for sample in samples)
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()), native_stderr():
            warnings.simplefilter("ignore")
            return TfliteModel(converter.convert())

    return convert
