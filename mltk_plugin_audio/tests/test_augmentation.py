"""Effects of the augmentations, measured on their output."""

from __future__ import annotations

import numpy as np
import pytest
import soundfile

from mltk_plugin_audio import ParallelAudioDataGenerator
from mltk_plugin_audio._augmentation import (
    AUGMENTATIONS,
    NOISE_COLORS,
    RandomTransforms,
    default_transforms,
    make_colored_noise,
)
from mltk_plugin_audio._vocoder import transform_voice, warp_map

RATE = 16000


def peak(x, rate=RATE):
    """Return the frequency of the strongest partial, in Hz."""
    middle = x[len(x) // 8 : -len(x) // 8]
    spectrum = np.abs(np.fft.rfft(middle * np.hanning(len(middle)), 8 * len(middle)))
    return spectrum.argmax() * rate / (8 * len(middle))


@pytest.mark.parametrize("semitones", [-7, -2, -0.5, 0.5, 3, 12])
@pytest.mark.parametrize("hertz", [220, 1000, 2500])
def test_pitch_moves_the_peak_and_keeps_the_length(tone, semitones, hertz):
    x = transform_voice(tone(hertz), RATE, RATE, pitch=semitones)
    assert len(x) == RATE
    assert 12 * np.log2(peak(x) / hertz) == pytest.approx(semitones, abs=0.02)


@pytest.mark.parametrize("speed", [0.5, 0.8, 1.1, 2.0])
def test_speed_changes_the_length_and_keeps_the_pitch(tone, speed):
    x = transform_voice(tone(1000), RATE, RATE, speed=speed)
    assert len(x) == pytest.approx(RATE / speed, abs=2)
    assert peak(x) == pytest.approx(1000, rel=0.001)
    assert np.sqrt(np.mean(x[2000:-2000] ** 2)) == pytest.approx(0.5 / np.sqrt(2), rel=0.02)


def test_speed_scales_the_time_of_events(tone):
    x = np.zeros(RATE, np.float32)
    x[8000:8800] = tone(500, 0.05)
    for speed in (0.8, 1.25):
        y = transform_voice(x, RATE, RATE, speed=speed)
        centre = np.sum(np.arange(len(y)) * y**2) / np.sum(y**2)
        assert centre == pytest.approx(8400 / speed, abs=80)


@pytest.mark.parametrize("factor", [0.85, 0.95, 1.05, 1.15])
def test_the_vocal_tract_warps_frequencies_and_not_time(tone, factor):
    for hertz in (300, 1000, 3000):
        x = transform_voice(tone(hertz), RATE, RATE, vocal_tract=factor)
        assert len(x) == RATE
        assert peak(x) == pytest.approx(hertz * factor, rel=0.002)
    pulse = np.zeros(RATE, np.float32)
    pulse[8000:8800] = tone(500, 0.05)
    x = transform_voice(pulse, RATE, RATE, vocal_tract=factor)
    assert np.sum(np.arange(RATE) * x**2) / np.sum(x**2) == pytest.approx(8400, abs=80)


def test_the_vocal_tract_leaves_the_end_of_the_band(tone):
    """Above the knee the map is a line to the Nyquist frequency (Jaitly & Hinton, 2013)."""
    for factor in (0.9, 1.1):
        slope, knee, end = warp_map(factor, RATE / 2)
        above = (knee + end) / 2
        expected = (slope * knee + end) / 2
        assert peak(transform_voice(tone(above), RATE, RATE, vocal_tract=factor)) == pytest.approx(
            expected, rel=0.002
        )


def test_all_three_together_with_another_rate(tone):
    x = transform_voice(tone(700, 1.0, 22050), 22050, RATE, speed=0.9, pitch=2, vocal_tract=0.95)
    assert len(x) == pytest.approx(RATE / 0.9, abs=2)
    assert peak(x) == pytest.approx(700 * 2 ** (2 / 12) * 0.95, rel=0.002)


def test_two_voices_keep_their_interval_and_levels(tone):
    x = transform_voice(tone(400, amplitude=0.4) + tone(1300, amplitude=0.2), RATE, RATE, pitch=4)
    spectrum = np.abs(np.fft.rfft(x * np.hanning(len(x))))
    levels = [
        spectrum[round(f * 2 ** (4 / 12)) - 3 : round(f * 2 ** (4 / 12)) + 4].max() for f in (400, 1300)
    ]
    assert levels[0] / levels[1] == pytest.approx(2, rel=0.1)


def test_neutral_parameters_change_nothing(tone):
    x = np.random.default_rng(0).standard_normal(5000).astype(np.float32)
    assert transform_voice(x, RATE, RATE) is x
    assert np.abs(transform_voice(x, RATE, RATE, pitch=1e-9) - x).max() < 1e-4


@pytest.mark.parametrize("length", [1, 7, 300, 1500])
def test_short_recordings_are_stretched_too(length):
    x = np.ones(length, np.float32)
    y = transform_voice(x, RATE, RATE, speed=0.8, pitch=1, vocal_tract=1.1)
    assert np.isfinite(y).all() and len(y) == pytest.approx(length / 0.8, abs=2)


@pytest.mark.parametrize("color", NOISE_COLORS)
def test_noise_has_the_slope_of_its_color(color):
    noise = make_colored_noise([color] * 40, RATE, RATE, np.random.default_rng(0))
    assert noise.dtype == np.float32 and noise.shape == (40, RATE)
    assert np.sqrt(np.mean(noise**2, axis=1)) == pytest.approx(np.ones(40), rel=1e-3)
    power = np.mean(np.abs(np.fft.rfft(noise)) ** 2, axis=0)
    centres = 100 * 2 ** np.arange(6.5)
    bands = [power[int(f / 2**0.5) : int(f * 2**0.5)].mean() for f in centres[:6]]
    slope = np.polyfit(np.arange(6), 10 * np.log10(bands), 1)[0]
    assert slope == pytest.approx(NOISE_COLORS[color], abs=0.5)


def test_noise_of_several_colors_differs_and_is_repeatable():
    a = make_colored_noise(["pink", "pink", "blue"], 4000, RATE, np.random.default_rng(3))
    assert np.array_equal(
        a, make_colored_noise(["pink", "pink", "blue"], 4000, RATE, np.random.default_rng(3))
    )
    assert abs(np.corrcoef(a[0], a[1])[0, 1]) < 0.2


def generator(tmp_path, **settings):
    return ParallelAudioDataGenerator(trim_threshold_db=None, **settings)


@pytest.fixture
def hiss(tmp_path):
    (tmp_path / "noise").mkdir()
    noise = 0.1 * np.random.default_rng(5).standard_normal(8 * 8000)
    soundfile.write(tmp_path / "noise" / "hiss.wav", noise, 8000)
    return tmp_path / "noise"


def mixed(random, x, n=1, seed=0):
    """Return the rows of a batch of `n` equal clips, after `mix`."""
    rng = np.random.default_rng(seed)
    batch = np.repeat(np.asarray(x, np.float32)[None], n, axis=0)
    spans = np.tile([0, len(x)], (n, 1))
    return random.mix(batch, rng, spans, random.draw(n, rng))


def test_background_noise_has_the_requested_signal_to_noise_ratio(tone, hiss):
    random = ParallelAudioDataGenerator(bg_noise_dir=hiss, bg_noise_snr_db_range=(10, 10)).random_transforms()
    clean = tone(440)
    noise = mixed(random, clean, 50) - clean
    ratio = 10 * np.log10(np.mean(clean**2) / np.mean(noise**2, axis=1))
    assert ratio == pytest.approx(np.full(50, 10), abs=0.5)


def test_the_signal_to_noise_ratio_refers_to_the_part_with_the_recording(tone, hiss):
    random = ParallelAudioDataGenerator(bg_noise_dir=hiss, bg_noise_snr_db_range=(10, 10)).random_transforms()
    x = np.zeros((1, RATE), np.float32)
    x[0, 4000:8000] = tone(440, 0.25)
    clean, rng = x.copy(), np.random.default_rng(0)
    noise = random.mix(x, rng, np.array([[4000, 8000]]), random.draw(1, rng)) - clean
    ratio = 10 * np.log10(np.mean(clean[0, 4000:8000] ** 2) / np.mean(noise**2))
    assert ratio == pytest.approx(10, abs=0.5)


def test_the_factor_of_background_noise_covers_its_range(hiss):
    random = ParallelAudioDataGenerator(bg_noise_dir=hiss, bg_noise_range=(0.2, 0.8)).random_transforms()
    silence = np.zeros(RATE, np.float32)
    # The file is 0.1 loud, and loses nothing when its rate is doubled.
    factors = np.sqrt(np.mean(mixed(random, silence, 400) ** 2, axis=1)) / 0.1
    assert (factors.min(), factors.max()) == pytest.approx((0.2, 0.8), abs=0.04)
    assert factors.mean() == pytest.approx(0.5, abs=0.03)


def test_background_noise_comes_from_everywhere_in_the_recording(tmp_path):
    (tmp_path / "ramp").mkdir()
    ramp = np.linspace(-1, 1, 10 * RATE)
    soundfile.write(tmp_path / "ramp" / "a.wav", ramp, RATE)
    random = ParallelAudioDataGenerator(
        bg_noise_dir=tmp_path / "ramp", bg_noise_range=(1, 1)
    ).random_transforms()
    starts = mixed(random, np.zeros(RATE, np.float32), 300)[:, 0]
    assert starts.min() < -0.95 and starts.max() > 0.75
    assert np.diff(np.sort(starts)).max() < 0.1


def test_short_background_noise_is_repeated(tmp_path, tone):
    (tmp_path / "short").mkdir()
    soundfile.write(tmp_path / "short" / "a.wav", tone(100, 0.1), RATE)
    random = ParallelAudioDataGenerator(
        bg_noise_dir=tmp_path / "short", bg_noise_range=(1, 1)
    ).random_transforms()
    x = mixed(random, np.zeros(RATE, np.float32))[0]
    assert np.sqrt(np.mean(x[-1600:] ** 2)) == pytest.approx(0.5 / np.sqrt(2), rel=0.01)


def test_background_noise_is_read_and_resampled_once(hiss, monkeypatch):
    from mltk_plugin_audio import _noise_and_rooms

    calls = []
    original = _noise_and_rooms.read_recording
    monkeypatch.setattr(_noise_and_rooms, "read_recording", lambda p: calls.append(p) or original(p))
    for _ in range(3):
        ParallelAudioDataGenerator(bg_noise_dir=hiss, bg_noise_range=(0, 1)).random_transforms()
    assert len(calls) == 1


def test_loudness_scales_the_samples_and_the_noise(tone, hiss):
    random = ParallelAudioDataGenerator(
        loudness_range=(0.5, 0.5), bg_noise_dir=hiss, bg_noise_range=(1, 1)
    ).random_transforms()
    louder = ParallelAudioDataGenerator(bg_noise_dir=hiss, bg_noise_range=(1, 1)).random_transforms()
    assert mixed(random, tone(440)) == pytest.approx(0.5 * mixed(louder, tone(440)), abs=1e-6)


def test_generated_noise_has_the_requested_level(tone):
    random = ParallelAudioDataGenerator(noise_colors="all", noise_color_range=(0.05, 0.1)).random_transforms()
    noise = mixed(random, tone(440), 300) - tone(440)
    level = np.sqrt(np.mean(noise**2, axis=1))
    assert (level.min(), level.max()) == pytest.approx((0.05, 0.1), abs=0.003)
    assert level.mean() == pytest.approx(0.075, abs=0.004)


def test_a_room_adds_its_echoes_and_keeps_the_level(tmp_path):
    (tmp_path / "rooms").mkdir()
    response = np.zeros(8000, np.float32)
    response[[500, 500 + 1600]] = 0.8, 0.4
    soundfile.write(tmp_path / "rooms" / "hall.wav", response, RATE, subtype="FLOAT")
    random = ParallelAudioDataGenerator(impulse_response_dir=tmp_path / "rooms").random_transforms()
    x = np.zeros(RATE, np.float32)
    x[1000] = 1
    y = mixed(random, x)[0]
    direct, echo = np.sort(np.argsort(np.abs(y))[-2:])
    assert direct - 1000 <= 16 and echo - direct == 1600
    assert y[echo] / y[direct] == pytest.approx(0.5, rel=1e-3)
    assert np.sum(y**2) == pytest.approx(1, rel=1e-3)


def test_time_shifts_cover_their_range():
    random = ParallelAudioDataGenerator(time_shift_range_ms=(-100, 50)).random_transforms()
    x = np.zeros(RATE, np.float32)
    x[8000] = 1
    where = (mixed(random, x, 500).argmax(axis=1) - 8000) / 16
    assert (where.min(), where.max()) == pytest.approx((-100, 50), abs=2)
    assert where.mean() == pytest.approx(-25, abs=5)


def test_masks_hide_bands_and_pieces_of_time_behind_the_mean():
    random = RandomTransforms(frequency_masks=(2, 5), time_masks=(1, 20))
    x = np.random.default_rng(0).uniform(1, 2, (400, 98, 32)).astype(np.float32)
    rng = np.random.default_rng(1)
    y = random.mask(x.copy(), rng, random.draw(len(x), rng))
    mean = x.mean(axis=(1, 2))[:, None, None]
    hidden = y == mean
    assert np.array_equal(y[~hidden], x[~hidden])
    channels, frames = hidden.all(axis=1).sum(axis=1), hidden.all(axis=2).sum(axis=1)
    assert (channels.min(), channels.max()) == (0, 10)
    assert channels.mean() == pytest.approx(2 * 2.5, abs=0.5)
    assert (frames.min(), frames.max()) == (0, 20)
    assert frames.mean() == pytest.approx(10, abs=1)
    where = hidden.all(axis=1).mean(axis=0)
    assert where.min() > 0 and where[5:-5].std() < 0.06


@pytest.mark.parametrize(
    ("setting", "name", "limits"),
    [
        ("speed_range", "speed_factor", (0.8, 1.2)),
        ("vtlp_range", "vtlp_factor", (0.9, 1.1)),
        ("loudness_range", "loudness_factor", (0.2, 2.0)),
        ("offset_range", "offset_percentage", (0.25, 0.75)),
        ("time_shift_range_ms", "time_shift_ms", (-20, 10)),
    ],
)
def test_factors_are_drawn_evenly_from_their_range(setting, name, limits):
    random = ParallelAudioDataGenerator(**{setting: limits}).random_transforms()
    drawn = getattr(random.draw(4000, np.random.default_rng(0)), name)
    extent = limits[1] - limits[0]
    assert drawn.min() >= limits[0] and drawn.max() <= limits[1]
    assert np.quantile(drawn, [0.25, 0.5, 0.75]) == pytest.approx(
        limits[0] + extent * np.array([0.25, 0.5, 0.75]), abs=0.03 * extent
    )


def test_pitch_ranges_are_semitones_or_fractions_of_an_octave():
    def drawn(limits):
        random = ParallelAudioDataGenerator(pitch_range=limits).random_transforms()
        return random.draw(3000, np.random.default_rng(0)).pitch_factor

    assert sorted(set(drawn((-2, 2)).tolist())) == [-2, -1, 0, 1, 2]
    continuous = drawn((-0.05, 0.05))
    assert len(set(continuous.tolist())) == 3000
    assert (continuous.min(), continuous.max()) == pytest.approx((-0.6, 0.6), abs=0.01)


def test_each_augmentation_has_its_probability():
    settings = {
        "speed_range": (0.8, 1.2),
        "pitch_range": (-0.1, 0.1),
        "vtlp_range": (0.9, 1.1),
        "loudness_range": (0.5, 0.9),
        "noise_colors": "all",
        "noise_color_range": (0.1, 0.2),
        "time_shift_range_ms": (10, 20),
        "frequency_masks": (1, 4),
        "time_masks": (1, 4),
        "offset_range": (0.1, 1.0),
    }
    probabilities = {name: 0.1 * (i % 9 + 1) for i, name in enumerate(AUGMENTATIONS)}
    random = ParallelAudioDataGenerator(**settings, probabilities=probabilities).random_transforms()
    t = random.draw(5000, np.random.default_rng(0))
    applied = {
        "offset": t.offset_percentage != 0,
        "speed": t.speed_factor != 1,
        "pitch": t.pitch_factor != 0,
        "vtlp": t.vtlp_factor != 1,
        "loudness": t.loudness_factor != 1,
        "noise_color": t.noise_color >= 0,
        "time_shift": t.time_shift_ms != 0,
        "frequency_mask": t.frequency_mask,
        "time_mask": t.time_mask,
    }
    for name, mask in applied.items():
        assert mask.mean() == pytest.approx(probabilities[name], abs=0.03), name


def test_the_draws_of_one_augmentation_do_not_depend_on_another():
    few = RandomTransforms(speed=(0.8, 1.2)).draw(10, np.random.default_rng(0))
    many = RandomTransforms(speed=(0.8, 1.2), pitch=(-1, 1), loudness=(0, 1)).draw(
        10, np.random.default_rng(0)
    )
    assert np.array_equal(few.speed_factor, many.speed_factor)


def test_the_default_transform_changes_nothing(tone):
    x = tone(440)[None].copy()
    random = RandomTransforms()
    assert np.array_equal(
        random.mix(x.copy(), np.random.default_rng(0), np.array([[0, RATE]]), default_transforms(1)), x
    )
