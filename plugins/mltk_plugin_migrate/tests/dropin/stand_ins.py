"""Small generated data in the place of every data set that the reference's specifications download.

Recordings are tones, one pitch per word; pictures are noise around one brightness per class. The same seed gives the
same bytes. Many samples of a class are the same file under several names (hard links): what counts is that the
specifications find as many speakers and files as they split, not what is in them.
"""

from __future__ import annotations

import gzip
import io
import os
import tarfile
import wave
import zlib
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from PIL import Image

DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
DIRECTIONS = ("left", "right", "up", "down", "stop", "go")
VARIANTS = 4
RATE = 16000

AMBIENT = (
    "mixkit-very-crowded-pub-or-party-loop-360.wav",
    "mixkit-big-crowd-talking-loop-364.wav",
    "mixkit-restaurant-crowd-talking-ambience-444.wav",
    "mixkit-keyboard-typing-1386.wav",
    "mixkit-office-ambience-447.wav",
    "mixkit-hotel-lobby-with-dining-area-ambience-453.wav",
    "crowd-talking-1.wav",
)


def generator(*key: object) -> np.random.Generator:
    """Return a random generator for the data of this name."""
    return np.random.default_rng(zlib.crc32(repr(key).encode()))


def put_all(cache: Path, work: Path) -> None:
    """Write all data sets below mltk's cache folder, and what specifications look for in the working folder."""
    datasets, downloads = cache / "datasets", cache / "downloads"
    _speech_commands(datasets / "speech_commands" / "v2")
    _keyword_folders(datasets)
    _noises(datasets)
    _arrays(downloads)
    for label in ("rock", "paper", "scissor"):
        _pictures(datasets / "rock_paper_scissors" / "v1" / label, (96, 96), 40)
    for label in ("rock", "paper", "scissor", "_unknown_"):
        _pictures(datasets / "rock_paper_scissors" / "v2" / label, (84, 84), 40)
    for label in ("person", "non_person"):
        _pictures(datasets / "mscoco14" / "preprocessed" / "v1" / label, (96, 96, 3), 150)
    _spectrograms(datasets / "toyadmos" / "preprocessed" / "v1", ("normal", "abnormal"), (196, 128), 40)
    keywords = ("yes", "no", "up", "down", "left", "right", "on", "off", "stop", "go", "unknown")
    _spectrograms(
        datasets / "speech_commands" / "preprocessed" / "v1", (*keywords, "_background_noise_"), (50, 10), 12
    )
    _heart_beats(datasets)
    _gestures(datasets / "accelerometer" / "tflm_magic_wand")
    for finger in range(12):
        folder = work / "your-fingerprint-dataset-directory-or-download-url" / f"finger{finger}"
        _fingerprints(folder, finger)


def _wav(path: Path, samples: np.ndarray, rate: int = RATE) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes((np.clip(samples, -1, 1) * 32767).astype("<i2").tobytes())


def _word(word: str, variant: int, seconds: float = 0.5) -> np.ndarray:
    """Return a tone that swells and fades; float `(n,)`, -1 to 1."""
    rng = generator(word, variant)
    t = np.arange(round(seconds * RATE)) / RATE
    pitch = 200 + generator(word).integers(0, 20) * 150 + rng.uniform(-20, 20)
    tone = np.sin(2 * np.pi * pitch * t) * np.hanning(len(t)) ** 4 * rng.uniform(0.3, 0.8)
    return tone + rng.normal(0, 0.003, len(t))


def _linked(originals: list[Path], names: Iterable[Path]) -> None:
    """Give the originals further names, in turn."""
    for i, path in enumerate(names):
        path.parent.mkdir(parents=True, exist_ok=True)
        os.link(originals[i % len(originals)], path)


def _words(folder: Path, word: str, names: list[str]) -> None:
    """Write recordings of a word under these names."""
    originals = [folder / name for name in names[:VARIANTS]]
    for variant, path in enumerate(originals):
        _wav(path, _word(word, variant))
    _linked(originals, (folder / name for name in names[VARIANTS:]))


def _speaker(i: int) -> str:
    return f"{zlib.crc32(str(i).encode()):08x}"


