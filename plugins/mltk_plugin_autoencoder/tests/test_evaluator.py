"""The evaluator: how the samples of the classes are found, what is counted, what is written, what is refused."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from mltk.core import (
    AutoEncoderEvaluationResults,
    EvaluateAutoEncoderMixin,
    evaluate_autoencoder,
    evaluate_model,
    load_mltk_model,
    train_model,
)
from mltk.errors import DatasetError, EvaluationError, MltkError, SpecificationError
from mltk.testing import assert_imports_light
from mltk.testing.pytest_plugin import MltkCli
from mltk.utils.model_archive import ModelArchive

# Two curves on 12 points, by one number each; faults break the curve.
SPEC = """
# @mltk_model
import numpy as np
import tensorflow as tf
from mltk.core import DatasetMixin, EvaluateAutoEncoderMixin, MltkModel, TrainMixin


class MyModel(MltkModel, TrainMixin, DatasetMixin, EvaluateAutoEncoderMixin):
    pass


my_model = MyModel()
my_model.input_shape = (12,)
my_model.epochs = 15
my_model.batch_size = 16
my_model.loss = "mae"
my_model.metrics = ["mse"]
my_model.checkpoints_enabled = False
my_model.checkpoint = None
my_model.tflite_converter["generate_unquantized"] = False


def curves(n, fault, seed):
    rng = np.random.default_rng(seed)
    x = np.sin(rng.uniform(0, 6, (n, 1)) + np.arange(12) / 2)
    if fault == "spike":
        x[np.arange(n), rng.integers(0, 12, n)] += rng.choice([-1.0, 1.0], n)
    elif fault == "noise":
        x += 0.3 * rng.standard_normal((n, 12))
    return x.astype(np.float32)


def load(subset, test=False, classes=None, **kwargs):
    if subset != "evaluation":
        x = curves(200, "normal", 0)
        return x, x, (curves(40, "normal", 1),) * 2
    return np.concatenate([curves({"normal": 50, "spike": 30, "noise": 20}[c], c, len(c)) for c in classes])


my_model.dataset = load
my_model.eval_classes = ["normal", "spike", "noise"]


def build(model):
    layers = tf.keras.layers
    network = tf.keras.Sequential(
        [layers.InputLayer(model.input_shape), layers.Dense(16, "relu"), layers.Dense(3), layers.Dense(12)]
    )
    network.compile(loss=model.loss, optimizer=tf.keras.optimizers.Adam(0.01), metrics=model.metrics)
    return network


my_model.build_model_function = build
"""


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("trained")
    (folder / "curves_v1.py").write_text(SPEC)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLTK_CACHE_DIR", str(folder / "cache"))
        train_model(str(folder / "curves_v1.py"), verbose=False)
    return folder


@pytest.fixture
def model(model_with_plots, without_plots):
    """The trained model in the test's own folder; properties may be changed."""
    return model_with_plots


@pytest.fixture
def model_with_plots(trained, private_home):
    for name in ("curves_v1.py", "curves_v1.mltk.zip"):
        (private_home / name).write_bytes((trained / name).read_bytes())
    return load_mltk_model("curves_v1")


def module_of(model):
    return sys.modules[type(model).__module__]


def everything(labels):
    """Return a loader that returns all samples with labels, whatever it is asked for."""

    def load(subset, mltk_model, **kwargs):
        curves = module_of(mltk_model).curves
        x = np.concatenate([curves(50, "normal", 6), curves(30, "spike", 5), curves(20, "noise", 5)])
        return x, labels(np.repeat([0, 1, 2], [50, 30, 20]))

    return load


def test_every_sample_of_every_class_is_counted_once(model):
    results = evaluate_model(model)
    assert isinstance(results, AutoEncoderEvaluationResults)
    assert results.classes == ["normal", "spike", "noise"]
    assert [len(scores) for scores in results.all_scores] == [50, 30, 20]
    assert list(results.class_stats) == ["spike", "noise", "all"]
    assert results["scoring_function"] == "mae"  # That of the loss.
    assert results.overall_roc_auc > 0.95


