"""Rooms, microphones and transmissions that are computed."""

from __future__ import annotations

import numpy as np
import pytest

from mltk.errors import SpecificationError
from mltk_plugin_audio import ParallelAudioDataGenerator
from mltk_plugin_audio._microphone import CODECS, EQUALIZER_HZ, filter_clips, make_responses, reverberate

RATE = 16000


def rng(seed=0):
    return np.random.default_rng(seed)


def level(x):
    return np.sqrt(np.mean(np.square(x, dtype=np.float64), axis=1))


@pytest.mark.parametrize("rt60", [0.2, 0.5])
def test_a_response_decays_by_60_db_in_its_time_and_has_its_share_of_direct_sound(rt60):
    direct = np.linspace(-5, 10, 64)
    responses = make_responses(np.full(64, rt60), direct, 8000, RATE, rng())
    assert np.array_equal(responses[:, 0], np.ones(64))
    tail = responses[:, 1:].astype(np.float64)
    assert -10 * np.log10(np.square(tail).sum(axis=1)) == pytest.approx(direct, abs=1e-3)
    blocks = 10 * np.log10(
        np.square(tail[:, 32:6432] / np.linalg.norm(tail, axis=1)[:, None]).reshape(64, 16, 400).mean((0, 2))
    )
    slope = np.polyfit(np.arange(16) * 400 / RATE, blocks, 1)[0]
    assert slope == pytest.approx(-60 / rt60, rel=0.03)


def test_reverberation_smears_a_click_and_keeps_the_level():
    click = np.zeros((5, RATE), np.float32)
    click[:, 4000] = 0.5
    wet = reverberate(click, np.linspace(0.1, 0.9, 5), np.zeros(5), RATE, rng())
    assert wet.dtype == np.float32 and wet.shape == click.shape
    assert level(wet) == pytest.approx(level(click), rel=1e-5)
    assert np.abs(wet[:, :3999]).max() < 1e-6
    late = np.square(wet[:, 6000:]).sum(axis=1)
    assert (np.diff(late) > 0).all()
    assert not reverberate(np.zeros((1, 100), np.float32), np.ones(1), np.zeros(1), RATE, rng()).any()


def test_a_filter_has_the_drawn_gain_at_each_frequency_and_falls_off_outside(tone):
    gains = rng().uniform(-10, 10, (1, 8))
    open_band = np.zeros(1), np.full(1, np.inf)
    for i, hertz in enumerate(EQUALIZER_HZ[1:-1], 1):
        x = tone(hertz)[None]
        y = filter_clips(x, gains, *open_band, RATE)
        measured = 20 * np.log10(level(y[:, 2000:-2000]) / level(x[:, 2000:-2000]))
        assert measured == pytest.approx(gains[:, i], abs=0.3)
    flat = np.zeros((1, 8))
    for hertz, fall in ((50, 24.1), (100, 12.3), (200, 3.0), (1000, 0), (4000, 3.0), (7600, 22.3)):
        x = tone(hertz)[None]
        y = filter_clips(x, flat, np.full(1, 200.0), np.full(1, 4000.0), RATE)
        measured = -20 * np.log10(level(y[:, 4000:-4000]) / level(x[:, 4000:-4000]))
        assert measured == pytest.approx(fall, abs=0.4)
    x = rng().normal(size=(2, 999)).astype(np.float32)
    unchanged = filter_clips(x, np.zeros((2, 8)), np.zeros(2), np.full(2, np.inf), RATE)
    assert np.abs(unchanged - x).max() < 1e-5


def test_a_telephone_passes_300_to_3400_hz_with_the_noise_of_8_bits(tone):
    x = np.stack([tone(h, amplitude=0.5) for h in (60, 1000, 7000)])
    y = CODECS["telephone"](x, RATE, rng())
    ratio = level(y) / level(x)
    assert ratio[1] == pytest.approx(1, abs=0.03) and ratio[0] < 0.06 and ratio[2] < 0.08
    noise = y[1] - (y[1] @ x[1]) / (x[1] @ x[1]) * x[1]
    assert 25 < 20 * np.log10(level(x[1:2])[0] / level(noise[None])[0]) < 45


