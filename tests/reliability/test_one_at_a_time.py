"""One process at a time writes a model's files, and a signal ends it where nothing is lost."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from mltk.core import load_mltk_model, train_model, update_model_parameters
from mltk.errors import MltkError
from mltk.model.operation import sole_writer
from mltk.utils.files import atomic_path, remove_temporaries
from mltk.utils.locks import LockedError, locked
from mltk.utils.model_archive import ModelArchive

needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")

HOLD = """
import os, sys, time
from mltk.utils.locks import locked
with locked(sys.argv[1], "trains"):
    if "fork" in sys.argv and os.fork() == 0:
        time.sleep(60)
    print(os.getpid(), flush=True)
    time.sleep(60)
"""


@pytest.fixture
def hold():
    """Let another process hold a lock: `hold(path)`."""
    children = []

    def start(path: Path, *more: str) -> subprocess.Popen[str]:
        child = subprocess.Popen(
            [sys.executable, "-c", HOLD, str(path), *more],
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        children.append(child)
        assert child.stdout.readline().strip() == str(child.pid)
        return child

    yield start
    for child in children:
        # Killed and waited for already, perhaps, and without a child.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
        child.wait()
        child.stdout.close()


def test_lock_is_held_by_one_process_which_may_take_it_again(hold, tmp_path):
    path = tmp_path / "x.lock"
    with locked(path), locked(path):
        assert path.exists()
    assert not path.exists()
    child = hold(path)
    with pytest.raises(LockedError) as error, locked(path):
        pass
    assert (error.value.pid, error.value.purpose) == (child.pid, "trains")


@needs_fork
@pytest.mark.parametrize("more", [(), ("fork",)])
def test_killed_process_holds_no_lock_even_if_a_child_of_it_lives_on(hold, tmp_path, more):
    path = tmp_path / "x.lock"
    child = hold(path, *more)
    child.kill()
    child.wait()
    assert path.exists()
    with locked(path):
        assert path.read_text().split()[0] == str(os.getpid())
    assert not path.exists()


COUNT = """
import sys
from pathlib import Path
from mltk.utils.locks import locked
count = Path(sys.argv[1])
for _ in range(50):
    with locked(count.with_suffix(".lock"), wait=True):
        count.write_text(str(int(count.read_text()) + 1))
"""


def test_lock_may_be_waited_for(tmp_path):
    folder = tmp_path / "counts"
    folder.mkdir()
    path = folder / "count"
    path.write_text("0")
    children = [subprocess.Popen([sys.executable, "-c", COUNT, str(path)]) for _ in range(3)]
    assert [child.wait() for child in children] == [0, 0, 0]
    assert path.read_text() == "150"
    assert [p.name for p in folder.iterdir()] == ["count"]


def test_second_training_of_a_model_is_refused_in_one_line_with_the_process(hold, load_spec, private_home):
    model = load_spec("busy_v1")
    child = hold(Path(model.log_dir) / ".busy_v1.lock")
    kept = Path(model.checkpoints_dir) / "weights-009.weights.h5"
    kept.write_text("of the other one")
    with pytest.raises(MltkError, match=rf"process \({child.pid}\) trains 'busy_v1' now") as error:
        train_model(model, epochs=1, clean=True)
    assert "\n" not in str(error.value)
    assert kept.exists()
    assert not list(private_home.glob("*.zip"))


def test_parameters_are_not_updated_while_the_model_is_trained(hold, load_spec):
    model = load_spec("busy_v1")
    ModelArchive(model.archive_path).update({"busy_v1.tflite": (TFLITE := b"none")})
    hold(Path(model.log_dir) / ".busy_v1.lock")
    with pytest.raises(MltkError, match="trains 'busy_v1' now"):
        update_model_parameters(model, params={"a": 1})
    assert ModelArchive(model.archive_path).read("busy_v1.tflite") == TFLITE


def test_archive_keeps_what_several_processes_add(tmp_path):
    path = tmp_path / "archives" / "x.mltk.zip"
    command = (
        "import sys\nfrom mltk.utils.model_archive import ModelArchive\n"
        "for i in range(20): ModelArchive(sys.argv[1]).update({f'{sys.argv[2]}{i}': b''})"
    )
    children = [subprocess.Popen([sys.executable, "-c", command, str(path), name]) for name in "abc"]
    assert [child.wait() for child in children] == [0, 0, 0]
    assert len(ModelArchive(path).names()) == 60
    assert [p.name for p in path.parent.iterdir()] == ["x.mltk.zip"]


def test_what_killed_processes_left_is_removed_and_nothing_else(load_spec):
    model = load_spec("left_v1")
    names = {
        "left_v1.keras": True,
        ".left_v1.keras.0a1b2c3d.tmp.keras": False,
        ".other_v1.keras.0a1b2c3d.tmp.keras": True,
        ".left_v1.notes.tmp": True,
        "train/checkpoints/.weights-001.weights.h5.0a1b2c3d.tmp.weights.h5": False,
    }
    assert Path(model.checkpoints_dir).is_dir()
    for name in names:
        Path(model.log_dir, name).write_text("x")
    with sole_writer(model, "tests"):
        pass
    assert {name: Path(model.log_dir, name).exists() for name in names} == names


def test_names_of_temporary_files_are_known_again(tmp_path):
    for name in ("plain", "a.mltk.zip", "weights-001-0.9.weights.h5", "x" * 90 + ".png"):
        with pytest.raises(KeyError), atomic_path(tmp_path / name) as temporary:
            temporary.write_text("x")
            left = tmp_path / "left" / temporary.name
            left.parent.mkdir(exist_ok=True)
            left.write_text("x")
            raise KeyError
        remove_temporaries([left, tmp_path / name])
        assert not left.exists()


SLOW = """
import os, sys, time
from keras.callbacks import LambdaCallback