def test_scores_are_those_of_the_reconstructions(model):
    import keras

    results = evaluate_model(model)
    network = keras.saving.load_model(model.keras_archive_path)
    x = module_of(model).curves(30, "spike", len("spike"))
    expected = np.abs(network.predict(x, verbose=0) - x).mean(axis=1)
    assert results.all_scores[1] == pytest.approx(expected, rel=1e-5)


def test_results_and_plots_are_in_the_archive(model_with_plots, private_home):
    evaluate_model(model_with_plots, tflite=True)
    names = ModelArchive(private_home / "curves_v1.mltk.zip").names()
    plots = ["class_roc", "histogram", "overall_precision_vs_recall", "overall_roc"]
    files = ["eval-results.json", "summary.txt", *(f"curves_v1-{plot}.png" for plot in plots)]
    assert [n for n in names if n.startswith("eval/tflite/")] == sorted(f"eval/tflite/{n}" for n in files)


@pytest.mark.parametrize(
    "labels", [lambda ids: ids, lambda ids: ids[:, None].astype(np.float32)], ids=["ids", "column"]
)
def test_a_loader_may_return_all_samples_with_labels(model, labels):
    by_class = evaluate_model(model)
    model.dataset = everything(labels)
    by_label = evaluate_model(model)
    for a, b in zip(by_class.all_scores, by_label.all_scores, strict=True):
        assert a == pytest.approx(b, rel=1e-5)


def test_labels_of_a_loader_that_returns_one_class_are_not_needed(model):
    load = model.dataset
    model.dataset = lambda **kwargs: (load(**kwargs), np.zeros(len(load(**kwargs)), int))
    assert [len(scores) for scores in evaluate_model(model).all_scores] == [50, 30, 20]


def test_what_is_to_be_reconstructed_is_no_label(model):
    load = model.dataset
    model.dataset = lambda **kwargs: (load(**kwargs), load(**kwargs))
    assert [len(scores) for scores in evaluate_model(model).all_scores] == [50, 30, 20]


def test_data_without_a_known_length_are_counted_to_the_end(model):
    import tensorflow as tf

    load = model.dataset

    def batches(**kwargs):
        x = load(**kwargs)
        return tf.data.Dataset.from_generator(
            lambda: iter(np.array_split(x, 7)), output_signature=tf.TensorSpec((None, 12), tf.float32)
        )

    model.dataset = batches
    assert [len(scores) for scores in evaluate_model(model).all_scores] == [50, 30, 20]


def test_classes_and_their_number_of_samples_may_be_chosen(model):
    results = evaluate_autoencoder(model, classes=["normal", "noise"], max_samples_per_class=7)
    assert results.classes == ["normal", "noise"]
    assert [len(scores) for scores in results.all_scores] == [7, 7]
    model.eval_max_samples_per_class = 9
    assert [len(scores) for scores in evaluate_model(model).all_scores] == [9, 9, 9]


def test_the_classes_of_the_model_are_not_those_of_the_evaluation(model):
    assert model.eval_classes == ["normal", "spike", "noise"]
    model.classes = ["normal"]
    evaluate_model(model, max_samples_per_class=3)
    assert model.classes == ["normal"]
    model.eval_classes = None
    assert model.eval_classes == ["normal", "abnormal"]
    model.classes = ["ok", "bent", "torn"]
    assert model.eval_classes == ["ok", "bent", "torn"]


def test_the_scoring_function_may_be_a_name_or_a_function(model):
    model.scoring_function = "mse"
    assert evaluate_model(model)["scoring_function"] == "mse"
    model.scoring_function = lambda original, decoded: float(np.abs(original - decoded).max())
    by_function = evaluate_model(model).all_scores[0]
    assert model.get_scoring_function()(np.zeros(3), np.array([1.0, -2.0, 0.5])) == 2.0
    assert (by_function > 0).all()
    results = evaluate_model(model, options={"scoring_function": "corr", "max_false_positive_rate": 0})
    assert (results["scoring_function"], results["recommended_fpr"]) == ("corr", 0)


