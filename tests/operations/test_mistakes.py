"""Mistakes of new users: one line that says what, where and what to do, before the first epoch."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from mltk.core import train_model
from mltk.errors import MltkError, SpecificationError

SPEC = """
# @mltk_model
import numpy as np
from mltk.core import DatasetMixin, EvaluateClassifierMixin, MltkModel, TrainMixin


class MyModel(MltkModel, TrainMixin, DatasetMixin, EvaluateClassifierMixin):
    pass


x = np.random.default_rng(0).random((40, 8), "float32")
ids = (x.sum(1) > 4).astype(int)
y = np.eye(2, dtype="float32")[ids]

my_model = MyModel()
my_model.classes = ["low", "high"]
my_model.input_shape = (8,)
my_model.epochs = 1
my_model.batch_size = 8
my_model.dataset = lambda subset, test, **kwargs: (x, y, (x, y))


def build(model, activation="softmax", units=2):
    import keras

    network = keras.Sequential([keras.Input((8,)), keras.layers.Dense(units, activation)])
    network.compile(loss=model.loss, optimizer=model.optimizer, metrics=model.metrics)
    return network


my_model.build_model_function = build
"""
SPARSE = 'my_model.loss = "sparse_categorical_crossentropy"\n'
# The line after the specification, which `more` follows.
LINE = SPEC.count("\n") + 1


def data(x: str, y: str = "y") -> str:
    return f"my_model.dataset = lambda subset, test, **kwargs: ({x}, {y})\n"


MISTAKES = {
    "misspelt loss": ('my_model.loss = "categorical_crosentropy"', "LINE: my_model.loss: Keras has no loss"),
    "near name of a loss": ('my_model.loss = "categorical_crosentropy"', "mean 'categorical_crossentropy'"),
    "misspelt metric": (
        'my_model.metrics = ["accuracyx"]',
        "LINE: my_model.metrics: Keras has no metric 'accuracyx'",
    ),
    "misspelt optimizer": ('my_model.optimizer = "adamm"', "LINE: .*no optimizer 'adamm'.* mean 'adam'"),
    "misspelt metric in compile": (
        "def build(model):\n"
        "    import keras\n"
        "    network = keras.Sequential([keras.Input((8,)), keras.layers.Dense(2)])\n"
        "    network.compile('adam', 'mse', metrics=['accuracyx'])\n"
        "    return network\n"
        "my_model.build_model_function = build\n",
        r"compile\(metrics=…\): Keras has no metric 'accuracyx'",
    ),
    "misspelt key of a callback": (
        'my_model.early_stopping["monitr"] = "loss"',
        "LINE: .*'monitr'.*mean 'monitor'",
    ),
    "misspelt key of the converter": (
        'my_model.tflite_converter["optimization"] = []',
        "LINE: .*mean 'optimizations'",
    ),
    "loader without arguments": (
        "def load():\n    return x, y\nmy_model.dataset = load",
        r"LINE: The loader of my_model.dataset is load\(\), but it is called as load\(subset=….*\*\*kwargs",
    ),
    "builder without arguments": (
        "def make():\n    return None\nmy_model.build_model_function = make",
        r"LINE: my_model.build_model_function is make\(\), .* define it as make\(my_model\)",
    ),
    "labels as text": (SPARSE + data("x", "np.array(['low', 'high'])[ids]"), r"y\[0\] is the text '\w+'"),
    "a label that is no class": (
        SPARSE + "ids[17] = 2\n" + data("x", "ids"),
        "The label 2 at index 17 of y is not a class: .* 0 to 1",
    ),
    "samples of another shape": (data("x[:, :6]"), r"have the shape \(8, 6\), but .* takes \(None, 8\)"),
    "one-hot labels for a sparse loss": (
        SPARSE,
        "one-hot .* 'sparse_categorical_crossentropy' takes class ids",
    ),
    "ids for a categorical loss": (
        data("x", "ids"),
        "ids, but the loss 'categorical_crossentropy' takes one-hot",
    ),
    "value that is no number": ("x[7, 3] = np.nan", "Sample 7 of x holds values that are not finite"),
    "arrays of different lengths": (
        "my_model.validation_split = 0.2\n" + data("x", "y[:-10]"),
        "x has 40, y has 30",
    ),
    "one class": (
        "my_model.classes = ['low']\n"
        "my_model.build_model_function = lambda model: build(model, 'sigmoid', 1)\n"
        "my_model.loss = 'binary_crossentropy'\n" + data("x", "ids * 0"),
        "one class, 'low'; a classifier tells at least two apart",
    ),
    "class weights and sample weights": (
        "def load(**kwargs):\n"
        "    my_model.x, my_model.y, my_model.sample_weight = x, y, np.ones(40)\n"
        "my_model.dataset = load\nmy_model.class_weights = [1, 2]",
        "class_weights and sample_weight",
    ),
}


@pytest.mark.parametrize(("more", "message"), MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_is_one_line_before_the_first_epoch(load_spec, private_home, more, message):
    model = load_spec("mistake_v1", SPEC, more)
    place = f"{private_home / 'mistake_v1.py'}, line {LINE}"
    with pytest.raises(MltkError, match=message.replace("LINE", place)) as caught:
        train_model(model)
    assert "\n" not in str(caught.value)
    assert "\x1b" not in str(caught.value)
    assert not list(Path(model.checkpoints_dir).glob("weights-*"))


def test_a_layer_that_is_too_large_is_named_with_its_size(load_spec):
    more = "my_model.build_model_function = lambda model: build(model, units=10**13)"
    with pytest.raises(
        SpecificationError, match=r"no room for a tensor of 8x10000000000000 .*of the layer 'dense"
    ):
        train_model(load_spec("mistake_v1", SPEC, more))


WARNINGS = {
    "sorted data": (
        "order = np.argsort(ids, kind='stable')\nmy_model.validation_split = 0.25\n"
        + data("x[order]", "y[order]"),
        r"last 10 of 40 samples for the validation\. They have only the classes 'high'.*shuffle them first",
    ),
    "a batch larger than the data": (
        "my_model.batch_size = 64",
        "batch_size is 64, but the training data have 40",
    ),
    "values that are not scaled": (data("x * 255", "y"), "samples go up to 25.*nothing scales them"),
    "no softmax": (
        "my_model.build_model_function = lambda model: build(model, None)",
        "takes probabilities, and the last layer 'dense.*' has no activation",
    ),
}


@pytest.mark.parametrize(("more", "message"), WARNINGS.values(), ids=WARNINGS)
def test_what_may_be_a_mistake_is_a_warning(load_spec, caplog, more, message):
    import re

    with caplog.at_level(logging.WARNING):
        train_model(
            load_spec("mistake_v1", SPEC, more), quantize=False, create_archive=False, rehearsal=False
        )
    assert [r for r in caplog.records if re.search(message, r.getMessage())]


def test_usual_data_give_no_warning(load_spec, caplog):
    more = "my_model.validation_split = 0.25\n" + data("x", "y")
    with caplog.at_level(logging.WARNING, logger="mltk"):
        train_model(
            load_spec("mistake_v1", SPEC, more), quantize=False, create_archive=False, rehearsal=False
        )
    assert not [r for r in caplog.records if r.name.startswith("mltk")]


def test_a_stopped_evaluation_says_what_is_kept(write_spec, cli, monkeypatch, caplog):
    path = write_spec("mistake_v1", SPEC)
    train_model(path, quantize=False, rehearsal=False)

    def stop(*args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr("mltk.operations.evaluation.evaluate.run_evaluators", stop)
    result = cli.invoke(["evaluate", "mistake_v1"])
    assert result.exit_code == 130
    assert "The model and its archive are as they were" in result.stderr + caplog.text
    monkeypatch.undo()


def test_a_training_stopped_in_its_evaluation_says_that_the_model_is_kept(write_spec, cli, monkeypatch):
    write_spec("mistake_v1", SPEC)

    def stop(*args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr("mltk.operations.evaluation.evaluate.run_evaluators", stop)
    result = cli.invoke(["train", "mistake_v1", "--no-rehearsal"])
    assert result.exit_code == 130
    assert "The trained model is kept; go on with: mltk quantize mistake_v1" in result.stderr


def test_a_folder_is_relative_to_the_specification_and_shown_in_full(
    load_spec, private_home, tmp_path, monkeypatch
):
    from mltk.data.parts import find_folder

    specification = private_home / "mistake_v1.py"
    (private_home / "pictures").mkdir()
    monkeypatch.chdir(tmp_path)
    assert find_folder(Path("pictures"), str(specification)) == private_home / "pictures"
    assert find_folder(Path("missing"), str(specification)) == private_home / "missing"
    (tmp_path / "here").mkdir()
    assert find_folder(Path("here"), str(specification)) == tmp_path / "here"


def test_a_failing_loader_of_the_user_is_not_blamed_on_a_plugin(write_spec, cli):
    pytest.importorskip("mltk_plugin_image")
    path = write_spec(
        "mistake_v1",
        """
        # @mltk_model
        from mltk.core import ImageDatasetMixin, MltkModel, TrainMixin


        class MyModel(MltkModel, TrainMixin, ImageDatasetMixin):
            pass


        def load():
            raise RuntimeError("the camera is off")


        my_model = MyModel()
        my_model.classes = ["a", "b"]
        my_model.dataset = load
        my_model.build_model_function = lambda model: None
        """,
    )
    result = cli.invoke(["train", "mistake_v1"])
    assert result.exit_code == 1
    assert f"{path}, line 11: RuntimeError: the camera is off" in result.stderr
    assert "plugin" not in result.stderr
