"""Training without each group of a data set in turn."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image

from mltk.errors import SpecificationError
from mltk.operations.leave_out import list_groups
from mltk.sources.loading import load_mltk_model
from mltk.testing.pytest_plugin import MltkCli

SPECIFICATION = """
# @mltk_model
import keras
import mltk.core as mltk_core
from mltk_plugin_image import ImageDatasetMixin, ParallelImageDataGenerator


class Model(mltk_core.MltkModel, mltk_core.TrainMixin, ImageDatasetMixin, mltk_core.EvaluateClassifierMixin):
    pass


def build(my_model):
    network = keras.Sequential(
        [keras.layers.Input((4, 4, 1)), keras.layers.Flatten(), keras.layers.Dense(2, activation="softmax")]
    )
    network.compile(loss="categorical_crossentropy", optimizer=keras.optimizers.Adam(0.05), metrics=["accuracy"])
    return network


my_model = Model()
my_model.classes = ["cat", "dog"]
my_model.input_shape = (4, 4, 1)
my_model.epochs = 12
my_model.dataset = "DATA"
my_model.datagen = ParallelImageDataGenerator(rescale=1 / 255, cores=1)
my_model.group_by = r"/([a-z ]+)_"
my_model.build_model_function = build
"""


@pytest.fixture
def specification(tmp_path: Path) -> Path:
    """A model of dark cats and bright dogs; those of one group are the other way round."""
    for label, dark in (("cat", True), ("dog", False)):
        (tmp_path / "data" / label).mkdir(parents=True)
        for group in ("anna", "ben", "mixed up"):
            value = 20 if dark == (group != "mixed up") else 230
            for i in range(6):
                Image.new("L", (4, 4), value + i).save(tmp_path / "data" / label / f"{group}_{i}.png")
    path = tmp_path / "animals.py"
    path.write_text(SPECIFICATION.replace("DATA", str(tmp_path / "data")))
    return path


@pytest.mark.slow
def test_each_group_is_left_out_and_evaluated_in_turn(cli: MltkCli, specification: Path, tmp_path) -> None:
    result = cli.invoke(["train", str(specification), "--leave-one-group-out"])
    assert result.exit_code == 0, result.stderr
    assert "Mean, float" in result.stdout and "of 3 groups, from 0.00% to " in result.stdout
    folder = tmp_path / "cache" / "models" / "animals" / "leave_one_out"
    accuracies = json.loads((folder / "results.json").read_text())
    assert list(accuracies) == ["anna", "ben", "mixed up"]
    assert accuracies["mixed up"] == {"float": 0.0, "tflite": 0.0}
    assert {p.name.split("-")[0] for p in folder.iterdir()} == {"anna", "ben", "mixed_up", "results.json"}
    assert not list(tmp_path.glob("*.mltk.zip"))


def test_it_does_not_resume(cli: MltkCli, specification: Path) -> None:
    result = cli.invoke(["train", str(specification), "--leave-one-group-out", "--resume"])
    assert result.exit_code == 2 and "goes without --resume" in result.stderr


@pytest.mark.parametrize(
    ("group_by", "message"),
    [(None, r"group_by must tell the group"), ("/(a)", "finds 1 group .* two are needed")],
)
def test_groups_are_needed(specification: Path, group_by, message) -> None:
    model = load_mltk_model(str(specification))
    model.group_by = group_by
    with pytest.raises(SpecificationError, match=message):
        list_groups(model)