def test_8_bits_are_256_levels(tone):
    y = CODECS["8bit"](tone(440)[None] * 2.5, RATE, rng())
    assert len(np.unique(y)) <= 256 and y.min() == -1 and y.max() == 127 / 128
    assert np.abs(CODECS["8bit"](tone(440)[None], RATE, rng()) - tone(440)).max() <= 1 / 256 + 1e-6


def test_an_overdriven_clip_has_flat_peaks(tone):
    x = np.tile(tone(440), (200, 1))
    y = CODECS["overdrive"](x, RATE, rng())
    below = 20 * np.log10(np.abs(x).max(axis=1) / np.abs(y).max(axis=1))
    assert below.min() == pytest.approx(3, abs=0.3) and below.max() == pytest.approx(12, abs=0.3)
    assert (np.abs(y) == np.abs(y).max(axis=1, keepdims=True)).mean() > 0.3
    assert not CODECS["overdrive"](np.zeros((1, 9), np.float32), RATE, rng()).any()


SETTINGS = {
    "room_rt60_range": (0.2, 0.6),
    "equalizer_db": 6,
    "highpass_range_hz": (50, 300),
    "lowpass_range_hz": (3000, 7000),
    "codecs": list(CODECS),
}


def batch(root, augment=True, **settings):
    generator = ParallelAudioDataGenerator(
        frontend_enabled=False, sample_shape=(16000,), cores=1, offset_range=(0, 0), **settings
    )
    return generator.flow_from_directory(root, ["yes", "no"], shuffle=False, augment=augment)[0][0]


def test_the_settings_make_steps_that_can_be_disabled_and_do_not_disturb_the_others(recordings):
    root = recordings()
    others = {"noise_colors": ["pink"], "noise_color_range": (0.1, 0.1)}
    names = ["room", "filter", "codec"]
    steps = [step.name for step in ParallelAudioDataGenerator(**SETTINGS).all_steps()]
    assert steps == ["room", "audio_transforms", "filter", "codec"]
    everything = batch(root, **SETTINGS, **others)
    assert np.array_equal(everything, batch(root, **SETTINGS, **others))
    plain = batch(root, **others)
    assert np.abs(everything - plain).max(axis=1).min() > 0.01
    assert np.array_equal(plain, batch(root, **SETTINGS, **others, disabled_augmentations=names))
    assert np.array_equal(plain, batch(root, **SETTINGS, **others, probabilities=dict.fromkeys(names, 0)))
    allowed = {"class_augmentations": {"yes": ["noise_color"], "no": ["noise_color"]}}
    assert np.array_equal(plain, batch(root, **SETTINGS, **others, **allowed))
    for name in names:
        alone = [step for step in steps if step != name]
        changed = batch(root, **SETTINGS, disabled_augmentations=alone)
        assert np.abs(changed - batch(root, augment=False)).max(axis=1).min() > 1e-3


def test_single_recordings_can_be_sent_through_a_codec(tone):
    generator = ParallelAudioDataGenerator(trim_threshold_db=None, **SETTINGS)
    drawn = generator.get_random_transform(rng())
    assert drawn["codec"] in CODECS and 0.2 <= drawn["room_rt60"] <= 0.6 and drawn["filter"]
    x = generator.apply_transform(tone(440), RATE, {"codec": "8bit"})
    assert len(np.unique(x)) <= 256
    assert np.abs(x - tone(440)).max() < 0.01


@pytest.mark.parametrize(
    "settings",
    [
        {"room_rt60_range": (0, 1)},
        {"room_direct_db_range": 3},
        {"equalizer_db": -1},
        {"highpass_range_hz": (0, 100)},
        {"lowpass_range_hz": (-1, 100)},
        {"codecs": "telephone"},
        {"codecs": ["mp3"]},
        {"probabilities": {"codecs": 1}},
    ],
)
def test_wrong_settings_are_refused(settings):
    with pytest.raises(SpecificationError, match=next(iter(settings))):
        ParallelAudioDataGenerator(**settings)
