"""TENet, and the kernels that become one."""

import keras
import numpy as np
import pytest

from mltk.core.keras import load_keras_model
from mltk.keras.saving import save_keras_model
from mltk.models.shared import tenet

RNG = np.random.default_rng(3)


def _small(**settings):
    return tenet.TENet6(input_shape=(21, 1, 6), classes=3, channels=4, blocks=1, mtconv=True, **settings)


@pytest.mark.parametrize("time", [9, 10, 17])
@pytest.mark.parametrize("stride", [1, 2, 3])
def test_a_fused_kernel_equals_several_kernels(time, stride):
    layer = tenet.MultiScaleTemporalConvolution(stride=stride, scales=[5, 3, 9])
    x = RNG.normal(size=(2, time, 1, 4)).astype(np.float32)
    before = np.asarray(layer(x))
    np.testing.assert_allclose(layer.fused()(x), before, atol=1e-5)
    assert layer.compute_output_shape(x.shape) == before.shape
    layer.fuse()
    np.testing.assert_allclose(layer(x), before, atol=1e-5)
    assert layer.scales == [9]
    assert [tuple(w.shape) for w in layer.weights] == [(9, 1, 4, 1)]
    layer.fuse()
    np.testing.assert_allclose(layer(x), before, atol=1e-5)


def test_fusing_does_not_change_predictions(randomize, tmp_path):
    network = randomize(_small())
    x = RNG.normal(size=(5, 21, 1, 6)).astype(np.float32)
    before, n_params = network.predict(x, verbose=0), network.count_params()
    tenet.fuse(keras.Sequential([keras.Input((21, 1, 6)), network]))

    # Whether TensorFlow's function of the network is the old one or a new one.
    np.testing.assert_allclose(network.predict(x, verbose=0), before, atol=1e-6)
    network.compile("sgd", "categorical_crossentropy")
    np.testing.assert_allclose(network.predict(x, verbose=0), before, atol=1e-6)
    # Of two bottlenecks with 12 channels, the kernels of 7, 5 and 3.
    assert network.count_params() == n_params - 2 * 12 * (7 + 5 + 3)

    for name in ("network.keras", "network.h5"):
        save_keras_model(network, tmp_path / name)
        np.testing.assert_allclose(load_keras_model(tmp_path / name).predict(x, verbose=0), before, atol=1e-6)
    network.fit(x, np.eye(3, dtype=np.float32)[[0, 1, 2, 0, 1]], verbose=0)
    assert np.abs(network.predict(x, verbose=0) - before).max() > 1e-6


def test_the_fused_network_is_smaller_and_nearly_the_same_in_int8(randomize, to_int8):
    network = randomize(_small())
    x = RNG.normal(size=(20, 21, 1, 6)).astype(np.float32)
    expected = network.predict(x, verbose=0)
    several = to_int8(network, "float32", x)
    tenet.fuse(network)
    one = to_int8(network, "float32", x)
    assert len(several.layers) - len(one.layers) >= 2 * 3
    for model in (several, one):
        assert np.abs(model.predict(x, y_dtype=np.float32) - expected).max() < 0.02


def test_the_layer_reads_the_configuration_of_the_reference():
    config = {"name": "mtconv-0", "trainable": True, "dtype": "float32", "stride": 2, "scales": [9]}
    layer = tenet.MultiScaleTemporalConvolution.from_config(config)
    assert (layer.name, layer.stride, layer.scales) == ("mtconv-0", 2, [9])


@pytest.mark.parametrize(
    ("build", "channels", "depth"),
    [
        (tenet.TENet6, [32, 32, 32], 2),
        (tenet.TENet12, [32, 32, 32], 4),
        (tenet.TENet6Narrow, [16, 16, 16], 2),
        (tenet.TENet12Narrow, [16, 16, 16], 4),
        (tenet.HFTENet12, [36, 40, 44], 4),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_presets_have_the_channels_and_depths_of_their_names(build, channels, depth):
    network = build((32, 1, 5), 4)
    assert network.output_shape == (None, 4)
    assert [network.get_layer(f"block{i}_{depth}_relu").output.shape[1:] for i in (1, 2, 3)] == [
        (16, 1, channels[0]),
        (8, 1, channels[1]),
        (4, 1, channels[2]),
    ]
    assert sum(isinstance(la, tenet.MultiScaleTemporalConvolution) for la in network.layers) == 3 * depth


def test_two_bodies_fit_into_one_model():
    inputs = keras.Input((20, 1, 4))
    settings = {
        "include_head": False,
        "return_model": False,
        "input_layer": inputs,
        "channels": 4,
        "blocks": 1,
    }
    outputs = [tenet.TENet6(None, 2, **settings) for _ in range(2)]
    assert [tuple(t.shape) for t in keras.Model(inputs, outputs).outputs] == 2 * [(None, 10, 1, 4)]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: tenet.TENet((20, 4), 2), r"shape \(time, 1, features\), got \(20, 4\)"),
        (lambda: tenet.TENet((20, 4, 1), 2), r"shape \(time, 1, features\), got \(20, 4, 1\)"),
        (lambda: tenet.MultiScaleTemporalConvolution(scales=[4]), "odd numbers, at least 3, got 4"),
        (lambda: tenet.MultiScaleTemporalConvolution(scales=1), "odd numbers, at least 3, got 1"),
        (lambda: tenet.MultiScaleTemporalConvolution().fuse(), "has no kernels yet"),
        (
            lambda: tenet.InvertedBottleneckBlock(keras.Input((9, 1, 4)), 8, 1),
            "the input must have 8 channels, got 4",
        ),
        (lambda: tenet.InvertedBottleneckBlock(keras.Input((9, 2, 4)), 4, 1), "must have shape"),
    ],
    ids=["two axes", "time and frequency swapped", "even", "too short", "not built", "channels", "width"],
)
def test_invalid_arguments_are_rejected(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_a_stride_longer_than_a_kernel_cannot_be_fused():
    layer = tenet.MultiScaleTemporalConvolution(stride=4, scales=[3, 9])
    layer.build((None, 20, 1, 2))
    with pytest.raises(ValueError, match="The stride 4 exceeds the shortest kernel, 3"):
        layer.fuse()
