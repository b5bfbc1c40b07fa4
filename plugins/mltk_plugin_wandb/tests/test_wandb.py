from __future__ import annotations

import json
import subprocess
import sys

import pytest

from mltk.errors import SpecificationError
from mltk.testing import assert_imports_light
from mltk.utils.model_archive import ModelArchive

MEMBER = "wandb/session_id.txt"


def _train(model, **kwargs):
    from mltk.core import train_model

    return train_model(model, **{"post_process": True, "quantize": False, **kwargs})


def _epochs(run):
    return [json.loads(step["epoch"]) for step in run.history if "epoch" in step]


def test_plugin_imports_light():
    assert_imports_light("mltk_plugin_wandb.plugin", ["wandb", "tensorflow", "keras", "numpy"])


def test_mode_is_an_option_of_the_commands_that_log(tmp_path, load_spec, mltk_cli, monkeypatch):
    monkeypatch.setenv("MLTK_CACHE_DIR", str(tmp_path / "cache"))
    load_spec("my_model.wandb_init_kwargs = {'tags': ['a']}\n")
    for command in ("train", "quantize", "evaluate"):
        assert "--wandb-mode [online|offline|disabled]" in mltk_cli.invoke([command, "--help"]).stdout
    seen = []

    def train_model(model, **_):
        seen.append(model.wandb_init_kwargs)
        raise SpecificationError("stopped")

    monkeypatch.setattr("mltk.operations.pipeline.train_model", train_model)
    mltk_cli.invoke(["train", str(tmp_path / "wb.py"), "--wandb-mode", "disabled"])
    assert seen == [{"tags": ["a"], "mode": "disabled"}]


def test_mode_of_a_model_without_the_mixin_is_refused(tmp_path, mltk_cli, monkeypatch):
    monkeypatch.setenv("MLTK_CACHE_DIR", str(tmp_path / "cache"))
    (tmp_path / "plain.py").write_text("import mltk.core\nmy_model = mltk.core.MltkModel()\n")
    result = mltk_cli.invoke(["train", str(tmp_path / "plain.py"), "--wandb-mode", "offline"])
    assert result.exit_code == 1
    assert result.stderr == (
        "mltk: error: --wandb-mode does not apply to 'plain': it does not inherit WeightsAndBiasesMixin.\n"
    )


@pytest.mark.slow
def test_one_run_holds_metrics_results_plots_and_files(tmp_path, load_spec, mltk_cli, runs, monkeypatch):
    monkeypatch.setenv("MLTK_CACHE_DIR", str(tmp_path / "cache"))
    load_spec()
    result = mltk_cli.invoke(["train", str(tmp_path / "wb.py"), "--post"])
    assert result.exit_code == 0, result.stderr
    (run,) = runs()
    assert (run.project, run.job_type, run.exit_code) == ("wb", "train", 0)

    history = json.loads((tmp_path / "cache/models/wb/train/training-history.json").read_text())["history"]
    assert _epochs(run) == [0, 1]
    for metric in ("loss", "accuracy", "val_loss", "val_accuracy"):
        logged = [json.loads(step[metric]) for step in run.history if "epoch" in step]
        assert logged == pytest.approx(history[metric])
    assert all(json.loads(s["learning_rate"]) == pytest.approx(1e-3) for s in run.history if "epoch" in s)

    config = {name: json.loads(value) for name, value in run.config.items() if not name.startswith("_")}
    assert config["purpose"] == "test"
    assert config["classes"] == ["left", "right"]
    assert (config["epochs"], config["seed"], config["parameters"]) == (2, 42, 34)

    archive = ModelArchive(tmp_path / "wb.mltk.zip")
    for kind, folder in (("keras", "h5"), ("tflite", "tflite")):
        found = json.loads(archive.read(f"eval/{folder}/eval-results.json"))
        assert json.loads(run.summary[f"eval-{kind}/overall_accuracy"]) == found["overall_accuracy"]
        recalls = [json.loads(run.summary[f"eval-{kind}/class_accuracies/{c}"]) for c in ("left", "right")]
        assert recalls == found["class_accuracies"]
        assert any(f"confusion_matrix-{kind}/path" in step for step in run.history)
    tflite = archive.read("wb.tflite")
    assert json.loads(run.summary["tflite_size"]) == len(tflite)

    assert {"wb.mltk.zip", "wb.py", "wb.keras", "wb.tflite"} <= run.files
    (uploaded,) = (tmp_path / "cache/models/wb/wandb").glob("offline-run-*/files")
    assert (uploaded / "wb.tflite").read_bytes() == tflite
    assert (uploaded / "wb.mltk.zip").read_bytes() == archive.path.read_bytes()
    assert archive.read(MEMBER).decode() == run.id


def test_later_operations_go_to_the_run_of_the_training(load_spec, runs):
    from mltk.core import evaluate_model, quantize_model

    _train(load_spec(), epochs=1)
    (trained,) = runs()
    model = load_spec()
    assert model.wandb_session_id == trained.id
    evaluate_model(model, post_process=True)
    assert not model.wandb_is_initialized  # only within an operation
    quantize_model(model, post_process=True)
    (_, later) = runs()
    assert (later.id, later.job_type) == (trained.id, "evaluate")
    assert "eval-keras/overall_accuracy" in later.summary
    assert "tflite_size" in later.summary
    assert "wb.tflite" in later.files
    evaluate_model(model, post_process=False)
    assert len(runs()) == 2


