"""Every form of data, losses, metrics, layers and models that Keras' `fit` takes goes through all operations."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from mltk.core import evaluate_model, train_model
from mltk.results.classifier import ClassifierEvaluationResults

SPEC = """
# @mltk_model
import keras
import numpy as np
import tensorflow as tf
from mltk.core import DatasetMixin, EvaluateClassifierMixin, MltkModel, TrainMixin


class MyModel(MltkModel, TrainMixin, DatasetMixin, EvaluateClassifierMixin):
    pass


rng = np.random.default_rng(0)
x = rng.random((40, 8), "float32")
ids = (x.sum(1) > 4).astype("int32")
y = np.eye(2, dtype="float32")[ids]

my_model = MyModel()
my_model.classes = ["low", "high"]
my_model.input_shape = (8,)
my_model.epochs = 1
my_model.batch_size = 8
my_model.dataset = lambda subset, test, **kwargs: (x, y, (x, y))


def build(model):
    network = keras.Sequential(
        [keras.Input((8,)), keras.layers.Dense(4, "relu"), keras.layers.Dense(2, "softmax")]
    )
    network.compile(loss=model.loss, optimizer=model.optimizer, metrics=model.metrics)
    return network


my_model.build_model_function = build
"""

FORMS = {
    "functions as metric and loss": """
        def agreement(y_true, y_pred):
            return keras.ops.mean(keras.ops.sum(y_true * y_pred, -1))

        def distance(y_true, y_pred):
            return keras.ops.mean((y_true - y_pred) ** 2, -1)

        my_model.metrics = ["accuracy", agreement]
        my_model.loss = distance
    """,
    "loss and metric of one's own": """
        class Focal(keras.losses.Loss):
            def __init__(self, gamma=2.0, **kwargs):
                super().__init__(**kwargs)
                self.gamma = gamma

            def call(self, y_true, y_pred):
                return -keras.ops.sum(y_true * (1 - y_pred) ** self.gamma * keras.ops.log(y_pred + 1e-7), -1)

        class Agreement(keras.metrics.Mean):
            def update_state(self, y_true, y_pred, sample_weight=None):
                return super().update_state(keras.ops.sum(y_true * y_pred, -1), sample_weight)

        my_model.metrics = ["accuracy", Agreement(name="agreement")]
        my_model.loss = Focal(3.0)
    """,
}


@pytest.fixture(autouse=True)
def no_plots(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave out the plots, which take longer than all the rest and do not depend on the form of the data."""
    monkeypatch.setattr(ClassifierEvaluationResults, "generate_plots", lambda *args, **kwargs: None)


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_what_fit_takes_goes_through_all_operations(load_spec: Callable[..., Any], form: str) -> None:
    trained = train_model(load_spec("form_v1", SPEC, form), evaluate=True)
    assert set(trained.evaluations) == {"h5", "tflite"}
    model = load_spec("form_v1", SPEC, form)
    float_results = evaluate_model(model)
    assert float_results["overall_accuracy"] == trained.evaluations["h5"]["overall_accuracy"]
    resumed = train_model(model, epochs=2, resume_epoch=1, quantize=False)
    assert len(resumed.history["loss"]) == 2
