"""Circles, squares, triangles and crosses in 24×24 grayscale images, with a custom tf.data pipeline.

The loader returns `tf.data.Dataset`s; the images are generated (`mltk_plugin_tfdata.datasets.shapes`).

    mltk train shapes_v1
    mltk evaluate shapes_v1 --tflite
"""

# @mltk_model
import math

import numpy as np
import tensorflow as tf

from mltk.core import DatasetMixin, EvaluateClassifierMixin, MltkModel, TrainMixin
from mltk_plugin_tfdata.datasets import shapes


class ShapesModel(MltkModel, TrainMixin, DatasetMixin, EvaluateClassifierMixin):
    """A classifier of images."""


my_model = ShapesModel()

# General
my_model.version = 1
my_model.description = "Simple shapes, 24x24 grey, int8"

# Training
my_model.epochs = 15
my_model.batch_size = 32
my_model.optimizer = "adam"
my_model.loss = "categorical_crossentropy"
my_model.metrics = ["accuracy"]
my_model.lr_schedule = lambda epoch, rate: 0.0015 * (1 + math.cos(math.pi * epoch / my_model.epochs))
my_model.checkpoint["monitor"] = "val_accuracy"

# Data set
my_model.classes = list(shapes.CLASSES)
my_model.input_shape = shapes.INPUT_SHAPE


def augment(image: tf.Tensor, label: tf.Tensor, number: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Flip and shift an image, and change brightness and contrast."""
    seeds = tf.unstack(tf.random.split(tf.stack([my_model.seed, tf.cast(number, tf.int32)]), 4))
    height, width, channels = my_model.input_shape
    image = tf.image.stateless_random_flip_left_right(image, seeds[0])
    image = tf.pad(image, [[2, 2], [2, 2], [0, 0]], mode="SYMMETRIC")
    image = tf.image.stateless_random_crop(image, (height, width, channels), seeds[1])
    image = tf.image.stateless_random_brightness(image, 0.15, seeds[2])
    return tf.image.stateless_random_contrast(image, 0.7, 1.3, seeds[3]), label


def pipeline(x: np.ndarray, y: np.ndarray, training: bool = False) -> tf.data.Dataset:
    """Return batches of images, float32 from -1 to 1, and one-hot labels."""
    labels = np.eye(my_model.n_classes, dtype=np.float32)[y]
    data = tf.data.Dataset.from_tensor_slices((x.astype(np.float32) / 127.5 - 1, labels))
    if training:
        data = data.shuffle(len(x), seed=my_model.seed)
        # Different numbers in each epoch, the same in each training run.
        numbers = tf.data.Dataset.random(seed=my_model.seed, rerandomize_each_iteration=True)
        data = tf.data.Dataset.zip((data, numbers))
        data = data.map(lambda sample, number: augment(*sample, number), num_parallel_calls=tf.data.AUTOTUNE)
    return data.batch(my_model.batch_size).prefetch(tf.data.AUTOTUNE)


def load(subset: str, test: bool = False, **kwargs: object) -> object:
    """Return a subset; a sixth of the training data is used for validation."""
    (x, y), (x_test, y_test) = shapes.load_data(samples_per_class=12 if test else 600)
    if subset == "evaluation":
        return pipeline(x_test, y_test)
    held_out = len(x) // 6
    return pipeline(x[held_out:], y[held_out:], training=True), None, pipeline(x[:held_out], y[:held_out])


my_model.dataset = load

# Conversion: int8, including input and output
my_model.tflite_converter["optimizations"] = [tf.lite.Optimize.DEFAULT]
my_model.tflite_converter["supported_ops"] = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
my_model.tflite_converter["inference_input_type"] = tf.int8
my_model.tflite_converter["inference_output_type"] = tf.int8
my_model.tflite_converter["representative_dataset"] = "generate"


def build_model(model: ShapesModel) -> tf.keras.Model:
    """Build three convolutions and one dense layer."""
    layers = tf.keras.layers
    network = tf.keras.Sequential(name=model.name)
    network.add(layers.InputLayer(model.input_shape))
    for filters in (12, 24, 32):
        network.add(layers.Conv2D(filters, 3, padding="same", use_bias=False))
        network.add(layers.BatchNormalization())
        network.add(layers.ReLU())
        network.add(layers.MaxPooling2D(2))
    network.add(layers.Flatten())
    network.add(layers.Dropout(0.3))
    network.add(layers.Dense(model.n_classes, activation="softmax"))
    network.compile(loss=model.loss, optimizer=model.optimizer, metrics=model.metrics)
    return network


my_model.build_model_function = build_model
