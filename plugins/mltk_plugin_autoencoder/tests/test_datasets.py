"""The generated sounds are a function of their seed, and have the faults that they are said to have."""

from __future__ import annotations

import wave
from pathlib import Path

import numpy as np
import pytest

from mltk_plugin_autoencoder.datasets import brick_defects, fan_sounds


def level(clip, low, high):
    """Return the power between two frequencies in Hz, in dB."""
    spectrum = np.abs(np.fft.rfft(clip)) ** 2
    frequency = np.fft.rfftfreq(len(clip), 1 / fan_sounds.RATE)
    return 10 * np.log10(spectrum[(frequency >= low) & (frequency < high)].mean())


def clips(fault, count=12, **kwargs):
    return [fan_sounds.fan_sound(np.random.default_rng(i), fault, **kwargs) for i in range(count)]


def test_a_sound_is_a_function_of_its_generator():
    a, b = (fan_sounds.fan_sound(np.random.default_rng(5), "rub") for _ in range(2))
    assert np.array_equal(a, b)
    assert a.dtype == np.float32 and a.shape == (16000,) and 0.01 < np.abs(a).max() < 1
    assert fan_sounds.fan_sound(np.random.default_rng(5), seconds=0.25).shape == (4000,)
    with pytest.raises(ValueError, match="no fault 'wobble'"):
        fan_sounds.fan_sound(np.random.default_rng(0), "wobble")


@pytest.mark.parametrize(("fault", "low", "high"), [("bearing", 3000, 5000), ("rub", 2000, 7000)])
def test_faults_are_heard_where_they_are_said_to_be(fault, low, high):
    def contrast(clip):
        return level(clip, low, high) - level(clip, 150, 1500)

    normal, faulty = (np.mean([contrast(c) for c in clips(f)]) for f in (None, fault))
    assert 1 < faulty - normal < 8


def test_overspeed_shifts_the_tone_of_the_blades():
    def tone(clip):
        spectrum = np.abs(np.fft.rfft(clip * np.hanning(len(clip))))
        return 120 + spectrum[120:230].argmax()

    # Seven blades at 24 turns in a second.
    assert all(164 <= tone(c) <= 172 for c in clips(None))
    assert all(tone(c) >= 170 for c in clips("overspeed"))


def test_clips_are_written_once_as_files(tmp_path, monkeypatch):
    monkeypatch.setattr(fan_sounds, "_SIZES", {"train": {"normal": 2}, "test": {"normal": 1, "rub": 1}})
    train, test = (Path(fan_sounds.load_data(s, tmp_path / "fan")) for s in ("training", "evaluation"))
    assert sorted(p.relative_to(train.parent).as_posix() for p in train.parent.rglob("*.wav")) == [
        "test/normal/000.wav",
        "test/rub/000.wav",
        "train/normal/000.wav",
        "train/normal/001.wav",
    ]
    with wave.open(str(test / "rub/000.wav")) as file:
        assert file.getparams()[:4] == (1, 2, 16000, 16000)
    before = (train / "normal/000.wav").stat().st_mtime_ns
    fan_sounds.load_data("validation", tmp_path / "fan")
    assert (train / "normal/000.wav").stat().st_mtime_ns == before


def test_brick_defects_are_labelled_patches():
    (x_train, y_train), (x_test, y_test) = brick_defects.load_data()
    assert x_train.shape == (300, *brick_defects.INPUT_SHAPE) and x_train.dtype == np.uint8
    assert not y_train.any()
    assert np.bincount(y_test).tolist() == [60, 20, 20, 20] and len(x_test) == 120
    assert len(brick_defects.CLASSES) == 4
