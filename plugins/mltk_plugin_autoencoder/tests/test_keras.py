"""Networks, tied layers and losses: sizes, gradients, files, conversion."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

from mltk.core.keras.layers import Conv2DTranspose_tied, DenseTranspose_tied
from mltk.core.keras.losses import Correlation, StructuralSimilarity, corr, mae, mse, ssim
from mltk.keras.metrics import keras_model_metrics
from mltk.keras.saving import load_keras_model, save_keras_model
from mltk.tflite import TfliteModel
from mltk.tflite.interpreter import LiteRtPredictor
from mltk.tflite.metrics import tflite_model_metrics
from mltk_plugin_autoencoder import ConvolutionalAutoEncoder, FullyConnectedAutoEncoder
from mltk_plugin_autoencoder.scores import structural_similarity

layers = keras.layers


def samples(*shape, seed=0):
    return np.random.default_rng(seed).uniform(-1, 1, shape).astype(np.float32)


def tied_network(strides=2, padding="same"):
    inputs = keras.Input((17, 14, 1))
    first = layers.Conv2D(6, 3, strides=strides, padding=padding, activation="relu")
    second = layers.Conv2D(8, 3, strides=2, padding="valid", activation="relu")
    dense = layers.Dense(5)
    x = second(first(inputs))
    x = dense(layers.Flatten()(x))
    x = DenseTranspose_tied(dense, activation="relu")(x)
    x = layers.Reshape(second.output.shape[1:])(x)
    x = Conv2DTranspose_tied(second, activation="relu")(x)
    return keras.Model(inputs, Conv2DTranspose_tied(first)(x))


def int8(network, x):
    converter = tf.lite.TFLiteConverter.from_keras_model(network)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = lambda: ([sample[None]] for sample in x)
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.inference_input_type = converter.inference_output_type = tf.int8
    return TfliteModel(converter.convert())


def test_the_network_of_the_benchmark_has_its_published_size():
    network = FullyConnectedAutoEncoder()
    assert network.count_params() == 269_992
    assert keras_model_metrics(network).macs == 264_192
    assert network.output_shape == network.input_shape == (None, 5, 128, 1)


@pytest.mark.parametrize(
    ("shape", "filters", "latent"),
    [((32, 32, 1), (4, 8), 6), ((30, 21, 3), (4, 8, 8), None), ((7, 5, 2), (3,), 2)],
)
def test_the_convolutional_network_gives_back_the_size_it_takes(shape, filters, latent):
    network = ConvolutionalAutoEncoder(shape, filters, latent, output_activation="tanh")
    assert network.output_shape == network.input_shape == (None, *shape)
    assert np.abs(network.predict(10 * samples(2, *shape), verbose=0)).max() <= 1
    if latent is not None:
        assert latent in [layer.units for layer in network.layers if isinstance(layer, layers.Dense)]


@pytest.mark.parametrize(("strides", "padding"), [(2, "same"), (1, "valid"), (3, "valid")])
def test_tied_layers_undo_with_the_kernels_of_the_others(strides, padding):
    inputs = keras.Input((17, 14, 3))
    conv = layers.Conv2D(4, 3, strides=strides, padding=padding, use_bias=False)
    y = conv(inputs)
    network = keras.Model(inputs, Conv2DTranspose_tied(conv)(y))
    x = samples(2, 17, 14, 3)
    # The transposed convolution is the gradient of the convolution, by its definition.
    with tf.GradientTape() as tape:
        variable = tf.Variable(x)
        y = conv(variable)
        value = tf.reduce_sum(y * tf.stop_gradient(y))
    assert network.predict(x, verbose=0) == pytest.approx(tape.gradient(value, variable).numpy(), abs=1e-5)

    dense = layers.Dense(3, use_bias=False)
    inputs = keras.Input((6,))
    y = dense(inputs)
    network = keras.Model(inputs, DenseTranspose_tied(dense)(y))
    kernel = dense.kernel.numpy()
    assert network.predict(x[0, 0, :2].reshape(1, 6), verbose=0) == pytest.approx(
        x[0, 0, :2].reshape(1, 6) @ kernel @ kernel.T, abs=1e-5
    )


def test_tied_layers_have_no_weights_of_their_own_and_train_the_others():
    network = tied_network()
    assert len(network.trainable_variables) == 6
    assert network.count_params() == 985
    network.compile(optimizer=keras.optimizers.Adam(0.01), loss=Correlation())
    before = network.layers[1].kernel.numpy()
    x = samples(8, 17, 14, 1)
    losses = network.fit(x, x, epochs=5, verbose=0).history["loss"]
    assert losses[-1] < losses[0]
    assert not np.array_equal(before, network.layers[1].kernel.numpy())


@pytest.mark.parametrize("ending", ["keras", "h5"])
def test_a_network_with_tied_layers_is_read_from_its_file(tmp_path, ending):
    network = tied_network()
    network.compile(optimizer="adam", loss=StructuralSimilarity(max_val=3.0))
    path = tmp_path / f"network.{ending}"
    save_keras_model(network, path)
    loaded = load_keras_model(path)
    x = samples(2, 17, 14, 1)
    assert loaded.predict(x, verbose=0) == pytest.approx(network.predict(x, verbose=0), abs=1e-6)
    assert isinstance(loaded.loss, StructuralSimilarity) and loaded.loss.max_val == 3.0
    if ending == "keras":
        assert loaded.layers[-1].layer is loaded.layers[1]
        assert loaded.count_params() == network.count_params()


@pytest.mark.filterwarnings("ignore:Statistics for quantized inputs:UserWarning")
def test_a_network_with_tied_layers_is_converted_to_int8():
    network, x = tied_network(), samples(20, 17, 14, 1)
    tflite = int8(network, x)
    assert {np.dtype(t.dtype).name for t in (*tflite.inputs, *tflite.outputs)} == {"int8"}
    assert [layer.opcode_str for layer in tflite.layers].count("transpose_conv") == 2
    expected = network.predict(x, verbose=0)
    assert np.abs(LiteRtPredictor(tflite).predict(x) - expected).max() < 0.05 * np.abs(expected).max()
    assert tflite_model_metrics(tflite).macs > 9_066  # That of the encoder.


def test_layers_that_cannot_be_undone_are_refused():
    with pytest.raises(ValueError, match="must have been called before"):
        Conv2DTranspose_tied(layers.Conv2D(2, 3))
    dense = layers.Dense(3)
    dense(keras.Input((6,)))
    with pytest.raises(ValueError, match="must have 3 units, not 4"):
        DenseTranspose_tied(dense)(keras.Input((4,)))
    grouped = layers.Conv2D(4, 3, groups=2)
    grouped(keras.Input((8, 8, 2)))
    with pytest.raises(ValueError, match="without groups and dilation"):
        Conv2DTranspose_tied(grouped)
    conv = layers.Conv2D(2, 3)
    conv(keras.Input((None, 8, 1)))
    with pytest.raises(ValueError, match="fixed size"):
        Conv2DTranspose_tied(conv)
    conv = layers.Conv2D(2, 3)
    conv(keras.Input((8, 8, 1)))
    with pytest.raises(ValueError, match=r"must have the shape \(6, 6, 2\), not \(5, 6, 2\)"):
        Conv2DTranspose_tied(conv)(keras.Input((5, 6, 2)))


@pytest.mark.parametrize("function", [mse, mae, corr, ssim], ids=lambda f: f.__name__)
def test_losses_are_the_scores_for_tensors_and_for_arrays(function):
    a, b = samples(3, 12, 14, 2), samples(3, 12, 14, 2, seed=1)
    expected = [function(x, y) for x, y in zip(a, b, strict=True)]
    assert all(isinstance(value, float) for value in expected)
    assert function(tf.constant(a), tf.constant(b)).numpy() == pytest.approx(expected, abs=1e-5)
    assert function.score.batch(a, b) == pytest.approx(expected)


@pytest.mark.parametrize(
    "loss", [Correlation(), StructuralSimilarity(max_val=2.0)], ids=lambda loss: loss.name
)
def test_losses_have_gradients_also_for_constant_samples(loss):
    x = np.zeros((2, 12, 12, 1), np.float32)
    y = tf.Variable(samples(2, 12, 12, 1) * np.array([1, 0], np.float32)[:, None, None, None])
    with tf.GradientTape() as tape:
        value = loss(x, y)
    assert np.isfinite(value) and np.isfinite(tape.gradient(value, y)).all()


def test_losses_are_made_anew_from_their_settings():
    loss = StructuralSimilarity(max_val=255.0, reduction="auto", name="likeness")
    copy = StructuralSimilarity.from_config(loss.get_config())
    assert (copy.max_val, copy.name, copy.reduction) == (255.0, "likeness", "sum_over_batch_size")
    x = samples(2, 16, 16, 1)
    assert float(copy(x, -x)) == pytest.approx(structural_similarity(255.0).batch(x, -x).mean(), abs=1e-5)
