"""Make the small models of this folder: `python tests/tflite/data/make_models.py`."""

from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

HERE = Path(__file__).parent


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


if __name__ == "__main__":
    main()