def test_dumps_are_pictures_of_at_most_200_samples_of_each_class(model, monkeypatch):
    monkeypatch.setattr("mltk_plugin_autoencoder.dumps.LIMIT", 4)
    folder = Path(model.log_dir, "eval", "h5", "dumps")
    evaluate_model(model, dump=True, classes=["normal", "spike"])
    assert sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*.png")) == [
        f"{name}/{i}.png" for name in ("normal", "spike") for i in range(4)
    ]
    assert all(p.read_bytes().startswith(b"\x89PNG") for p in folder.rglob("*.png"))
    evaluate_model(model)
    assert not folder.exists()


@pytest.mark.parametrize("shape", [(20,), (20, 1), (9, 14), (9, 14, 1), (9, 14, 3), (4, 5, 2), (3, 4, 5, 2)])
def test_samples_of_every_shape_can_be_drawn(tmp_path, shape):
    from mltk_plugin_autoencoder.dumps import SampleWriter

    x = np.random.default_rng(0).normal(size=(2, *shape)).astype(np.float32)
    SampleWriter(tmp_path, ["../normal"]).write(0, 3, x, np.zeros_like(x), np.ones(2))
    assert sorted(p.name for p in (tmp_path / "_normal").iterdir()) == ["3.png", "4.png"]


def test_a_bare_tflite_is_evaluated_with_arrays_and_without_tensorflow(model, private_home):
    evaluated = evaluate_model(model, tflite=True)
    x, y = everything(lambda ids: ids)("evaluation", model)
    np.savez(private_home / "arrays.npz", x=x, y=y > 0)
    Path("curves.tflite").write_bytes(ModelArchive("curves_v1.mltk.zip").read("curves_v1.tflite"))
    command = ["evaluate", "curves.tflite", "--data", "arrays.npz", "--evaluator", "autoencoder"]
    command += ["--option", "scoring_function=mae", "--output", "out"]
    code = (
        f"import sys; from mltk.cli.main import main; sys.argv = ['mltk', *{command!r}]\n"
        "try: main()\n"
        "except SystemExit as e: assert not e.code, e.code\n"
        "print([m for m in ('tensorflow', 'keras', 'sklearn') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "[]"
    found = json.loads(Path("out/eval-results.json").read_text())
    assert found["classes"] == ["normal", "abnormal"]
    assert found["overall_roc_auc"] == pytest.approx(evaluated.overall_roc_auc)


def nan_in(x):
    x = np.array(x)
    x[7, 3] = np.nan
    return x


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ("model.eval_classes = ['normal']", EvaluationError, "at least two classes.*not only normal"),
        ("model.dataset = lambda classes, **kwargs: load(classes=classes)[: 50 * ('noise' in classes)]",
         EvaluationError, "no sample of the normal class 'normal'"),
        ("model.dataset = lambda **kwargs: load(subset='evaluation', classes=['normal'])",
         EvaluationError, "same samples for the classes 'normal' and 'spike'"),
        ("model.dataset = lambda **kwargs: nan_in(load(**kwargs))", EvaluationError,
         "holds values that are not finite"),
        ("model.dataset = lambda **kwargs: load(**kwargs)[:, :11]", EvaluationError,
         r"shape \(11,\), but 'curves_v1' takes \(12,\)"),
        ("model.dataset = lambda **kwargs: None", EvaluationError, "no evaluation data for the class 'normal'"),
        ("model.dataset = everything(lambda ids: ids + 1)", EvaluationError, "only the classes 0 to 2"),
        ("model.loss = 'huber'", SpecificationError, "no score for the loss 'huber'.*scoring_function"),
        ("model.scoring_function = lambda a, b: a", EvaluationError, "must return a number"),
        ("model.scoring_function = 'mee'", SpecificationError, "no scoring function 'mee'"),
        ("model.max_false_positive_rate = 1.0", SpecificationError, "from 0 to below 1, not 1.0"),
    ],
)  # fmt: skip
def test_what_cannot_be_evaluated_is_one_clear_line(model, change, error, message):
    load = model.dataset

    def load_evaluation(subset="evaluation", classes=None, **kwargs):
        return load(subset=subset, classes=classes)

    names = {"model": model, "load": load_evaluation, "nan_in": nan_in, "everything": everything}
    with pytest.raises(error, match=message) as raised:
        exec(change, names)
        evaluate_model(model, tflite=True)
    assert "\n" not in str(raised.value)
    assert model.loaded_subset is None


