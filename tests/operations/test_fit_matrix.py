"""Every form of data, losses, metrics, layers and models that Keras' `fit` takes goes through all operations."""

from __future__ import annotations

from collections.abc import Callable, Iterator
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

TWO_INPUTS = """
a, b = x, rng.random((40, 4, 4, 1), "float32")

def build(model):
    first, second = keras.Input((8,), name="vector"), keras.Input((4, 4, 1), name="picture")
    joined = keras.layers.Concatenate()([first, keras.layers.Flatten()(second)])
    network = keras.Model(INPUTS, keras.layers.Dense(2, "softmax")(joined))
    network.compile(loss=model.loss, optimizer=model.optimizer, metrics=model.metrics)
    return network

my_model.build_model_function = build
"""
AS_LIST = TWO_INPUTS.replace("INPUTS", "[first, second]")
AS_DICT = TWO_INPUTS.replace("INPUTS", "{'vector': first, 'picture': second}")
OTHER_KEYS = TWO_INPUTS.replace("INPUTS", "{'v': first, 'p': second}")

FORMS = {
    "arrays": "",
    "arrays, sparse labels, validation split": """
        my_model.loss = "sparse_categorical_crossentropy"
        my_model.validation_split = 0.25
        my_model.dataset = lambda subset, test, **kwargs: (x, ids)
    """,
    "class weights": """
        my_model.class_weights = {"low": 1.0, "high": 2.0}
    """,
    "sample weights": """
        def load(subset, test, **kwargs):
            my_model.x, my_model.y, my_model.sample_weight = x, y, np.ones(40, "float32")
            my_model.validation_data = (x, y)

        my_model.dataset = load
    """,
    "a missing last axis": """
        my_model.input_shape = (8, 1)

        def build(model):
            network = keras.Sequential(
                [
                    keras.Input((8, 1)),
                    keras.layers.Conv1D(4, 3),
                    keras.layers.Flatten(),
                    keras.layers.Dense(2, "softmax"),
                ]
            )
            network.compile(loss=model.loss, optimizer=model.optimizer, metrics=model.metrics)
            return network

        my_model.build_model_function = build
    """,
    "double precision, one unit": """
        my_model.loss = "binary_crossentropy"
        my_model.dataset = lambda subset, test, **kwargs: (x.astype("float64"), ids, (x, ids))

        def build(model):
            network = keras.Sequential([keras.Input((8,)), keras.layers.Dense(1, "sigmoid")])
            network.compile(loss=model.loss, optimizer=model.optimizer, metrics=model.metrics)
            return network

        my_model.build_model_function = build
    """,
    "list of inputs": AS_LIST + "my_model.dataset = lambda subset, test, **k: ([a, b], y, ([a, b], y))",
    "dictionary of inputs": AS_DICT
    + """
data = {"vector": a, "picture": b}
my_model.dataset = lambda subset, test, **kwargs: (data, y, (data, y))
""",
    "dictionary for a list of inputs, validation split": AS_LIST
    + """
my_model.validation_split = 0.2
my_model.dataset = lambda subset, test, **kwargs: ({"vector": a, "picture": b, "number": a}, y)
""",
    "dictionary with other keys than the layers": OTHER_KEYS
    + """
my_model.dataset = lambda subset, test, **kwargs: ({"v": a, "p": b}, y, ({"v": a, "p": b}, y))
""",
    "tf.data": """
        data = tf.data.Dataset.from_tensor_slices((x, y)).shuffle(40).batch(8)
        my_model.dataset = lambda subset, test, **kwargs: (data, None, data)
    """,
    "tf.data of single samples": """
        data = tf.data.Dataset.from_tensor_slices((x, y)).shuffle(40)
        my_model.dataset = lambda subset, test, **kwargs: (data, None, data)
    """,
    "tf.data of lists": AS_LIST
    + """
data = tf.data.Dataset.from_tensor_slices(((a, b), y)).batch(8)
my_model.dataset = lambda subset, test, **kwargs: (data, None, data)
""",
    "tf.data of dictionaries": AS_DICT
    + """
data = tf.data.Dataset.from_tensor_slices(({"vector": a, "picture": b}, y)).batch(8)
my_model.dataset = lambda subset, test, **kwargs: (data, None, data)
""",
    "keras.utils.PyDataset of dictionaries": AS_DICT
    + """
class Data(keras.utils.PyDataset):
    def __len__(self):
        return 5

    def __getitem__(self, index):
        rows = slice(8 * index, 8 * index + 8)
        return {"vector": a[rows], "picture": b[rows]}, y[rows]

my_model.dataset = lambda subset, test, **kwargs: (Data(), None, Data())
""",
    "ids for Embedding": """
        tokens = (x * 20).astype("int32")
        my_model.dataset = lambda subset, test, **kwargs: (tokens, y, (tokens, y))

        def build(model):
            network = keras.Sequential(
                [
                    keras.Input((8,), dtype="int32"),
                    keras.layers.Embedding(20, 4),
                    keras.layers.GlobalAveragePooling1D(),
                    keras.layers.Dense(2, "softmax"),
                ]
            )
            network.compile(loss=model.loss, optimizer=model.optimizer, metrics=model.metrics)
            return network

        my_model.build_model_function = build
    """,
    "ids for Embedding, input without a type": """
        tokens = (x * 20).astype("int64")
        my_model.dataset = lambda subset, test, **kwargs: (tokens, y, (tokens, y))

        def build(model):
            network = keras.Sequential(
                [
                    keras.Input((8,)),
                    keras.layers.Embedding(20, 4),
                    keras.layers.Flatten(),
                    keras.layers.Dense(2, "softmax"),
                ]
            )
            network.compile(loss=model.loss, optimizer=model.optimizer, metrics=model.metrics)
            return network

        my_model.build_model_function = build
    """,
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
    "layer of one's own": """
        class Scale(keras.layers.Layer):
            def __init__(self, factor=2.0, **kwargs):
                super().__init__(**kwargs)
                self.factor = factor

            def call(self, inputs):
                return self.factor * inputs

            def get_config(self):
                return {**super().get_config(), "factor": self.factor}

        def build(model):
            network = keras.Sequential([keras.Input((8,)), Scale(3.0), keras.layers.Dense(2, "softmax")])
            network.compile(loss=model.loss, optimizer=model.optimizer, metrics=model.metrics)
            return network

        my_model.build_model_function = build
    """,
    "subclass of Model": """
        class Network(keras.Model):
            def __init__(self, **kwargs):
                super().__init__(**kwargs)
                self.hidden = keras.layers.Dense(4, "relu")
                self.last = keras.layers.Dense(2, "softmax")

            def call(self, inputs):
                return self.last(self.hidden(inputs))

        def build(model):
            network = Network()
            network.compile(loss=model.loss, optimizer=model.optimizer, metrics=model.metrics)
            return network

        my_model.build_model_function = build
    """,
    "subclass of Model with a training step of its own": """
        class Network(keras.Model):
            def train_step(self, data):
                x, y = data
                with tf.GradientTape() as tape:
                    predicted = self(x, training=True)
                    loss = self.compute_loss(y=y, y_pred=predicted)
                self.optimizer.apply(tape.gradient(loss, self.trainable_variables), self.trainable_variables)
                for metric in self.metrics:
                    metric.update_state(*((loss,) if metric.name == "loss" else (y, predicted)))
                return {metric.name: metric.result() for metric in self.metrics}

        def build(model):
            inputs = keras.Input((8,))
            network = Network(inputs, keras.layers.Dense(2, "softmax")(inputs))
            network.compile(loss=model.loss, optimizer=model.optimizer, metrics=model.metrics)
            return network

        my_model.build_model_function = build
    """,
    "mixed precision": """
        keras.mixed_precision.set_global_policy("mixed_float16")

        def build(model):
            network = keras.Sequential(
                [
                    keras.Input((8,)),
                    keras.layers.Reshape((8, 1)),
                    keras.layers.Conv1D(4, 3, activation="relu"),
                    keras.layers.Flatten(),
                    keras.layers.Dense(2, "softmax"),
                ]
            )
            network.compile(loss=model.loss, optimizer=model.optimizer, metrics=model.metrics)
            return network

        my_model.build_model_function = build
    """,
    "representative arrays without a batch axis": """
        my_model.tflite_converter["representative_dataset"] = lambda: iter(x[:10])
    """,
    "representative dictionaries without a batch axis": AS_DICT
    + """
data = {"vector": a, "picture": b}
my_model.dataset = lambda subset, test, **kwargs: (data, y, (data, y))
my_model.tflite_converter["representative_dataset"] = lambda: (
    {"picture": b[i], "vector": a[i]} for i in range(10)
)
""",
    "representative lists": AS_LIST
    + """
my_model.dataset = lambda subset, test, **kwargs: ([a, b], y, ([a, b], y))
my_model.tflite_converter["representative_dataset"] = lambda: ([a[i : i + 1], b[i : i + 1]] for i in range(10))
""",
}


