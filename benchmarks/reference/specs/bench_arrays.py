"""The network of `bench_image` on arrays in memory, for evaluations of many samples; for mltk and the reference."""

# @mltk_model
import importlib.util
import os
from pathlib import Path

import numpy as np
import tensorflow as tf

import mltk.core as mltk_core


class MyModel(
    mltk_core.MltkModel, mltk_core.TrainMixin, mltk_core.DatasetMixin, mltk_core.EvaluateClassifierMixin
):
    """A classifier of arrays."""


# Created before the measurement.
N = int(os.environ.get("MLTK_BENCHMARK_SAMPLES", "96"))
Y = np.arange(N) % 3
X = np.random.default_rng(1).normal(size=(N, 96, 96, 1)).astype("float32")
X += Y[:, None, None, None]


def load(subset=None, **kwargs):
    my_model.x, my_model.y = X, tf.keras.utils.to_categorical(Y, 3)
    my_model.validation_split = 0.1 if subset == "training" else None


def representative_samples():
    # The reference accepts single samples only from a function.
    for i in range(len(my_model.x)):
        yield [my_model.x[i : i + 1]]


def builder():
    # A file next to this one, not part of a package.
    spec = importlib.util.spec_from_file_location("bench_image", Path(__file__).with_name("bench_image.py"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.build


my_model = MyModel()
my_model.epochs = 1
my_model.batch_size = 32
my_model.dataset = load
my_model.classes = ["rock", "paper", "scissors"]
my_model.input_shape = (96, 96, 1)
my_model.tflite_converter["optimizations"] = [tf.lite.Optimize.DEFAULT]
my_model.tflite_converter["supported_ops"] = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
my_model.tflite_converter["inference_input_type"] = tf.int8
my_model.tflite_converter["inference_output_type"] = tf.int8
my_model.tflite_converter["representative_dataset"] = representative_samples
my_model.build_model_function = builder()
