import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from mltk.core import (
    EvaluationResults,
    evaluate_classifier,
    evaluate_model,
    load_mltk_model,
    load_tflite_or_keras_model,
)
from mltk.errors import DatasetError, EvaluationError, SpecificationError
from mltk.model.model import HandlerError
from mltk.plugins import Evaluator, Runtime, hookimpl
from mltk.tflite.interpreter import LiteRtPredictor
from mltk.utils.model_archive import ModelArchive


def archived(trained, name):
    return json.loads(ModelArchive(trained.work / "tiny_v1.mltk.zip").read(name))


def test_float_and_int8_results_are_in_the_archive_and_agree(trained):
    float32, int8 = (archived(trained, f"eval/{kind}/eval-results.json") for kind in ("h5", "tflite"))
    assert float32["overall_accuracy"] > 0.8
    assert abs(float32["overall_accuracy"] - int8["overall_accuracy"]) < 0.03
    assert float32["model_type"] == "classification"
    assert np.sum(float32["confusion_matrix"]) == 599  # each of the 599 held-out samples once


def test_evaluation_agrees_with_keras(trained):
    results = evaluate_model("tiny_v1")
    x, y = results_data()
    keras_model = trained.results.keras_model
    assert results.overall_accuracy == pytest.approx(keras_model.evaluate(x, y, verbose=0)[1], abs=1e-6)


def results_data():
    model = load_mltk_model("tiny_v1")
    return model.dataset(subset="evaluation")


def test_classifier_may_be_called_by_its_own_function(trained):
    model = load_mltk_model("tiny_v1")
    assert evaluate_classifier(model, tflite=True, update_archive=False).overall_accuracy > 0.8


def test_bare_tflite_is_evaluated_with_arrays(trained, tmp_path):
    x, y = results_data()
    np.savez(tmp_path / "data.npz", x=x, y=y)
    tflite = trained.cache / "models/tiny_v1/tiny_v1.tflite"
    results = evaluate_model(str(tflite), data=tmp_path / "data.npz", output=tmp_path / "out")
    assert results.overall_accuracy == archived(trained, "eval/tflite/eval-results.json")["overall_accuracy"]
    assert list(results.classes) == [str(n) for n in range(10)]
    assert (tmp_path / "out" / "eval-results.json").is_file()


@pytest.mark.slow
def test_bare_tflite_is_evaluated_without_tensorflow(trained, tmp_path):
    x, y = results_data()
    np.savez(tmp_path / "data.npz", x=x, y=y.argmax(-1))
    tflite = trained.cache / "models/tiny_v1/tiny_v1.tflite"
    for arguments in (
        ["summarize", str(tflite)],
        ["evaluate", str(tflite), "--data", str(tmp_path / "data.npz")],
    ):
        code = (
            "import sys; from mltk.cli.main import main\n"
            f"sys.argv = ['mltk', *{arguments!r}]\n"
            "try: main()\n"
            "except SystemExit as e: assert not e.code, e.code\n"
            "print([m for m in ('tensorflow', 'keras') if m in sys.modules])"
        )
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        assert done.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        (
            {"x": np.zeros((5, 7, 7, 1), np.float32), "y": np.zeros(5, int)},
            r"takes batches of samples of shape 8x8x1; got .* 5x7x7x1",
        ),
        ({"x": np.zeros((5, 8, 8, 1), np.float32), "y": np.zeros(4, int)}, "4"),
        ({"a": np.zeros(3)}, "'?a'?"),
    ],
    ids=["shape", "length", "keys"],
)
def test_wrong_arrays_are_refused(trained, tmp_path, arrays, message):
    np.savez(tmp_path / "data.npz", **arrays)
    with pytest.raises((EvaluationError, DatasetError), match=message) as error:
        evaluate_model(str(trained.cache / "models/tiny_v1/tiny_v1.tflite"), data=tmp_path / "data.npz")
    assert "\n" not in str(error.value)


def test_bare_tflite_without_data_says_what_is_missing(trained):
    with pytest.raises(SpecificationError, match="--data"):
        evaluate_model(str(trained.cache / "models/tiny_v1/tiny_v1.tflite"))


class CountingPlugin:
    """An evaluator that counts samples."""

    def __init__(self, default: bool) -> None:
        self.default = default

    @hookimpl
    def mltk_evaluators(self, mltk_model):
        return [Evaluator("counting", "counts samples", self.evaluate, default=self.default)]

    def evaluate(self, context):
        n = sum(len(x) for x, _ in context.batches())
        (context.output_dir / "note.txt").write_text(str(n))
        return EvaluationResults(name=context.predictor.name, model_type="counting", n=n)


def test_evaluator_of_a_plugin_is_chosen_by_name_and_lands_in_the_archive(trained, mltk_plugin_manager):
    mltk_plugin_manager.register(CountingPlugin(default=False), name="counting")
    results = evaluate_model("tiny_v1", evaluators=["counting"])
    assert results["n"] == 599
    assert archived(trained, "eval/h5/counting/eval-results.json")["n"] == 599
    assert ModelArchive(trained.work / "tiny_v1.mltk.zip").read("eval/h5/counting/note.txt") == b"599"
    # Those of the built-in evaluator are still there.
    assert "overall_accuracy" in archived(trained, "eval/h5/eval-results.json")
    evaluate_model("tiny_v1")
    assert archived(trained, "eval/h5/counting/eval-results.json")["n"] == 599


