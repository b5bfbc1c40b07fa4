"""`mltk ssh` against an sshd on loopback."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mltk.testing import assert_imports_light
from mltk.utils.model_archive import ModelArchive

SPEC = """
# @mltk_model
import os
import numpy as np
import tensorflow as tf
from mltk.core import DatasetMixin, EvaluateClassifierMixin, MltkModel, SshMixin, TrainMixin


class MyModel(MltkModel, TrainMixin, DatasetMixin, EvaluateClassifierMixin, SshMixin):
    pass


my_model = MyModel()
my_model.classes = ["left", "right"]
my_model.input_shape = (4, 4, 1)
my_model.tflite_converter["generate_unquantized"] = False
my_model.ssh_upload_files = ["data/*.npy"]
my_model.ssh_environment = ["PURPOSE='a test'"]
my_model.ssh_startup_cmds = ["export STARTED=yes"]
my_model.ssh_download_files = ["report*.txt", "elsewhere/note.txt|taken.txt"]
my_model.ssh_shutdown_cmds = ["echo $PURPOSE ends; echo off > shut_down.txt"]


def load(subset, test=False, **kwargs):
    y = np.load("data/labels.npy")
    x = np.zeros((len(y), 4, 4, 1), "float32")
    x[y == 0, :, :2] = 1
    labels = np.eye(2, dtype="float32")[y]
    return (x, labels, (x, labels)) if subset == "training" else (x, labels)


my_model.dataset = load


def build(model):
    layers = [tf.keras.layers.InputLayer(model.input_shape), tf.keras.layers.Flatten(),
              tf.keras.layers.Dense(2, activation="softmax")]
    network = tf.keras.Sequential(layers)
    network.compile(loss=model.loss, optimizer=model.optimizer, metrics=model.metrics)
    return network


my_model.build_model_function = build


def report(results):
    with open("report_1.txt", "w") as file:
        file.write(f"{os.environ['PURPOSE']} {os.environ['STARTED']}")
    os.makedirs("elsewhere", exist_ok=True)
    with open("elsewhere/note.txt", "w") as file:
        file.write("from there")


