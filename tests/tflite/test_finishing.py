"""What converted models get besides: any batch size, a signature."""

import warnings

import numpy as np
import pytest

from mltk.tflite import TfliteModel
from mltk.tflite.interpreter import LiteRtPredictor
from mltk.tflite.postprocess import SIGNATURE, add_signature, free_batch_axis


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


def _freed(content):
    model = TfliteModel(content)
    free_batch_axis(model)
    model.regenerate_flatbuffer()
    return model.flatbuffer_data


def _own(content):
    model = TfliteModel(content)
    model.is_own = True
    return LiteRtPredictor(model)


def _targets(content):
    return [
        layer.inputs[1].data.tolist()
        for layer in TfliteModel(content).layers
        if layer.opcode_str == "reshape"
    ]


def test_a_batch_gives_the_bits_of_single_samples(for_one_sample):
    content, x = for_one_sample
    assert _targets(content) == [[1, 144]]
    before = _own(content)
    expected = before.predict(x)
    assert not before._pool._batchable
    scale = TfliteModel(content).layers[-1].inputs[0].quantization.scale[0]
    steps = np.rint(expected / scale)
    np.testing.assert_array_equal(expected, (np.float64(scale) * steps).astype(np.float32))

    freed = _freed(content)
    predictor = _own(freed)
    np.testing.assert_array_equal(predictor.predict(x), expected)
    assert predictor._pool._batchable
    assert _targets(freed) == [[-1, 144]]


def test_a_target_that_something_else_reads_stays(for_one_sample):
    model = TfliteModel(for_one_sample[0])
    graph = model.flatbuffer_subgraph
    reshape = next(
        op for op, layer in zip(graph.operators, model.layers, strict=True) if layer.opcode_str == "reshape"
    )
    # The weights of the dense layer share the buffer.
    dense = graph.operators[len(graph.operators) - 2]
    graph.tensors[dense.inputs[1]].buffer = graph.tensors[reshape.inputs[1]].buffer
    model.regenerate_flatbuffer()
    assert _targets(_freed(model.flatbuffer_data)) == [[1, 144]]


def test_an_interpreter_finds_inputs_and_outputs_by_the_names_of_the_signature(for_one_sample):
    from ai_edge_litert.interpreter import Interpreter

    content, x = for_one_sample
    model = TfliteModel(content)
    add_signature(model, ["picture"], ["scores"])
    model.regenerate_flatbuffer()
    run = Interpreter(model_content=model.flatbuffer_data).get_signature_runner(SIGNATURE)
    assert run(picture=x[:1])["scores"].shape == (1, 3)
