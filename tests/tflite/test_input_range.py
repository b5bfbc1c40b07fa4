"""The range of a quantized model's input, set between calibration and quantization."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from mltk.core import TfliteModel
from mltk.keras.private import edit_calibrated
from mltk.tflite.input_range import set_input_range
from mltk.tflite.scales import separate_scales

L = keras.layers
NETWORKS = {
    "conv_2d": lambda x: L.Conv2D(4, 3)(x),
    "depthwise": lambda x: L.DepthwiseConv2D(3)(x),
    "reshape, conv_2d": lambda x: L.Conv2D(4, (3, 1), activation="relu")(L.Reshape((8, 1, 8))(x)),
    "fully_connected": lambda x: L.Dense(5)(L.Flatten()(x)),
    "mean, sub": lambda x: L.Subtract()([x, L.GlobalAveragePooling2D(keepdims=True)(x)]),
    "max_pool_2d, conv_2d": lambda x: L.Conv2D(3, 1)(L.MaxPooling2D()(x)),
    "concatenation": lambda x: L.Concatenate()([x, L.Conv2D(2, 3, padding="same")(x)]),
    "concatenation alone": lambda x: L.Concatenate()([x, L.Reshape((8, 8, 1))(L.Reshape((64,))(x))]),
    "logistic": lambda x: L.Activation("sigmoid")(x),
}


def convert(network, samples, input_type, low, high):
    def edit(content):
        model = TfliteModel(content)
        separate_scales(model, fixed=set_input_range(model, low, high))
        model.regenerate_flatbuffer()
        return model.flatbuffer_data

    converter = tf.lite.TFLiteConverter.from_keras_model(network)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.inference_input_type = input_type
    converter.representative_dataset = lambda: ([sample[None]] for sample in samples)
    with edit_calibrated(edit):
        return TfliteModel(converter.convert())


@pytest.mark.filterwarnings("ignore:Statistics for quantized inputs")
@pytest.mark.parametrize(
    ("kind", "input_type"),
    [
        *((kind, tf.int8) for kind in NETWORKS),
        ("conv_2d", tf.uint8),
        ("conv_2d", tf.float32),
        ("concatenation", tf.uint8),
        ("concatenation", tf.float32),
    ],
)
def test_a_network_computes_the_same_with_another_input_range(kind, input_type):
    keras.utils.set_random_seed(1)
    x = keras.Input((8, 8, 1), batch_size=1)
    network = keras.Model(x, NETWORKS[kind](x))
    samples = np.random.default_rng(1).normal(0, 10, (40, 8, 8, 1)).astype(np.float32)
    step = 2.0
    model = convert(network, samples, input_type, -2.0 * 128, 2.0 * 127)

    if input_type != tf.float32:
        assert model.inputs[0].quantization.scale == [step]
        assert model.inputs[0].quantization.zeropoint == [0 if input_type == tf.int8 else 128]
    # Whole steps of the input's new scale, so that only the layers behind it round.
    samples = np.rint(samples / step) * step
    if input_type != tf.float32:
        info = np.iinfo(input_type.as_numpy_dtype)
        given = (samples / step + model.inputs[0].quantization.zeropoint[0]).astype(info.dtype)
    else:
        given = samples
    found = np.concatenate([model.predict(one[None], y_dtype=np.float32) for one in given])
    wanted = network.predict(samples, verbose=0)
    assert np.abs(found - wanted).max() < 0.04 * np.ptp(wanted)
