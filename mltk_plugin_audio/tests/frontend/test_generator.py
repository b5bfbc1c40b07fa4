import math
import os
import subprocess
import sys
import threading

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from mltk.errors import DatasetError, SpecificationError
from mltk_plugin_audio.frontend import (
    AudioFeatureGenerator,
    AudioFeatureGeneratorSettings,
    AudioFeatureStream,
    _generator,
    _kernels,
    quantize_spectrogram,
)

DEFAULTS = AudioFeatureGeneratorSettings()
RATE = DEFAULTS.sample_rate_hz


def tone(hz, amplitude=8000.0, seconds=1.0):
    t = np.arange(int(RATE * seconds)) / RATE
    return (amplitude * np.sin(2 * np.pi * hz * t)).astype(np.int16)


def noise(n, scale=3000.0, seed=0):
    return np.clip(np.random.default_rng(seed).normal(scale=scale, size=n), -32768, 32767).astype(np.int16)


def in_floating_point(clip, options):
    """Compute the features as they would be without rounding."""
    window = options.window_size
    rows = np.lib.stride_tricks.sliding_window_view(clip.astype(float), window)[:: options.window_step]
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * (np.arange(window) + 0.5) / window)
    spectrum = np.fft.rfft(rows * hann, options.fft_length) / options.fft_length
    mel = 1127 * np.log1p(np.fft.rfftfreq(options.fft_length, 1 / options.sample_rate_hz) / 700)
    limits = [options.filterbank_lower_band_limit, options.filterbank_upper_band_limit]
    low, high = 1127 * np.log1p(np.array(limits) / 700)
    corners = np.linspace(low, high, options.filterbank_n_channels + 2)
    weights = np.array(
        [np.interp(mel, corners[i : i + 3], [0, 1, 0]) for i in range(options.filterbank_n_channels)]
    )
    amplitude = np.sqrt(4096 * np.abs(spectrum) ** 2 @ weights.T)
    return 2**options.log_scale_shift * np.log(np.maximum(amplitude * options.fft_length / 64, 1))


