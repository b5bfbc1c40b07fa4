"""Trainings that are interrupted, run out of space, or use other numbers of workers."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow


def weights_of(path: str | Path) -> dict[str, bytes]:
    """Return the arrays of an HDF5 file by their names."""
    import h5py

    arrays: dict[str, bytes] = {}
    with h5py.File(path) as file:
        file.visititems(
            lambda name, item: (
                arrays.update({name: item[()].tobytes()}) if isinstance(item, h5py.Dataset) else None
            )
        )
    assert arrays
    return arrays


def wait_for(path: Path) -> None:
    for _ in range(200):
        if path.exists():
            return
        time.sleep(0.05)
    raise AssertionError(f"{path} does not appear")


def checkpoint(folder: str | Path, name: str, epoch: int) -> Path:
    return Path(folder) / "models" / name / "train" / "checkpoints" / f"weights-{epoch:03d}.weights.h5"


def test_number_of_workers_does_not_change_the_weights(cli, write_pictures_spec, tmp_path):
    files = []
    for cores in (1, 2, 4):
        write_pictures_spec(cores=cores)
        result = cli.invoke(["train", "pictures_v1", "--no-evaluate", "--clean"])
        assert result.exit_code == 0, result.stderr
        files.append(weights_of(checkpoint(tmp_path / "cache", "pictures_v1", 2)))
    assert files[0] == files[1] == files[2]


SLOW = """
import os, time
from keras.callbacks import LambdaCallback
pause = float(os.environ.get("PAUSE", "0"))
my_model.epochs = 5
my_model.train_callbacks = [LambdaCallback(on_train_batch_end=lambda batch, logs: time.sleep(pause))]
"""


def test_interrupted_run_is_whole_and_resumes_to_the_same_weights(cli, write_pictures_spec, tmp_path):
    write_pictures_spec(more=SLOW)
    command = ["train", "pictures_v1", "--no-evaluate"]
    cache = tmp_path / "cache"
    # A shell may have started the tests with Ctrl-C ignored, which children would inherit.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        child = subprocess.Popen(
            [sys.executable, "-m", "mltk", *command],
            env={**os.environ, "PAUSE": "0.5"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
    finally:
        signal.signal(signal.SIGINT, before)
    with child:
        assert child.stdout is not None
        for line in child.stdout:
            if line.startswith("Epoch 2/5"):
                break
        wait_for(checkpoint(cache, "pictures_v1", 2))
        # The third epoch takes 1.5 s.
        time.sleep(0.5)
        child.send_signal(signal.SIGINT)
        _, errors = child.communicate(timeout=60)
    assert child.returncode == 130, errors
    assert errors.splitlines()[-2:] == [
        "Stopped. Go on after the last whole epoch with: mltk train pictures_v1 --resume",
        "Interrupted.",
    ]
    assert "Traceback" not in errors
    left = [p for p in tmp_path.rglob("*") if p.is_file()]
    assert not [p for p in left if ".tmp" in p.name or p.name.endswith(".mltk.zip")]
    whole = sorted(p for p in left if p.name.endswith(".weights.h5"))
    assert checkpoint(cache, "pictures_v1", 2) in whole
    assert checkpoint(cache, "pictures_v1", 3) not in whole
    for path in whole:
        assert weights_of(path)
    state = json.loads(checkpoint(cache, "pictures_v1", 2).with_name("weights-002.json").read_text())
    assert state["epochs"] == [0, 1]

    resumed = cli.invoke([*command, "--resume"])
    assert resumed.exit_code == 0, resumed.stderr
    assert "Epoch 3/5" in resumed.stdout
    assert "Epoch 2/5" not in resumed.stdout
    last = checkpoint(cache, "pictures_v1", 5)
    resumed_weights = weights_of(last)
    model = cache / "models" / "pictures_v1" / "pictures_v1.h5"
    # Without the names: Keras counts the layers that a process has made.
    resumed_model = list(weights_of(model).values())

    uninterrupted = cli.invoke([*command, "--clean"])
    assert uninterrupted.exit_code == 0, uninterrupted.stderr
    assert weights_of(last) == resumed_weights
    assert list(weights_of(model).values()) == resumed_model


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Callable[[Path, int], None]]:
    """Mount a file system of so many bytes: `small_disk(folder, size)`."""
    mounted = []

    def mount(folder: Path, size: int) -> None:
        folder.mkdir(exist_ok=True)
        done = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            pytest.skip(f"no file system may be mounted here: {done.stderr.strip()}")
        mounted.append(folder)

    try:
        yield mount
    finally:
        for folder in mounted:
            subprocess.run(["umount", "--lazy", str(folder)], check=True)


# Its weights are 300 kB, and do not compress.
LARGE = """
def large(model):
    layers = tf.keras.layers
    network = tf.keras.Sequential(
        [
            layers.InputLayer(model.input_shape),
            layers.Flatten(),
            layers.Dense(96),
            layers.Dense(model.n_classes, activation="softmax"),
        ]
    )
    network.compile(loss=model.loss, optimizer="sgd", metrics=model.metrics)
    return network


my_model.build_model_function = large
"""


@pytest.mark.parametrize(
    ("size", "file"),
    [
        pytest.param(1 << 20, "pictures_v1.keras", id="model"),
        pytest.param(
            620 << 10,
            "weights-001.weights.h5",
            id="weights",
        ),
        pytest.param(
            4 << 10,
            "run.json",
            id="log",
        ),
    ],
)
def test_full_disk_under_the_cache(cli, write_pictures_spec, small_disk, tmp_path, only_error, size, file):
    archive = write_pictures_spec(more=LARGE).with_suffix(".mltk.zip")
    assert cli.invoke(["train", "pictures_v1", "--no-evaluate", "--epochs", "1"]).exit_code == 0
    before = archive.read_bytes()
    small = tmp_path / "small"
    small_disk(small, size)
    done = subprocess.run(
        [sys.executable, "-m", "mltk", "train", "pictures_v1"],
        env={**os.environ, "MLTK_CACHE_DIR": str(small)},
        capture_output=True,
        text=True,
        check=False,
    )
    line = only_error(done.returncode, done.stderr, log=True)
    assert line.startswith(str(small))
    assert f"{file} cannot be written: the disk is full." in line
    assert archive.read_bytes() == before
    assert not [path for path in tmp_path.rglob("*") if ".tmp" in path.name]


def test_full_disk_under_the_archive(
    cli, write_pictures_spec, small_disk, private_home, tmp_path, monkeypatch, only_error
):
    small_disk(private_home, 1 << 20)
    monkeypatch.chdir(private_home)
    spec = write_pictures_spec(more=LARGE + "\nmy_model.tflite_converter = {}\n")
    archive = spec.with_suffix(".mltk.zip")
    assert cli.invoke(["train", "pictures_v1", "--no-evaluate", "--epochs", "1"]).exit_code == 0
    before = archive.read_bytes()
    result = cli.invoke(["train", "pictures_v1", "--no-evaluate", "--epochs", "1"])
    line = only_error(result.exit_code, result.stderr, log=True)
    assert line.startswith(f"{archive} cannot be written: the disk is full.")
    assert archive.read_bytes() == before
    assert not [path for path in tmp_path.rglob("*") if ".tmp" in path.name]
    assert "dense" in cli.invoke(["summarize", "pictures_v1"]).stdout
