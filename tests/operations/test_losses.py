"""What each layer of a network loses by quantization, why, and what to do."""

import logging

import numpy as np
import pytest

from mltk.core import MltkModel, TrainMixin, quantize_model
from mltk.operations.conversion.check import keep_calibrated
from mltk.tflite import TfliteModel
from mltk.tflite.losses import find_losses, format_losses


class _Model(MltkModel, TrainMixin):
    """A model with a converter's settings."""


@pytest.fixture
def samples():
    return np.random.default_rng(1).normal(size=(40, 8)).astype(np.float32)


def _losses(network, x, io="int8", met=None):
    """Convert with samples `x` and return the losses on `met`, by the name of the layer."""
    model = _Model()
    model.tflite_converter.update(inference_input_type=io, inference_output_type=io)
    model.tflite_converter["representative_dataset"] = lambda: ([one[None]] for one in x)
    with keep_calibrated() as calibrated:
        result = quantize_model(model, keras_model=network, output="tflite_model")
    floating = TfliteModel(calibrated[-1])
    floating.is_own = True
    met = x if met is None else met
    return find_losses(result, floating, [[one[None]] for one in met])


def _dense(name, change=lambda kernel, bias: None, units=8, **arguments):
    """Return a dense layer, and a function that makes its weights what they should be."""
    import keras

    layer = keras.layers.Dense(units, name=name, **arguments)

    def apply(x):
        y = layer(x)
        kernel, bias = layer.get_weights()
        change(kernel, bias)
        layer.set_weights([kernel, bias])
        return y

    return apply


def _network(*layers):
    import keras

    keras.utils.set_random_seed(5)
    inputs = x = keras.Input((8,))
    for layer in layers:
        x = layer(x)
    return keras.Model(inputs, x)


def _outlying(kernel, bias):
    kernel[:, 3] *= 100


def _nearly_equal(kernel, bias):
    """Let two outputs be far larger than the others, and differ by less than a step."""
    kernel[:, 1] = 1.003 * kernel[:, 0]
    kernel *= 100
    bias[:2] = 500


def _dead(kernel, bias):
    bias[:4] = -100


@pytest.mark.parametrize("io", ["int8", "float32"])
def test_a_network_of_usual_layers_loses_little(samples, io):
    losses = _losses(_network(_dense("one", activation="relu"), _dense("two")), samples, io)

    assert {loss.name.split()[0] for loss in losses} <= {"fully_connected", "quantize"}
    assert all(loss.snr_db > 30 and not loss.is_severe and not loss.causes for loss in losses)


def test_outliers_in_a_channel_are_found_although_the_others_hardly_count(samples):
    worst, *others = _losses(_network(_dense("wide", _outlying), _dense("next")), samples)

    assert worst.name == "fully_connected wide"
    assert worst.is_severe
    assert worst.snr_db > 30
    assert not any(loss.is_severe for loss in others)
    ((cause, advice),) = [pair for pair in worst.causes if "outliers in a channel" in pair[0]]
    assert "channel 3" in cause
    assert "dense_per_channel" in advice
    assert str(worst).startswith("layer 0 (fully_connected wide) loses")


def test_values_beyond_the_calibrated_range_are_saturation(samples):
    losses = _losses(_network(_dense("one")), samples, "float32", met=5 * samples)

    assert losses[0].name.startswith("quantize")
    assert losses[0].is_severe
    assert "saturation" in losses[0].causes[0][0]
    assert "representative_dataset" in losses[0].causes[0][1]


def test_too_coarse_an_input_of_softmax_is_named(samples):
    import keras

    losses = _losses(_network(_dense("logits", _nearly_equal), keras.layers.Softmax()), samples)

    (loss,) = [loss for loss in losses if "softmax" in loss.name]
    assert loss.own_snr_db < 25
    assert "too coarse for softmax" in loss.causes[0][0]


def test_dead_channels_are_named(samples):
    losses = _losses(_network(_dense("half", _dead, activation="relu"), _dense("next")), samples)

    (loss,) = [loss for loss in losses if loss.name == "fully_connected half"]
    assert loss.causes[-1][0] == "4 of its 8 channels are constant in all samples (0, 1, 2, 3)"


def test_a_scale_that_another_input_forces_is_named(samples):
    import keras

    def join(x):
        small = keras.layers.Rescaling(0.001, name="small")(x)
        return keras.layers.Concatenate()([small, keras.layers.Rescaling(10.0)(x)])

    worst = _losses(_network(join), samples)[0]

    assert worst.name == "mul small"
    assert "concatenation needs one scale" in worst.causes[0][0]
    table = format_losses([worst])
    assert f"Layer {worst.index} (mul small): scale too coarse" in table


def test_the_command_explains_and_training_names_a_layer_that_loses(trained, cli, caplog, samples):
    result = cli.invoke(["quantize", "tiny_v1", "--explain"])

    assert result.exit_code == 0, result.stderr
    assert "Own SNR (dB)" in result.stdout
    assert "conv_2d" in result.stdout

    model = _Model()
    model.tflite_converter["representative_dataset"] = lambda: ([one[None]] for one in samples)
    with caplog.at_level(logging.WARNING, "mltk"):
        quantize_model(model, keras_model=_network(_dense("wide", _outlying)), output="tflite_model")
        assert "Quantization: layer" in caplog.text
        caplog.clear()
        quantize_model(model, keras_model=_network(_dense("usual")), output="tflite_model")
        assert "Quantization" not in caplog.text


def test_without_calibration_nothing_is_compared_and_that_is_said(trained):
    texts = []
    override = {"representative_dataset": None, "optimizations": [], "supported_ops": []}
    override |= {"inference_input_type": "float32", "inference_output_type": "float32"}
    quantize_model("tiny_v1", output="tflite_model", tflite_converter_override=override, explain=texts.append)
    assert "cannot be compared" in texts[0]
