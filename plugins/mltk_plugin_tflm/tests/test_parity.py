"""The evaluator `parity`, and a trained model with the plugin: its parameter and `--tflm`."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from mltk.core import evaluate_model, load_mltk_model, update_model_parameters
from mltk.errors import EvaluationError, SpecificationError
from mltk.model.model import HandlerError
from mltk.tflite import TfliteModel
from mltk.tflite.parameters import TfliteModelParameters
from mltk.utils.model_archive import ModelArchive
from mltk_plugin_tflm import layers as layers_module
from mltk_plugin_tflm import parity
from mltk_plugin_tflm.arena import runtime_memory_size
from mltk_plugin_tflm.layers import compare_runtimes, match_layers, quantization_costs
from mltk_plugin_tflm.process import TflmProcess


def parameters(path):
    return TfliteModelParameters.load_from_tflite_model(TfliteModel.load_flatbuffer_file(path))


def test_quantizing_embeds_the_memory(trained):
    path = trained / "stripes_v1.tflite"
    size = runtime_memory_size(TfliteModel.load_flatbuffer_file(path))
    found = parameters(path)
    assert list(found)[:7] == [
        *("name", "version", "classes", "hash", "date", "runtime_memory_size", "threshold")
    ]
    assert found["runtime_memory_size"] == size > 0
    assert "runtime_memory_size" not in parameters(trained / "stripes_v1.float32.tflite")


def test_updating_parameters_measures_it_anew(trained):
    path = trained / "stripes_v1.tflite"
    size = parameters(path)["runtime_memory_size"]
    update_model_parameters("stripes_v1", {"runtime_memory_size": 1, "threshold": 8})
    assert parameters(path)["runtime_memory_size"] == 1
    update_model_parameters("stripes_v1", {"threshold": 9})
    assert parameters(path)["runtime_memory_size"] == size


def test_the_evaluators_run_with_tflm_and_agree_with_litert(trained, mltk_cli, monkeypatch):
    monkeypatch.setenv("MLTK_CACHE_DIR", str(trained.parents[1]))
    result = mltk_cli.invoke(["evaluate", "stripes_v1", "--tflm"])
    assert result.exit_code == 0, result.stderr
    archive = ModelArchive("stripes_v1.mltk.zip")
    litert = evaluate_model("stripes_v1", tflite=True)
    tflm = json.loads(archive.read("eval/tflm/eval-results.json"))
    assert tflm["overall_accuracy"] > 0.8
    assert tflm["overall_accuracy"] == pytest.approx(litert.overall_accuracy, abs=0.02)


def test_tolerance_makes_a_difference_an_error_and_keeps_the_results(trained, tmp_path, monkeypatch):
    model = load_mltk_model("stripes_v1")
    with pytest.raises(SpecificationError, match="at least 0"):
        model.settings["tflm.parity_tolerance"] = -1
    model.settings["tflm.parity_tolerance"] = 2
    assert evaluate_model(model, evaluators=["parity"])["largest_difference"] <= 2
    monkeypatch.setattr(parity, "_step", lambda model: 1e-9)
    with pytest.raises(
        HandlerError, match=r"differ by [0-9.e+]+ steps; .*parity_tolerance.* allows 0\."
    ) as caught:
        model.settings["tflm.parity_tolerance"] = 0
        monkeypatch.setattr(parity.TflmPredictor, "predict", lambda self, x: np.ones((len(x), 3), np.float32))
        evaluate_model(model, evaluators=["parity"])
    assert caught.value.results["largest_difference"] > 0


@pytest.fixture
def results(trained):
    return evaluate_model("stripes_v1", evaluators=["parity"], options={"samples": 20})


def test_keras_litert_and_tflm_are_compared_on_the_same_data(results):
    keras = evaluate_model("stripes_v1", update_archive=False).overall_accuracy
    litert = evaluate_model("stripes_v1", tflite=True, update_archive=False).overall_accuracy
    assert results["metric"] == "accuracy"
    assert results["samples"] == 90
    assert list(results["scores"]) == ["keras", "litert", "tflm"]
    assert results["scores"]["keras"] == pytest.approx(keras)
    assert results["scores"]["litert"] == pytest.approx(litert)
    assert results["keras_agreement"] > 0.9
    assert results["equal_values"] > 0.95
    assert results["largest_difference"] <= 1

    # Every layer has its line, and those with quantized outputs have their costs.
    assert results["layer_samples"] == 20
    model = TfliteModel(ModelArchive("stripes_v1.mltk.zip").read("stripes_v1.tflite"))
    assert [row["opcode"] for row in results["layers"]] == [layer.opcode_str for layer in model.layers]
    costs = [row for row in results["layers"] if "snr_db" in row]
    assert {"conv_2d", "fully_connected", "softmax"} <= {row["opcode"] for row in costs}
    assert all(row["own_snr_db"] > 20 and row["snr_db"] > 15 for row in costs)
    assert results["costliest_layer"].split("-")[1] in {row["opcode"] for row in costs}

    # They are in the archive, with a table and a plot.
    archive = ModelArchive("stripes_v1.mltk.zip")
    assert json.loads(archive.read("eval/h5/parity/eval-results.json"))["scores"] == results["scores"]
    assert "eval/h5/parity/stripes_v1-layers.png" in archive.names()
    summary = archive.read("eval/h5/parity/summary.txt").decode()
    assert "Accuracy, only layer int8" in summary
    assert summary.strip() == str(results).strip()


def test_a_bare_file_is_compared_without_keras_and_with_the_float_file_beside_it(trained):
    for name in ("stripes_v1.tflite", "stripes_v1.float32.tflite"):
        shutil.copy(trained / name, name)
    x, y = load_mltk_model("stripes_v1").dataset(subset="evaluation")
    np.savez("data.npz", x=x, y=y)

    def evaluate():
        return evaluate_model(
            "stripes_v1.tflite", data="data.npz", evaluators=["parity"], output="out", runtime="tflm"
        )

    with_float = evaluate()
    assert list(with_float["scores"]) == ["litert", "tflm"]
    assert "costliest_layer" in with_float
    Path("stripes_v1.float32.tflite").unlink()
    without = evaluate()
    assert "costliest_layer" not in without
    assert without["scores"] == with_float["scores"]
    assert "Differs in TFLM" in str(without)


def test_other_outputs_than_classes_have_mean_squared_errors(load):
    x = np.random.default_rng(0).normal(size=(12, 20)).astype(np.float32)
    model = load("dense_float32")
    model.save("dense.tflite")
    target = model.predict(x) + np.float32(0.5)
    np.savez("data.npz", x=x, y=target)
    results = evaluate_model("dense.tflite", data="data.npz", evaluators=["parity"], output="out")
    assert results["metric"] == "mean squared error against the labels"
    assert results["scores"]["litert"] == pytest.approx(0.25, rel=1e-4)
    np.savez("data.npz", x=x)
    results = evaluate_model("dense.tflite", data="data.npz", evaluators=["parity"], output="out")
    assert results["metric"] == "mean squared error against LiteRT"
    assert results["scores"]["tflm"] < 1e-9


@pytest.mark.parametrize("samples", [0, -1, "many", 2.5])
def test_a_wrong_number_of_samples_is_rejected(load, samples):
    load("dense_float32").save("dense.tflite")
    np.savez("data.npz", x=np.zeros((2, 20), np.float32), y=np.zeros(2, int))
    with pytest.raises(EvaluationError, match="'samples' must be an integer"):
        evaluate_model(
            "dense.tflite",
            data="data.npz",
            evaluators=["parity"],
            options={"samples": samples},
            output="out",
        )


def test_the_layer_with_the_first_difference_is_found(load, monkeypatch):
    """A TFLM that is off by two in one value of one layer's output, in every second sample."""
    model = load("conv_int8")
    odd = model.layers[1]

    class Odd(TflmProcess):
        count = 0

        def trace(self, inputs, tensors, reset=True):
            values = [np.array(v) for v in super().trace(inputs, tensors, reset)]
            Odd.count += 1
            if Odd.count % 2 == 0:
                values[list(tensors).index(odd.outputs[0].index)].flat[0] ^= 2
            return values

    monkeypatch.setattr(layers_module, "TflmProcess", Odd)
    rng = np.random.default_rng(0)
    parities = compare_runtimes(model, list(rng.integers(-128, 128, (4, 12, 12, 1)).astype(np.int8)))
    found = [i for i, parity in enumerate(parities) if parity.differing]
    assert found[0] == odd.index
    size = odd.outputs[0].shape.flat_size
    assert parities[1].differing == pytest.approx(0.5 / size)
    assert parities[1].differing_by_itself == pytest.approx(0.5 / size)
    assert parities[1].largest == 2
    # The next layer is unchanged, and is judged by the samples in which it got the same.
    assert parities[2].differing_by_itself == 0


