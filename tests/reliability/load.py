"""Train on data that are many, large or long, and measure the memory it takes.

    python tests/reliability/load.py                        # all cases
    python tests/reliability/load.py files --size 2000      # one, smaller

Each case runs in a process of its own, whose memory is `VmRSS`, and at its greatest `VmHWM`, in `/proc/self/status`.
"""

from __future__ import annotations

import argparse
import json
import os
import struct
import subprocess
import sys
import tempfile
import textwrap
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

IMAGES = """
# @mltk_model
import tensorflow as tf
from mltk.core import EvaluateClassifierMixin, ImageDatasetMixin, MltkModel, TrainMixin
from mltk.core.preprocess.image.parallel_generator import ParallelImageDataGenerator


class MyModel(MltkModel, TrainMixin, ImageDatasetMixin, EvaluateClassifierMixin):
    pass


my_model = MyModel()
my_model.dataset = DATA
my_model.classes = ["a", "b"]
my_model.input_shape = (16, 16, 3)
my_model.datagen = ParallelImageDataGenerator(cores=2, validation_split=0.1, cache_bytes=0)
"""

SOUNDS = """
# @mltk_model
import tensorflow as tf
from mltk.core import EvaluateClassifierMixin, MltkModel, TrainMixin
from mltk_plugin_audio import AudioDatasetMixin, ParallelAudioDataGenerator


class MyModel(MltkModel, TrainMixin, AudioDatasetMixin, EvaluateClassifierMixin):
    pass


my_model = MyModel()
my_model.dataset = DATA
my_model.classes = ["a", "b"]
my_model.datagen = ParallelAudioDataGenerator(cores=1, validation_split=0.5, cache_bytes=0)
"""

COMMON = """
my_model.epochs = 2
my_model.batch_size = 4
my_model.steps_per_epoch = STEPS
my_model.validation_steps = 2
my_model.checkpoint = None
my_model.tflite_converter = {}


def build(model):
    network = tf.keras.Sequential([
        tf.keras.layers.InputLayer(model.input_shape),
        tf.keras.layers.GlobalAveragePooling2D(),
        tf.keras.layers.Dense(2, activation="softmax"),
    ])
    network.compile(loss=model.loss, optimizer="sgd", metrics=["accuracy"])
    return network


my_model.build_model_function = build
"""


