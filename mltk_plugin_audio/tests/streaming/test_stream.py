from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from mltk.errors import DatasetError, SpecificationError
from mltk_plugin_audio.streaming import listen, read_blocks

LOW, HIGH = 500.0, 2500.0


def heard(listening, *blocks, **options):
    model, detector = listening
    return [(d.time_ms, d.class_id) for d in listen(model, detector, blocks, **options)]


def test_tones_are_detected_while_they_sound(listen_to, tones):
    sound = tones.sound(6, (1.0, 0.6, LOW), (3.0, 0.6, HIGH))
    found = heard(listen_to(), sound)
    assert [c for _, c in found] == [0, 1]
    (low, _), (high, _) = found
    # Most of the window of 0.5 s must be of the tone, and most of the 0.3 s that are averaged.
    assert 1300 <= low <= 1800
    assert 3300 <= high <= 3800


def test_scores_do_not_depend_on_the_division_of_the_sound(listen_to, tones):
    sound = tones.sound(3, (1.0, 0.5, LOW))
    whole_times, whole = listen_to()[0].process(sound)
    model, _ = listen_to()
    rng = np.random.default_rng(1)
    parts = [model.process(part) for part in np.split(sound, np.sort(rng.integers(0, len(sound), 70)))]
    assert np.array_equal(np.concatenate([t for t, _ in parts]), whole_times)
    assert np.array_equal(np.concatenate([s for _, s in parts if len(s)]), whole)
    assert whole_times.tolist() == list(range(100, 3001, 100))


@pytest.mark.parametrize("latency_ms", [10, 33, 100, 250, 700])
def test_the_model_sees_the_newest_rows_after_each_hop(listen_to, tones, latency_ms):
    from mltk_plugin_audio.frontend import AudioFeatureStream

    sound = tones.sound(2.2, (0.7, 0.5, HIGH))
    model, _ = listen_to(latency_ms=latency_ms)
    times, scores = model.process(sound)
    rows = AudioFeatureStream(model.frontend).process(sound, np.uint16)
    height, width = model.frontend.spectrogram_shape
    for time, score in zip(times.tolist(), scores, strict=True):
        n = (time * 16 - model.frontend.window_size) // model.frontend.window_step + 1
        window = np.concatenate([np.zeros((height, width), np.uint16), rows[: max(n, 0)]])[-height:]
        expected = model.predictor.predict(window[None, :, :, None].astype(np.float32))[0]
        assert np.abs(score.astype(int) - (255 * expected).astype(int)).max() <= 1


def test_clearing_resets_the_spectrogram_but_not_the_time(listen_to, tones):
    sound = tones.sound(4, (0.5, 3.4, LOW))
    kept = heard(listen_to(suppression_ms=200), sound)
    cleared = heard(listen_to(suppression_ms=200), sound, clear_on_detection=True)
    assert cleared[0] == kept[0]
    # The spectrogram must fill up again before the next one.
    assert len(cleared) < len(kept)
    assert all(b[0] - a[0] > 300 for a, b in pairwise(cleared))


def test_samples_are_multiplied_and_clipped(listen_to, tones):
    faint = tones.sound(3, (1.0, 0.6, LOW)) / 1024
    assert heard(listen_to(), faint) == []
    assert [c for _, c in heard(listen_to(volume_gain=1024), faint)] == [0]
    assert [c for _, c in heard(listen_to(volume_gain=3000), np.rint(faint * 32768).astype(np.int16))] == [0]


def test_activity_detection_skips_silent_hops(listen_to, tones):
    sound = tones.sound(4, (2.0, 0.6, LOW))
    model, _ = listen_to(**{"fe.activity_detection_enable": True})
    times, scores = model.process(sound)
    assert 0 < len(times) < 40
    assert len(scores) == len(times)


def test_a_model_without_front_end_parameters_gives_a_one_line_error(listen_to):
    with pytest.raises(SpecificationError, match="no settings of an audio front end") as error:
        listen_to(leave_out=("fe.",))
    assert "\n" not in str(error.value)


def test_a_shape_that_differs_from_the_front_end_gives_a_one_line_error(listen_to):
    with pytest.raises(SpecificationError, match="24 rows and 20 channels"):
        listen_to(**{"fe.filterbank_n_channels": 20})


@pytest.mark.parametrize("subtype", ["PCM_U8", "PCM_16", "PCM_24", "FLOAT"])
@pytest.mark.parametrize("rate", [16000, 44100])
def test_recordings_of_any_kind_are_read_in_blocks(tones, subtype, rate):
    t = np.arange(25 * rate) / rate
    stereo = np.stack([0.4 * np.sin(2 * np.pi * 440 * t), np.zeros_like(t)], axis=1)
    path = tones.write(f"{subtype}-{rate}.wav", stereo, rate, subtype)
    blocks = list(read_blocks(path, 16000))
    sound = np.concatenate(blocks)
    assert len(blocks) >= 3
    assert abs(len(sound) - 25 * 16000) <= 2
    expected = 0.4 * np.sin(2 * np.pi * 440 * np.arange(len(sound)) / 16000)
    # 8 bits are steps of 1/128.
    assert np.abs(sound - expected)[100:-100].max() < 0.01


def test_errors_name_damaged_recordings(tones, tmp_path):
    whole = tones.write("whole.wav", tones.sound(1))
    (tmp_path / "short.wav").write_bytes(whole.read_bytes()[:5000])
    (tmp_path / "text.wav").write_text("no sound")
    nothing = tones.write("nothing.wav", np.zeros(0, np.float32))
    nan = tones.write("nan.wav", np.full(100, np.nan, np.float32), subtype="FLOAT")
    for path in (tmp_path / "short.wav", tmp_path / "text.wav", nothing, nan, tmp_path / "none.wav"):
        with pytest.raises(DatasetError, match=path.name):
            list(read_blocks(path, 16000))
