"""Handwritten digits: a small convolutional network for 20×20 gray images.

Trains on the 2,500 training digits that the image plugin carries (OpenCV's sample image, Apache-2.0) and is tested
on the other 2,500; OpenCV's tutorial reports 91 % for k-nearest-neighbours on this split.

    mltk train digits_v1
    mltk summarize digits_v1 --tflite
    mltk evaluate digits_v1 --tflite
"""

# @mltk_model
import math

import tensorflow as tf

from mltk.core import EvaluateClassifierMixin, MltkModel, TrainMixin
from mltk.core.preprocess.image.parallel_generator import ParallelImageDataGenerator
from mltk.datasets.image import digits
from mltk_plugin_image import ImageDatasetMixin


class DigitsModel(MltkModel, TrainMixin, ImageDatasetMixin, EvaluateClassifierMixin):
    """A classifier of images."""


my_model = DigitsModel()

# General
my_model.version = 1
my_model.description = "Handwritten digits, 20x20 gray, int8"

# Training
my_model.epochs = 32
my_model.batch_size = 64
my_model.optimizer = "adam"
my_model.loss = "categorical_crossentropy"
my_model.metrics = ["accuracy"]


def cosine(epoch: int, rate: float) -> float:
    """Let the learning rate fall from 0.003 to 0 along half a cosine (Loshchilov & Hutter, 2017)."""
    return 0.0015 * (1 + math.cos(math.pi * epoch / my_model.epochs))


my_model.lr_schedule = cosine
my_model.checkpoint["monitor"] = "val_accuracy"
my_model.train_callbacks = [tf.keras.callbacks.TerminateOnNaN()]

# Data set and augmentation. A tenth of the training digits is held back to watch the training; the test digits are
# for the evaluation alone.
my_model.dataset = digits
my_model.class_mode = "categorical"
my_model.classes = list(digits.CLASSES)
my_model.input_shape = digits.INPUT_SHAPE
my_model.datagen = ParallelImageDataGenerator(
    cores=1.0,
    rotation_range=12,
    width_shift_range=0.1,
    height_shift_range=0.1,
    zoom_range=0.15,
    shear_range=12,
    fill_mode="constant",
    cval=0.0,
    rescale=1 / 255,
    validation_split=0.1,
    validation_augmentation_enabled=False,
)

# Conversion: all int8, input and output too
my_model.tflite_converter["optimizations"] = [tf.lite.Optimize.DEFAULT]
my_model.tflite_converter["supported_ops"] = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
my_model.tflite_converter["inference_input_type"] = tf.int8
my_model.tflite_converter["inference_output_type"] = tf.int8
my_model.tflite_converter["representative_dataset"] = "generate"

# Parameters for the firmware
my_model.model_parameters["detection_threshold"] = 180
my_model.model_parameters["latency_ms"] = 0
my_model.model_parameters["log_level"] = "info"


def build_model(model: DigitsModel) -> tf.keras.Model:
    """Return three convolutions with batch normalization, and one dense layer."""
    layers = tf.keras.layers
    network = tf.keras.Sequential(name=model.name)
    network.add(layers.InputLayer(model.input_shape))
    for filters, pool in ((16, True), (32, True), (32, False)):
        network.add(layers.Conv2D(filters, 3, padding="same", use_bias=False))
        network.add(layers.BatchNormalization())
        network.add(layers.ReLU())
        if pool:
            network.add(layers.MaxPooling2D(2))
    network.add(layers.Flatten())
    network.add(layers.Dropout(0.4))
    network.add(layers.Dense(model.n_classes, activation="softmax"))
    network.compile(loss=model.loss, optimizer=model.optimizer, metrics=model.metrics)
    return network


my_model.build_model_function = build_model