def wait(batch, logs):
    print("batch", flush=True)
    sys.stdin.readline()

def saving(epoch, logs):
    print("epoch over", flush=True)
    sys.stdin.readline()

my_model.epochs = 2
my_model.batch_size = 400
my_model.train_callbacks = [LambdaCallback(on_train_batch_end=wait, on_epoch_end=saving)]
"""


def train_in_a_child(name: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "mltk", "train", name, "--no-evaluate"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # A shell may have started the tests with Ctrl-C ignored, which children would inherit.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )


def go_on_until(child: subprocess.Popen[str], line: str, count: int = 1) -> None:
    for text in child.stdout:
        if text.strip() == line:
            count -= 1
            if not count:
                return
            child.stdin.write("\n")
            child.stdin.flush()
    raise AssertionError(child.stderr.read())


@pytest.mark.slow
@needs_fork
def test_signal_while_an_epoch_ends_stops_after_saving_it(write_spec):
    write_spec("stopped_v1", more=SLOW)
    with train_in_a_child("stopped_v1") as child:
        # Three batches, and then the epoch's end, before its state is written.
        for text in child.stdout:
            if text.strip() == "epoch over":
                break
            if text.strip() == "batch":
                child.stdin.write("\n")
                child.stdin.flush()
        child.send_signal(signal.SIGTERM)
        _, errors = child.communicate("\n" * 20, timeout=120)
    assert child.returncode == 130, errors
    assert "Stopping after this step." in errors
    assert errors.splitlines()[-2:] == [
        "Stopped. Go on after the last whole epoch with: mltk train stopped_v1 --resume",
        "Interrupted.",
    ]
    from mltk.operations.training.session import last_state

    model = load_mltk_model("stopped_v1")
    assert last_state(model) == 1
    assert not (Path(model.log_dir) / ".stopped_v1.lock").exists()


@pytest.mark.slow
@needs_fork
def test_second_signal_ends_at_once(write_spec):
    write_spec("stopped_v1", more=SLOW)
    with train_in_a_child("stopped_v1") as child:
        go_on_until(child, "batch")
        child.send_signal(signal.SIGTERM)
        assert any(line.startswith("Stopping after this step.") for line in child.stderr)
        child.send_signal(signal.SIGTERM)
        child.communicate(timeout=60)
    assert child.returncode == -signal.SIGTERM


def test_loss_that_is_no_number_ends_the_training_with_its_place_and_keeps_the_best_weights(load_spec):
    model = load_spec("nan_v1")
    import keras
    import numpy as np

    class Poison(keras.callbacks.Callback):
        def __init__(self, epoch, batch):
            super().__init__()
            self.place = epoch, batch

        def on_train_batch_begin(self, batch, logs=None):
            if (self.epoch, batch) == self.place:
                self.model.set_weights([w * np.nan for w in self.model.get_weights()])

        def on_epoch_begin(self, epoch, logs=None):
            self.epoch = epoch

    model.train_callbacks = [Poison(epoch=1, batch=3)]
    with pytest.raises(MltkError, match=r"became nan in epoch 2, batch 4 of 19") as error:
        train_model(model)
    best = model.get_weights_path("best")
    assert Path(best).name.startswith("weights-001-")
    assert f"The best weights are kept: {best}." in str(error.value)
    assert error.value.__notes__ == ["All up to epoch 1 is kept: --resume goes on from there."]
    model = load_spec("nan2_v1")
    model.train_callbacks = [Poison(epoch=0, batch=0)]
    with pytest.raises(MltkError, match=r"became nan in epoch 1, batch 1 of 19.*No best weights"):
        train_model(model)


def test_full_quota_is_one_line(tmp_path):
    code = (
        "import resource, signal, sys\nfrom pathlib import Path\nfrom mltk.utils.files import atomic_write\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "try: atomic_write(sys.argv[1], b'x' * 5000)\n"
        "except Exception as e: print(type(e).__name__, e)"
    )
    path = tmp_path / "quota" / "x.bin"
    path.parent.mkdir()
    path.write_bytes(b"old")
    done = subprocess.run([sys.executable, "-c", code, path], capture_output=True, text=True, check=True)
    assert done.stdout.startswith(f"MltkError {path} cannot be written: it is larger than files may be here")
    assert path.read_bytes() == b"old"
    assert [p.name for p in path.parent.iterdir()] == ["x.bin"]