def test_a_missing_class_is_one_line_on_the_command_line(model, private_home):
    cli = MltkCli(private_home)
    done = cli.invoke(["evaluate", "curves_v1", "--classes", "normal"])
    assert done.exit_code == 1
    assert done.stderr.strip().splitlines()[-1].startswith("mltk: error: An autoencoder needs normal")


@pytest.mark.parametrize(
    ("more", "error", "message"),
    [
        ("my_model.dataset = lambda **kwargs: curves(20, 'normal', 0)", DatasetError, r"learns from \(x, x\)"),
        ("def load(**kwargs):\n    x = curves(20, 'normal', 0)\n    x[5, 2] = np.inf\n    return x, x\n"
         "my_model.dataset = load", MltkError, "Sample 5 of x holds values that are not finite"),
        ("my_model.build_model_function = lambda model: narrow()", SpecificationError,
         r"not an autoencoder: its input has the shape \(12,\), its output \(5,\)"),
        ("my_model.dataset = lambda **kwargs: (np.zeros((9, 7)),) * 2", DatasetError, r"have the shape \(9, 7\)"),
    ],
)  # fmt: skip
def test_what_cannot_be_trained_is_one_clear_line(private_home, more, error, message):
    narrow = (
        "\ndef narrow():\n    network = tf.keras.Sequential([tf.keras.Input((12,)), tf.keras.layers.Dense(5)])\n"
        "    network.compile(loss='mse')\n    return network\n"
    )
    Path("wrong_v1.py").write_text(SPEC + narrow + more + "\n")
    with pytest.raises(error, match=message) as raised:
        train_model("wrong_v1", verbose=False)
    assert "\n" not in str(raised.value)


def test_another_model_is_not_evaluated_as_an_autoencoder(private_home):
    from mltk.core import MltkModel

    with pytest.raises(SpecificationError, match="must inherit EvaluateAutoEncoderMixin"):
        evaluate_autoencoder(MltkModel(private_home / "other.py"))


def test_public_names_are_those_of_the_plugin():
    import mltk.core.model
    import mltk_plugin_autoencoder
    from mltk.models.shared import FullyConnectedAutoEncoder

    assert mltk.core.model.EvaluateAutoEncoderMixin is EvaluateAutoEncoderMixin
    assert mltk_plugin_autoencoder.EvaluateAutoEncoderMixin is EvaluateAutoEncoderMixin
    assert mltk_plugin_autoencoder.FullyConnectedAutoEncoder is FullyConnectedAutoEncoder
    assert set(mltk_plugin_autoencoder.__all__) <= set(dir(mltk_plugin_autoencoder))


def test_the_example_of_the_readme_is_a_whole_specification(private_home):
    readme = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
    Path("readme_v1.py").write_text(readme.split("```python\n")[1].split("```")[0])
    model = load_mltk_model("readme_v1")
    network = model.build_model_function(model)
    for name in model.eval_classes:
        model.load_dataset("evaluation", classes=[name])
        assert network.predict(model.x, verbose=0).shape == model.x.shape == (100, 32)
    model.load_dataset("training")
    assert np.array_equal(model.x, model.y)
    assert model.get_scoring_function().name == "mse"


def test_loading_the_plugin_imports_nothing_heavy():
    assert_imports_light("mltk_plugin_autoencoder.plugin")
