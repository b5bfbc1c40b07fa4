"""The interface of silabs-mltk: `mltk.core.tflite_micro.TfliteMicro`."""

import logging
from pathlib import Path

import numpy as np
import pytest

from mltk.core import TfliteModel
from mltk.errors import SpecificationError
from mltk_plugin_tflm.process import TflmError
from mltk_plugin_tflm.tflite_micro import TfliteMicro, TfliteMicroModel
from mltk_plugin_tflm.tflite_micro.tflite_micro_accelerator import TfliteMicroAccelerator


@pytest.fixture
def path():
    return Path(__file__).parents[3] / "tests" / "tflite" / "data" / "conv_int8.tflite"


@pytest.fixture
def loaded(path):
    """Loads the model with options, and unloads it after the test."""
    models = []

    def load(**options):
        models.append(TfliteMicro.load_tflite_model(path, **options))
        return models[-1]

    yield load
    for model in models:
        TfliteMicro.unload_model(model)


@pytest.fixture
def x(path):
    shape = TfliteModel.load_flatbuffer_file(path).inputs[0].shape
    return np.random.default_rng(0).integers(-128, 128, shape).astype(np.int8)


def test_a_loaded_model_predicts_as_litert(loaded, x, path):
    model = loaded()
    assert isinstance(model, TfliteMicroModel)
    assert (model.input_size, model.output_size) == (1, 1)
    # Without the batch axis, too.
    assert np.array_equal(model.input(value=x[0]), x)
    model.invoke()
    expected = TfliteModel.load_flatbuffer_file(path).predict(x)
    assert np.abs(model.output().astype(int) - expected).max() <= 1
    with pytest.raises(IndexError):
        model.input(1)


def test_details_are_those_of_the_parameters(loaded):
    details = loaded().details
    assert details.name == "conv_int8"
    assert details.runtime_memory_size > 1000
    assert "Total runtime memory: " in str(details)
    assert (details.version, details.classes, details.accelerator) == (0, [], "none")


def test_layers_are_profiled(loaded, path):
    results = loaded(enable_profiler=True).get_profiling_results()
    assert len(results) == 11
    assert results[1].macs == 1296
    assert results[1].cpu_cycles == 0
    assert results[1]["time"] > 0
    with pytest.raises(AttributeError, match="nothing"):
        _ = results[1].nothing
    with pytest.raises(TflmError, match="enable_profiler=True"):
        loaded().get_profiling_results()


def test_a_model_is_profiled(path, mltk_plugin_manager):
    from mltk_plugin_tflm import plugin

    mltk_plugin_manager.register(plugin, "tflm")
    results = TfliteMicro.profile_model(path)
    assert (results.n_layers, results.accelerator_cycles) == (11, 0)
    assert results.runtime_memory_bytes == results.tflite_micro_model_details.runtime_memory_size


def test_recorded_layers_have_the_values_of_the_inference(path, x, loaded):
    layers, details = TfliteMicro.record_model(path, x, return_model_details=True)
    assert details.name == "conv_int8"
    assert len(layers) == 11
    assert np.array_equal(layers[0].input_data, x)
    assert np.array_equal(layers[1].input_data, layers[0].output_data)
    assert np.array_equal(
        layers[1].filters_data, TfliteModel.load_flatbuffer_file(path).layers[1].filters_data
    )
    assert layers[1].output_data.std() > 0
    model = loaded()
    model.input(value=x)
    model.invoke()
    assert np.array_equal(layers[-1].outputs[0].data, model.output())


def test_recorded_data_are_the_bytes_of_each_layer(loaded, x):
    model = loaded(enable_tensor_recorder=True)
    with pytest.raises(TflmError, match="invoke it"):
        model.get_recorded_data()
    seen = []
    model.set_layer_callback(lambda index, outputs: seen.append(index) or index < 3)
    model.input(value=x)
    model.invoke()
    assert seen == [0, 1, 2, 3]
    layers = model.get_recorded_data()["layers"]
    assert layers[0]["inputs"][0] == x.tobytes()
    assert [len(layer["inputs"]) for layer in layers[:2]] == [2, 3]
    assert model.output().shape == (1, 3)


def test_recording_ends_where_the_callback_is_false(path):
    layers = TfliteMicro.record_model(path, layer_callback=lambda layer: layer.index < 2)
    assert [layer.index for layer in layers] == [0, 1, 2]


def test_there_are_no_accelerators(path, loaded):
    assert TfliteMicro.get_supported_accelerators() == []
    assert TfliteMicro.normalize_accelerator_name("mvp") is None
    assert not TfliteMicro.accelerator_is_supported("mvp")
    for use in (
        lambda: TfliteMicro.load_tflite_model(path, accelerator="mvp"),
        lambda: TfliteMicro.profile_model(path, accelerator="mvp"),
        lambda: TfliteMicro.record_model(path, accelerator="mvp"),
        lambda: TfliteMicro.get_accelerator("mvp"),
        lambda: TfliteMicroAccelerator("mvp"),
    ):
        with pytest.raises(TflmError, match="hardware of Silicon Labs"):
            use()
    assert loaded().accelerator is None


def test_an_unloaded_model_says_so(path):
    model = TfliteMicro.load_tflite_model(path)
    TfliteMicro.unload_model(model)
    with pytest.raises(TflmError, match="was unloaded"):
        model.invoke()


def test_versions_and_levels(monkeypatch):
    assert TfliteMicro.api_version() == 1
    assert TfliteMicro.git_hash()
    monkeypatch.setattr(TfliteMicro, "_logger", logging.getLogger("mltk.test_tflm"))
    for level in ("debug", "info", "warn", "error"):
        TfliteMicro.set_log_level(level)
        assert TfliteMicro.get_log_level() == level
    with pytest.raises(SpecificationError, match="must be one of debug"):
        TfliteMicro.set_log_level("loud")