@pytest.mark.parametrize("fft_length", [256, 512, 1024])
def test_features_are_those_of_floating_point_arithmetic_but_for_rounding(fft_length):
    options = AudioFeatureGeneratorSettings(window_size_ms=fft_length // 16, filterbank_n_channels=24)
    clip = noise(options.sample_length, 8000)
    exact = in_floating_point(clip, options)
    assert options.fft_length == fft_length
    assert np.abs(AudioFeatureGenerator(options).process_sample(clip) - exact).max() < 3


def test_silence_is_zero():
    for dtype, value in ((np.uint16, 0), (np.float32, 0), (np.int8, -128)):
        spectrogram = AudioFeatureGenerator(DEFAULTS).process_sample(np.zeros(16000, np.int16), dtype)
        assert spectrogram.shape == DEFAULTS.spectrogram_shape
        assert spectrogram.dtype == dtype
        assert (spectrogram == value).all()


def test_a_tone_stands_in_its_channel_and_a_higher_one_further_up():
    generator = AudioFeatureGenerator(DEFAULTS)
    channels = [generator.process_sample(tone(hz)).mean(axis=0).argmax() for hz in (300, 1000, 3000, 7000)]
    assert channels == sorted(set(channels))


def test_twice_the_amplitude_adds_the_logarithm_of_two():
    generator = AudioFeatureGenerator(DEFAULTS)
    clip = noise(16000, 2000)
    louder = generator.process_sample(2 * clip) - generator.process_sample(clip)
    assert abs(louder.mean() - 64 * math.log(2)) < 1


def test_louder_signals_have_larger_features():
    generator = AudioFeatureGenerator(DEFAULTS)
    means = [generator.process_sample(noise(16000, scale)).mean() for scale in (30, 300, 3000, 9000)]
    assert means == sorted(means)


def test_noise_reduction_lowers_steady_noise_and_keeps_the_onset_of_a_sound():
    clip = noise(16000, 300) + np.where(np.arange(16000) > 12000, tone(1000), 0).astype(np.int16)
    plain = AudioFeatureGenerator(DEFAULTS).process_sample(clip)
    reduced = AudioFeatureGenerator(
        AudioFeatureGeneratorSettings(noise_reduction_enable=True)
    ).process_sample(clip)
    assert reduced[60:70].mean() < plain[60:70].mean() - 10
    channel = plain[80].argmax()
    assert reduced[78, channel] > plain[78, channel] - 30


def test_the_gain_control_evens_out_levels():
    def spread(**values):
        generator = AudioFeatureGenerator(
            AudioFeatureGeneratorSettings(noise_reduction_enable=True, **values)
        )
        quiet, loud = (generator.process_sample(noise(16000, scale))[50:].mean() for scale in (300, 6000))
        return loud - quiet

    assert spread(pcan_enable=True) < 0.5 * spread()


def test_a_constant_signal_disappears_in_the_notch_filter():
    # By hand: half of the last output each time, rounded; one half rounds up, so 1 stays.
    signal, out = np.full((1, 12), 1000, np.int16), np.empty((1, 12), np.int16)
    memory = np.zeros((1, 2), np.int16)
    _kernels.notch(signal, 1 << 14, memory, out)
    assert out[0].tolist() == [1000, 500, 250, 125, 63, 32, 16, 8, 4, 2, 1, 1]
    assert memory[0].tolist() == [1000, 1]


def test_activity_is_a_sound_after_a_pause():
    options = AudioFeatureGeneratorSettings(activity_detection_enable=True)
    loud, pause = noise(4000), np.zeros(4000, np.int16)
    clips = {
        "steady": (np.concatenate([loud] * 4), False),
        "ends": (np.concatenate([loud, loud, pause, pause]), False),
        "comes back": (np.concatenate([loud, pause, pause, loud]), True),
    }
    for name, (clip, expected) in clips.items():
        generator = AudioFeatureGenerator(options)
        assert not generator.activity_was_detected()
        generator.process_sample(clip)
        assert generator.activity_was_detected() == expected, name
    off = AudioFeatureGenerator(DEFAULTS)
    off.process_sample(clips["comes back"][0])
    assert not off.activity_was_detected()


def test_a_stream_reports_activity_once():
    stream = AudioFeatureStream(AudioFeatureGeneratorSettings(activity_detection_enable=True))
    stream.process(np.concatenate([noise(4000), np.zeros(8000, np.int16), noise(4000)]))
    assert stream.activity_was_detected()
    assert not stream.activity_was_detected()


@given(st.integers(0, 2**57))
@example(0)
@example(65535 * 65535 + 65536)
@example(2**32 - 1)
@example(2**32)
@example((2**28) ** 2 + 2**28)
@example((2**28) ** 2 + 2**28 + 1)
def test_roots_are_rounded_to_the_nearest(n):
    root = math.isqrt(n)
    if n - root * root > root and not (n < 2**32 and root == 65535):
        root += 1
    assert _kernels._square_root(np.uint64(n)) == root


@given(st.integers(2, 2**32 - 1), st.integers(0, 11))
def test_logarithms_are_accurate(n, shift):
    lut = _generator.make_level_tables(DEFAULTS).log_lut
    logarithm = _kernels._logarithm(np.uint32(n), shift, lut)
    assert abs(logarithm - math.log(n) * 2**shift) < 0.51 + 2**shift / 400


def test_int8_covers_a_fixed_range():
    spectrogram = np.array([[0, 1, 2, 333, 664, 666, 65535]], np.uint16)
    assert quantize_spectrogram(spectrogram, DEFAULTS).tolist() == [[-128, -128, -127, 0, 127, 127, 127]]


def test_dynamic_int8_covers_the_range_below_the_loudest_value():
    options = AudioFeatureGeneratorSettings(quantize_dynamic_scale_enable=True)
    # 40 dB are 4.6 nepers, and 2⁶ steps each.
    assert _generator.get_dynamic_range(options) == int(40 * math.log(10) / 20 * 64) == 294
    spectrogram = np.array([[706, 1000, 853, 0]], np.uint16)
    assert quantize_spectrogram(spectrogram, options).tolist() == [[-128, 127, -1, -128]]
    assert quantize_spectrogram(np.zeros((1, 2), np.uint16), options).tolist() == [[-128, -128]]


def test_each_clip_of_a_batch_has_its_own_dynamic_range():
    options = AudioFeatureGeneratorSettings(quantize_dynamic_scale_enable=True)
    clips = np.stack([noise(16000, 30), noise(16000, 10000)])
    quantized = AudioFeatureGenerator(options).process_batch(clips, np.int8)
    assert quantized.max(axis=(1, 2)).tolist() == [127, 127]


def test_only_raw_features_are_quantized():
    with pytest.raises(DatasetError, match=r"uint16.* got float32"):
        quantize_spectrogram(np.zeros((1, 2), np.float32), DEFAULTS)


@pytest.mark.parametrize("kind", [np.float16, np.float32, np.float64])
def test_floating_point_from_minus_one_to_one_is_int16(kind):
    generator = AudioFeatureGenerator(DEFAULTS)
    # Float16 has 11 binary digits.
    clip = tone(440) & ~31
    np.testing.assert_array_equal(
        generator.process_sample((clip / 32768).astype(kind)), generator.process_sample(clip)
    )


def test_floating_point_beyond_one_is_clipped_and_does_not_wrap():
    samples = _generator._to_int16(np.array([-2.0, -1.0, 0.0, 0.99999, 1.0, 1e30]))
    assert samples.tolist() == [-32768, -32768, 0, 32767, 32767, 32767]


def test_any_layout_of_the_array_gives_the_same():
    generator = AudioFeatureGenerator(DEFAULTS)
    clip = noise(16000)
    expected = generator.process_sample(clip)
    frozen = clip.copy()
    frozen.flags.writeable = False
    unaligned = np.frombuffer(b"\0" + clip.tobytes(), np.int16, offset=1)
    before = len(_kernels.amplitudes.signatures)
    for same in (frozen, unaligned, clip.astype(">i2"), np.repeat(clip, 2)[::2]):
        np.testing.assert_array_equal(generator.process_sample(same), expected)
    assert len(_kernels.amplitudes.signatures) == before, "compiled again"


@pytest.mark.parametrize(
    ("sample", "message"),
    [
        (np.zeros(15999, np.int16), r"must have 16000 values \(1000 ms at 16000 Hz\), got 15999"),
        (np.zeros((16000, 1), np.int16), "one dimension"),
        (np.zeros(16000, np.int32), "must be int16, or floating point.*got int32"),
        (np.zeros(16000, np.uint8), "got uint8"),
        (np.full(16000, np.nan), "NaN"),
        (np.full(16000, np.inf, np.float32), "infinity"),
        (np.int16(3), "one dimension"),
    ],
)
def test_samples_of_wrong_shape_or_type_are_rejected(sample, message):
    with pytest.raises(DatasetError, match=message):
        AudioFeatureGenerator(DEFAULTS).process_sample(sample)
    assert issubclass(DatasetError, ValueError)


@pytest.mark.parametrize("dtype", [np.int16, np.float64, bool])
def test_other_types_of_output_are_refused(dtype):
    with pytest.raises(SpecificationError, match="float32, uint16 or int8"):
        AudioFeatureGenerator(DEFAULTS).process_sample(np.zeros(16000, np.int16), dtype)


def test_a_batch_equals_single_clips(everything_on):
    generator = AudioFeatureGenerator(everything_on)
    clips = np.stack([noise(everything_on.sample_length, 10**k, k) for k in range(5)])
    batch = generator.process_batch(clips)
    assert batch.shape == (5, *everything_on.spectrogram_shape)
    for clip, features in zip(clips, batch, strict=True):
        np.testing.assert_array_equal(generator.process_sample(clip), features)
    assert generator.process_batch(clips[:0]).shape == (0, *everything_on.spectrogram_shape)


def test_threads_share_a_generator(everything_on):
    generator = AudioFeatureGenerator(everything_on)
    clips = [np.stack([noise(everything_on.sample_length, seed=s)] * 8) for s in range(4)]
    expected = [generator.process_batch(batch) for batch in clips]
    found = [[] for _ in clips]

    def work(i):
        found[i] = [generator.process_batch(clips[i]) for _ in range(5)]

    threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for results, wanted in zip(found, expected, strict=True):
        assert len(results) == 5
        assert all(np.array_equal(result, wanted) for result in results)


@settings(max_examples=40, deadline=None)
@given(
    cuts=st.lists(st.integers(0, 8000), max_size=40),
    step=st.sampled_from([7, 20, 30]),
    on=st.booleans(),
    scale=st.sampled_from([3, 300, 30000]),
)
def test_uneven_chunks_give_the_rows_of_one_clip(cuts, step, on, scale):
    options = AudioFeatureGeneratorSettings(
        sample_length_ms=500,
        window_size_ms=30,
        window_step_ms=step,
        noise_reduction_enable=on,
        pcan_enable=on,
        dc_notch_filter_enable=on,
        activity_detection_enable=True,
    )
    clip = noise(options.sample_length, scale, seed=step)
    generator, stream = AudioFeatureGenerator(options), AudioFeatureStream(options)
    rows = [stream.process(chunk, np.uint16) for chunk in np.split(clip, sorted(cuts))]
    np.testing.assert_array_equal(np.concatenate(rows), generator.process_sample(clip, np.uint16))
    assert stream.activity_was_detected() == generator.activity_was_detected()


@pytest.mark.parametrize("milliseconds", [30, 31, 49, 50, 1000, 60_000])
def test_clips_from_one_window_to_a_minute_stream_alike(everything_on, milliseconds):
    everything_on.sample_length_ms = milliseconds
    clip = noise(everything_on.sample_length)
    expected = AudioFeatureGenerator(everything_on).process_sample(clip, np.uint16)
    stream = AudioFeatureStream(everything_on)
    rows = [stream.process(clip[i : i + 1013], np.uint16) for i in range(0, clip.size, 1013)]
    assert expected.shape == everything_on.spectrogram_shape
    np.testing.assert_array_equal(np.concatenate(rows), expected)


def test_a_stream_begins_anew_after_a_reset(everything_on):
    stream = AudioFeatureStream(everything_on)
    clip = noise(5000)
    first = stream.process(clip)
    assert not np.array_equal(stream.process(clip), first)
    stream.reset()
    np.testing.assert_array_equal(stream.process(clip), first)


def test_a_stream_takes_short_chunks_and_gives_no_rows(everything_on):
    stream = AudioFeatureStream(everything_on)
    for chunk in (np.zeros(0, np.int16), noise(1), np.zeros(100)):
        assert stream.process(chunk).shape == (0, 40)
    with pytest.raises(DatasetError, match="one dimension"):
        stream.process(np.zeros((2, 400), np.int16))


def test_a_stream_has_no_dynamic_int8(everything_on):
    assert AudioFeatureStream(everything_on).process(noise(480), np.int8).dtype == np.int8
    everything_on.quantize_dynamic_scale_enable = True
    with pytest.raises(SpecificationError, match="quantize_spectrogram"):
        AudioFeatureStream(everything_on).process(noise(480), np.int8)


def test_the_name_of_the_reference_gives_the_same_classes():
    from mltk.core.preprocess.audio import audio_feature_generator as public

    assert public.AudioFeatureGenerator is AudioFeatureGenerator
    assert public.AudioFeatureGeneratorSettings is AudioFeatureGeneratorSettings


def test_numba_is_imported_only_for_a_generator():
    code = """
        import sys
        from mltk_plugin_audio.frontend import AudioFeatureGenerator, AudioFeatureGeneratorSettings
        AudioFeatureGeneratorSettings().validate()
        assert "numba" not in sys.modules
        AudioFeatureGenerator(AudioFeatureGeneratorSettings())
        assert "numba" in sys.modules
    """
    subprocess.run([sys.executable, "-c", "if True:" + code], check=True)


@pytest.mark.slow
def test_the_first_compilation_is_announced_and_kept(tmp_path):
    code = """
        import logging
        logging.basicConfig(level="INFO", format="%(message)s")
        from mltk_plugin_audio.frontend import AudioFeatureGenerator, AudioFeatureGeneratorSettings
        AudioFeatureGenerator(AudioFeatureGeneratorSettings())
    """
    environment = os.environ | {"NUMBA_CACHE_DIR": str(tmp_path)}
    command = [sys.executable, "-c", "if True:" + code]
    first, second = (
        subprocess.run(command, check=True, env=environment, capture_output=True, text=True).stderr
        for _ in range(2)
    )
    assert [line.split(" in ")[0] for line in first.splitlines()] == [
        "Compiling the audio front end once; this takes about ten seconds.",
        "Compiled the audio front end",
    ]
    assert second == ""
