"""Make the small models of this folder: `python tests/tflite/data/make_models.py`."""

import tempfile
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from mltk.core import load_mltk_model
from mltk.operations.conversion.converter import convert as mltk_convert_model
from mltk.operations.conversion.settings import converter_settings

HERE = Path(__file__).parent

SPEC = """
from mltk.core import MltkModel, TrainMixin


class MyModel(MltkModel, TrainMixin):
    pass


my_model = MyModel()
my_model.tflite_converter["inference_input_type"] = "int8"
my_model.tflite_converter["inference_output_type"] = "int8"
"""


def convert(model, name, samples=None, *, integer_io=True, dynamic_range=False):
    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    if samples is not None:
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.representative_dataset = lambda: ([sample[np.newaxis]] for sample in samples)
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        if integer_io:
            converter.inference_input_type = converter.inference_output_type = tf.int8
    elif dynamic_range:
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    (HERE / f"{name}.tflite").write_bytes(converter.convert())


def convert_here(model, name, samples):
    """Convert with mltk, which alone makes one operator of an LSTM."""
    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder) / f"{name}.py"
        script.write_text(SPEC)
        mltk_model = load_mltk_model(script)
        settings = converter_settings(mltk_model)
        content = mltk_convert_model(
            mltk_model, model, settings, lambda: ([sample[np.newaxis]] for sample in samples)
        )
    (HERE / f"{name}.tflite").write_bytes(content)


class Stream(tf.Module):
    """A streaming model: two frames of three values at a time, of which it keeps the last four in a resource."""

    def __init__(self, rng):
        self.frames = tf.Variable(tf.zeros((1, 4, 3)), name="frames")
        self.weights = tf.constant(rng.normal(size=(12, 2)), tf.float32)

    @tf.function(input_signature=[tf.TensorSpec((1, 2, 3), tf.float32)])
    def __call__(self, x):
        frames = tf.concat([self.frames, x], axis=1)[:, -4:]
        self.frames.assign(frames)
        return tf.matmul(tf.reshape(frames, (1, 12)), self.weights)


def convert_function(module, function, name):
    """Convert a `tf.function` whose variables become resources."""
    converter = tf.lite.TFLiteConverter.from_concrete_functions([function], module)
    converter.experimental_enable_resource_variables = True
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
    (HERE / f"{name}.tflite").write_bytes(converter.convert())


def make_streams():
    stream = Stream(np.random.default_rng(7))
    convert_function(stream, stream.__call__.get_concrete_function(), "stream_float32")
    scalar = tf.function(lambda x: 2 * x + 1).get_concrete_function(tf.TensorSpec((), tf.float32))
    convert_function(None, scalar, "scalar_float32")
    spec = [tf.TensorSpec(shape, tf.float32) for shape in ((1, 2, 3), (3,))]
    added = tf.function(lambda x, y: (x + y, 2 * y)).get_concrete_function(*spec)
    convert_function(None, added, "two_inputs_float32")


def main():
    keras.utils.set_random_seed(7)
    rng = np.random.default_rng(7)
    layers = keras.layers

    images = rng.normal(size=(32, 12, 12, 1)).astype(np.float32)
    conv = keras.Sequential(
        [
            keras.Input((12, 12, 1)),
            layers.ZeroPadding2D(1),
            layers.Conv2D(4, 3, strides=2, activation="relu"),
            layers.DepthwiseConv2D(3, padding="same", activation="relu"),
            layers.Conv2D(6, 1),
            layers.AveragePooling2D(2),
            layers.Flatten(),
            layers.Dense(3, activation="softmax"),
        ]
    )
    convert(conv, "conv_int8", images)
    convert(conv, "conv_int8_float_io", images, integer_io=False)

    dense = keras.Sequential([keras.Input((20,)), layers.Dense(8, activation="relu"), layers.Dense(2)])
    convert(dense, "dense_float32")
    wide = keras.Sequential([keras.Input((40,)), layers.Dense(32, activation="relu"), layers.Dense(2)])
    convert(wide, "dense_dynamic_range", dynamic_range=True)

    fixed = keras.Sequential([keras.Input(batch_shape=(1, 4, 4, 1)), layers.Flatten(), layers.Dense(2)])
    convert(fixed, "fixed_batch_float32")
    mixing = keras.Sequential(
        [keras.Input((4,)), layers.Lambda(lambda x: x - keras.ops.mean(x, axis=0, keepdims=True))]
    )
    convert(mixing, "batch_mean_float32")

    keras.utils.set_random_seed(7)
    steps = rng.normal(size=(100, 7, 5)).astype(np.float32)
    lstm = keras.Sequential([keras.Input((7, 5)), layers.LSTM(8), layers.Dense(3)])
    convert_here(lstm, "lstm_int8", steps)
    make_streams()


if __name__ == "__main__":
    main()
