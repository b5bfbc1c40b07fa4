import copy
import json
import pickle

import numpy as np
import pytest

from mltk.errors import SpecificationError
from mltk_plugin_audio.frontend import (
    AudioFeatureGenerator,
    AudioFeatureGeneratorSettings,
    AudioFeatureStream,
)

KEYS = [
    "sample_rate_hz",
    "fft_length",
    "sample_length_ms",
    "window_size_ms",
    "window_step_ms",
    "filterbank_n_channels",
    "filterbank_upper_band_limit",
    "filterbank_lower_band_limit",
    "noise_reduction_enable",
    "noise_reduction_smoothing_bits",
    "noise_reduction_even_smoothing",
    "noise_reduction_odd_smoothing",
    "noise_reduction_min_signal_remaining",
    "pcan_enable",
    "pcan_strength",
    "pcan_offset",
    "pcan_gain_bits",
    "log_scale_enable",
    "log_scale_shift",
    "activity_detection_enable",
    "activity_detection_alpha_a",
    "activity_detection_alpha_b",
    "activity_detection_arm_threshold",
    "activity_detection_trip_threshold",
    "dc_notch_filter_enable",
    "dc_notch_filter_coefficient",
    "quantize_dynamic_scale_enable",
    "quantize_dynamic_scale_range_db",
]


def test_there_are_28_parameters_in_the_order_of_the_file():
    assert list(AudioFeatureGeneratorSettings()) == [f"fe.{key}" for key in KEYS]
    assert len(KEYS) == 28


def test_defaults():
    settings = AudioFeatureGeneratorSettings()
    assert (settings.sample_rate_hz, settings.sample_length_ms) == (16000, 1000)
    assert (settings.window_size_ms, settings.window_step_ms) == (25, 10)
    assert (settings.fft_length, settings.sample_length, settings.spectrogram_shape) == (512, 16000, (98, 32))
    assert (settings.filterbank_lower_band_limit, settings.filterbank_upper_band_limit) == (125.0, 7500.0)
    assert settings.log_scale_enable
    assert not settings.pcan_enable
    settings.validate()


def test_keyword_arguments_have_an_effect_with_and_without_the_prefix():
    settings = AudioFeatureGeneratorSettings(
        sample_rate_hz=8000, **{"fe.window_size_ms": 20, "fe.fft_length": 7}
    )
    assert settings["fe.sample_rate_hz"] == 8000
    assert settings.window_size_ms == 20
    assert settings.fft_length == 256
    assert len(settings) == 28


def test_values_keep_the_type_of_the_parameter():
    settings = AudioFeatureGeneratorSettings(
        window_size_ms=np.float64(30.0), filterbank_upper_band_limit=4000, pcan_enable=1
    )
    assert json.dumps(
        [settings.window_size_ms, settings.filterbank_upper_band_limit, settings.pcan_enable]
    ) == ("[30, 4000.0, true]")


@pytest.mark.parametrize(
    ("rate", "window", "length"), [(16000, 32, 512), (16000, 33, 1024), (8000, 16, 128), (44100, 25, 2048)]
)
def test_the_transform_is_as_long_as_the_window_up_to_a_power_of_two(rate, window, length):
    assert (
        AudioFeatureGeneratorSettings(sample_rate_hz=rate, window_size_ms=window).fft_length
        == AudioFeatureGeneratorSettings(window_size_ms=window, sample_rate_hz=rate).fft_length
        == length
    )


def test_a_wrong_name_is_refused_with_a_suggestion():
    with pytest.raises(SpecificationError, match=r"'sample_rate'.*Did you mean 'sample_rate_hz'"):
        AudioFeatureGeneratorSettings(sample_rate=8000)
    settings = AudioFeatureGeneratorSettings()
    with pytest.raises(AttributeError, match=r"Did you mean 'window_size_ms'"):
        settings.window_sizes_ms = 30
    with pytest.raises(SpecificationError, match=r"no setting 'pcan_enabled'"):
        settings["fe.pcan_enabled"] = True
    with pytest.raises(SpecificationError):
        settings |= {"something": 1}


