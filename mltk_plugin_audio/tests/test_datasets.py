"""The audio data sets, downloaded from a local server."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import io
import re
import tarfile
import threading
import zipfile
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile

from mltk.data import list_dataset_directory, resolve_data
from mltk.datasets import audio as audio_datasets
from mltk.errors import DatasetError, DownloadError
from mltk_plugin_audio import datasets
from mltk_plugin_audio.datasets import (
    direction_commands,
    hey_gecko,
    mit_ir_survey,
    on_off,
    ten_digits,
    yes_no,
)
from mltk_plugin_audio.datasets.background_noise import ambient, brd2601, esc50
from mltk_plugin_audio.datasets.mlcommons import ml_commons_keywords, ml_commons_voice
from mltk_plugin_audio.datasets.speech_commands import speech_commands_v2
from mltk_plugin_audio.datasets.synthetic_commands import (
    CLASSES,
    list_valid_filenames_in_directory,
    load_data,
)


@pytest.fixture
def mirror(tmp_path, monkeypatch):
    """A served folder; call it with a path and content, and it returns the SHA-1."""
    folder = tmp_path / "web"
    folder.mkdir()

    class Handler(SimpleHTTPRequestHandler):
        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Handler, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    monkeypatch.setenv("MLTK_DATASET_MIRROR", f"http://127.0.0.1:{server.server_port}")

    def add(path: str, content: bytes, algorithm: str = "sha1") -> str:
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(content)
        return hashlib.new(algorithm, content).hexdigest()

    add.url = f"http://127.0.0.1:{server.server_port}"
    yield add
    server.shutdown()
    server.server_close()
    thread.join()


def wav(x, rate=16000) -> bytes:
    buffer = io.BytesIO()
    soundfile.write(buffer, x, rate, format="WAV", subtype="PCM_16")
    return buffer.getvalue()


def tar_gz(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def zipped(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def test_the_data_sets_have_the_names_of_the_reference():
    assert sorted(datasets.__all__) == datasets.__all__
    assert audio_datasets.speech_commands_v2.load_clean_data is speech_commands_v2.load_clean_data
    for module in (ambient, esc50, brd2601, mit_ir_survey, ml_commons_keywords, ml_commons_voice, on_off):
        assert callable(module.download)
        digests = [value for name, value in vars(module).items() if name.endswith("SHA1")]
        assert all(re.fullmatch("[0-9a-f]{40}", digest) for digest in digests), module
        for word in ("Source:", "Licence:"):
            assert word in module.__doc__
    assert len(speech_commands_v2.CLASSES) == 35
    for module in (on_off, yes_no, ten_digits, direction_commands, hey_gecko):
        assert len(set(module.CLASSES)) == len(module.CLASSES) and len(module.VERIFY_SHA1) == 40


def test_synthetic_commands_are_labelled_balanced_and_complete(tmp_path):
    folder = load_data()
    assert folder == load_data() == (tmp_path / "cache/datasets/synthetic_commands").as_posix()
    paths, ids = list_dataset_directory(folder, CLASSES)
    assert np.bincount(ids).tolist() == [30] * 10
    for path in paths[::17]:
        x, rate = soundfile.read(Path(folder, path))
        assert (x.shape, rate) == ((16000,), 16000) and np.abs(x).max() > 0.02
    assert "Synthetic speech" in Path(folder, "README.txt").read_text()
    assert len(list(Path(folder, "_background_noise_").glob("*.wav"))) == 2
    assert "synthetic" in datasets.synthetic_commands.__doc__


def test_synthetic_commands_are_those_of_the_source(shared):
    source = shared / "data" / "kws_synth_espeak"
    folder = Path(load_data())
    for path in sorted(source.glob("*/*_nohash_0.wav"))[::11]:
        original = soundfile.read(path)[0]
        x = soundfile.read(folder / path.parent.name / path.name)[0]
        assert 10 * np.log10(np.sum(original**2) / np.sum((original - x) ** 2)) > 12


def test_no_voice_is_in_both_parts_of_a_split():
    folder = load_data()
    parts = [
        {path.split("/")[1] for path in list_valid_filenames_in_directory(folder, word, split=split)[1]}
        for split in ((0, 0.2), (0.2, 1))
        for word in CLASSES
    ]
    assert all(part == parts[0] for part in parts[:10]) and all(part == parts[10] for part in parts[10:])
    assert (len(parts[0]), len(parts[10]), parts[0] & parts[10]) == (6, 24, set())


def test_other_files_are_never_overwritten(tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").touch()
    with pytest.raises(DatasetError, match="has other files in it"):
        load_data(tmp_path / "mine")


@pytest.fixture
def speech_commands(mirror, monkeypatch, tone):
    word = np.concatenate([np.zeros(6000), tone(440, 0.3), np.zeros(5200)])
    files = {"README.md": b"words", "_background_noise_/hiss.wav": wav(0.1 * np.ones(9))}
    for label in ("yes", "no"):
        files |= {f"{label}/{s}_nohash_{n}.wav": wav(word) for s in "abcd" for n in range(2)}
    files["yes/silent_nohash_0.wav"] = wav(np.zeros(16000))
    files["yes/steady_nohash_0.wav"] = wav(tone(440))
    digest = mirror(
        "speech_commands/speech_commands_v0.02.tar.gz",
        tar_gz({f"./{k}": v for k, v in files.items()}),
        "sha256",
    )
    monkeypatch.setattr(speech_commands_v2, "CHECKSUM", digest)


def test_speech_commands_are_downloaded_checked_and_split_by_speaker(speech_commands):
    folder = speech_commands_v2.load_data()
    parts = [
        list_dataset_directory(
            folder,
            ["no", "yes"],
            split=split,
            list_valid_filenames_in_directory_function=speech_commands_v2.list_valid_filenames_in_directory,
        )[0]
        for split in ((0, 0.3), (0.3, 1))
    ]
    speakers = [{path.split("/")[1].split("_")[0] for path in part} for part in parts]
    assert not speakers[0] & speakers[1] and len(parts[0]) + len(parts[1]) == 18


def test_clean_speech_commands_omit_recordings_without_a_word(speech_commands, monkeypatch):
    folder = Path(speech_commands_v2.load_clean_data())
    assert sorted(p.name for p in (folder / "yes").iterdir()) == sorted(
        f"{s}_nohash_{n}.wav" for s in "abcd" for n in range(2)
    )
    assert len(list((folder / "no").iterdir())) == 8
    assert (folder / "_background_noise_" / "hiss.wav").is_file() and (folder / "README.md").is_file()
    assert Path(speech_commands_v2.load_data(), "yes", "silent_nohash_0.wav").is_file()
    assert speech_commands_v2.load_clean_data() == folder.as_posix()


def test_clean_speech_commands_can_be_added_to_other_words(speech_commands, tmp_path):
    other = tmp_path / "words" / "yes" / "other.wav"
    other.parent.mkdir(parents=True)
    other.write_bytes(wav(np.zeros(100), 16000))
    with pytest.raises(DatasetError, match="other files"):
        speech_commands_v2.load_clean_data(tmp_path / "words")
    for _ in range(2):
        speech_commands_v2.load_clean_data(tmp_path / "words", clean_in_place=True, clean_dest_dir=False)
        assert other.is_file() and len(list(other.parent.iterdir())) == 9
    assert len(list((tmp_path / "words" / "no").iterdir())) == 8


def test_a_changed_download_is_refused(mirror):
    mirror("speech_commands/speech_commands_v0.02.tar.gz", tar_gz({"a": b"b"}))
    with pytest.raises(DownloadError, match="was expected"):
        speech_commands_v2.load_data()


def test_impulse_responses_are_downloaded_resampled_and_applied(mirror, monkeypatch):
    response = np.zeros(3200)
    response[0] = 0.9
    digest = mirror("mit_ir_survey/Audio.zip", zipped({"Audio/h001.wav": wav(response, 32000)}))
    monkeypatch.setattr(mit_ir_survey, "VERIFY_SHA1", digest)
    folder = mit_ir_survey.download()
    (ir,) = mit_ir_survey.load_dataset(folder)
    assert np.array_equal(ir, *mit_ir_survey.load_dataset(Path(folder).parent))
    assert ir.shape == (1600,) and ir.dtype == np.float32
    x = np.random.default_rng(0).standard_normal(100).astype(np.float32)
    assert mit_ir_survey.apply_ir(x, np.array([0, 2.0])) == pytest.approx(np.r_[0, 2 * x], abs=1e-5)
    assert np.array_equal(mit_ir_survey.apply_random_ir(x, [ir]), mit_ir_survey.apply_ir(x, ir))


def test_environmental_sounds_are_resampled_beside_the_originals(mirror, monkeypatch, tone):
    name = esc50.DOWNLOAD_URL.rpartition("/")[2]
    archive = zipped({"ESC-50-x/audio/1-a.wav": wav(tone(440, 1, 44100), 44100)})
    monkeypatch.setattr(esc50, "VERIFY_SHA1", mirror(f"esc-50/{name}", archive))
    folder = Path(esc50.download())
    assert soundfile.info(folder / "1-a.wav").samplerate == 16000
    assert soundfile.info(folder.parent / "audio" / "1-a.wav").samplerate == 44100
    assert esc50.download(sample_rate_hertz=44100) == (folder.parent / "audio").as_posix()


@pytest.mark.parametrize("module", [on_off, yes_no, ten_digits, direction_commands, hey_gecko])
def test_synthetic_sets_are_extracted_where_a_model_finds_them(mirror, tmp_path, module, tone):
    name = module.__name__.rpartition(".")[2]
    digest = mirror(f"{name}/{module.DOWNLOAD_URL.rpartition('/')[2]}", seven_zipped(tmp_path, tone))
    assert (module.download.url, module.download.sha1) == (module.DOWNLOAD_URL, module.VERIFY_SHA1)
    changed = SimpleNamespace(load_data=dataclasses.replace(module.load_data, sha1=digest))
    path = resolve_data(SimpleNamespace(dataset=changed), "training", False)
    assert path == tmp_path / "cache" / "datasets" / name
    assert Path(path, "on", "1.wav").is_file()


def test_the_subset_of_common_voice_is_extracted(mirror, monkeypatch, tmp_path, tone):
    name = ml_commons_voice.DOWNLOAD_URL.rpartition("/")[2]
    digest = mirror(f"ml_commons_voice/{name}", seven_zipped(tmp_path, tone))
    monkeypatch.setattr(ml_commons_voice, "VERIFY_SHA1", digest)
    assert Path(ml_commons_voice.download(tmp_path / "out"), "on", "1.wav").is_file()


def seven_zipped(folder, tone):
    py7zr = pytest.importorskip("py7zr")
    with py7zr.SevenZipFile(folder / "a.7z", "w") as archive:
        archive.writestr(wav(tone(440)), "on/1.wav")
    return (folder / "a.7z").read_bytes()


def test_single_recordings_are_downloaded_once_and_resampled(mirror, tmp_path, tone):
    mirror("noise/a.wav", wav(tone(440, 1, 44100), 44100))
    for _ in range(2):
        (path,) = ambient.download(tmp_path / "out", urls=f"{mirror.url}/noise/a.wav")
        assert soundfile.info(path).samplerate == 16000
    (folder,) = datasets.utils.download_and_extract(tmp_path / "x", archive_of(mirror, tone))
    assert Path(folder, "b.wav").is_file()


def archive_of(mirror, tone):
    digest = mirror("noise/b.zip", zipped({"b.wav": wav(tone(440))}))
    return f"{mirror.url}/noise/b.zip", digest.upper()
