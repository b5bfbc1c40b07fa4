"""Defects in a surface: a convolutional autoencoder for 32x32 grey images.

Learns from 300 patches of a brick wall (real texture), and is tested on patches of another part of it with defects that
it never saw: a piece of another material, a scratch, a stain. For a surface of your own, let `my_model.dataset` be a
function that returns such arrays.

    mltk train brick_defects_v1
    mltk evaluate brick_defects_v1 --tflite --dump
    mltk summarize brick_defects_v1 --tflite
"""

# @mltk_model
import math

import tensorflow as tf

from mltk.core import EvaluateAutoEncoderMixin, ImageDatasetMixin, MltkModel, TrainMixin
from mltk.core.preprocess.image.parallel_generator import ParallelImageDataGenerator
from mltk_plugin_autoencoder import ConvolutionalAutoEncoder, structural_similarity
from mltk_plugin_autoencoder.datasets import brick_defects


class BrickDefectsModel(MltkModel, TrainMixin, ImageDatasetMixin, EvaluateAutoEncoderMixin):
    """An autoencoder of images."""


my_model = BrickDefectsModel()

# General
my_model.version = 1
my_model.description = "Defects in a brick wall, 32x32 grey, int8"

# Training
my_model.epochs = 100
my_model.batch_size = 8
my_model.optimizer = "adam"
my_model.loss = "mse"
my_model.metrics = ["mae"]


def cosine(epoch: int, rate: float) -> float:
    """Let the learning rate fall from 0.002 to 0 along half a cosine (Loshchilov & Hutter, 2017)."""
    return 0.001 * (1 + math.cos(math.pi * epoch / my_model.epochs))


my_model.lr_schedule = cosine
my_model.checkpoint["monitor"] = "val_loss"
my_model.train_callbacks = [tf.keras.callbacks.TerminateOnNaN()]

# Data set: the images are what is to be learnt. A tenth of the training images is held back to watch the training; the
# test images are for the evaluation alone.
my_model.dataset = brick_defects
my_model.class_mode = "input"
my_model.classes = list(brick_defects.CLASSES)
my_model.input_shape = brick_defects.INPUT_SHAPE
my_model.datagen = ParallelImageDataGenerator(
    cores=1.0,
    horizontal_flip=True,
    vertical_flip=True,
    rescale=1 / 255,
    validation_split=0.1,
    validation_augmentation_enabled=False,
)

# Evaluation: the structure is looked at, in windows of 11 pixels, of values from 0 to 1
my_model.scoring_function = structural_similarity(max_val=1.0)
my_model.max_false_positive_rate = 0.05
my_model.threshold_parameter = "anomaly_threshold"

# Conversion: all int8, input and output too
my_model.tflite_converter["optimizations"] = [tf.lite.Optimize.DEFAULT]
my_model.tflite_converter["supported_ops"] = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
my_model.tflite_converter["inference_input_type"] = tf.int8
my_model.tflite_converter["inference_output_type"] = tf.int8
my_model.tflite_converter["representative_dataset"] = "generate"


def build_model(model: BrickDefectsModel) -> tf.keras.Model:
    """Return three stages of convolutions, 64 values in the middle, and the same back."""
    network = ConvolutionalAutoEncoder(model.input_shape, filters=(16, 32, 64), latent_units=64)
    network.compile(loss=model.loss, optimizer=model.optimizer, metrics=model.metrics)
    return network


my_model.build_model_function = build_model
