"""Small models: those of core's tests, some of them spoiled, and one that is trained once."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from mltk.tflite import TfliteModel

DATA = Path(__file__).parents[3] / "tests" / "tflite" / "data"

SPEC = """
# @mltk_model
import numpy as np
import tensorflow as tf
from mltk.core import DatasetMixin, EvaluateClassifierMixin, MltkModel, TrainMixin


class MyModel(MltkModel, TrainMixin, DatasetMixin, EvaluateClassifierMixin):
    pass


my_model = MyModel()
my_model.epochs = 6
my_model.batch_size = 32
my_model.classes = ["left", "middle", "right"]
my_model.input_shape = (6, 6, 1)
my_model.tflite_converter["inference_input_type"] = tf.int8
my_model.tflite_converter["inference_output_type"] = tf.int8
my_model.model_parameters["threshold"] = 7


def load(subset, test=False, **kwargs):
    rng = np.random.default_rng({"training": 0, "validation": 1, "evaluation": 2}[subset])
    labels = rng.integers(0, 3, 240 if subset == "training" else 90)
    x = rng.normal(0, 0.6, (len(labels), 6, 6, 1)).astype("float32")
    for image, label in zip(x, labels):
        image[:, 2 * label : 2 * label + 2] += 1
    return x, np.eye(3, dtype="float32")[labels]


my_model.dataset = load


def build(model):
    layers = tf.keras.layers
    network = tf.keras.Sequential(
        [
            layers.InputLayer(model.input_shape),
            layers.Conv2D(4, 3, activation="relu"),
            layers.Flatten(),
            layers.Dense(model.n_classes, activation="softmax"),
        ]
    )
    network.compile(loss=model.loss, optimizer=tf.keras.optimizers.Adam(0.02), metrics=model.metrics)
    return network


my_model.build_model_function = build
"""


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder with development data beside the checkout; tests that need it are skipped without it."""
    folder = Path(__file__).resolve().parents[4] / "shared"
    if not folder.is_dir():
        pytest.skip("the folder with development data is not beside this checkout")
    return folder


@pytest.fixture(autouse=True)
def private_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working folder and a cache of the test's own."""
    folder = tmp_path / "work"
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.setenv("MLTK_CACHE_DIR", str(tmp_path / "cache"))
    return folder


@pytest.fixture
def load() -> Callable[[str], TfliteModel]:
    """Read one of the small models by its name."""
    return lambda name: TfliteModel.load_flatbuffer_file(DATA / f"{name}.tflite")


@pytest.fixture
def unknown_operators(load) -> Callable[..., TfliteModel]:
    """Make a model whose layers of these numbers are of an operator that TFLM does not have."""

    def make(*layers: int) -> TfliteModel:
        from ai_edge_litert import schema_py_generated as schema

        model = load("conv_int8")
        code = schema.OperatorCodeT()
        code.builtinCode = schema.BuiltinOperator.SEGMENT_SUM
        code.deprecatedBuiltinCode = code.builtinCode
        code.version = 1
        model.flatbuffer_model.operatorCodes.append(code)
        for number in layers:
            operator = model.flatbuffer_subgraph.operators[number]
            operator.opcodeIndex = len(model.flatbuffer_model.operatorCodes) - 1
            operator.builtinOptions = None
            operator.builtinOptionsType = 0
        model.regenerate_flatbuffer(reload_model=True)
        return model

    return make


@pytest.fixture(scope="session")
def trained_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from mltk.core import train_model
    from mltk.plugins import forget_plugins

    root = tmp_path_factory.mktemp("trained")
    (root / "work").mkdir()
    (root / "work" / "stripes_v1.py").write_text(SPEC)
    forget_plugins()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLTK_CACHE_DIR", str(root / "cache"))
        train_model(str(root / "work" / "stripes_v1.py"), clean=True)
    return root


@pytest.fixture
def trained(trained_once: Path, private_home: Path) -> Iterator[Path]:
    """The log folder of a trained model, `stripes_v1`, whose specification and archive are in the working folder."""
    from mltk.plugins import forget_plugins

    forget_plugins()
    shutil.copytree(trained_once / "work", private_home, dirs_exist_ok=True)
    cache = Path(os.environ["MLTK_CACHE_DIR"])
    shutil.copytree(trained_once / "cache", cache)
    yield cache / "models" / "stripes_v1"
    forget_plugins()
