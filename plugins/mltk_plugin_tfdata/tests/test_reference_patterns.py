"""Specifications as they were written for the reference: a `MltkDataset` over tf.data, a function, `load_dataset`."""

import pytest

from mltk.core import evaluate_model, train_model

# A `MltkDataset` with a pipeline of functions, an augmentation by the global generator that a counter seeds,
# and pools that are shut down: on recordings of a smart watch (BasicMotions of the UEA archive).
MOTION = """
import numpy as np
import tensorflow as tf
import mltk.core as mltk_core
from mltk.core.preprocess.utils import tf_dataset as tf_dataset_utils


# @mltk_model
class MyModel(
    mltk_core.MltkModel, mltk_core.TrainMixin, mltk_core.DatasetMixin, mltk_core.EvaluateClassifierMixin
):
    pass


my_model = MyModel()
my_model.description = "Motions of a smart watch"
my_model.epochs = 12
my_model.batch_size = 20
my_model.classes = ["badminton", "running", "standing", "walking"]
my_model.class_weights = "balanced"
my_model.input_shape = (100, 6, 1)
my_model.checkpoint["monitor"] = "val_accuracy"
my_model.train_callbacks = [tf.keras.callbacks.TerminateOnNaN()]
my_model.tflite_converter["optimizations"] = [tf.lite.Optimize.DEFAULT]
my_model.tflite_converter["supported_ops"] = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
my_model.tflite_converter["inference_input_type"] = np.int8
my_model.tflite_converter["inference_output_type"] = np.int8
my_model.tflite_converter["representative_dataset"] = "generate"
DATASET_DIR = "@FOLDER@"


def pipeline(batch: np.ndarray, seed: np.ndarray) -> np.ndarray:
    y = np.empty((batch.shape[0], *my_model.input_shape), np.float32)
    for i, path in enumerate(batch):
        x = np.loadtxt(path.decode("utf-8"), delimiter=",", dtype=np.float32, skiprows=1) / 10
        new_seed = tf.random.experimental.stateless_split((seed[i], seed[i]), num=1)[0]
        np.random.seed(abs(int(new_seed[0])) % (2**32 - 1))
        x = np.roll(x, np.random.randint(0, 100), axis=0) * np.random.uniform(0.8, 1.25)
        y[i, :, :, 0] = x + np.random.normal(0, 0.01, x.shape)
    return y


def plain_pipeline(batch: np.ndarray) -> np.ndarray:
    rows = [np.loadtxt(path.decode(), delimiter=",", dtype=np.float32, skiprows=1) for path in batch]
    return np.stack(rows)[..., None] / 10


class MyDataset(mltk_core.MltkDataset):
    def __init__(self):
        super().__init__()
        self.pools = []

    def load_dataset(self, subset: str, test: bool = False, **kwargs):
        if subset == "training":
            x = self.load_subset("training", augment=True)
            return x, None, self.load_subset("training", augment=False, counts="validation")
        return self.load_subset("training" if subset == "validation" else "evaluation", augment=False)

    def load_subset(self, subset, augment, counts=None):
        folder = "test" if subset == "evaluation" else "train"
        features_ds, labels_ds = tf_dataset_utils.load_image_directory(
            directory=f"{DATASET_DIR}/{folder}",
            classes=my_model.classes,
            onehot_encode=True,
            shuffle=True,
            seed=42,
            white_list_formats=[".csv"],
            class_counts=my_model.class_counts[counts or subset],
        )
        if augment:
            features_ds, labels_ds = features_ds.repeat(8), labels_ds.repeat(8)
            features_ds = tf.data.Dataset.zip((features_ds, tf.data.experimental.Counter()))
        features_ds = features_ds.batch(20)
        features_ds, pool = tf_dataset_utils.parallel_process(
            features_ds,
            pipeline if augment else plain_pipeline,
            dtype=np.float32,
            n_jobs=@JOBS@,
            name=subset,
        )
        self.pools.append(pool)
        features_ds = features_ds.unbatch().prefetch(100)
        ds = tf.data.Dataset.zip((features_ds, labels_ds))
        if augment:
            ds = ds.shuffle(400, reshuffle_each_iteration=True, seed=42)
        return ds.batch(my_model.batch_size).prefetch(2)

    def unload_dataset(self):
        for pool in self.pools:
            pool.shutdown()

    def summarize_dataset(self):
        return self.summarize_class_counts(my_model.class_counts)


my_model.dataset = MyDataset()


def build(model):
    layers = tf.keras.layers
    network = tf.keras.Sequential(
        [
            layers.InputLayer(model.input_shape),
            layers.Conv2D(12, (9, 6), strides=(2, 1), activation="relu"),
            layers.Conv2D(16, (5, 1), strides=(2, 1), activation="relu"),
            layers.GlobalAveragePooling2D(),
            layers.Dropout(0.1),
            layers.Dense(model.n_classes, activation="softmax"),
        ]
    )
    network.compile(loss=model.loss, optimizer=tf.keras.optimizers.Adam(0.005), metrics=model.metrics)
    return network


my_model.build_model_function = build
"""


@pytest.fixture
def motions(shared):
    folder = shared / "data" / "timeseries_motion" / "basic_motions"
    if not folder.is_dir():
        pytest.skip("the recordings of motions are not there")
    return folder


@pytest.mark.slow
def test_a_pipeline_of_recordings_reaches_the_published_accuracy_whatever_the_number_of_jobs(
    load_spec, motions
):
    text = MOTION.replace("@FOLDER@", str(motions))
    model = load_spec("motion_v1", text.replace("@JOBS@", "4"))
    results = train_model(model)
    assert model.class_counts["training"] == dict.fromkeys(model.classes, 10)
    int8 = evaluate_model(model, tflite=True)
    assert int8.n_samples == 40
    assert int8.overall_accuracy >= 0.97
    one_job = train_model(
        load_spec("motion_v1", text.replace("@JOBS@", "1")), epochs=2, quantize=False, create_archive=False
    )
    assert one_job.history["loss"] == results.history["loss"][:2]
