"""Reading of recordings, and errors that name unusable files."""

from __future__ import annotations

import io
import struct
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mltk.errors import DatasetError
from mltk_plugin_audio import ParallelAudioDataGenerator, _files
from mltk_plugin_audio._files import ReadingRules, read_recording
from mltk_plugin_audio._signal import cuts_sound, find_speech, pad_or_crop, resample, to_float
from mltk_plugin_audio.streaming.long_recordings import read_blocks


@pytest.mark.parametrize(
    ("subtype", "tolerance"),
    [
        ("PCM_U8", 1 / 100),
        ("PCM_16", 1 / 30000),
        ("PCM_24", 1 / 4e6),
        ("PCM_32", 1e-7),
        ("FLOAT", 1e-7),
        ("DOUBLE", 1e-7),
    ],
)
def test_wav_of_every_width(tmp_path, tone, subtype, tolerance):
    soundfile.write(tmp_path / "a.wav", tone(440), 16000, subtype=subtype)
    samples, rate = read_recording(tmp_path / "a.wav")
    assert rate == 16000 and samples.shape == (16000,)
    assert np.abs(to_float(samples) - tone(440)).max() < tolerance


@pytest.mark.parametrize(
    ("name", "kind"), [("a.flac", "FLAC"), ("a.ogg", "OGG"), ("a.mp3", "MP3"), ("mp3_inside.wav", "MP3")]
)
def test_compressed_files_are_known_by_their_content(tmp_path, tone, name, kind):
    soundfile.write(tmp_path / name, tone(440), 16000, format=kind)
    samples, rate = read_recording(tmp_path / name)
    assert rate == 16000 and abs(len(samples) - 16000) < 3000
    spectrum = np.abs(np.fft.rfft(to_float(samples)[2000:14000]))
    assert abs(spectrum.argmax() * 16000 / 12000 - 440) < 3


def test_the_first_channel_of_a_stereo_file_counts(tmp_path, tone):
    soundfile.write(tmp_path / "a.wav", np.stack([tone(440), tone(900)], 1), 44100)
    samples, rate = read_recording(tmp_path / "a.wav")
    assert rate == 44100 and np.abs(to_float(samples) - tone(440)).max() < 1e-4


def wav(data: bytes, announced: int | None = None, chunks: bytes = b"") -> bytes:
    body = struct.pack("<4sIHHIIHH", b"fmt ", 16, 1, 1, 16000, 32000, 2, 16) + chunks
    body += struct.pack("<4sI", b"data", len(data) if announced is None else announced) + data
    return b"RIFF" + struct.pack("<I", 4 + len(body)) + b"WAVE" + body


def nan_wav(path):
    soundfile.write(path, np.array([0.0, np.nan, 1.0]), 16000, subtype="FLOAT")


@pytest.mark.parametrize(
    ("write", "message"),
    [
        (lambda p: p.write_bytes(wav(bytes(2000), announced=32000)), r"truncated: it has 2,000 of 32,000"),
        (lambda p: p.write_bytes(wav(bytes(2000))[:30]), "truncated|cannot be read"),
        (lambda p: p.write_bytes(wav(bytes(0))), "no samples"),
        (lambda p: p.write_bytes(b""), "cannot be read"),
        (lambda p: p.write_bytes(b"hello, this is text and no sound"), "cannot be read"),
        (lambda p: p.mkdir(), "cannot be read"),
        (lambda p: None, "cannot be read: No such file"),
        (nan_wav, "NaN or infinity"),
    ],
    ids=["truncated", "cut header", "no samples", "empty", "text", "folder", "missing", "nan"],
)
def test_an_unusable_file_gives_a_one_line_error_with_its_name(tmp_path, write, message):
    path = tmp_path / "word_17.wav"
    write(path)
    with pytest.raises(DatasetError, match=rf"word_17\.wav.*({message})") as caught:
        read_recording(path)
    assert "\n" not in str(caught.value)


