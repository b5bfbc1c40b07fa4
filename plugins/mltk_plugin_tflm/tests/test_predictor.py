"""Predictions by TensorFlow Lite Micro."""

import gc

import numpy as np
import pytest

from mltk.core import evaluate_model, quantize_model
from mltk.errors import EvaluationError
from mltk.plugins import Predictor
from mltk.tflite.interpreter import LiteRtPredictor
from mltk_plugin_tflm import plugin
from mltk_plugin_tflm.predictor import TflmPredictor
from mltk_plugin_tflm.process import TflmError


@pytest.fixture
def int8(load):
    predictor = TflmPredictor(load("conv_int8"))
    yield predictor
    predictor.close()


def test_it_answers_as_litert_does(int8, load):
    assert isinstance(int8, Predictor)
    assert (int8.kind, int8.name, int8.input_shape) == ("tflm", "conv_int8", (None, 12, 12, 1))
    litert = LiteRtPredictor(load("conv_int8"))
    rng = np.random.default_rng(0)
    for batch in (
        rng.integers(-128, 128, (5, 12, 12, 1)).astype(np.int8),
        rng.normal(size=(3, 12, 12, 1)).astype(np.float32),
    ):
        mine, theirs = int8.predict(batch), litert.predict(batch)
        assert (mine.dtype, mine.shape) == (np.float32, (len(batch), 3))
        np.testing.assert_allclose(mine, theirs, atol=1.01 / 256)  # a step of the output
    assert int8.predict(np.zeros((0, 12, 12, 1), np.float32)).shape == (0, 3)


def test_float_models_answer(load):
    x = np.random.default_rng(0).normal(size=(4, 20)).astype(np.float32)
    predictor = TflmPredictor(load("dense_float32"))
    np.testing.assert_allclose(
        predictor.predict(x), LiteRtPredictor(load("dense_float32")).predict(x), rtol=1e-5
    )


def test_an_lstm_begins_each_sample_with_an_empty_state(load):
    model = load("lstm_int8")
    assert any(tensor.is_variable for tensor in model.tensors)
    x = np.random.default_rng(0).normal(size=(6, 7, 5)).astype(np.float32)
    predictor = TflmPredictor(model)
    answers = predictor.predict(x)
    np.testing.assert_array_equal(answers[::-1], predictor.predict(x[::-1]))
    litert = LiteRtPredictor(model).predict(x)
    # The kernels round differently between the gates: two steps of the output.
    np.testing.assert_allclose(answers, litert, atol=2.01 * model.outputs[0].quantization.scale[0])
    assert np.ptp(litert) > 0.3


@pytest.mark.parametrize("kind", ["sequence", "pictures"])
def test_it_runs_what_layers_of_keras_become(private_home, kind):
    import keras

    keras.utils.set_random_seed(1)
    layers = keras.layers
    network = {
        "sequence": lambda: [
            keras.Input((8,)),
            layers.RepeatVector(4),
            layers.Bidirectional(layers.LSTM(3, return_sequences=True)),
            layers.LayerNormalization(),
            layers.UpSampling1D(2),
            layers.TimeDistributed(layers.Dense(2)),
        ],
        "pictures": lambda: [
            keras.Input((3, 6, 6, 1)),
            layers.TimeDistributed(keras.Sequential([layers.Conv2D(2, 3), layers.UpSampling2D(2)])),
            layers.Flatten(),
            layers.Dense(4, activation="softmax"),
        ],
    }[kind]()
    network = keras.Sequential(network)
    (private_home / "tiny.py").write_text(
        "from mltk.core import MltkModel, TrainMixin\n"
        "class MyModel(MltkModel, TrainMixin):\n    pass\n"
        "my_model = MyModel()\n"
    )
    x = np.random.default_rng(0).normal(size=(30, *network.input_shape[1:])).astype(np.float32)
    samples = {"representative_dataset": lambda: ([sample[np.newaxis]] for sample in x)}
    model = quantize_model("tiny.py", network, output="tflite_model", tflite_converter_override=samples)
    expected = network.predict(x, verbose=0)
    np.testing.assert_allclose(TflmPredictor(model).predict(x), expected, atol=0.06 * np.ptp(expected))


def test_a_model_made_for_several_samples_takes_any_number(load):
    model = load("dense_float32")
    graph = model.flatbuffer_subgraph
    for tensor in model.tensors:
        if not tensor.is_constant:
            graph.tensors[tensor.index].shape = [4, *tensor.shape[1:]]
    model.regenerate_flatbuffer(reload_model=True)
    x = np.random.default_rng(0).normal(size=(6, 20)).astype(np.float32)
    expected = TflmPredictor(load("dense_float32")).predict(x)
    np.testing.assert_array_equal(TflmPredictor(model).predict(x), expected)


def test_wrong_shapes_are_rejected(int8):
    with pytest.raises(EvaluationError, match="12x12x1"):
        int8.predict(np.zeros((2, 10, 10, 1), np.float32))


def test_the_process_ends_with_the_predictor(load):
    predictor = TflmPredictor(load("conv_int8"))
    process = predictor._process._worker.process
    assert process.poll() is None
    del predictor
    gc.collect()
    assert process.poll() is not None


def test_unsupported_layers_are_named_at_once(unknown_operators):
    with pytest.raises(TflmError, match="op4-segment_sum: Didn't find op for builtin opcode 'SEGMENT_SUM'"):
        TflmPredictor(unknown_operators(4))


def test_a_bare_file_is_evaluated_with_it(load, mltk_plugin_manager):
    mltk_plugin_manager.register(plugin, "tflm")
    rng = np.random.default_rng(0)
    x = rng.integers(-128, 128, (20, 12, 12, 1)).astype(np.int8)
    np.savez("data.npz", x=x, y=LiteRtPredictor(load("conv_int8")).predict(x).argmax(-1))
    load("conv_int8").save("conv.tflite")
    results = evaluate_model("conv.tflite", data="data.npz", runtime="tflm", output="out")
    assert results.overall_accuracy > 0.9
