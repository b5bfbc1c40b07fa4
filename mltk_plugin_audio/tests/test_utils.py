"""Functions for single recordings (`mltk.core.preprocess.utils.audio`), in Python and in tf.data."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import soundfile

from mltk.core.preprocess.utils import audio as audio_utils
from mltk.errors import DatasetError
from mltk_plugin_audio import AudioFeatureGenerator, AudioFeatureGeneratorSettings


def test_a_recording_is_read_with_or_without_its_rate(tmp_path, tone):
    soundfile.write(tmp_path / "a.wav", tone(440), 22050)
    x, rate = audio_utils.read_audio_file(str(tmp_path / "a.wav"), return_sample_rate=True)
    assert rate == 22050 and x.dtype == np.float32 and np.abs(x - tone(440)).max() < 1e-4
    assert np.array_equal(audio_utils.read_audio_file(tmp_path / "a.wav", anything="else"), x)


@pytest.mark.parametrize("ending", ["wav", "flac", "ogg"])
def test_what_is_written_is_read_again(tmp_path, tone, ending):
    path = audio_utils.write_audio_file(str(tmp_path / f"a.{ending}"), tone(440), 16000)
    assert path == str(tmp_path / f"a.{ending}")
    x = audio_utils.read_audio_file(path)
    assert np.abs(x - tone(440)).max() < (0.05 if ending == "ogg" else 1e-4)


def test_writing_into_a_folder_numbers_the_files(tmp_path):
    samples = np.array([100, -32768, 32767], np.int16)
    for i in range(2):
        path = audio_utils.write_audio_file(str(tmp_path / "new"), samples[:, None], 8000)
        assert path == str(tmp_path / "new" / f"audio-{i}.wav")
    assert np.array_equal(soundfile.read(path, dtype="int16")[0], samples)
    loud = audio_utils.write_audio_file(str(tmp_path / "b.wav"), np.array([2.0, -2.0]), 8000)
    assert np.array_equal(soundfile.read(loud, dtype="int16")[0], [32767, -32768])


def test_adjust_length_resamples_trims_and_pads(tone):
    x = np.concatenate([np.zeros(4000, np.float32), tone(440, 0.5, 8000)])
    y = audio_utils.adjust_length(x, target_sr=16000, original_sr=8000, out_length=12000, offset=1.0)
    assert y.shape == (12000,) and y.dtype == np.float32
    assert not y[:3400].any() and np.abs(y[-7000:]).max() == pytest.approx(0.5, abs=0.02)
    assert len(audio_utils.adjust_length(x)) == len(x)
    assert np.array_equal(audio_utils.adjust_length(x, out_length=3, trim_threshold_db=None), np.zeros(3))
    with pytest.raises(DatasetError, match="both target_sr and original_sr"):
        audio_utils.adjust_length(x, target_sr=8000)


def test_apply_frontend_is_the_front_end(tone):
    settings = AudioFeatureGeneratorSettings()
    for dtype in (np.float32, np.int8, "uint16"):
        expected = AudioFeatureGenerator(settings).process_sample(tone(440), np.dtype(dtype))
        found = audio_utils.apply_frontend(tone(440), settings, dtype)
        assert found.dtype == np.dtype(dtype) and np.array_equal(found, expected)


def test_resample_takes_the_names_of_librosa(tone):
    assert len(audio_utils.resample(tone(440, 1, 44100), orig_sr=44100, target_sr=16000)) == 16000
    assert audio_utils.resample(np.zeros(100, np.int16), 8000, 16000).dtype == np.float32


def test_all_of_them_work_in_a_tf_data_pipeline(tmp_path, tone):
    import tensorflow as tf

    settings = AudioFeatureGeneratorSettings()
    paths = []
    for i in range(3):
        paths.append(str(tmp_path / f"{i}.wav"))
        soundfile.write(paths[-1], tone(400 + 100 * i, 0.7, 8000), 8000)

    def load(path):
        x, rate = audio_utils.read_audio_file(path, return_sample_rate=True)
        x = audio_utils.adjust_length(x, original_sr=rate, target_sr=16000, out_length=16000)
        written = audio_utils.write_audio_file(tf.strings.join([path, ".copy.wav"]), x, 16000)
        return audio_utils.apply_frontend(x, settings, np.int8), written

    data = tf.data.Dataset.from_tensor_slices(paths).map(load).batch(3)
    spectrograms, written = next(iter(data))
    assert data.element_spec[0].shape.as_list() == [None, 98, 32]
    assert [p.decode() for p in written.numpy()] == [f"{p}.copy.wav" for p in paths]
    direct = audio_utils.adjust_length(
        audio_utils.read_audio_file(tf.constant(paths[1])), 16000, 8000, out_length=16000
    )
    assert np.array_equal(spectrograms[1], audio_utils.apply_frontend(direct, settings, np.int8))
    assert tf.is_tensor(audio_utils.read_audio_file(paths[0], return_numpy=False))


def test_an_error_in_a_pipeline_names_the_file(tmp_path):
    import tensorflow as tf

    data = tf.data.Dataset.from_tensor_slices([str(tmp_path / "no_such.wav")])
    with pytest.raises(tf.errors.OpError, match=r"no_such\.wav"):
        list(data.map(audio_utils.read_audio_file))


def test_importing_the_utilities_does_not_load_tensorflow():
    code = "import sys, mltk_plugin_audio.utils, mltk_plugin_audio.generator; sys.exit('tensorflow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