QUICK = (
    "arrays, sparse labels, validation split",
    "dictionary of inputs",
    "tf.data of lists",
    "functions as metric and loss",
    "subclass of Model",
    "mixed precision",
)
PARAMETERS = [
    pytest.param(form, id=name, marks=() if name in QUICK else pytest.mark.slow)
    for name, form in FORMS.items()
]


@pytest.fixture(autouse=True)
def usual_precision() -> Iterator[None]:
    """Undo what a specification sets for all of Keras."""
    yield
    import keras

    keras.mixed_precision.set_global_policy("float32")


@pytest.fixture(autouse=True)
def no_plots(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave out the plots, which take longer than all the rest and do not depend on the form of the data."""
    monkeypatch.setattr(ClassifierEvaluationResults, "generate_plots", lambda *args, **kwargs: None)


@pytest.mark.filterwarnings("ignore:When providing `inputs` as a dict")
@pytest.mark.usefixtures("mltk_plugin_manager")
@pytest.mark.parametrize("form", PARAMETERS)
def test_what_fit_takes_goes_through_all_operations(load_spec: Callable[..., Any], form: str) -> None:
    trained = train_model(load_spec("form_v1", SPEC, form), evaluate=True, verbose=False)
    assert set(trained.evaluations) == {"h5", "tflite"}
    model = load_spec("form_v1", SPEC, form)
    float_results = evaluate_model(model)
    assert float_results["overall_accuracy"] == trained.evaluations["h5"]["overall_accuracy"]
    resumed = train_model(model, epochs=2, resume_epoch=1, quantize=False, verbose=False)
    assert len(resumed.history["loss"]) == 2
