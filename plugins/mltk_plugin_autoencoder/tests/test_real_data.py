"""The patterns of the reference's specifications, and the shipped models, on small real and generated data."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from mltk.core import (
    evaluate_model,
    load_mltk_model,
    load_tflite_model,
    quantize_model,
    train_model,
    update_model_parameters,
)
from mltk.tflite.parameters import TfliteModelParameters
from mltk.utils.model_archive import ModelArchive
from mltk_plugin_autoencoder.datasets import brick_defects

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("without_plots")]

# As `autoencoder_example`: load_dataset is overridden in the model's class, and the model has no classes.
SATELLITE = """
# @mltk_model
import numpy as np
import tensorflow as tf
from mltk.core.model import DatasetMixin, EvaluateAutoEncoderMixin, MltkModel, TrainMixin

FOLDER = {folder!r}


class MyModel(MltkModel, TrainMixin, DatasetMixin, EvaluateAutoEncoderMixin):
    def load_dataset(self, subset, classes=None, max_samples_per_class=None, **kwargs):
        super().load_dataset(subset)
        normal = np.loadtxt(FOLDER + "/train_normal.csv", delimiter=",", skiprows=1, dtype=np.float32)
        low, high = normal.min(), normal.max()
        if subset == "evaluation":
            test = np.loadtxt(FOLDER + "/test.csv", delimiter=",", skiprows=1, dtype=np.float32)
            wanted = 0 if classes[0] == "normal" else 1
            self.x = ((test[:, :-1] - low) / (high - low))[test[:, -1] == wanted]
        else:
            normal = (normal - low) / (high - low)
            self.validation_split = 0.1
            self.x = self.y = normal

    def summarize_dataset(self):
        return "satellite pixels"


my_model = MyModel()
my_model.input_shape = (36,)
my_model.epochs = 12
my_model.batch_size = 64
my_model.loss = "mse"
my_model.metrics = ["mae"]
my_model.checkpoint["monitor"] = "val_loss"
my_model.checkpoints_enabled = False
my_model.threshold_parameter = "anomaly_threshold"


def build(model):
    encoder = tf.keras.Sequential([tf.keras.layers.Dense(16, activation="relu"), tf.keras.layers.Dense(3)])
    decoder = tf.keras.Sequential([tf.keras.layers.Dense(16, activation="relu"), tf.keras.layers.Dense(36)])
    model_input = tf.keras.layers.Input(shape=model.input_shape)
    autoencoder = tf.keras.models.Model(model_input, decoder(encoder(model_input)))
    autoencoder.compile(loss=model.loss, optimizer=tf.keras.optimizers.Adam(0.005), metrics=model.metrics)
    return autoencoder


my_model.build_model_function = build
"""

# As `anomaly_detection`: arrays in .npy files, larger than the model's input, of which a callback cuts a piece.
ARRAYS = """
# @mltk_model
import random as rnd
import numpy as np
from mltk.core.model import EvaluateAutoEncoderMixin, ImageDatasetMixin, MltkModel, TrainMixin
from mltk.core.preprocess.image.parallel_generator import ParallelImageDataGenerator, ParallelProcessParams
from mltk.models.shared import FullyConnectedAutoEncoder


class MyModel(MltkModel, TrainMixin, ImageDatasetMixin, EvaluateAutoEncoderMixin):
    pass


my_model = MyModel()
my_model.epochs = 3
my_model.batch_size = 40
my_model.optimizer = "adam"
my_model.loss = "mean_squared_error"
my_model.metrics = ["mean_squared_error"]
my_model.dataset = lambda: {folder!r}
my_model.class_mode = "input"
my_model.classes = ["normal"]
my_model.class_weights = None
my_model.input_shape = (5, 32, 1)
my_model.interpolation = None
my_model.checkpoint["monitor"] = "val_loss"
my_model.checkpoint["mode"] = "auto"
my_model.tflite_converter["generate_unquantized"] = False


def reshape_input_callback(params: ParallelProcessParams, x: np.ndarray):
    start = rnd.randrange(20) if params.subset == "training" else len(x) // 2
    return np.array(x[start : start + 5, :]).reshape(my_model.input_shape)


my_model.datagen = ParallelImageDataGenerator(
    cores=0.35, max_batches_pending=16, debug=False, validation_split=0.2, preprocessing_function=reshape_input_callback
)


def build(model):
    autoencoder = FullyConnectedAutoEncoder(input_shape=model.input_shape)
    autoencoder.compile(loss=model.loss, optimizer=model.optimizer, metrics=model.metrics)
    return autoencoder


