"""BC-ResNet and its audio front end."""

from types import SimpleNamespace

import keras
import numpy as np
import pytest

from mltk.core.keras import load_keras_model
from mltk.keras.metrics import keras_model_metrics
from mltk.keras.saving import save_keras_model
from mltk.models.shared import bc_resnet
from mltk.models.shared.kws_streaming.models import bc_resnet as from_flags

RNG = np.random.default_rng(5)

# The flags of the reference's kws_bc_resnet, with a shorter clip.
FLAGS = {
    "sample_rate": 16000,
    "window_size_ms": 30.0,
    "window_stride_ms": 10.0,
    "desired_samples": 4000,
    "preprocess": "raw",
    "feature_type": "mfcc_tf",
    "preemph": 0.0,
    "window_type": "hann",
    "mel_lower_edge_hertz": 125.0,
    "mel_upper_edge_hertz": 7500.0,
    "mel_num_bins": 40,
    "fft_magnitude_squared": False,
    "log_epsilon": 1e-12,
    "dct_num_features": 0,
    "use_spec_augment": 0,
    "use_spec_cutout": 0,
    "sp_resample": 0.0,
    "sp_time_shift_ms": 0.0,
    "data_frame_padding": None,
    "spectrogram_length": 98,
    "label_count": 12,
    "return_softmax": 0,
    "filters": "8, 12",
    "blocks_n": "1, 1",
    "strides": "(1,1),(1,2)",
    "dilations": "(1,1),(2,1)",
    "dropouts": "0.1, 0.1",
    "pools": "1, 2",
    "max_pool": 0,
    "paddings": "same",
    "first_filters": 16,
    "last_filters": 32,
    "sub_groups": 5,
}


def _small(**settings):
    stages = {"blocks_n": (1, 1), "filters": (4, 6), "dilations": (1, 2), "strides": (1, (1, 2))}
    return bc_resnet.BCResNet((20, 20, 1), 3, **{**stages, "dropouts": (0, 0.1), "pools": (1, 2), **settings})


def test_the_default_is_the_smallest_network_of_the_paper():
    network = bc_resnet.BCResNet((98, 40, 1), 12, sub_groups=5)
    assert keras_model_metrics(network).macs == pytest.approx(3.1e6, rel=0.2)
    assert 9_000 < network.count_params() < 15_000
    assert network.output_shape == (None, 12)


@pytest.mark.parametrize("sub_groups", [1, 5])
def test_it_survives_saving_and_int8(sub_groups, randomize, to_int8, tmp_path):
    network = randomize(_small(sub_groups=sub_groups))
    x = RNG.normal(size=(20, 20, 20, 1)).astype(np.float32)
    expected = network.predict(x, verbose=0)
    for name in ("network.keras", "network.h5"):
        save_keras_model(network, tmp_path / name)
        np.testing.assert_allclose(
            load_keras_model(tmp_path / name).predict(x, verbose=0), expected, atol=1e-6
        )
    model = to_int8(network, "float32", x)
    assert np.abs(model.predict(x, y_dtype=np.float32) - expected).max() < 0.02


def test_bands_are_normalized_separately_in_training_and_inference():
    layer = bc_resnet.SubSpectralNormalization(sub_groups=2)
    # Bands of three frequencies with means 0 and 100.
    x = RNG.normal(size=(50, 4, 6, 2)).astype(np.float32) + np.repeat([0, 100], 3)[:, None].astype(np.float32)
    layer.build(x.shape)
    layer.batch_norm.momentum = 0.0
    trained = np.asarray(layer(x, training=True))
    for band in (trained[:, :, :3], trained[:, :, 3:]):
        np.testing.assert_allclose(band.mean(axis=(0, 1, 2)), 0, atol=1e-3)
        np.testing.assert_allclose(band.std(axis=(0, 1, 2)), 1, atol=1e-2)
    np.testing.assert_allclose(layer(x), trained, atol=1e-2)


def test_one_band_is_batch_normalization():
    layer = bc_resnet.SubSpectralNormalization(sub_groups=1)
    x = RNG.normal(size=(3, 4, 6, 2)).astype(np.float32)
    np.testing.assert_allclose(layer(x), x / np.sqrt(1.001), atol=1e-5)


def test_features_are_the_log_mel_spectrogram_of_tensorflow():
    import tensorflow as tf

    samples = RNG.normal(0, 0.1, size=(2, 4000)).astype(np.float32)
    layer = from_flags.speech_features.SpeechFeatures(
        from_flags.speech_features.SpeechFeatures.get_params(SimpleNamespace(**FLAGS))
    )
    energy = tf.abs(tf.signal.stft(samples, 480, 160, 512))
    mel = energy @ tf.signal.linear_to_mel_weight_matrix(40, 257, 16000, 125.0, 7500.0)
    np.testing.assert_allclose(layer(samples), np.log(mel), atol=1e-3)
    assert layer.compute_output_shape((2, 4000)) == (2, 23, 40)

    cepstral = type(layer)(
        {**layer.params, "dct_num_features": 10, "preemph": 0.9, "fft_magnitude_squared": True}
    )
    frames = tf.signal.frame(samples, 480, 160).numpy()
    frames[..., 1:] -= 0.9 * frames[..., :-1]
    power = tf.abs(tf.signal.rfft(frames * tf.signal.hann_window(480), [512])) ** 2
    mel = power @ tf.signal.linear_to_mel_weight_matrix(40, 257, 16000, 125.0, 7500.0)
    expected = tf.signal.mfccs_from_log_mel_spectrograms(np.log(mel))[..., :10]
    np.testing.assert_allclose(cepstral(samples), expected, atol=1e-2)


def test_a_network_from_flags_takes_samples_or_spectrograms(tmp_path):
    network = from_flags.model(SimpleNamespace(**FLAGS))
    assert (network.input_shape, network.output_shape) == ((None, 4000), (None, 12))
    save_keras_model(network, tmp_path / "network.keras")
    samples = RNG.normal(0, 0.1, size=(2, 4000)).astype(np.float32)
    again = load_keras_model(tmp_path / "network.keras")
    np.testing.assert_allclose(
        again.predict(samples, verbose=0), network.predict(samples, verbose=0), atol=1e-5
    )

    network = from_flags.model(SimpleNamespace(**{**FLAGS, "preprocess": "micro", "return_softmax": 1}))
    assert network.input_shape == (None, 98, 40)
    assert isinstance(network.layers[-1], keras.layers.Softmax)


@pytest.mark.parametrize(
    ("flag", "message"),
    [
        ({"preprocess": "mfcc"}, "preprocess must be 'raw' or 'micro', got 'mfcc'"),
        ({"use_spec_augment": 1}, "use_spec_augment must be 0, got 1"),
        ({"feature_type": "mfcc_op"}, "feature_type must be 'mfcc_tf', got 'mfcc_op'"),
        ({"paddings": "causal"}, "padding must be 'same', got 'causal'"),
        ({"filters": "8"}, "must have the same length: one value per stage"),
        ({"sub_groups": 7}, "sub_groups=7 must divide the number of frequencies, 20"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_flags_that_are_not_supported_are_named(flag, message):
    with pytest.raises(ValueError, match=message):
        from_flags.model(SimpleNamespace(**{**FLAGS, **flag}))


def test_a_normal_block_keeps_the_shape():
    with pytest.raises(ValueError, match="requires stride 1 and filters=4"):
        bc_resnet.NormalBlock(8)(keras.Input((10, 10, 4)))
