"""The networks are those whose figures the reference published with its models."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from mltk.keras.metrics import keras_model_metrics
from mltk.models.shared import DepthwiseSeparableConv2D_ARM, MobileNetV1, MobileNetV2, ResNet10V1, tenet
from mltk.tflite.metrics import tflite_model_metrics
from mltk.utils.string_formatting import format_units


@dataclass
class Published:
    """What is printed in the documentation of a model, or is in its archive."""

    build: Callable[[], Any]
    params: int
    macs: str
    keras_ops: str
    """As counted for the Keras model."""
    tflite_ops: str = ""
    """As counted for the `.tflite`; empty where another model with this network stands for it."""
    size: int = 0
    """Bytes of the `.tflite`, without what converters do not write any more: the ranges of the calibration."""
    float_io: bool = False


def _mobilenet_v2(classes):
    return MobileNetV2((59, 49, 1), classes=classes, alpha=0.15, last_block_filters=384, weights=None)


# The archives of TENets hold one whose first convolution has no batch normalisation, and so 4 parameters per channel
# less than printed here.
MODELS = {
    "keyword_spotting": Published(
        DepthwiseSeparableConv2D_ARM, 24_908, "2.657 M", "5.538 M", "5.396 M", 53_736 - 4_720, float_io=True
    ),
    "image_classification": Published(ResNet10V1, 78_666, "12.502 M", "25.27 M", "25.122 M", 99_280),
    "visual_wake_words": Published(
        MobileNetV1, 221_794, "7.49 M", "15.677 M", "15.324 M", 334_152 - 22_144, float_io=True
    ),
    "keyword_spotting_mobilenetv2": Published(
        # Of the published 3.977 M, 352,224 were four PADs, which the converter makes part of the convolutions now.
        *(lambda: _mobilenet_v2(8), 99_560, "1.737 M", "3.74 M", "3.625 M", 258_960 - 28_288),
    ),
    "keyword_spotting_with_transfer_learning": Published(
        lambda: _mobilenet_v2(11), 100_715, "1.738 M", "3.742 M"
    ),
    "keyword_spotting_alexa": Published(
        *(lambda: tenet.TENet12(input_shape=(118, 1, 108), classes=2), 108_770 + 4 * 32),
        *("4.562 M", "8.635 M", "9.247 M", 207_460),
    ),
    "keyword_spotting_pacman_v3": Published(
        lambda: tenet.TENet12(input_shape=(98, 1, 104), classes=7, channels=40, blocks=5),
        *(257_607 + 4 * 40, "6.018 M", "11.459 M"),
    ),
    "keyword_spotting_on_off_v3": Published(
        lambda: tenet.TENet12(input_shape=(98, 1, 104), classes=3, channels=40, blocks=6),
        *(306_403 + 4 * 40, "6.116 M", "11.643 M"),
    ),
}


@pytest.mark.parametrize("name", MODELS)
def test_parameters_macs_and_ops_equal_the_published_ones(name):
    published = MODELS[name]
    network = published.build()
    metrics = keras_model_metrics(network)
    assert network.count_params() == published.params
    assert format_units(metrics.macs) == published.macs
    ops = metrics.ops
    if network.name == "TENet":
        # In Keras models the reference did not count the custom layer.
        ops -= 2 * sum(layer.macs for layer in metrics.layers if layer.kind == "DepthwiseConv2D")
    assert format_units(ops) == published.keras_ops


def test_the_network_before_the_lstm_of_the_numbers_model_has_its_published_macs():
    import keras

    inputs = keras.Input((98, 1, 40), batch_size=1)
    x = tenet.TENet12(
        *((98, 1, 40), 11), channels=40, blocks=4, include_head=False, return_model=False, input_layer=inputs
    )
    assert tuple(x.shape) == (1, 7, 1, 40)
    # The rest of the published 5.074 M are those of the last fully connected layer.
    assert format_units(keras_model_metrics(keras.Model(inputs, x)).macs + 40 * 11) == "5.074 M"


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name, published in MODELS.items() if published.size])
def test_the_int8_model_has_the_published_counts_and_size(name, randomize, to_int8):
    published = MODELS[name]
    model = to_int8(randomize(published.build()), "float32" if published.float_io else "int8")
    metrics = tflite_model_metrics(model)
    assert (format_units(metrics.macs), format_units(metrics.ops)) == (published.macs, published.tflite_ops)
    assert model.flatbuffer_size == pytest.approx(published.size, rel=0.05)
