"""Network and settings of the reference's `image_example1`, 3 epochs; for mltk and the reference."""

# @mltk_model
import os

import tensorflow as tf

import mltk.core as mltk_core
from mltk.core.preprocess.image.parallel_generator import ParallelImageDataGenerator


class MyModel(
    mltk_core.MltkModel,
    mltk_core.TrainMixin,
    mltk_core.ImageDatasetMixin,
    mltk_core.EvaluateClassifierMixin,
):
    """A classifier of images."""


my_model = MyModel()
my_model.epochs = 3
my_model.batch_size = 32
my_model.dataset = os.environ.get("MLTK_BENCHMARK_DATA", "")
my_model.classes = ["rock", "paper", "scissors"]
my_model.input_shape = (96, 96, 1)
my_model.class_weights = "balanced"
my_model.tflite_converter["optimizations"] = [tf.lite.Optimize.DEFAULT]
my_model.tflite_converter["supported_ops"] = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
my_model.tflite_converter["inference_input_type"] = tf.float32
my_model.tflite_converter["inference_output_type"] = tf.float32
my_model.tflite_converter["representative_dataset"] = "generate"
my_model.datagen = ParallelImageDataGenerator(
    cores=2,
    max_batches_pending=8,
    validation_split=float(os.environ.get("MLTK_BENCHMARK_SPLIT", "0.1")),
    validation_augmentation_enabled=False,
    rotation_range=35,
    width_shift_range=5,
    height_shift_range=5,
    brightness_range=(0.50, 1.70),
    contrast_range=(0.50, 1.70),
    noise=["gauss", "poisson", "s&p"],
    samplewise_center=True,
    samplewise_std_normalization=True,
    horizontal_flip=True,
    vertical_flip=True,
)


def build(model):
    layers = tf.keras.layers
    network = tf.keras.Sequential(name=model.name)
    network.add(layers.Conv2D(24, 5, strides=2, input_shape=model.input_shape))
    for filters in (16, 16):
        network.add(layers.BatchNormalization())
        network.add(layers.Activation("relu"))
        network.add(layers.AveragePooling2D(2))
        network.add(layers.Conv2D(filters, 3, strides=1))
    network.add(layers.BatchNormalization())
    network.add(layers.Activation("relu"))
    network.add(layers.AveragePooling2D(2))
    network.add(layers.Flatten())
    network.add(layers.Dense(model.n_classes, activation="softmax"))
    network.compile(loss="categorical_crossentropy", optimizer="adam", metrics=["accuracy"])
    return network


my_model.build_model_function = build