my_model.build_model_function = build
"""


def shipped(name, epochs):
    """Return a shipped model that is trained for a shorter time."""
    model = load_mltk_model(name)
    model.epochs = epochs
    model.checkpoints_enabled = False
    model.tflite_converter["generate_unquantized"] = False
    return model


def threshold_in(tflite):
    return TfliteModelParameters.load_from_tflite_model(load_tflite_model(tflite)).get("anomaly_threshold")


def test_model_with_its_own_load_dataset_and_no_classes(private_home, shared):
    Path("satellite.py").write_text(SATELLITE.format(folder=str(shared / "data/anomaly_satellite")))
    train_model("satellite", verbose=False)
    float32, int8 = (evaluate_model("satellite", tflite=tflite) for tflite in (False, True))
    for results in (float32, int8):
        assert results.classes == ["normal", "abnormal"]
        assert [len(scores) for scores in results.all_scores] == [1732, 71]
        assert results.overall_roc_auc >= 0.99
        assert results["recommended_fpr"] <= 0.05

    archived = json.loads(ModelArchive("satellite.mltk.zip").read("eval/tflite/eval-results.json"))
    assert archived["overall_roc_auc"] == int8.overall_roc_auc
    model = load_mltk_model("satellite")
    for tflite in (model, model.tflite_log_dir_path):
        assert threshold_in(tflite) == pytest.approx(int8.recommended_threshold, rel=1e-6)
    update_model_parameters("satellite", {"volume": 3})
    assert threshold_in("satellite") == pytest.approx(int8.recommended_threshold, rel=1e-6)
    before = ModelArchive("satellite.mltk.zip").read("satellite.tflite")
    quantize_model("satellite")
    assert threshold_in("satellite") == pytest.approx(int8.recommended_threshold, rel=1e-6)
    # Without the parameter of above, which the specification does not have.
    assert len(ModelArchive("satellite.mltk.zip").read("satellite.tflite")) <= len(before)
    # Another .tflite has other scores: its threshold is that of its own evaluation.
    quantize_model("satellite", tflite_converter_override={"representative_dataset_max_samples": 2})
    assert threshold_in("satellite") is None
    evaluate_model("satellite", tflite=True, max_samples_per_class=10)
    evaluate_model("satellite", tflite=True, update_archive=False)
    assert threshold_in("satellite") is None


def test_arrays_in_files_that_a_callback_cuts(private_home):
    (x_train, _), (x_test, y_test) = brick_defects.load_data()
    for name, images in (("normal", x_train[:100]), ("abnormal", x_test[y_test > 0][:40])):
        folder = private_home / "features" / name
        folder.mkdir(parents=True)
        for i, image in enumerate(images):
            np.save(folder / f"{i}.npy", image[:, :, 0].astype(np.float32) / 255)
    Path("arrays_v1.py").write_text(ARRAYS.format(folder=str(private_home / "features")))
    history = train_model("arrays_v1", verbose=False).history
    assert history["val_loss"][-1] < history["val_loss"][0]
    for tflite in (False, True):
        results = evaluate_model("arrays_v1", tflite=tflite)
        # What the split of the files holds back.
        assert [len(scores) for scores in results.all_scores] == [20, 8]
        assert 0 <= results.overall_roc_auc <= 1
    parameters = TfliteModelParameters.load_from_tflite_model(load_tflite_model("arrays_v1"))
    assert parameters["classes"] == ["normal"]


def test_shipped_model_of_machine_sounds():
    model = shipped("machine_sound_v1", epochs=15)
    train_model(model, verbose=False)
    results = [evaluate_model(model, tflite=tflite) for tflite in (False, True)]
    for found in results:
        assert [len(scores) for scores in found.all_scores] == [60, 40, 40, 40]
        assert found.overall_roc_auc >= 0.95
    assert threshold_in(model) == pytest.approx(results[1].recommended_threshold, rel=1e-6)


def test_shipped_model_learns_recordings_too(shared):
    folder = shared / "data/anomaly_machine_sound"
    model = shipped("machine_sound_v1", epochs=40)
    model.dataset = lambda subset: str(folder / ("test" if subset == "evaluation" else "train"))
    model.eval_classes = ["normal", "anomaly"]
    train_model(model, verbose=False)
    for tflite in (False, True):
        results = evaluate_model(model, tflite=tflite)
        assert [len(scores) for scores in results.all_scores] == [36, 36]
        assert results.overall_roc_auc > 0.94


def test_shipped_model_of_defects():
    model = shipped("brick_defects_v1", epochs=20)
    train_model(model, verbose=False)
    for tflite in (False, True):
        results = evaluate_model(model, tflite=tflite)
        assert [len(scores) for scores in results.all_scores] == [60, 20, 20, 20]
        # A linear autoencoder reaches 0.813, this one after its 100 epochs 0.997.
        assert results.overall_roc_auc > 0.85
