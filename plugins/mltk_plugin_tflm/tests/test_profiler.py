"""`mltk profile` with TensorFlow Lite Micro."""

import json
from pathlib import Path

import numpy as np
import pytest

from mltk.core import profile_model
from mltk.tflite import TfliteModel
from mltk.tflite.metrics import tflite_model_metrics
from mltk_plugin_tflm import plugin
from mltk_plugin_tflm.process import TflmError, TflmProcess
from mltk_plugin_tflm.profiler import profile
from mltk_plugin_tflm.submodel import cut, layer_inputs, open_inputs
from mltk_plugin_tflm.support import random_values


@pytest.fixture(scope="module")
def results():
    data = Path(__file__).parents[3] / "tests" / "tflite" / "data"
    return profile(TfliteModel.load_flatbuffer_file(data / "conv_int8.tflite"))


def test_it_is_the_default(load, mltk_plugin_manager):
    model = load("dense_float32")
    assert profile_model(model).method == "static"
    mltk_plugin_manager.register(plugin, "tflm")
    assert profile_model(model).method == "simulated"
    assert profile_model(model, accelerator="static").runtime_memory_bytes == 0


def test_memory_support_and_times_are_known_of_every_layer(results):
    metrics = tflite_model_metrics(results.tflite_model)
    assert (results.ops, results.macs) == (metrics.ops, metrics.macs)
    assert results.runtime_memory_bytes == results.memory.total > 0
    assert results.n_unsupported_layers == 0
    assert all(layer.supported and layer.host_time > 0 for layer in results.layers)
    assert results.host_time > 0
    assert results.time == 0
    assert "TensorFlow Lite Micro" in results.platform


def test_the_slow_layer_is_the_one_with_the_work(results):
    by_time = sorted(results.layers, key=lambda layer: -layer.host_time)
    assert "conv_2d" in by_time[0].opcode_str


def test_the_report_is_complete(results, tmp_path):
    written = results.generate_report(tmp_path)
    assert [path.name for path in written] == [
        f"profiling_report-none-simulated.{end}" for end in ("txt", "json", "csv", "png")
    ]
    content = json.loads(written[1].read_text())
    assert content["summary"]["smallest_arena"] >= content["summary"]["runtime_memory_size"]
    assert content["summary"]["host_time"] == results.host_time
    assert [row["host_time"] for row in content["layers"]] == [layer.host_time for layer in results.layers]
    assert content["memory"]


def test_every_unsupported_layer_is_named(unknown_operators):
    results = profile(unknown_operators(1, 4))
    assert [layer.index for layer in results.unsupported_layers] == [1, 4]
    assert "SEGMENT_SUM" in results.unsupported_layers[1].error_msg
    assert results.runtime_memory_bytes == 0
    assert results.host_time is None


def test_an_unsupported_type_is_reported(load):
    results = profile(load("dense_dynamic_range"))
    (layer,) = results.unsupported_layers
    assert (layer.index, layer.error_msg) == (0, "Input type: FLOAT32 with filter type: INT8 not supported")


def test_a_failure_that_no_layer_explains_is_an_error(load, monkeypatch):
    monkeypatch.setattr("mltk_plugin_tflm.arena.generous_arena", lambda model: 1024)
    monkeypatch.setattr("mltk_plugin_tflm.process._SPARE", 1024)
    monkeypatch.setattr("mltk_plugin_tflm.process._PER_BYTE", 0)
    model = load("conv_int8")
    # Each layer by itself must fit into an arena that is too small for all of them.
    with pytest.raises(TflmError, match="cannot run"), TflmProcess(model) as process:
        process.open()


def test_parts_of_a_model_give_what_the_whole_gives(load):
    """Layer after layer by itself, and the model cut in two, against the whole in TFLM."""
    model = load("conv_int8")
    sample = [random_values(tensor) for tensor in model.inputs]
    tensors = [tensor.index for tensor in model.tensors]
    with TflmProcess(model) as process:
        process.open(preserve=True)
        values = dict(zip(tensors, process.trace(sample, tensors), strict=True))
        parts = [[layer] for layer in model.layers] + [model.layers[:5], model.layers[5:]]
        for layers in parts:
            outputs = layers[-1].outputs
            process.load(cut(model, layers, outputs))
            process.open()
            given = [values[tensor.index][np.newaxis] for tensor in open_inputs(layers)]
            if not given:
                continue
            for tensor, found in zip(outputs, process.run(given), strict=True):
                np.testing.assert_array_equal(found[0], values[tensor.index], str(layers[0]))


def test_a_part_holds_only_the_data_that_it_needs(load):
    model = load("conv_int8")
    dense = model.layers[9]
    part = cut(model, [dense], dense.outputs)
    assert part.flatbuffer_size < model.flatbuffer_size / 2
    assert [tensor.name for tensor in part.inputs] == [tensor.name for tensor in layer_inputs(dense)]
    assert part.layers[0].opcode_str == "fully_connected"
    np.testing.assert_array_equal(part.layers[0].inputs[1].data, dense.inputs[1].data)
    assert model.n_outputs == 1 and len(model.layers) == 11


def test_dynamic_tensors_are_rejected_per_layer(load):
    model = load("conv_int8")
    model.flatbuffer_subgraph.tensors[model.layers[3].outputs[0].index].shape = [1, 0, 0, 6]
    model.regenerate_flatbuffer(reload_model=True)
    layer = profile(model).unsupported_layers[0]
    assert layer.index == 3
    assert "dynamic tensor" in layer.error_msg


def test_a_batch_of_any_size_is_profiled_with_the_one_of_the_file(load):
    model = load("dense_float32")
    tensor = model.flatbuffer_subgraph.tensors[model.inputs[0].index]
    tensor.shapeSignature = [-1, *tensor.shape[1:]]
    model.regenerate_flatbuffer(reload_model=True)
    assert profile(model).memory == profile(load("dense_float32")).memory


def test_the_command_uses_it_and_warns_in_one_line(mltk_cli, unknown_operators):
    unknown_operators(4).save("odd.tflite")
    result = mltk_cli.invoke(["profile", "odd.tflite", "-o", "out"])
    assert result.exit_code == 0
    (line,) = result.stderr.splitlines()
    assert "'tflm' cannot run 'odd.tflite'" in line and "op4-segment_sum" in line
    assert "Unsupported layers: 1" in result.stdout
    assert len(list(Path("out").iterdir())) == 4
    damaged = Path("odd.tflite").read_bytes()[:3000]
    Path("damaged.tflite").write_bytes(damaged)
    result = mltk_cli.invoke(["profile", "damaged.tflite"])
    assert result.exit_code == 1
    assert result.stderr.count("\n") == 1 and "damaged.tflite" in result.stderr