def memory(field: str = "VmRSS") -> float:
    """Return the memory of this process in MB."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field):
            return int(line.split()[1]) / 1000
    raise ValueError(field)


def train(template: str, data: Path, steps: int) -> dict[str, Any]:
    """Train for two epochs and return what it took."""
    from mltk.core import load_mltk_model, train_model
    from mltk.keras.environment import import_tensorflow

    import_tensorflow()
    import keras

    text = textwrap.dedent(template + COMMON).replace("DATA", repr(str(data))).replace("STEPS", str(steps))
    Path("load_v1.py").write_text(text)
    model = load_mltk_model("load_v1.py")
    points: list[float] = []
    model.train_callbacks = [
        keras.callbacks.LambdaCallback(
            on_epoch_begin=lambda epoch, logs: points.append(memory()),
            on_train_batch_end=lambda batch, logs: points.append(memory()),
        )
    ]
    before = memory()
    started = time.perf_counter()
    train_model(model, quantize=False, verbose=False)
    # The first steps make what the following ones use again.
    half = len(points) // 2
    return {
        "files": sum(model.class_counts["training"].values())
        + sum(model.class_counts["validation"].values()),
        "seconds": time.perf_counter() - started,
        "before": before,
        "listed": points[0],
        "growth": max(points[half:]) - max(points[1:half]),
        "peak": memory("VmHWM"),
    }


def files(folder: Path, count: int) -> dict[str, Any]:
    """Many small pictures: hard links, of which a file may have some ten thousand."""
    from PIL import Image

    for name, value in (("a", 50), ("b", 200)):
        (folder / name).mkdir()
        for i in range(count // 2):
            if i % 30_000 == 0:
                original = folder / name / f"{i:06d}.png"
                Image.new("RGB", (16, 16), (value, i // 30_000, 0)).save(original)
            else:
                (folder / name / f"{i:06d}.png").hardlink_to(original)
    return train(IMAGES, folder, steps=200)


def bytes_(folder: Path, total: int) -> dict[str, Any]:
    """Large pictures: BMP files of 48 MB whose pixels are holes in the file."""
    side = 4000
    size = side * side * 3
    header = struct.pack("<2sIHHI", b"BM", 54 + size, 0, 0, 54) + struct.pack(
        "<IiiHHIIiiII", 40, side, side, 1, 24, 0, size, 2835, 2835, 0, 0
    )
    for name in ("a", "b"):
        (folder / name).mkdir()
        for i in range(-(-total // size // 2)):
            with (folder / name / f"{i:04d}.bmp").open("wb") as file:
                file.write(header)
                file.truncate(54 + size)
    return train(IMAGES, folder, steps=8)


def image(folder: Path, side: int) -> dict[str, Any]:
    """One picture that is too large; what the command says of it."""
    from PIL import Image

    Image.MAX_IMAGE_PIXELS = None
    for name in ("a", "b"):
        (folder / name).mkdir()
        for i in range(10):
            Image.new("RGB", (16, 16), (i, 0, 0)).save(folder / name / f"{i:02d}.png")
    # In another process: its memory is not that of reading it.
    code = (
        f"from PIL import Image; Image.new('L', ({side}, {side})).save({str(folder / 'a' / '99.png')!r}); "
        f"Image.new('L', ({side}, {side})).save({str(folder / 'b' / '99.jpg')!r})"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
    from mltk.errors import DatasetError

    try:
        return train(IMAGES, folder, steps=5)
    except DatasetError as e:
        return {"refused": str(e), "peak": memory("VmHWM")}


def sound(folder: Path, seconds: int) -> dict[str, Any]:
    """Long recordings, 16 kHz, of silence, whose samples are holes in the file."""
    size = seconds * 32_000
    header = (
        struct.pack("<4sI4s", b"RIFF", 36 + size, b"WAVE")
        + struct.pack("<4sIHHIIHH", b"fmt ", 16, 1, 1, 16_000, 32_000, 2, 16)
        + struct.pack("<4sI", b"data", size)
    )
    for name in ("a", "b"):
        (folder / name).mkdir()
        for i in range(4):
            with (folder / name / f"{i}.wav").open("wb") as file:
                file.write(header)
                file.truncate(len(header) + size)
    return train(SOUNDS, folder, steps=4)


CASES: dict[str, tuple[Callable[[Path, int], dict[str, Any]], int, str]] = {
    "files": (files, 200_000, "small files"),
    "bytes": (bytes_, 20_000_000_000, "bytes of pictures"),
    "image": (image, 20_000, "pixels on each side"),
    "sound": (sound, 3600, "seconds in each recording"),
}


def measure(case: str, size: int | None = None) -> dict[str, Any]:
    """Run a case in a process and a folder of its own and return what it measured."""
    with tempfile.TemporaryDirectory(prefix="mltk-load-") as folder:
        done = subprocess.run(
            [sys.executable, __file__, "--here", case, str(size or CASES[case][1])],
            cwd=folder,
            env={**os.environ, "MLTK_CACHE_DIR": f"{folder}/cache", "CUDA_VISIBLE_DEVICES": "-1"},
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        )
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


def main() -> None:
    """Run from the command line."""
    if sys.argv[1:2] == ["--here"]:
        folder = Path("data")
        folder.mkdir()
        print(json.dumps(CASES[sys.argv[2]][0](folder.resolve(), int(sys.argv[3]))))
        return
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("cases", nargs="*", default=list(CASES), choices=list(CASES))
    parser.add_argument("--size", type=int, help="In place of the case's own.")
    arguments = parser.parse_args()
    for case in arguments.cases:
        result = measure(case, arguments.size)
        print(f"{case}, {arguments.size or CASES[case][1]:,} {CASES[case][2]}:", flush=True)
        for key, value in result.items():
            print(f"  {key:8} {value if isinstance(value, str | int) else round(value, 1)}", flush=True)


if __name__ == "__main__":
    main()
