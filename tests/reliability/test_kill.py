"""Trainings that are killed, clocks that go back, folders that cannot be written, and a data set with many files."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from mltk.core import load_mltk_model, train_model
from mltk.errors import MltkError
from mltk.utils.model_archive import ModelArchive

pytestmark = pytest.mark.slow

HERE = Path(__file__).parent


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_killed_trainings_leave_whole_files_and_resume_to_the_same_archive(tmp_path):
    # In a process of its own: a fork must find no threads of TensorFlow's.
    done = subprocess.run(
        [sys.executable, str(HERE / "kill.py"), "--kills", "2", "--seed", "4"],
        env={**os.environ, "TMPDIR": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-2000:]
    assert "2 kills in " in done.stdout


def test_many_files_take_little_memory(tmp_path, monkeypatch):
    pytest.importorskip("mltk_plugin_image")
    if not Path("/proc/self/status").is_file():
        pytest.skip("this system does not tell the memory of a process in /proc")
    spec = importlib.util.spec_from_file_location("mltk_load_test", HERE / "load.py")
    load = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(load)
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    result = load.measure("files", 20_000)
    assert result["files"] == 20_000
    # A list of the names, 20,000 of them, and what the steps use over and over again.
    assert result["listed"] - result["before"] < 60
    assert result["growth"] < 40


def test_resuming_does_not_look_at_the_clock(write_spec, monkeypatch):
    """The files of later epochs are older here, and all are from the future."""
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    path = write_spec("clock_v1")
    whole = train_model(str(path), quantize=False, epochs=3)
    train_model(str(path), quantize=False, epochs=2)
    model = load_mltk_model(path)
    files = sorted(Path(model.log_dir).rglob("*.*"))
    for age, file in enumerate(files):
        os.utime(file, (4_000_000_000 - age, 4_000_000_000 - age))
    resumed = train_model(str(path), quantize=False, epochs=3, resume_epoch=-1)
    assert resumed.history == whole.history
    for a, b in zip(whole.keras_model.get_weights(), resumed.keras_model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_specification_that_was_changed_is_loaded_anew_whatever_its_time(write_spec):
    path = write_spec("again_v1")
    load_mltk_model(path)
    os.utime(path, (1_700_000_000, 1_700_000_000))
    load_mltk_model(path)
    path.write_text(path.read_text().replace("my_model.version = 3", "my_model.version = 4"))
    os.utime(path, (1_700_000_000, 1_700_000_000))
    assert load_mltk_model(path).version == 4


def test_older_run_is_not_resumed_by_one_that_was_ended_before_its_first_epoch(load_spec):
    model = load_spec("older_v1")
    train_model(model, quantize=False, epochs=2, seed=7)
    states = sorted(p.name for p in Path(model.checkpoints_dir).glob("*.h5"))
    load = model.dataset

    def end(**kwargs):
        raise KeyboardInterrupt

    model.dataset = end
    with pytest.raises(KeyboardInterrupt):
        train_model(model, quantize=False, epochs=1, seed=8)
    # They stay, and can be resumed on demand, until the new run has something to put in their place.
    assert sorted(p.name for p in Path(model.checkpoints_dir).glob("*.h5")) == states
    model.dataset = load
    with pytest.raises(MltkError, match=r"had the seed 7, and now it is 8. Resume it with --seed 7"):
        train_model(model, quantize=False, epochs=3, seed=8, resume_epoch=2)
    with pytest.raises(MltkError, match=r"had the seed 7, and now it is 8. Resume it with --seed 7"):
        train_model(model, quantize=False, epochs=3, seed=8, resume_epoch=-1)
    results = train_model(model, quantize=False, epochs=1, seed=8)
    assert results.epochs == [0]
    assert [p.name for p in Path(model.checkpoints_dir).glob("*.h5")] == ["weights-001.weights.h5"]
    assert len(list(Path(model.weights_dir).glob("*.h5"))) == 1
    provenance = json.loads(ModelArchive(results.model_archive_path).read("train/provenance.json"))
    assert provenance["seed"] == 8


@pytest.mark.parametrize("what", ["cache", "work"])
def test_folder_that_cannot_be_written_is_one_line(cli, write_spec, tmp_path, private_home, what):
    write_spec("readonly_v1")
    folder = tmp_path / "cache" if what == "cache" else private_home
    folder.mkdir(exist_ok=True)
    mount = ["mount", "-o", "bind", str(folder), str(folder)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("nothing may be mounted here")
    try:
        subprocess.run(["mount", "-o", "remount,bind,ro", str(folder)], check=True)
        result = cli.invoke(["train", str(private_home / "readonly_v1.py")])
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)
    assert result.exit_code == 1
    line = result.stderr.splitlines()[-1]
    assert line.startswith("mltk: error: ")
    assert str(folder) in line
    assert "Read-only file system" in line
    assert "Traceback" not in result.stderr


FAILING = """
from mltk.core import MltkModelEvent

def failing(**kwargs):
    raise RuntimeError("no network")

my_model.add_event_handler(MltkModelEvent.AFTER_SAVE_TRAIN_RESULTS, failing)
"""


def test_failed_handler_and_plots_do_not_cost_the_evaluation(cli, write_spec, monkeypatch, tmp_path):
    write_spec("failing_v1", more=FAILING)

    def broken(*args, **kwargs):
        raise ValueError("no fonts")

    # Every plot is written by this function of matplotlib.
    monkeypatch.setattr("matplotlib.image.imsave", broken)
    result = cli.invoke(["train", "failing_v1", "--epochs", "1"])
    assert result.exit_code == 1
    archive = ModelArchive("failing_v1.mltk.zip")
    for line in (
        "Float",
        "int8",
        "TFLite",
        f"Archive {archive.path.stat().st_size / 1000:,.1f} kB",
    ):
        assert line.split() in [text.split()[: len(line.split())] for text in result.stdout.splitlines()]
    last = result.stderr.splitlines()[-1]
    assert last.startswith("mltk: error: The model was trained and kept, but not all went well.")
    for what in (
        "'failing' of AFTER_SAVE_TRAIN_RESULTS failed: RuntimeError: no network",
        "The training history could not be written: ValueError: no fonts",
        "Float evaluation: A plot failed: ValueError: no fonts",
        "int8 evaluation: A plot failed",
    ):
        assert what in last
    assert last.count("Everything else was done and kept.") == 1
    assert {"eval/h5/eval-results.json", "eval/tflite/eval-results.json", "failing_v1.tflite"} <= set(
        archive.names()
    )


def test_failed_conversion_names_what_is_kept(cli, write_spec, tmp_path):
    write_spec(
        "unconverted_v1",
        more="""
        def samples():
            raise RuntimeError("no samples")
            yield

        my_model.tflite_converter["representative_dataset"] = samples
        """,
    )
    result = cli.invoke(["train", "unconverted_v1", "--epochs", "1"])
    assert result.exit_code == 1
    last = result.stderr.splitlines()[-1]
    assert "no samples" in last
    kept = tmp_path / "cache/models/unconverted_v1/unconverted_v1.keras"
    assert f"The trained model is kept: {kept}." in last
    assert kept.is_file()
    assert "unconverted_v1.keras" in ModelArchive("unconverted_v1.mltk.zip").names()