def test_default_evaluator_of_a_plugin_runs_beside_the_built_in_one(trained, mltk_plugin_manager):
    mltk_plugin_manager.register(CountingPlugin(default=True), name="counting")
    results = evaluate_model("tiny_v1", tflite=True)
    assert results.overall_accuracy > 0.8
    assert results.others["counting"]["n"] == 599


def test_failing_evaluator_does_not_keep_the_others_from_the_archive(trained, mltk_plugin_manager):
    class Failing(CountingPlugin):
        def evaluate(self, context):
            raise ZeroDivisionError("in a plugin")

    mltk_plugin_manager.register(Failing(default=True), name="failing")
    ModelArchive(trained.work / "tiny_v1.mltk.zip").update({}, remove=["eval/"])
    with pytest.raises(
        HandlerError, match="evaluator 'counting' failed: ZeroDivisionError: in a plugin"
    ) as error:
        evaluate_model("tiny_v1")
    assert error.value.results.overall_accuracy > 0.8
    assert "overall_accuracy" in archived(trained, "eval/h5/eval-results.json")
    with pytest.raises(ZeroDivisionError):
        evaluate_model("tiny_v1", evaluators=["counting"])


class OptionsPlugin:
    """An evaluator with options that needs no data, and returns what it got."""

    @hookimpl
    def mltk_evaluators(self, mltk_model):
        return [
            Evaluator(
                "echo", "returns its options", self.evaluate, options=("limits", "rate"), needs_data=False
            )
        ]

    def evaluate(self, context):
        given = {name: value for name, value in context.options.items() if name in ("limits", "rate")}
        return EvaluationResults(name=context.predictor.name, model_type="echo", given=given)


def test_options_reach_the_evaluators_that_have_them(trained, mltk_plugin_manager, cli):
    mltk_plugin_manager.register(OptionsPlugin(), name="echo")
    options = {"limits": (1, 2), "rate": 0.5}
    results = evaluate_model("tiny_v1", evaluators=["echo", "classifier"], options=options)
    assert results["given"] == options
    assert results.others["classifier"].overall_accuracy > 0.8
    given = ["--option", "limits=3", "--option", "rate=0.5", "--option", "limits=b=c"]
    assert cli.invoke(["evaluate", "tiny_v1", "--evaluator", "echo", *given]).exit_code == 0
    assert archived(trained, "eval/h5/echo/eval-results.json")["given"] == {"limits": [3, "b=c"], "rate": 0.5}


def test_evaluators_know_whether_data_were_given_and_the_archive_is_kept(trained, mltk_plugin_manager):
    seen = []

    class Noting(OptionsPlugin):
        def evaluate(self, context):
            seen.append((context.options["data"], context.options["update_archive"]))
            return super().evaluate(context)

    mltk_plugin_manager.register(Noting(), name="echo")
    evaluate_model("tiny_v1", evaluators=["echo"])
    evaluate_model("tiny_v1", evaluators=["echo"], data="arrays.npz", update_archive=False)
    assert seen == [(None, True), ("arrays.npz", False)]


def test_evaluator_that_needs_no_data_judges_a_bare_tflite(trained, mltk_plugin_manager, tmp_path, cli):
    mltk_plugin_manager.register(OptionsPlugin(), name="echo")
    tflite = trained.cache / "models/tiny_v1/tiny_v1.tflite"
    results = evaluate_model(tflite, evaluators=["echo"], output=tmp_path, options={"rate": 1})
    assert results["given"] == {"rate": 1}
    assert (tmp_path / "echo" / "eval-results.json").is_file()
    done = cli.invoke(["evaluate", tflite, "--evaluator", "echo"])
    folder = Path(done.stderr.strip().removeprefix("The results are in "))
    assert (folder / "echo" / "eval-results.json").is_file()
    with pytest.raises(SpecificationError, match="--data"):
        evaluate_model(tflite, evaluators=["echo", "classifier"])


@pytest.mark.parametrize(
    ("evaluators", "option", "message"),
    [
        (
            ["echo"],
            "rat",
            "no option 'rat' of the evaluator 'echo'. Did you mean 'rate'? Known: limits, rate.",
        ),
        (None, "rate", "no option 'rate' of the evaluator 'classifier'. It belongs to --evaluator echo."),
        (["classifier"], "dump", "no option 'dump' of the evaluator 'classifier'. Known: none."),
    ],
)
def test_unknown_option_is_named_before_anything_is_done(
    trained, mltk_plugin_manager, evaluators, option, message
):
    mltk_plugin_manager.register(OptionsPlugin(), name="echo")
    before = archived(trained, "eval/h5/eval-results.json")
    with pytest.raises(SpecificationError) as error:
        evaluate_model("tiny_v1", evaluators=evaluators, options={option: 1})
    assert message in str(error.value)
    assert archived(trained, "eval/h5/eval-results.json") == before