def test_truncated_flac_and_ogg_are_noticed(tmp_path):
    noise = 0.3 * np.random.default_rng(0).standard_normal(32000)
    soundfile.write(tmp_path / "a.flac", noise, 16000)
    content = (tmp_path / "a.flac").read_bytes()
    (tmp_path / "a.flac").write_bytes(content[: len(content) // 2])
    with pytest.raises(DatasetError, match=r"a\.flac"):
        read_recording(tmp_path / "a.flac")


PLACEHOLDERS = [
    (0xFFFFFFFF, 0xFFFFFFFF),
    (0x7FFFFFFF, 0x7FFFFFFF),
    (0x7FFFF000, 0x7FFFF024),
    (0xFFFFFFDB, 0xFFFFFFFF),
    (0, 36),
    (0, 0),
    (0, 0xFFFFFFFF),
]


@pytest.mark.parametrize("subtype", ["PCM_16", "PCM_24", "FLOAT", "ULAW"])
@pytest.mark.parametrize(("announced", "whole"), PLACEHOLDERS)
def test_a_wav_that_was_written_to_a_pipe_is_read_to_its_end(tmp_path, tone, announced, whole, subtype):
    path = tmp_path / "a.wav"
    soundfile.write(path, tone(440), 16000, subtype=subtype)
    expected, _ = read_recording(path)
    content = bytearray(path.read_bytes())
    start = content.index(b"data") + 8
    content[4:8], content[start - 4 : start] = struct.pack("<I", whole), struct.pack("<I", announced)
    path.write_bytes(content)
    assert np.array_equal(read_recording(path)[0], expected)
    assert sum(map(len, read_blocks(path, 16000))) == 16000


def test_an_empty_wav_with_notes_after_its_samples_is_empty(tmp_path):
    content = wav(b"") + struct.pack("<4sI", b"LIST", 4) + b"INFO"
    (tmp_path / "a.wav").write_bytes(content[:4] + struct.pack("<I", len(content) - 8) + content[8:])
    with pytest.raises(DatasetError, match="no samples"):
        read_recording(tmp_path / "a.wav")


@pytest.mark.parametrize(("file_format", "endian"), [("WAV", "LITTLE"), ("WAV", "BIG"), ("WAVEX", "LITTLE")])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("subtype", ["PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE"])
def test_plain_samples_are_decoded_as_libsndfile_does(tmp_path, file_format, endian, channels, subtype):
    noise = 0.2 * np.random.default_rng(0).standard_normal((999, channels))
    soundfile.write(tmp_path / "a.wav", noise, 22050, subtype, endian, file_format)
    got = _files._read_wav(str(tmp_path / "a.wav"), ReadingRules())
    expected = _files._read_any(str(tmp_path / "a.wav"), ReadingRules())
    assert got[0].dtype == expected[0].dtype and np.array_equal(got[0], expected[0])
    assert got[1:] == expected[1:] == (22050, channels > 1)


@pytest.mark.parametrize("ending", ["aiff", "opus", "au", "caf", "aif"])
def test_recordings_of_other_formats_are_listed_and_read(tmp_path, tone, ending):
    kind = {"opus": ("OGG", "OPUS"), "aif": ("AIFF", "PCM_16")}.get(ending, (ending.upper(), "PCM_16"))
    (tmp_path / "a").mkdir()
    soundfile.write(tmp_path / "a" / f"1.{ending}", tone(440), 16000, format=kind[0], subtype=kind[1])
    iterator = ParallelAudioDataGenerator(cores=1).flow_from_directory(tmp_path, ["a"])
    assert iterator.filenames == [f"a/1.{ending}"]
    samples, rate = read_recording(iterator.filepaths[0])
    spectrum = np.abs(np.fft.rfft(to_float(samples)[2000:14000]))
    assert abs(spectrum.argmax() * rate / 12000 - 440) < 3


def test_real_numbers_in_the_scale_of_integers_are_refused_or_scaled(tmp_path, tone):
    soundfile.write(tmp_path / "a.wav", tone(440) * 32768, 16000, subtype="FLOAT")
    with pytest.raises(DatasetError, match=r"a\.wav' holds real numbers up to 16,3.* float_scale .*32768"):
        read_recording(tmp_path / "a.wav")
    samples, _ = read_recording(tmp_path / "a.wav", ReadingRules(float_scale=32768))
    assert np.abs(samples - tone(440)).max() < 1e-6


def test_what_is_unusual_in_a_recording_is_reported(tmp_path, tone, caplog):
    silence = np.zeros(16000)
    soundfile.write(tmp_path / "left.wav", np.stack([silence, tone(440)], 1), 16000)
    soundfile.write(tmp_path / "none.wav", np.stack([silence, silence], 1), 16000)
    soundfile.write(tmp_path / "loud.wav", tone(440) * 3, 16000, subtype="FLOAT")
    soundfile.write(tmp_path / "good.wav", tone(440), 16000)
    for name in ("left", "none", "loud", "good"):
        caplog.clear()
        read_recording(tmp_path / f"{name}.wav")
        expected = {
            "left": "first channel is silent, but not another",
            "none": "that are silent",
            "loud": "beyond -1 to 1",
        }
        assert (expected[name] in caplog.text) if name in expected else not caplog.records


def test_another_channel_or_the_mean_can_be_used(tmp_path, tone, caplog):
    path = tmp_path / "a.wav"
    soundfile.write(path, np.stack([np.zeros(16000), tone(440)], 1), 16000)
    assert not read_recording(path, ReadingRules(channel=0))[0].any()
    assert np.abs(to_float(read_recording(path, ReadingRules(channel=1))[0]) - tone(440)).max() < 1e-4
    assert np.abs(read_recording(path, ReadingRules(channel="mean"))[0] - tone(440) / 2).max() < 1e-4
    with pytest.raises(DatasetError, match=r"a\.wav' has 2 channels, so there is no channel 2"):
        read_recording(path, ReadingRules(channel=2))
    soundfile.write(path, tone(440), 16000)
    assert len(read_recording(path, ReadingRules(channel=2))[0]) == 16000
    assert "first channel" not in caplog.text


def test_trimming_that_cuts_sound_is_told_from_trimming_of_noise(tone):
    noise = 0.0003 * np.random.default_rng(0).standard_normal(16000).astype(np.float32)
    vowel = noise.copy()
    vowel[6000:10000] += tone(300, 0.25)
    consonant = vowel.copy()
    consonant[2500:6000] += tone(3000, 3500 / 16000, amplitude=0.02)
    assert not cuts_sound(vowel, 16000, 20)
    assert cuts_sound(consonant, 16000, 20)
    assert not cuts_sound(consonant, 16000, 40)
    assert not cuts_sound(consonant + 100 * noise, 16000, 20)


@settings(max_examples=60, deadline=None)
@given(data=st.binary(max_size=200), cut=st.integers(0, 250))
def test_damaged_wav_files_are_read_or_refused_with_one_error(tmp_path_factory, data, cut):
    path = tmp_path_factory.mktemp("fuzz") / "a.wav"
    path.write_bytes(wav(bytes(20), chunks=data)[:cut])
    try:
        samples, _ = read_recording(path)
    except DatasetError as e:
        assert str(path) in str(e)
    else:
        assert len(samples)


@pytest.mark.parametrize(("rate", "target"), [(8000, 16000), (44100, 16000), (48000, 16000), (16000, 16000)])
def test_resampling_keeps_pitch_level_and_duration(tone, rate, target):
    result = resample(tone(1000, 1.0, rate), rate, target)
    assert abs(len(result) - target) <= 1 and result.dtype == np.float32
    spectrum = np.abs(np.fft.rfft(result))
    assert spectrum.argmax() * target / len(result) == pytest.approx(1000, abs=2)
    assert np.sqrt(np.mean(result[1000:-1000] ** 2)) == pytest.approx(0.5 / np.sqrt(2), rel=0.01)


def test_resampling_removes_what_the_lower_rate_cannot_hold(tone):
    assert np.abs(resample(tone(15000, 1.0, 44100), 44100, 16000)[1000:-1000]).max() < 1e-3


def test_silence_is_trimmed_at_both_ends(tone):
    x = np.concatenate([np.zeros(4000, np.float32), tone(440, 0.5), np.zeros(3000, np.float32)])
    start, stop = find_speech(x, 16000, 30)
    assert 3500 <= start <= 4000 and 12000 <= stop <= 12500
    assert find_speech(np.zeros(100, np.float32), 16000, 30) == (0, 100)
    assert find_speech(tone(440, 0.001), 16000, 30) == (0, 16)
    quiet = np.concatenate([tone(440, 0.2, amplitude=0.02), tone(440, 0.2)])
    assert find_speech(quiet, 16000, 20)[0] > 2500
    assert find_speech(quiet, 16000, 40)[0] == 0


def test_a_negative_threshold_is_rejected(tone):
    with pytest.raises(DatasetError, match="0 dB or more, got -5"):
        find_speech(tone(440), 16000, -5)
    assert find_speech(np.zeros(0, np.float32), 16000, 30) == (0, 0)


@settings(max_examples=100, deadline=None)
@given(n=st.integers(1, 50), length=st.integers(1, 50), offset=st.floats(0, 1))
def test_a_recording_is_padded_or_cropped_at_any_offset(n, length, offset):
    x = np.arange(1, n + 1, dtype=np.float32)
    out = np.zeros(length, np.float32)
    start, stop = pad_or_crop(x, length, offset, out)
    assert stop - start == min(n, length)
    assert np.array_equal(np.diff(out[start:stop]), np.ones(stop - start - 1))
    assert not out[:start].any() and not out[stop:].any()


def test_recording_that_would_take_much_memory_is_refused(tmp_path, monkeypatch):
    path = tmp_path / "long.wav"
    samples = np.arange(6000, dtype=np.int16).reshape(-1, 3)
    soundfile.write(path, samples, 16_000)
    monkeypatch.setattr(_files, "_BLOCK", 700)
    np.testing.assert_array_equal(read_recording(path)[0], samples[:, 0])
    monkeypatch.setattr(_files, "MAX_SAMPLES", 1999)
    with pytest.raises(
        DatasetError, match=r"long\.wav' has 2,000 samples; the maximum is 1,999\. Cut it into pieces"
    ):
        read_recording(path)


@pytest.fixture(scope="module")
def sound_files():
    """Small recordings of all kinds, by ending."""
    noise = 0.2 * np.random.default_rng(0).standard_normal((400, 2))
    files = []
    for file_format, subtype in (
        ("WAV", "FLOAT"),
        ("WAV", "DOUBLE"),
        ("WAV", "PCM_24"),
        ("WAV", "IMA_ADPCM"),
        ("FLAC", "PCM_16"),
        ("OGG", "VORBIS"),
        ("OGG", "OPUS"),
        ("MP3", "MPEG_LAYER_III"),
    ):
        buffer = io.BytesIO()
        soundfile.write(buffer, noise, 16000, format=file_format, subtype=subtype)
        files.append((file_format.lower(), buffer.getvalue()))
    return files


@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_damaged_recordings_of_every_kind_are_read_or_refused_in_one_line(
    tmp_path_factory, sound_files, capfd, data
):
    ending, content = data.draw(st.sampled_from(sound_files))
    spoilt = bytearray(content)
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, 100) | st.integers(0, len(spoilt) - 1))
        spoilt[place : place + data.draw(st.sampled_from([0, 1, 4]))] = data.draw(st.binary(max_size=4))
    path = tmp_path_factory.mktemp("fuzz") / f"a.{ending}"
    path.write_bytes(spoilt)
    try:
        samples, _ = read_recording(path)
    except DatasetError as e:
        assert len(str(e).splitlines()) == 1
    else:
        assert len(samples)
    assert "Traceback" not in capfd.readouterr().err


