"""Ways to run a `.tflite` that plugins offer."""

import dataclasses

import numpy as np
import pytest

from mltk.core import evaluate_model, load_mltk_model, quantize_model, update_model_parameters
from mltk.errors import EvaluationError, MltkError, SpecificationError
from mltk.plugins import Parameter, Runtime, hookimpl
from mltk.tflite import TfliteModel
from mltk.tflite.interpreter import LiteRtPredictor
from mltk.tflite.parameters import TfliteModelParameters
from mltk.utils.model_archive import ModelArchive


class ShiftedPredictor(LiteRtPredictor):
    """Answers with the class beside the right one."""

    kind = "shifted"

    def predict(self, batch):
        return np.roll(super().predict(batch), 1, axis=-1)


class Shifted:
    runtime = Runtime("shifted", "Always wrong.", ShiftedPredictor)

    @hookimpl
    def mltk_runtimes(self):
        return [self.runtime]


@pytest.fixture
def shifted(mltk_plugin_manager):
    plugin = Shifted()
    mltk_plugin_manager.register(plugin, "shifting")
    return plugin


def test_the_runtime_of_a_plugin_is_chosen_by_name_and_has_its_own_folder(trained, shifted):
    results = evaluate_model("tiny_v1", runtime="shifted")
    assert results.overall_accuracy < 0.2
    assert "eval/shifted/eval-results.json" in ModelArchive(trained.work / "tiny_v1.mltk.zip").names()


@pytest.mark.parametrize(
    "how", [["--shifted"], ["--runtime", "shifted"], ["--runtime", "shifted", "--shifted"]]
)
def test_the_command_has_a_flag_for_each_runtime(trained, shifted, cli, how):
    tflite = trained.cache / "models/tiny_v1/tiny_v1.tflite"
    x = np.random.default_rng(0).random((4, 8, 8, 1), np.float32)
    np.savez("data.npz", x=x, y=TfliteModel.load_flatbuffer_file(tflite).predict(x).argmax(-1))
    given = ["evaluate", tflite, "--data", "data.npz"]
    plain, wrong = (cli.invoke([*given, *more]) for more in (["--tflite"], how))
    assert (plain.exit_code, wrong.exit_code) == (0, 0), wrong.stderr
    assert "Overall accuracy: 100.000%" in plain.stdout
    assert "Overall accuracy: 0.000%" in wrong.stdout
    assert "--shifted" in cli.invoke(["evaluate", "--help"]).stdout


@pytest.mark.parametrize(
    ("how", "message"),
    [
        (["--shifted", "--tflite"], "exclude each other"),
        (["--runtime", "tflite", "--shifted"], "exclude each other"),
        (["--runtime", "shiftet"], "no runtime named 'shiftet'. Did you mean 'shifted'?"),
        (["--shiftet"], "No such option"),
    ],
    ids=["two-flags", "name-and-flag", "unknown-name", "unknown-flag"],
)
def test_a_wrong_choice_of_a_runtime_is_said(trained, shifted, cli, how, message):
    result = cli.invoke(["evaluate", "tiny_v1", *how])
    assert result.exit_code != 0
    assert message in " ".join(result.stderr.split())


def test_a_runtime_that_is_called_like_an_option_has_no_flag(trained, shifted, cli):
    shifted.runtime = dataclasses.replace(shifted.runtime, name="count")
    assert cli.invoke(["evaluate", "--help"]).stdout.count("--count") == 1


def test_predictors_of_another_kind_than_their_runtime_are_refused(trained, shifted):
    shifted.runtime = dataclasses.replace(shifted.runtime, name="other")
    with pytest.raises(MltkError, match="'other' must have it as their kind"):
        evaluate_model("tiny_v1", runtime="other")


def test_a_bare_tflite_has_no_unknown_runtime(trained):
    np.savez("data.npz", x=np.zeros((4, 8, 8, 1), np.float32), y=np.zeros(4, int))
    with pytest.raises(SpecificationError, match=r"no runtime named 'x'.*tflite"):
        evaluate_model(
            str(trained.cache / "models/tiny_v1/tiny_v1.tflite"), data="data.npz", runtime="x", output="out"
        )


def test_a_function_that_would_not_use_the_runtime_is_refused(trained, shifted):
    model = load_mltk_model("tiny_v1")
    model.eval_custom_function = lambda mltk_model, built_model, **kwargs: {"accuracy": 1.0}
    with pytest.raises(EvaluationError, match="'shifted' would not run"):
        evaluate_model(model, runtime="shifted")
    assert evaluate_model(model, runtime="shifted", evaluators=["classifier"]).overall_accuracy < 0.2


class Measuring:
    """Offers a parameter that depends on the quantized model, as the memory of a runtime does."""

    @hookimpl
    def mltk_model_parameters(self, mltk_model, tflite_model):
        if tflite_model is None:
            return None
        return {"runtime_memory_size": Parameter(1000 * len(tflite_model.layers))}


def test_parameters_may_depend_on_the_quantized_model(trained, mltk_plugin_manager):
    """They come before the specification's, and not into the float32 file; update_params makes them anew."""
    mltk_plugin_manager.register(Measuring(), "measuring")
    quantize_model("tiny_v1")
    path = trained.cache / "models/tiny_v1/tiny_v1.tflite"
    expected = 1000 * len(TfliteModel.load_flatbuffer_file(path).layers)

    def parameters(file):
        return TfliteModelParameters.load_from_tflite_model(TfliteModel.load_flatbuffer_file(file))

    assert list(parameters(path))[5:7] == ["runtime_memory_size", "volume_db"]
    assert parameters(path)["runtime_memory_size"] == expected
    assert "runtime_memory_size" not in parameters(path.with_name("tiny_v1.float32.tflite"))
    update_model_parameters("tiny_v1", {"volume_db": 1.0})
    assert parameters(path)["runtime_memory_size"] == expected
    update_model_parameters("tiny_v1", {"runtime_memory_size": 7})
    assert parameters(path)["runtime_memory_size"] == 7
