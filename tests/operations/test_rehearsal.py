"""What would fail after a training fails before its first epoch, and a rehearsal changes nothing of the result."""

from __future__ import annotations

import hashlib
import logging
from pathlib import Path

import pytest

from mltk.core import quantize_model, train_model
from mltk.errors import ConversionError, DatasetError, EvaluationError, FileFormatError, SpecificationError
from mltk.utils.model_archive import ModelArchive

LAYER_IN_BUILD = """
def build_with(model):
    class Hidden(keras.layers.Layer):
        def call(self, inputs):
            return 2 * inputs

    network = keras.Sequential([keras.Input((8,)), Hidden(), keras.layers.Dense(2, "softmax")])
    network.compile(loss=model.loss, optimizer=model.optimizer, metrics=model.metrics)
    return network

import keras
my_model.build_model_function = build_with
"""
ANOTHER_STATE = """
import keras

class Offset(keras.layers.Layer):
    factor = 1.0

    def call(self, inputs):
        return inputs * self.factor

def build_with(model):
    offset = Offset()
    offset.factor = 3.0
    network = keras.Sequential([keras.Input((8,)), offset, keras.layers.Dense(2, "softmax")])
    network.compile(loss=model.loss, optimizer=model.optimizer, metrics=model.metrics)
    return network

my_model.build_model_function = build_with
"""
REPRESENTATIVE = """
my_model.tflite_converter["representative_dataset"] = lambda: ([np.zeros((1, 5), "float32")] for _ in range(3))
"""
TWO_OUTPUTS = """
import keras
my_model.dataset = lambda subset, test, **kwargs: (x, {"a": y, "b": y})
def build_with(model):
    first = keras.Input((8,))
    outputs = {name: keras.layers.Dense(2, "softmax", name=name)(first) for name in "ab"}
    network = keras.Model(first, outputs)
    network.compile(loss=model.loss, optimizer=model.optimizer)
    return network
my_model.build_model_function = build_with
"""
SPEC = """
# @mltk_model
import numpy as np
from mltk.core import DatasetMixin, EvaluateClassifierMixin, MltkModel, TrainMixin


class MyModel(MltkModel, TrainMixin, DatasetMixin, EvaluateClassifierMixin):
    pass


x = np.random.default_rng(0).random((40, 8), "float32")
y = np.eye(2, dtype="float32")[(x.sum(1) > 4).astype(int)]

my_model = MyModel()
my_model.classes = ["low", "high"]
my_model.input_shape = (8,)
my_model.epochs = 1
my_model.batch_size = 8
my_model.dataset = lambda subset, test, **kwargs: (x, y, (x, y))


def build(model):
    import keras

    network = keras.Sequential(
        [keras.Input((8,)), keras.layers.Dense(4, "relu"), keras.layers.Dropout(0.5), keras.layers.Dense(2, "softmax")]
    )
    network.compile(loss=model.loss, optimizer=model.optimizer, metrics=model.metrics)
    return network


my_model.build_model_function = build
"""
SHUFFLED = """
import tensorflow as tf

def load(subset, test, **kwargs):
    data = tf.data.Dataset.from_tensor_slices((x, y)).shuffle(40).batch(8)
    return data, None, data

my_model.dataset = load
"""


@pytest.mark.parametrize(
    ("more", "error", "stage", "message"),
    [
        (LAYER_IN_BUILD, FileFormatError, "train", "Hidden"),
        (ANOTHER_STATE, SpecificationError, "train", "gives other results"),
        (REPRESENTATIVE, DatasetError, "quantize", r"\(1, 5\), but the .* takes \(None, 8\)"),
        (TWO_OUTPUTS, EvaluationError, "evaluate", "judges one output"),
    ],
    ids=[
        "layer that cannot be loaded",
        "layer that is loaded otherwise",
        "representative data",
        "two outputs",
    ],
)
def test_what_would_fail_after_the_training_names_its_stage_before_it(load_spec, more, error, stage, message):
    model = load_spec("rehearsed_v1", SPEC, more)
    with pytest.raises(
        error, match=rf"^The stage '{stage}' would fail .*{message}.* Nothing was trained"
    ) as caught:
        train_model(model, evaluate=True, rehearsal=True)
    assert "\n" not in str(caught.value)
    assert not list(Path(model.checkpoints_dir).glob("weights-*"))