def test_the_layer_that_is_quantized_badly_costs_most(trained):
    model = TfliteModel.load_flatbuffer_file(trained / "stripes_v1.tflite")
    floating = TfliteModel.load_flatbuffer_file(trained / "stripes_v1.float32.tflite")
    pairs = match_layers(model, floating)
    assert [mine.opcode_str for mine, _ in pairs] == [theirs.opcode_str for _, theirs in pairs]
    assert len(pairs) == len(floating.layers)
    x, y = load_mltk_model("stripes_v1").dataset(subset="evaluation")

    def score(outputs):
        return float(np.mean(outputs.argmax(-1) == y[:30].argmax(-1)))

    good, exact = quantization_costs(model, floating, list(x[:30]), score)
    (conv,) = [layer for layer in model.layers if layer.opcode_str == "conv_2d"]
    assert exact.shape == (30, 3)
    assert all(abs(cost.score - score(exact)) < 0.15 for cost in good.values())

    # Weights that lose all but their sign and highest bits.
    buffer = model.flatbuffer_model.buffers[model.flatbuffer_subgraph.tensors[conv.inputs[1].index].buffer]
    weights = np.asarray(buffer.data, np.uint8).view(np.int8)
    buffer.data = (weights // 96 * 96).astype(np.int8).view(np.uint8)
    model.regenerate_flatbuffer(reload_model=True)
    bad, _ = quantization_costs(model, floating, list(x[:30]), score)
    assert max(bad, key=lambda index: bad[index].output_error) == conv.index
    assert bad[conv.index].own_snr_db < good[conv.index].own_snr_db - 10
    # The others' own costs are as they were.
    dense = next(layer.index for layer in model.layers if layer.opcode_str == "fully_connected")
    assert bad[dense].own_snr_db == good[dense].own_snr_db
    assert bad[dense].snr_db < good[dense].snr_db