def test_resumed_training_goes_on_in_its_run_and_a_new_one_gets_a_new_run(load_spec, runs):
    _train(load_spec(), epochs=1, create_archive=False)
    _train(load_spec(), epochs=3, resume_epoch=-1, create_archive=False)
    first, resumed = runs()
    assert first.id == resumed.id
    assert (_epochs(first), _epochs(resumed)) == ([0], [1, 2])
    _train(load_spec(), epochs=1, create_archive=False)
    assert runs()[2].id != first.id
    # What was uploaded leaves nothing that a training without --post would miss.
    _train(load_spec(), epochs=2, resume_epoch=-1, create_archive=False, post_process=False)
    assert len(runs()) == 3


def test_nothing_happens_without_post(tmp_path):
    """In a process of its own, where nothing has imported wandb before."""
    code = (
        "import sys; from mltk.core import MltkModel, MltkModelEvent, WeightsAndBiasesMixin\n"
        "class MyModel(MltkModel, WeightsAndBiasesMixin): pass\n"
        "model = MyModel('wb.py')\n"
        "model.trigger_event(MltkModelEvent.TRAIN_STARTUP, post_process=False)\n"
        "model.wandb_log({'a': 1}); model.wandb_save('wb.py')\n"
        "model.trigger_event(MltkModelEvent.TRAIN_SHUTDOWN, results=None)\n"
        "sys.exit('wandb' in sys.modules or model.wandb_session_id is not None)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_disabled_in_the_specification_nothing_is_logged(tmp_path, load_spec):
    from mltk.core import MltkModelEvent

    model = load_spec("my_model.wandb_is_disabled = True\n")
    model.trigger_event(MltkModelEvent.TRAIN_STARTUP, post_process=True)
    assert not model.wandb_is_initialized
    assert not (tmp_path / "cache/models/wb/wandb").exists()


def test_own_callbacks_take_part_and_handlers_log(load_spec, runs):
    more = """
class Mine(tf.keras.callbacks.Callback):
    def on_epoch_end(self, epoch, logs=None):
        my_model.wandb_log({"mine": epoch})

class Checkpoint(tf.keras.callbacks.Callback):
    def on_train_end(self, logs=None):
        my_model.wandb_log({"checkpoint": 1})

def note(mltk_model, logger, **kwargs):
    mltk_model.wandb_log({"noted": 7})
    mltk_model.wandb_save(mltk_model.model_specification_path, policy="now")

my_model.wandb_callback = Mine
my_model.wandb_model_checkpoint_callback = Checkpoint
my_model.add_event_handler("AFTER_TRAIN", note)
my_model.wandb_init_kwargs = {"project": "shelf", "name": "a run"}
"""
    _train(load_spec(more), epochs=2, create_archive=False)
    (run,) = runs()
    assert run.project == "shelf"
    assert not _epochs(run)
    assert [step["mine"] for step in run.history if "mine" in step] == ["0", "1"]
    assert (run.summary["checkpoint"], run.summary["noted"]) == ("1", "7")
    assert any(name.endswith("wb.py") for name in run.files)


def test_failure_to_open_a_run_keeps_the_training_and_is_reported(tmp_path, load_spec, monkeypatch):
    import wandb

    from mltk.model.model import HandlerError

    def refuse(**kwargs):
        raise wandb.errors.CommError("the service does not answer")

    monkeypatch.setattr(wandb, "init", refuse)
    with pytest.raises(
        HandlerError, match=r"TRAIN_STARTUP: CommError: the service does not answer"
    ) as caught:
        _train(load_spec(), epochs=1, quantize=True)
    assert caught.value.results.epochs == [0]
    assert str(caught.value).count("CommError") == 1  # quantizing does not try again
    assert "wb.tflite" in ModelArchive(tmp_path / "wb.mltk.zip").names()


def test_failed_training_is_marked_as_failed(load_spec, runs):
    model = load_spec("my_model.build_model_function = lambda model: None\n")
    with pytest.raises(SpecificationError, match="return"):
        _train(model, epochs=1)
    (run,) = runs()
    assert run.exit_code == 1
    assert not model.wandb_is_initialized


def test_throw_away_model_is_not_logged(tmp_path, load_spec):
    from mltk.core import MltkModelEvent

    model = load_spec()
    model.trigger_event(MltkModelEvent.QUANTIZE_STARTUP, build=True, post_process=True)
    assert not model.wandb_is_initialized
    assert not list(tmp_path.glob("cache/models/*/wandb"))


def test_wrong_types_are_refused_at_their_line(load_spec):
    with pytest.raises(SpecificationError, match=r"wb\.py, line \d+: my_model\.wandb_config must be dict"):
        load_spec("my_model.wandb_config = 'test'\n")
