"""Fixtures of the Weights & Biases plugin's tests: nothing of them uses a network."""

from __future__ import annotations

import struct
import sys
import time
from pathlib import Path

import pytest

SPEC = """
# @mltk_model
import numpy as np
import tensorflow as tf
from mltk.core import DatasetMixin, EvaluateClassifierMixin, MltkModel, TrainMixin, WeightsAndBiasesMixin


class MyModel(MltkModel, TrainMixin, DatasetMixin, EvaluateClassifierMixin, WeightsAndBiasesMixin):
    pass


my_model = MyModel()
my_model.epochs = 2
my_model.classes = ["left", "right"]
my_model.input_shape = (4, 4, 1)
my_model.wandb_config = {"purpose": "test"}
my_model.tflite_converter["representative_dataset_max_samples"] = 8
my_model.tflite_converter["generate_unquantized"] = False


def load(subset, test=False, **kwargs):
    y = np.arange(32) % 2
    x = np.zeros((32, 4, 4, 1), "float32")
    x[y == 0, :, :2] = 1
    x[y == 1, :, 2:] = 1
    labels = np.eye(2, dtype="float32")[y]
    return (x, labels, (x, labels)) if subset == "training" else (x, labels)


my_model.dataset = load


def build(model):
    layers = [
        tf.keras.layers.InputLayer(model.input_shape),
        tf.keras.layers.Flatten(),
        tf.keras.layers.Dense(model.n_classes, activation="softmax"),
    ]
    network = tf.keras.Sequential(layers)
    network.compile(loss=model.loss, optimizer=model.optimizer, metrics=model.metrics)
    return network


my_model.build_model_function = build
"""


@pytest.fixture(autouse=True)
def offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Folders of the test's own, no network, and no run left open."""
    for name, value in {
        "MLTK_CACHE_DIR": tmp_path / "cache",
        "HOME": tmp_path,
        "WANDB_CACHE_DIR": tmp_path / "wandb_cache",
        "WANDB_MODE": "offline",
        "WANDB_SILENT": "true",
        "WANDB_X_DISABLE_STATS": "true",
        "WANDB_X_DISABLE_MACHINE_INFO": "true",
        "WANDB_CONSOLE": "off",
        "WANDB_DISABLE_GIT": "true",
    }.items():
        monkeypatch.setenv(name, str(value))
    monkeypatch.chdir(tmp_path)
    yield
    wandb = sys.modules.get("wandb")
    if wandb is not None and wandb.run is not None:
        wandb.finish()


@pytest.fixture
def load_spec(tmp_path: Path):
    """Write the specification, with more lines at its end, and load it."""
    from mltk.core import load_mltk_model

    def load(more: str = "", name: str = "wb"):
        path = tmp_path / f"{name}.py"
        path.write_text(SPEC + more, encoding="utf-8")
        return load_mltk_model(path)

    return load


class OfflineRun:
    """What an offline run's file holds, as `wandb sync` would send it.

    The file is LevelDB's log format (blocks of 32 KiB, 7 bytes in front of each piece) of protocol buffers.
    """

    def __init__(self, path: Path) -> None:
        from wandb.proto import wandb_internal_pb2

        self.history: list[dict[str, str]] = []
        self.summary: dict[str, str] = {}
        self.config: dict[str, str] = {}
        self.files: set[str] = set()
        self.exit_code: int | None = None
        data, position, content = path.read_bytes(), 7, b""
        while position + 7 <= len(data):
            left = 32768 - position % 32768
            if left < 7:
                position += left
                continue
            _, length, kind = struct.unpack_from("<IHB", data, position)
            position += 7
            content += data[position : position + length]
            position += length
            if kind in (1, 4):
                self._take(wandb_internal_pb2.Record.FromString(content))
                content = b""

    def _take(self, record) -> None:
        def items(values):
            return {value.key or "/".join(value.nested_key): value.value_json for value in values}

        match record.WhichOneof("record_type"):
            case "run":
                self.id, self.project = record.run.run_id, record.run.project
                self.job_type = record.run.job_type
            case "history":
                self.history.append(items(record.history.item))
            case "summary":
                self.summary.update(items(record.summary.update))
            case "config":
                self.config.update(items(record.config.update))
            case "files":
                self.files.update(file.path for file in record.files.files)
            case "exit":
                self.exit_code = record.exit.exit_code


@pytest.fixture
def runs(tmp_path: Path):
    """Close the open run and return all runs of a model, the oldest first."""

    def read(name: str = "wb") -> list[OfflineRun]:
        import wandb

        if wandb.run is not None:
            wandb.finish()
        folder = tmp_path / "cache" / "models" / name / "wandb"
        paths = sorted(folder.glob("offline-run-*/*.wandb"), key=lambda path: path.parent.name)
        return [_finished(path) for path in paths]

    return read


def _finished(path: Path) -> OfflineRun:
    """Read a run, once the process that writes it is done with it."""
    deadline = time.monotonic() + 60
    while (run := OfflineRun(path)).exit_code is None and time.monotonic() < deadline:
        time.sleep(0.1)
    return run