def _noise(path: Path, seconds: float = 4.0, rate: int = RATE) -> None:
    rng = generator(path.name)
    _wav(path, rng.normal(0, 0.02, round(seconds * rate)), rate)


def _speech_commands(folder: Path) -> None:
    from mltk.datasets.audio.speech_commands import speech_commands_v2

    for word in speech_commands_v2.CLASSES:
        _words(folder / word, word, [f"{_speaker(i)}_nohash_0.wav" for i in range(60)])
    for name in ("doing_the_dishes.wav", "running_tap.wav"):
        _noise(folder / "_background_noise_" / name)
    # Made of the former; here, lest two specifications make it at the same time.
    speech_commands_v2.load_clean_data()


def _keyword_folders(datasets: Path) -> None:
    """Write what the specifications with synthetic voices and many further sources of sounds gather in one folder."""
    # The share of validation, 10 to 15 %, must fill a batch of 64 or 100.
    sets = {
        "on_off": (("on", "off"), 250),
        "direction_commands": (DIRECTIONS, 120),
        "keyword_spotting_numbers": (DIGITS, 60),
        "alexa": (("alexa",), 450),
    }
    for name, (words, count) in sets.items():
        folder = datasets / name
        for word in words:
            _words(folder / word, word, [f"gcp_en-US+voice+{word}+{_speaker(i)}.wav" for i in range(count)])
        unknown = folder / "_unknown"
        _words(unknown / "unknown", "table", [f"azure_x+table+{_speaker(i)}.wav" for i in range(300)])
        for word in ("house", "river"):
            _words(
                unknown / "mlcommons_keywords" / word,
                word,
                [f"common_voice_en_{1000 + i}.wav" for i in range(150)],
            )
        _words(unknown / "mlcommons_voice", "speech", [f"common_voice_en_{5000 + i}.wav" for i in range(8)])
        for i in range(8):
            _noise(unknown / "esc-50" / "audio" / f"1-{100 + i}-A-{i}.wav", 2.0, 44100)
            _wav(
                folder / "_ir_responses_" / "Audio" / f"h{i:03}.wav",
                generator("room", i).normal(0, 0.3, 3200) * np.exp(-np.arange(3200) / 400),
            )
        _background(folder / "_background_noise_")


def _background(folder: Path) -> None:
    from mltk.datasets.audio.background_noise import ambient

    _noise(folder / "brd2601" / "brd2601_background_audio.wav")
    _noise(folder / "pacman" / "recorded_pacman_game_play.wav")
    for name in AMBIENT:
        _noise(folder / "ambient" / name)
    for url in ambient.DOWNLOAD_URLS:
        _noise(folder / "ambient" / "original" / url.rpartition("/")[2])


def _noises(datasets: Path) -> None:
    _noise(datasets / "recorded_pacman_game_play" / "recorded_pacman_game_play.wav")
    _noise(datasets / "brd2601_background_audio" / "brd2601_background_audio.wav")
    cleaned = datasets / "speech_commands" / "v2_cleaned"
    _background(cleaned / "_background_noise_")
    names = [f"azure_x+table+{_speaker(i)}.wav" for i in range(60)]
    _words(cleaned / "_on_off_unknown" / "unknown", "table", names)


def _pixels(label: str, shape: tuple[int, ...], variant: int) -> np.ndarray:
    level = generator(label).integers(60, 200)
    noise = generator(label, shape, variant).normal(level, 25, shape)
    return np.clip(noise, 0, 255).astype(np.uint8)


def _pictures(folder: Path, shape: tuple[int, ...], count: int) -> None:
    originals = [folder / f"img_{i:04}.jpg" for i in range(8)]
    folder.mkdir(parents=True)
    for variant, path in enumerate(originals):
        Image.fromarray(_pixels(folder.name, shape, variant)).save(path)
    _linked(originals, (folder / f"img_{i:04}.jpg" for i in range(8, count)))