def test_without_a_rehearsal_the_training_comes_first(load_spec):
    model = load_spec("rehearsed_v1", SPEC, REPRESENTATIVE)
    with pytest.raises(DatasetError, match=r"^The samples for the quantization"):
        train_model(model, rehearsal=False)
    assert list(Path(model.checkpoints_dir).glob("weights-*"))


def test_two_outputs_are_trained_and_quantized_without_an_evaluation(load_spec):
    results = train_model(load_spec("rehearsed_v1", SPEC, TWO_OUTPUTS), rehearsal=True)
    assert Path(results.mltk_model.tflite_log_dir_path).is_file()


@pytest.mark.parametrize("more", ["", SHUFFLED], ids=["arrays", "shuffled tf.data"])
def test_the_result_is_the_same_with_and_without_a_rehearsal(load_spec, caplog, more, monkeypatch):
    import keras

    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    digests = []
    for rehearsal in (True, False):
        # Keras numbers the layers of a process.
        keras.backend.clear_session()
        model = load_spec("rehearsed_v1", SPEC, more)
        with caplog.at_level(logging.INFO):
            train_model(model, clean=True, rehearsal=rehearsal)
        assert ("Rehearsal: the untrained network was" in caplog.text) is rehearsal
        caplog.clear()
        paths = [model.keras_log_dir_path, model.h5_log_dir_path, model.tflite_log_dir_path]
        archive = ModelArchive(model.archive_path)
        contents = [Path(path).read_bytes() for path in paths]
        # The log has the time of day.
        contents += [archive.read(name) for name in archive.names() if not name.endswith("log.txt")]
        digests.append([hashlib.sha256(content).hexdigest() for content in contents])
    assert digests[0] == digests[1]


def test_a_rehearsal_calls_no_handlers_and_writes_no_files(load_spec):
    called = []
    model = load_spec("rehearsed_v1", SPEC)
    for event in ("before_save_train_model", "quantize_startup", "before_quantize", "evaluate_startup"):
        model.add_event_handler(event, lambda event=event, **kwargs: called.append(event))
    found = []
    model.add_event_handler(
        "before_train", lambda **kwargs: found.append((list(called), Path(model.keras_log_dir_path).exists()))
    )
    train_model(model, quantize=False, rehearsal=True)
    assert found == [([], False)]


def test_a_subclassed_model_is_quantized_from_its_file(load_spec):
    more = """
        import keras

        class Network(keras.Model):
            def __init__(self, **kwargs):
                super().__init__(**kwargs)
                self.last = keras.layers.Dense(2, "softmax")

            def call(self, inputs):
                return self.last(inputs)

        def build_with(model):
            network = Network()
            network.compile(loss=model.loss, optimizer=model.optimizer, metrics=model.metrics)
            return network

        my_model.build_model_function = build_with
    """
    trained = train_model(load_spec("rehearsed_v1", SPEC, more), rehearsal=True)
    before = Path(trained.mltk_model.tflite_log_dir_path).read_bytes()
    tflite = quantize_model(load_spec("rehearsed_v1", SPEC, more), output="tflite_model")
    assert [layer.opcode_str for layer in tflite.layers] == [
        "quantize",
        "fully_connected",
        "softmax",
        "dequantize",
    ]
    assert before


def test_conversion_that_is_not_possible_ends_before_the_first_epoch(load_spec, monkeypatch):
    model = load_spec("rehearsed_v1", SPEC)

    def refuse(*args, **kwargs):
        raise ConversionError("no operator")

    monkeypatch.setattr("mltk.operations.conversion.converter.create_converter", refuse)
    with pytest.raises(
        ConversionError, match=r"^The stage 'quantize' would fail .*no operator\. Nothing was trained"
    ):
        train_model(model, rehearsal=True)