def test_memory_depends_on_the_content_and_not_on_the_header():
    path = Path(__file__).parent / "data" / "announces_too_much.mp3"
    with _files.open_sound_file(path) as sound:
        assert sound.frames > 100 * 1199
    tracemalloc.start()
    try:
        assert len(read_recording(path)[0]) == 1199
        assert tracemalloc.get_traced_memory()[1] < 32 << 20
    finally:
        tracemalloc.stop()


@settings(max_examples=60, deadline=None)
@given(
    n=st.integers(1, 4000),
    rate=st.sampled_from([400, 8000, 16000]),
    seed=st.integers(0, 999),
    db=st.floats(3, 50),
)
def test_trimming_agrees_with_the_power_of_four_adjacent_blocks(n, rate, seed, db):
    rng = np.random.default_rng(seed)
    x = (rng.normal(size=n) * np.exp(-(((np.arange(n) - rng.integers(n)) / (n / 6)) ** 2))).astype(np.float32)
    step = max(1, round(rate * 0.025 / 4))
    blocks = np.zeros((max(4, -(-n // step)), step))
    blocks.reshape(-1)[:n] = x
    energies = np.sum(blocks**2, axis=1)
    starts = np.arange(len(blocks) - 3) * step
    stops = np.minimum(starts + 4 * step, n)
    power = np.convolve(energies, np.ones(4), "valid") / (stops - starts)
    share = power / power.max() / 10 ** (-db / 10)
    loud = np.flatnonzero(share >= 1)
    if np.abs(share - 1).min() > 1e-4:
        assert find_speech(x, rate, db) == (starts[loud[0]], stops[loud[-1]])
