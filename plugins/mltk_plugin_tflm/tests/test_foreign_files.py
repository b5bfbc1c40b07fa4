"""Files that others made: streaming models, signal operators, uint8, plans of memory, large softmax."""

from pathlib import Path

import numpy as np
import pytest

from mltk.core import evaluate_model
from mltk.tflite import ExactPredictor, TfliteModel
from mltk_plugin_tflm import plugin
from mltk_plugin_tflm.arena import runtime_memory_size
from mltk_plugin_tflm.predictor import TflmPredictor
from mltk_plugin_tflm.process import TflmError
from mltk_plugin_tflm.profiler import profile
from mltk_plugin_tflm.submodel import cut

DATA = Path(__file__).parent / "data"


@pytest.fixture
def frames():
    return np.random.default_rng(0).normal(size=(6, 5, 2, 3)).astype(np.float32)


def test_a_streaming_model_is_profiled(load):
    results = profile(load("stream_float32"))
    assert results.n_unsupported_layers == 0
    assert results.runtime_memory_bytes > 0 and results.host_time > 0
    times = {layer.opcode_str: layer.host_time for layer in results.layers}
    assert times["fully_connected"] > 0
    # It runs only with the handle that another layer makes.
    assert times["read_variable"] is None


def test_state_is_kept_across_the_frames_of_a_sample_only(load, frames):
    tflm, litert = TflmPredictor(load("stream_float32")), ExactPredictor(load("stream_float32"))
    for x in (frames, frames[:, 0], frames.reshape(6, 10, 3), frames):
        np.testing.assert_allclose(tflm.predict(x), litert.predict(x), rtol=1e-5, atol=1e-6)
    mine, theirs = tflm.run([frames], all_frames=True)[0], litert.run([frames], all_frames=True)[0]
    assert mine.shape == (6, 5, 2)
    np.testing.assert_allclose(mine, theirs, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("sequences", [True, False])
def test_parity_of_a_streaming_model(load, frames, mltk_plugin_manager, sequences):
    mltk_plugin_manager.register(plugin, "tflm")
    x = frames if sequences else frames[:, 0]
    load("stream_float32").save("stream.tflite")
    np.savez("data.npz", x=x, y=ExactPredictor(load("stream_float32")).predict(x).argmax(1))
    results = evaluate_model("stream.tflite", data="data.npz", evaluators=["parity"], output="out")
    assert results["scores"] == {"litert": 1.0, "tflm": 1.0}
    assert results["largest_difference"] < 1e-5
    layers = {layer["opcode"]: layer for layer in results["layers"]}
    assert layers["strided_slice"]["differing"] == 0
    assert "differing" not in layers["var_handle"]


def test_signal_operators_start_each_sample_afresh():
    model = TfliteModel.load_flatbuffer_file(DATA / "audio_preprocessor_int8.tflite")
    assert model.is_stateful and not model.has_resources
    sounds = np.random.default_rng(0).integers(-9000, 9000, (4, 480)).astype(np.int16)
    predictor = TflmPredictor(model)
    together = predictor.run([sounds], raw=True)[0]
    alone = [TflmPredictor(model).run([sounds[i : i + 1]], raw=True)[0] for i in range(4)]
    np.testing.assert_array_equal(together, np.concatenate(alone))
    # Noise suppression learns from one frame to the next.
    sequence = predictor.run([sounds[np.newaxis]], raw=True, all_frames=True)[0]
    assert sequence.shape == (1, 4, 40)
    np.testing.assert_array_equal(sequence[0, 0], together[0])
    assert (sequence[0, 3] != together[3]).any()


def test_a_scalar_and_a_batch_of_two_are_run(load):
    x = np.array([1, 2, 5], np.float32)
    np.testing.assert_array_equal(TflmPredictor(load("scalar_float32")).predict(x), [3, 5, 11])
    x, y = np.arange(18, dtype=np.float32).reshape(3, 2, 3), np.arange(9, dtype=np.float32).reshape(3, 3)
    added, doubled = TflmPredictor(load("two_inputs_float32")).run([x, y])
    np.testing.assert_array_equal(added, x + y[:, np.newaxis])
    np.testing.assert_array_equal(doubled, 2 * y)


def test_a_plan_of_the_memory_does_not_hinder_profile_or_parity(load, mltk_plugin_manager):
    mltk_plugin_manager.register(plugin, "tflm")
    model = load("conv_int8")
    tensors = len(model.tensors)
    plan = np.array([0, 0, tensors, *[-1] * tensors], np.int32)
    plan[3 + model.layers[0].outputs[0].index] = 2048
    model.add_metadata("OfflineMemoryAllocation", plan.tobytes())
    model.save("planned.tflite")
    results = profile(model)
    assert results.host_time > 0 and all(layer.host_time for layer in results.layers)
    np.savez("data.npz", x=np.ones((2, 12, 12, 1), np.float32), y=np.array([0, 1]))
    parity = evaluate_model("planned.tflite", data="data.npz", evaluators=["parity"], output="out")
    assert parity["equal_values"] == 1


def test_uint8_is_called_uint8(load):
    model = load("conv_int8")
    integers = [t.index for t in model.tensors if t.dtype == np.int8 and t.quantization.n_channels]
    for index in integers:
        model.flatbuffer_subgraph.tensors[index].type = 3  # uint8
    model.regenerate_flatbuffer(reload_model=True)
    refused = {layer.opcode_str: layer.error_msg for layer in profile(model).unsupported_layers}
    assert refused["conv_2d"] == "uint8 is not supported by the kernels of TensorFlow Lite Micro; int8 is"
    with pytest.raises(TflmError, match=r"op1-conv_2d, .* more: uint8") as error:
        TflmPredictor(model)
    assert "\n" not in str(error.value) and "ybrid" not in str(error.value)


def _softmax_of(load, classes):
    """Return a model of a softmax, whose scores are all similar."""
    whole = load("conv_int8")
    (layer,) = [layer for layer in whole.layers if layer.opcode_str == "softmax"]
    model = cut(whole, [layer], layer.outputs)
    graph = model.flatbuffer_subgraph
    for tensor in graph.tensors:
        tensor.shape = np.array([1, classes], np.int32)
    graph.tensors[graph.inputs[0]].quantization.scale = np.array([1e-4], np.float32)
    model.regenerate_flatbuffer(reload_model=True)
    return model


def test_a_softmax_that_aborts_is_named(load, caplog):
    assert profile(_softmax_of(load, 511)).n_unsupported_layers == 0
    large = _softmax_of(load, 600)
    (layer,) = profile(large).unsupported_layers
    assert "its kernel aborts" in layer.error_msg and "600 similar scores" in layer.error_msg
    assert runtime_memory_size(large) is None
    assert "op0-softmax: its kernel aborts" in caplog.text
    predictor = TflmPredictor(large)
    with pytest.raises(TflmError, match=r"cannot run .*: op0-softmax: its kernel aborts"):
        predictor.run([np.zeros((2, 600), np.int8)], raw=True)