def test_option_without_a_value_is_one_line(trained, cli):
    result = cli.invoke(["evaluate", "tiny_v1", "--option", "rate"])
    assert result.exit_code == 1
    assert result.stderr == "mltk: error: 'rate' is not of the form key=value.\n"


def test_unknown_evaluator_has_near_matches(trained):
    with pytest.raises(SpecificationError, match="Did you mean 'classifier'"):
        evaluate_model("tiny_v1", evaluators=["clasifier"])


def test_custom_function_takes_the_place_of_the_classifier(trained):
    model = load_mltk_model("tiny_v1")

    def custom(mltk_model, built_model, eval_dir, logger, show):
        Path(eval_dir, "mine.txt").write_text(type(built_model).__name__)
        assert mltk_model.loaded_subset == "evaluation"
        assert len(mltk_model.x) == len(mltk_model.y) == 599
        return {"score": 0.5}

    model.eval_custom_function = custom
    for tflite, kind in ((False, "Sequential"), (True, "TfliteModel")):
        results = evaluate_model(model, tflite=tflite)
        assert results["score"] == 0.5
        folder = "tflite" if tflite else "h5"
        assert archived(trained, f"eval/{folder}/eval-results.json")["score"] == 0.5
        assert ModelArchive(model.archive_path).read(f"eval/{folder}/mine.txt").decode() == kind
    assert model.loaded_subset is None
    model.dataset = lambda **kwargs: None
    model.eval_custom_function = lambda *args, **kwargs: {"needed": "nothing"}
    assert evaluate_model(model, evaluators=["custom"])["needed"] == "nothing"
    model.eval_custom_function = lambda *args, **kwargs: None
    with pytest.raises(EvaluationError, match="must return EvaluationResults or a dict"):
        evaluate_model(model)


def test_steps_of_an_evaluation_may_be_called_by_themselves(trained):
    from mltk.operations.evaluation.classifier import (
        evaluate_classifier_with_built_model,
        generate_predictions,
        iterate_evaluation_data,
    )

    model = load_mltk_model("tiny_v1")
    built = load_tflite_or_keras_model(model, "tflite")
    with pytest.raises(EvaluationError, match=r"call my_model\.load_dataset"):
        list(iterate_evaluation_data(model))
    model.load_dataset("evaluation")
    assert sum(len(x) for x, _ in iterate_evaluation_data(model)) == 599
    labels, scores = generate_predictions(model, built)
    assert labels.shape == scores.shape == (599, 10)
    results = evaluate_classifier_with_built_model(model, built)
    assert results.overall_accuracy == np.mean(labels.argmax(1) == scores.argmax(1))
    assert results.overall_accuracy == evaluate_model("tiny_v1", tflite=True).overall_accuracy
    assert archived(trained, "eval/tflite/eval-results.json")["overall_accuracy"] == results.overall_accuracy
    model.load_dataset("training")
    assert sum(len(x) for x, _ in iterate_evaluation_data(model)) == len(model.validation_data[0]) == 599


def test_model_without_evaluation_says_which_mixins_there_are(write_spec):
    path = write_spec(
        "bare_v1",
        "from mltk.core import MltkModel, TrainMixin\nclass M(MltkModel, TrainMixin): pass\nmy_model = M()\n",
    )
    with pytest.raises(EvaluationError, match="EvaluateClassifierMixin"):
        evaluate_model(path)


def test_failing_evaluation_data_unloads_and_ends_the_operation(trained):
    model = load_mltk_model("tiny_v1")

    def fail(**kwargs):
        raise OSError("disk gone")

    model.dataset = fail
    with pytest.raises(OSError, match="disk gone"):
        evaluate_model(model)
    from mltk.sources.loading import get_active_model

    assert get_active_model() is None


def test_the_results_say_what_they_were_measured_on(trained):
    results = evaluate_model(str(trained.work / "tiny_v1.py"), baselines=True)
    saved = archived(trained, "eval/h5/eval-results.json")
    low, high = saved["accuracy_interval"]
    assert 0 <= low < saved["overall_accuracy"] < high <= 1
    assert saved["largest_class"] in results.classes
    assert saved["nearest_neighbor_accuracy"] == results["nearest_neighbor_accuracy"]
    assert f"on {results.n_samples:,} samples" in results.generate_headline()
    assert "nearest neighbor in the training data" in str(results)


def test_a_model_that_answers_one_class_is_named(trained, mltk_plugin_manager, caplog):
    class OneClass:
        @hookimpl
        def mltk_runtimes(self):
            def open_one(tflite_model, name):
                predictor = LiteRtPredictor(tflite_model, name)
                predictor.kind = "one"
                predict = predictor.predict
                predictor.predict = lambda x: np.eye(predict(x).shape[1])[np.zeros(len(x), int)]
                return predictor

            return [Runtime("one", "Answers the first class.", open_one)]

    mltk_plugin_manager.register(OneClass(), "one")
    with caplog.at_level("WARNING", logger="mltk"):
        evaluate_model(str(trained.work / "tiny_v1.py"), runtime="one", update_archive=False)
    assert "is no better than always answering" in caplog.text
