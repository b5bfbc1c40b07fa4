"""Models converted for one sample that take several."""

import warnings

import numpy as np
import pytest

from mltk.core.tflite_model import TfliteModel
from mltk.core.tflite_model.batch_axis import free_batch_axis
from mltk.core.tflite_model.interpreter import LiteRtPredictor


@pytest.fixture(scope="module")
def for_one_sample():
    """A convolution, a reshape that names the batch, a dense layer; int8, with float input and output."""
    import keras
    import tensorflow as tf

    keras.utils.set_random_seed(3)
    layers = keras.layers
    inputs = keras.Input(batch_shape=(1, 8, 8, 1))
    x = layers.Flatten()(layers.Conv2D(4, 3, activation="relu")(inputs))
    converter = tf.lite.TFLiteConverter.from_keras_model(keras.Model(inputs, layers.Dense(3)(x)))
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    samples = np.random.default_rng(1).normal(size=(20, 1, 8, 8, 1)).astype("float32")
    converter.representative_dataset = lambda: ([x] for x in samples)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return converter.convert(), samples[:, 0]


def _targets(content):
    return [
        layer.inputs[1].data.tolist()
        for layer in TfliteModel(content).layers
        if layer.opcode_str == "reshape"
    ]


def test_a_batch_gives_the_bits_of_single_samples(for_one_sample):
    content, x = for_one_sample
    assert _targets(content) == [[1, 144]]
    before = LiteRtPredictor(content)
    expected = before.predict(x)
    assert not before._batchable
    scale = TfliteModel(content).layers[-1].inputs[0].quantization.scale[0]
    steps = np.rint(expected / scale)
    np.testing.assert_array_equal(expected, (np.float64(scale) * steps).astype(np.float32))

    freed = free_batch_axis(content)
    predictor = LiteRtPredictor(freed)
    np.testing.assert_array_equal(predictor.predict(x), expected)
    assert predictor._batchable
    assert _targets(freed) == [[-1, 144]]


def test_once_is_enough_and_other_models_stay_as_they_are(for_one_sample, model_path):
    freed = free_batch_axis(for_one_sample[0])
    assert free_batch_axis(freed) is freed
    content = model_path("dense_float32").read_bytes()
    assert free_batch_axis(content) is content


def test_a_target_that_something_else_reads_stays(for_one_sample):
    model = TfliteModel(for_one_sample[0])
    graph = model.flatbuffer_subgraph
    reshape = next(
        op for op, layer in zip(graph.operators, model.layers, strict=True) if layer.opcode_str == "reshape"
    )
    # Another constant of the model, read by the dense layer, shares the buffer.
    dense = graph.operators[len(graph.operators) - 2]
    graph.tensors[dense.inputs[1]].buffer = graph.tensors[reshape.inputs[1]].buffer
    model.regenerate_flatbuffer()
    assert free_batch_axis(model.flatbuffer_data) is model.flatbuffer_data