def test_the_computed_length_cannot_be_set():
    settings = AudioFeatureGeneratorSettings()
    with pytest.raises(AttributeError):
        settings.fft_length = 256
    with pytest.raises(SpecificationError, match="follows from"):
        settings["fe.fft_length"] = 256


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("sample_rate_hz", 0, "at least 1"),
        ("sample_rate_hz", 10_000_001, "at most 1e"),
        ("sample_length_ms", 0.5, "did you mean 500"),
        ("window_size_ms", "25", "must be a number"),
        ("window_size_ms", None, "must be a number"),
        ("filterbank_lower_band_limit", -1.0, "at least 0"),
        ("filterbank_upper_band_limit", float("nan"), "must be a number"),
        ("noise_reduction_even_smoothing", 1.5, "at most 1"),
        ("dc_notch_filter_coefficient", 1.0, "less than 1"),
        ("pcan_enable", "False", "True or False"),
        ("log_scale_enable", 2, "True or False"),
        ("log_scale_shift", 40, "at most 16"),
    ],
)
def test_a_value_out_of_range_is_refused_when_it_is_set(name, value, message):
    settings = AudioFeatureGeneratorSettings()
    with pytest.raises(SpecificationError, match=f"{name} must be.*{message}|{name}.*{message}"):
        setattr(settings, name, value)
    assert settings == AudioFeatureGeneratorSettings()


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"window_step_ms": 30}, "window_step_ms=30 is more than window_size_ms=25"),
        ({"sample_length_ms": 20}, "sample_length_ms=20 is less than window_size_ms=25"),
        ({"window_size_ms": 1, "window_step_ms": 1, "sample_rate_hz": 8000}, "8 samples"),
        ({"window_size_ms": 600}, "9600 samples"),
        ({"sample_rate_hz": 999, "window_step_ms": 1}, "window_step_ms=1 is less than one sample"),
        ({"filterbank_upper_band_limit": 9000}, "above 8000 Hz"),
        ({"sample_rate_hz": 8000}, "above 4000 Hz"),
        ({"filterbank_lower_band_limit": 7500}, "is not below"),
        ({"filterbank_lower_band_limit": 4000, "filterbank_upper_band_limit": 300}, "is not below"),
        ({"filterbank_n_channels": 300}, "300 is more than the 236 frequencies"),
        ({"pcan_enable": True}, "needs noise_reduction_enable"),
        ({"pcan_enable": True, "noise_reduction_enable": True, "pcan_gain_bits": 14}, "at least 15"),
        (
            {"pcan_enable": True, "noise_reduction_enable": True, "noise_reduction_smoothing_bits": 2},
            "at least 3",
        ),
        ({"pcan_enable": True, "noise_reduction_enable": True, "pcan_offset": 0}, "more than 0"),
    ],
)
@pytest.mark.parametrize("kind", [AudioFeatureGenerator, AudioFeatureStream])
def test_values_that_do_not_fit_together_are_refused(kind, values, message):
    with pytest.raises(SpecificationError, match=message):
        kind(AudioFeatureGeneratorSettings(values))


def test_a_removed_value_is_missed():
    settings = AudioFeatureGeneratorSettings()
    del settings["fe.pcan_offset"]
    with pytest.raises(SpecificationError, match="pcan_offset was removed"):
        settings.validate()


def test_half_of_the_sample_rate_is_the_highest_limit():
    AudioFeatureGeneratorSettings(filterbank_upper_band_limit=8000).validate()


@pytest.mark.parametrize(
    "duplicate", [AudioFeatureGeneratorSettings.copy, copy.deepcopy, lambda s: pickle.loads(pickle.dumps(s))]
)
def test_copies_are_equal_and_independent(duplicate):
    settings = AudioFeatureGeneratorSettings(window_size_ms=40)
    other = duplicate(settings)
    assert type(other) is AudioFeatureGeneratorSettings
    assert list(other.items()) == list(settings.items())
    other.window_size_ms = 20
    assert settings.window_size_ms == 40


def test_settings_come_back_from_model_parameters():
    settings = AudioFeatureGeneratorSettings(window_size_ms=40, pcan_enable=True)
    parameters = {"name": "x", "fe.later_addition": 3, **settings, "average_window_duration_ms": 300}
    assert AudioFeatureGeneratorSettings.from_parameters(parameters) == settings
    # Old archives lack some of them, and the computed length stands last.
    old = {key: settings[key] for key in ("fe.window_size_ms", "fe.pcan_enable", "fe.fft_length")}
    assert list(AudioFeatureGeneratorSettings.from_parameters(old).items()) == list(settings.items())


def test_a_generator_keeps_the_settings_it_was_made_with():
    settings = AudioFeatureGeneratorSettings()
    generator = AudioFeatureGenerator(settings)
    settings.sample_length_ms = 500
    generator.settings.sample_length_ms = 700
    assert generator.settings.sample_length_ms == 1000
