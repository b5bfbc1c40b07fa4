"""Gestures of a wand from three axes of acceleration: a W, a circle, an angle, and anything else.

Trains on simulated gestures (`mltk.datasets.accelerometer.gestures`) of sixteen persons and is tested on eight others.
The augmentation uses TensorFlow operations, so a tf.data service can prepare the batches: see `tf_data_service`.

    mltk train gestures_v1
    mltk evaluate gestures_v1 --tflite
"""

# @mltk_model
import math

import tensorflow as tf

from mltk.core import EvaluateClassifierMixin, MltkModel, TrainMixin
from mltk.datasets.accelerometer import gestures
from mltk_plugin_tfdata import TfDataDatasetMixin, seeded_batches


class GesturesModel(MltkModel, TrainMixin, TfDataDatasetMixin, EvaluateClassifierMixin):
    """A classifier of motions."""


my_model = GesturesModel()

# General
my_model.version = 1
my_model.description = "Gestures of a wand, 3-axis acceleration, int8"

# Training
my_model.epochs = 15
my_model.batch_size = 32
my_model.optimizer = "adam"
my_model.loss = "sparse_categorical_crossentropy"
my_model.metrics = ["accuracy"]
my_model.lr_schedule = lambda epoch, rate: 0.0015 * (1 + math.cos(math.pi * epoch / my_model.epochs))
my_model.checkpoint["monitor"] = "val_accuracy"

# Data set
my_model.classes = list(gestures.CLASSES)
my_model.input_shape = gestures.INPUT_SHAPE
# To prepare batches on other machines (mltk tfdata-service --help):
# my_model.tf_data_service = "grpc://dispatcher:5050"


def scale(x: tf.Tensor, y: tf.Tensor, seed: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Scale acceleration in m/s² to about -2 to 2."""
    return x / 10.0, y


def augment(x: tf.Tensor, y: tf.Tensor, seed: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Rotate the wand slightly, shift the gesture in time, and change its amplitude."""
    seeds = tf.unstack(tf.random.split(seed, 4))
    roll, pitch, yaw = tf.unstack(tf.random.stateless_normal([3], seeds[0], stddev=0.15))
    turn = tf.stack([[1.0, -yaw, roll], [yaw, 1.0, -pitch], [-roll, pitch, 1.0]])
    motion = x[..., 0] @ turn
    start = tf.random.stateless_uniform([], seeds[1], 0, 33, tf.int32)
    motion = tf.pad(motion, [[16, 16], [0, 0]], mode="SYMMETRIC")[start : start + x.shape[0]]
    mean = tf.reduce_mean(motion, axis=0)
    motion = mean + (motion - mean) * tf.random.stateless_uniform([], seeds[2], 0.75, 1.3)
    motion += tf.random.stateless_normal(tf.shape(motion), seeds[3], stddev=0.1)
    return scale(tf.ensure_shape(motion, x.shape[:2])[..., None], y, seed)


def load(subset: str, test: bool = False, **kwargs: object) -> object:
    """Return batches of a subset; a sixth of the training data is used for validation."""
    (x, y), (x_test, y_test) = gestures.load_data(samples_per_class=12 if test else 600)
    settings = {"batch_size": my_model.batch_size, "seed": my_model.seed}
    if subset == "evaluation":
        return seeded_batches((x_test, y_test), scale, shuffle=False, **settings)
    held_out = len(x) // 6
    validation = seeded_batches((x[:held_out], y[:held_out]), scale, shuffle=False, **settings)
    training = seeded_batches((x[held_out:], y[held_out:]), augment, **settings)
    return training, None, validation


my_model.dataset = load

# Conversion: int8, including input and output
my_model.tflite_converter["optimizations"] = [tf.lite.Optimize.DEFAULT]
my_model.tflite_converter["supported_ops"] = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
my_model.tflite_converter["inference_input_type"] = tf.int8
my_model.tflite_converter["inference_output_type"] = tf.int8
my_model.tflite_converter["representative_dataset"] = "generate"

# For the firmware: factor for acceleration in m/s²
my_model.model_parameters["samplewise_norm.rescale"] = 0.1


def build_model(model: GesturesModel) -> tf.keras.Model:
    """Build three convolutions over time and one dense layer."""
    layers = tf.keras.layers
    network = tf.keras.Sequential(name=model.name)
    network.add(layers.InputLayer(model.input_shape))
    for filters, kernel in ((16, (7, 3)), (24, (5, 1)), (32, (3, 1))):
        network.add(layers.Conv2D(filters, kernel, strides=(2, 1), use_bias=False))
        network.add(layers.BatchNormalization())
        network.add(layers.ReLU())
    network.add(layers.AveragePooling2D((2, 1)))
    network.add(layers.Flatten())
    network.add(layers.Dropout(0.2))
    network.add(layers.Dense(model.n_classes, activation="softmax"))
    network.compile(loss=model.loss, optimizer=model.optimizer, metrics=model.metrics)
    return network


my_model.build_model_function = build_model