def _arrays(downloads: Path) -> None:
    """Write MNIST, Fashion-MNIST and CIFAR-10 in their own formats."""
    from mltk.datasets.image import mnist

    for dataset in ("mnist", "fashion_mnist"):
        folder = downloads / dataset
        folder.mkdir(parents=True)
        for name in mnist.CHECKSUMS:
            # One specification takes the first 30,000 for training and the rest for validation.
            count = 31000 if name.startswith("train") else 120
            data = np.resize(np.arange(10, dtype=np.uint8), count)
            if "images" in name:
                images = [_pixels(str(i % 10), (28, 28), i) for i in range(120)]
                data = np.resize(np.stack(images), (count, 28, 28))
            head = bytes([0, 0, 8, data.ndim]) + b"".join(n.to_bytes(4, "big") for n in data.shape)
            (folder / name).write_bytes(gzip.compress(head + data.tobytes(), 1, mtime=0))
    (downloads / "cifar10").mkdir()
    with tarfile.open(downloads / "cifar10" / "cifar-10-binary.tar.gz", "w:gz") as archive:
        for name in (*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"):
            records = (bytes([i % 10]) + _pixels(str(i % 10), (3, 32, 32), i).tobytes() for i in range(120))
            content = b"".join(records)
            info = tarfile.TarInfo(f"cifar-10-batches-bin/{name}.bin")
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))


def _spectrograms(base: Path, labels: Iterable[str], shape: tuple[int, int], count: int) -> None:
    for label in labels:
        (base / label).mkdir(parents=True)
        for i in range(count):
            level = generator(label).uniform(-1, 1)
            spectrogram = generator(label, i).normal(level, 0.5, shape).astype(np.float32)
            np.save(base / label / f"sample_{i:03}.npy", spectrogram)


def _heart_beats(datasets: Path) -> None:
    """Write beats as lines of 140 values and the label 1 (normal) or 0, and recordings of 360 Hz."""
    rng = generator("beats")
    t = np.linspace(0, 1, 140)
    rows = []
    for i in range(300):
        label = int(i % 10 < 6)
        beat = np.sin(2 * np.pi * (1 + 2 * (1 - label)) * t) + rng.normal(0, 0.1, 140)
        rows.append(",".join(f"{v:.5f}" for v in (*beat, label)))
    (datasets / "ecg500.csv").write_text("\n".join(rows) + "\n")
    for n, label in enumerate(("1 NSR", "2 APB", "4 AFIB", "7 PVC")):
        for i in range(20):
            beats = np.sin(2 * np.pi * (1 + n) * np.arange(3600) / 360)
            noise = generator(label, i).normal(0, 0.05, 3600)
            _wav(datasets / "ekg_waveforms" / "v1" / label / f"{i:03}m.wav", 0.5 * beats + noise, 360)


def _gestures(folder: Path) -> None:
    """Write accelerometer recordings as the data set's archive has them: one folder per gesture and file per person."""
    people = ("hyw", "shiyun", "tangsy", "dengyl", "jiangyh", "xunkai", "lsj", "pengxl", "liucx", "zhangxy")
    for gesture in ("wing", "ring", "slope"):
        for person in people:
            _gesture(folder / gesture / f"output_{gesture}_{person}.txt", gesture)
    for i in range(1, 9):
        _gesture(folder / "negative" / f"output_negative_{i}.txt", "negative")


def _gesture(path: Path, gesture: str) -> None:
    rng = generator(path.name)
    lines = []
    for _ in range(8):
        lines.append("-,-,-")
        phase = np.linspace(0, 2 * np.pi, 140)[:, None] + generator(gesture).uniform(0, 6, 3)
        motion = 300 * np.sin(phase) + rng.normal(0, 30, (140, 3))
        lines += [",".join(f"{v:.1f}" for v in row) for row in motion]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n")


def _fingerprints(folder: Path, finger: int) -> None:
    folder.mkdir(parents=True)
    y, x = np.mgrid[0:192, 0:192]
    for i in range(4):
        rng = generator("finger", finger, i)
        bend = 20 + 3 * finger
        ridges = np.sin((np.hypot(x - 96 - bend, y - 60 - i) + 0.2 * x * (finger % 3)) / 1.8)
        pixels = np.clip(128 + 110 * ridges + rng.normal(0, 8, ridges.shape), 0, 255).astype(np.uint8)
        Image.fromarray(pixels).save(folder / f"raw_{i}.jpg", quality=95)