my_model.on_training_complete = report
"""


def wait_for(condition, what: str):
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, f"waited in vain for {what}"
        time.sleep(0.05)


def start_client(*arguments: str) -> subprocess.Popen[bytes]:
    """Run `mltk ssh` as a process of its own, without a terminal."""
    return subprocess.Popen(
        [sys.executable, "-m", "mltk", "ssh", *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def is_active(folder: Path) -> bool:
    """Tell whether a command of the model in a folder there runs."""
    lock = folder / ".mltk-ssh" / "lock"
    return lock.exists() and subprocess.run(["flock", "-n", lock, "true"], check=False).returncode != 0


def test_plugin_imports_light():
    assert_imports_light("mltk_plugin_ssh.plugin")


@pytest.mark.slow
def test_training_there_leaves_everything_here(there, mltk_cli):
    import numpy as np

    Path("data").mkdir()
    np.save("data/labels.npy", np.arange(32) % 2)
    Path("side.py").write_text(SPEC)
    local = mltk_cli.home / ".mltk" / "models" / "side-test"
    (local / "mine").mkdir(parents=True)
    (local / "train" / "weights").mkdir(parents=True)
    (local / "train" / "weights" / "weights-001-1.0000.weights.h5").write_text("of an older training")

    result = mltk_cli.invoke(["ssh", "train", "side.py", "--test", "--no-evaluate"])
    assert result.exit_code == 0, result.stderr
    assert "Epoch 3/3" in result.stdout
    assert "a test ends" in result.stdout

    archive = ModelArchive("side-test.mltk.zip")
    assert {"side.py", "side.test.keras", "side.test.tflite", "train/log.txt"} <= set(archive.names())
    remote = there.root / "cache" / "models" / "side-test"
    files = sorted(p.relative_to(remote) for p in remote.rglob("*") if p.is_file())
    assert files
    for name in files:
        assert (local / name).read_bytes() == (remote / name).read_bytes(), name
    assert archive.read("side.test.tflite") == (local / "side.test.tflite").read_bytes()
    # What the run has not written stays; what it has, replaces all that was there.
    assert (local / "mine").is_dir()
    weights = local / "train" / "weights"
    assert all(p.read_bytes() != b"of an older training" for p in weights.iterdir())

    assert Path("report_1.txt").read_text() == "a test yes"
    assert Path("taken.txt").read_text() == "from there"
    assert (there.models / "side" / "shut_down.txt").read_text() == "off\n"
    left = {p.name for p in Path().iterdir()} | {p.name for p in local.parent.iterdir()}
    assert not [name for name in left if name.endswith((".tmp", ".part"))]
    assert mltk_cli.invoke(["summarize", "side-test.mltk.zip", "--tflite"]).exit_code == 0


def test_model_without_the_mixin_runs_with_the_settings_of_the_user(there, tool, mltk_cli, monkeypatch):
    monkeypatch.setattr("mltk_plugin_ssh._session.__version__", "9.8.7")
    there.configure(startup_cmds=["export PURPOSE=settings"], download_files=["begun", "missing*"])
    there.log_in_with("noisy_key")
    ModelArchive("tool.mltk.zip").update({"before.txt": b"here"})
    result = mltk_cli.invoke(["ssh", "custom", "tool", "work"])
    assert result.exit_code == 0, result.stderr
    assert "hello begun settings ['before.txt']" in result.stdout
    assert ModelArchive("tool.mltk.zip").names() == ["before.txt", "made.txt", "tool.py"]
    assert (mltk_cli.home / ".mltk/models/tool/train/note.txt").read_text() == "there"
    assert Path("begun").exists()
    assert "there: There is no file 'missing*'." in result.stderr
    assert "on there, but 9.8.7 here" in result.stderr


def test_code_does_not_come_back_unless_it_is_named(there, tool, mltk_cli):
    there.configure(environment={"EXTRA": "1"}, download_files=["*"])
    result = mltk_cli.invoke(["ssh", "custom", "tool", "work"])
    assert result.exit_code == 0, result.stderr
    assert Path("extra.txt").read_text() == "asked for"
    assert not Path("extra.py").exists()
    # The uploaded ones match as well.
    assert "Not copied back" in result.stderr and "extra.py" in result.stderr
    there.configure(environment={"EXTRA": "1"}, download_files=["extra.py"])
    assert mltk_cli.invoke(["ssh", "custom", "tool", "work"]).exit_code == 0
    assert Path("extra.py").exists()


def test_failed_command_gives_its_exit_code_and_changes_nothing_here(there, tool, mltk_cli):
    ModelArchive("tool.mltk.zip").update({"before.txt": b"here"})
    before = Path("tool.mltk.zip").read_bytes()
    result = mltk_cli.invoke(["ssh", "custom", "tool", "work", "--code", "7"])
    assert result.exit_code == 7
    assert "nothing was copied back" in result.stderr
    assert Path("tool.mltk.zip").read_bytes() == before
    assert not (mltk_cli.home / ".mltk/models/tool/train").exists()


def test_damaged_archive_does_not_take_the_place_of_a_whole_one(there, tool, mltk_cli):
    ModelArchive("tool.mltk.zip").update({"before.txt": b"here"})
    before = Path("tool.mltk.zip").read_bytes()
    result = mltk_cli.invoke(["ssh", "custom", "tool", "work", "--damage"])
    assert result.exit_code == 1
    assert "not a readable model archive" in result.stderr
    assert Path("tool.mltk.zip").read_bytes() == before
    assert sorted(p.name for p in Path().iterdir() if p.name.startswith(".")) == []


def test_started_command_is_resumed_once_and_guards_its_results(there, tool, mltk_cli):
    command = ["custom", "tool", "work", "--wait"]
    result = mltk_cli.invoke(["ssh", "--no-wait", *command])
    assert result.exit_code == 0, result.stderr
    assert "mltk ssh --resume custom tool work --wait" in result.stderr
    assert not Path("tool.mltk.zip").exists()

    folder = there.models / "tool"
    wait_for((folder / "begun").exists, "the command")
    refused = mltk_cli.invoke(["ssh", *command])
    assert refused.exit_code == 1
    assert "'custom tool work --wait' is active on there" in refused.stderr
    still = mltk_cli.invoke(["ssh", "--resume", "--no-wait", *command])
    assert still.exit_code == 0
    assert "The command runs on there" in still.stderr

    (folder / "go").touch()
    wait_for(lambda: not is_active(folder), "its end")
    refused = mltk_cli.invoke(["ssh", "--clean", *command])
    assert refused.exit_code == 1
    assert "not yet copied back" in refused.stderr

    result = mltk_cli.invoke(["ssh", "--resume", *command])
    assert result.exit_code == 0, result.stderr
    assert "begun" in result.stdout
    assert "made.txt" in ModelArchive("tool.mltk.zip").names()
    again = mltk_cli.invoke(["ssh", "--resume", *command])
    assert again.exit_code == 1
    assert "nothing to resume" in again.stderr
    assert "were copied back" in again.stderr


def test_command_outlives_a_lost_connection_and_is_followed_from_there(there, tool, mltk_cli):
    command = ["custom", "tool", "work", "--wait"]
    folder = there.models / "tool"
    client = start_client(*command)
    assert b"begun" in client.stdout.readline()
    there.server.end_connections()
    rest, errors = client.communicate(timeout=120)
    assert client.returncode == 1
    assert rest == b""
    assert b"The connection to there was lost. The command continues there." in errors
    assert b"mltk ssh --resume custom tool work --wait" in errors
    assert is_active(folder)

    (folder / "go").touch()
    result = mltk_cli.invoke(["ssh", "--resume", *command])
    assert result.exit_code == 0, result.stderr
    assert result.stdout == "done\n"
    assert "made.txt" in ModelArchive("tool.mltk.zip").names()


def test_interrupted_client_leaves_the_command_alone_and_force_replaces_it(there, tool, mltk_cli):
    folder = there.models / "tool"
    client = start_client("custom", "tool", "work", "--wait")
    assert b"begun" in client.stdout.readline()
    client.send_signal(signal.SIGINT)
    _, errors = client.communicate(timeout=120)
    assert client.returncode == 130
    assert b"continues on there. Follow it with: mltk ssh --resume" in errors
    assert is_active(folder)

    pid = int((folder / ".mltk-ssh/run/pid").read_text())
    result = mltk_cli.invoke(["ssh", "--force", "--clean", "custom", "tool", "work"])
    assert result.exit_code == 0, result.stderr
    with pytest.raises(ProcessLookupError):
        os.killpg(pid, 0)
    assert not is_active(folder)


def test_interruption_on_a_terminal_can_kill_the_command(there, tool, mltk_cli, monkeypatch):
    import click

    from mltk_plugin_ssh import _session

    there.configure(shutdown_cmds=["echo the machine is left"])
    monkeypatch.setattr(_session, "_is_interactive", lambda: True)
    echo = click.echo

    def interrupt(message=None, **kwargs) -> None:
        echo(message, **kwargs)
        if isinstance(message, bytes) and b"begun" in message:
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(click, "echo", interrupt)
    result = mltk_cli.invoke(["ssh", "custom", "tool", "work", "--wait"], input="k\n")
    assert result.exit_code == 143
    assert "kill it (k)" in result.stderr
    assert "the machine is left" in result.stdout
    assert result.stdout.count("begun") == 1
    assert not is_active(there.models / "tool")


def test_command_that_vanishes_is_noticed(there, tool, mltk_cli):
    folder = there.models / "tool"
    assert mltk_cli.invoke(["ssh", "--no-wait", "custom", "tool", "work", "--wait"]).exit_code == 0
    wait_for((folder / "begun").exists, "the command")
    os.killpg(int((folder / ".mltk-ssh/run/pid").read_text()), signal.SIGKILL)
    result = mltk_cli.invoke(["ssh", "--resume", "custom", "tool", "work", "--wait"])
    assert result.exit_code == 1
    assert "without an exit code" in result.stderr


@pytest.mark.parametrize(
    ("known", "options", "message"),
    [
        ("", [], "its host key is unknown. Connect once with 'ssh there'"),
        ("other", [], "its host key has changed"),
        (None, ["-i", "other_key"], "permission denied"),
        (None, ["-p", "1"], "Connection refused"),
        (None, ["-h", "no-such-host.invalid"], "Could not resolve hostname"),
    ],
    ids=["unknown key", "changed key", "wrong key", "refused", "unknown host"],
)
def test_no_connection_is_one_line(there, tool, mltk_cli, known, options, message):
    folder = there.server.folder
    if known is not None:
        other = " ".join((folder / "other_key.pub").read_text().split()[:2])
        there.known(f"HOST {other}\n" if known else "")
    if "-i" in options:
        there.log_in_with("other_key")
        options = ["-i", str(folder / "other_key")]
    before = (there.root / "known_hosts").read_text()
    result = mltk_cli.invoke(["ssh", *options, "custom", "tool", "work"])
    assert result.exit_code == 1
    assert len(result.stderr.strip().splitlines()) == 1
    assert message in result.stderr
    assert (there.root / "known_hosts").read_text() == before
    assert not there.models.exists()


def test_machine_without_mltk_says_so(there, tool, mltk_cli):
    bare = there.root / "python"
    bare.write_text(f'#!/bin/sh\nexec {sys.executable} -S -I "$@"\n')
    bare.chmod(0o755)
    there.configure(python=str(bare))
    result = mltk_cli.invoke(["ssh", "custom", "tool", "work"])
    assert result.exit_code == 1
    assert "cannot import mltk (ModuleNotFoundError: No module named 'mltk')" in result.stdout
    assert "ssh_create_venv = True" in result.stdout


def test_start_up_command_that_fails_is_named(there, tool, mltk_cli):
    there.configure(startup_cmds=["cd /no/such/folder"])
    result = mltk_cli.invoke(["ssh", "custom", "tool", "work"])
    assert result.exit_code == 1
    assert "The start-up command failed: cd /no/such/folder" in result.stdout
    assert "begun" not in result.stdout


@pytest.mark.slow
def test_virtual_environment_is_made_for_all_models(there, tool, mltk_cli):
    # Stands in for an installation from a package index.
    packages = next(p for p in sys.path if p.endswith("site-packages"))
    Path("install.sh").write_text(
        "folder=$(python -c 'import sysconfig; print(sysconfig.get_path(\"purelib\"))')\n"
        f"""echo "import site; site.addsitedir('{packages}')" >"$folder/test.pth"\n"""
    )
    there.configure(create_venv=True, startup_cmds=["sh ./install.sh"], upload_files=["install.sh"])
    result = mltk_cli.invoke(["ssh", "custom", "tool", "work"])
    assert result.exit_code == 0, result.stdout + result.stderr
    assert (there.models / "mltk-venv" / "pyvenv.cfg").is_file()
    assert "made.txt" in ModelArchive("tool.mltk.zip").names()
