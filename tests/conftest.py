"""Fixtures shared by core's tests."""

from collections.abc import Callable, Iterator
from pathlib import Path
from textwrap import dedent

import pytest

TINY_SPEC = """
# @mltk_model
import numpy as np
import tensorflow as tf
from sklearn.datasets import load_digits
from mltk.core import DatasetMixin, EvaluateClassifierMixin, MltkModel, TrainMixin


class MyModel(MltkModel, TrainMixin, DatasetMixin, EvaluateClassifierMixin):
    pass


my_model = MyModel()
my_model.version = 3
my_model.description = "UCI digits, 8x8"
my_model.epochs = 3
my_model.batch_size = 64
my_model.classes = [str(n) for n in range(10)]
my_model.input_shape = (8, 8, 1)
my_model.checkpoint["monitor"] = "val_accuracy"
my_model.model_parameters["volume_db"] = 5.0
my_model.model_parameters["log_level"] = "info"
my_model.tflite_converter["inference_input_type"] = tf.int8
my_model.tflite_converter["inference_output_type"] = tf.int8
my_model.tflite_converter["representative_dataset_max_samples"] = 50


def load(subset, test=False, **kwargs):
    images, labels = load_digits(return_X_y=True)
    x = (images / 16).astype("float32").reshape(-1, 8, 8, 1)
    y = np.eye(10, dtype="float32")[labels]
    if test:
        x, y = x[::20], y[::20]
    held_out = np.arange(len(x)) % 3 == 0
    if subset == "training":
        return x[~held_out], y[~held_out], (x[held_out], y[held_out])
    return x[held_out], y[held_out]


my_model.dataset = load


def build(model):
    layers = tf.keras.layers
    network = tf.keras.Sequential(
        [
            layers.InputLayer(model.input_shape),
            layers.Conv2D(8, 3, activation="relu"),
            layers.Flatten(),
            layers.Dropout(0.2),
            layers.Dense(model.n_classes, activation="softmax"),
        ]
    )
    network.compile(loss=model.loss, optimizer=model.optimizer, metrics=model.metrics)
    return network


my_model.build_model_function = build
"""


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder with development data beside the checkout; tests that need it are skipped without it."""
    folder = Path(__file__).resolve().parents[2] / "shared"
    if not folder.is_dir():
        pytest.skip("the folder with development data is not beside this checkout")
    return folder


@pytest.fixture(autouse=True)
def private_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Run every test in a folder of its own, with mltk's cache in it and no settings of the user's."""
    monkeypatch.setenv("MLTK_CACHE_DIR", str(tmp_path / "cache"))
    for name in (
        "MLTK_MODEL_PATHS",
        "MLTK_USER_SETTINGS_PATH",
        "MLTK_BLOCK_PLUGINS",
        "MLTK_READONLY",
        "MLTK_OFFLINE",
        "SOURCE_DATE_EPOCH",
    ):
        monkeypatch.delenv(name, raising=False)
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    yield work


@pytest.fixture(scope="session")
def tiny_spec() -> str:
    """Text of a complete specification: a small network on the 8x8 digits of scikit-learn (UCI, real scans)."""
    return TINY_SPEC


@pytest.fixture
def write_spec(private_home: Path) -> Callable[..., Path]:
    """Write a model specification into the test's folder: `write_spec(name, text)`."""

    def write(name: str = "tiny_v1", text: str = TINY_SPEC, more: str = "") -> Path:
        path = private_home / f"{name}.py"
        path.write_text(dedent(text) + dedent(more), encoding="utf-8")
        return path

    return write


@pytest.fixture
def load_spec(write_spec: Callable[..., Path]):
    """Write a specification and load it: `load_spec(name, text, more)`."""
    from mltk.core import load_mltk_model

    def load(name: str = "tiny_v1", text: str = TINY_SPEC, more: str = ""):
        return load_mltk_model(write_spec(name, text, more))

    return load
