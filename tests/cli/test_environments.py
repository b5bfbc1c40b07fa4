"""Environments in which a command runs: closed streams, no working directory, no cache folder, failing disks."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

CONV = Path(__file__).parents[1] / "tflite" / "data" / "conv_int8.tflite"

pytestmark = pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs Linux")


def shell(command, **variables):
    """Run a shell command in which $MLTK is the command of this interpreter."""
    return subprocess.run(
        ["bash", "-c", command],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "MLTK": f"{sys.executable} -m mltk", **variables},
    )


def test_closed_streams_do_not_end_a_command(tmp_path):
    for closing in (">&-", "2>&-", ">&- 2>&-", "<&- >&- 2>&-"):
        done = shell(f"$MLTK plugins list {closing}; echo $? >{tmp_path}/rc")
        assert (tmp_path / "rc").read_text().strip() == "0", (closing, done.stderr)
        assert done.stderr == ""
        assert bool(done.stdout) is (closing == "2>&-")


def test_what_is_opened_does_not_get_the_number_of_a_closed_stream(tmp_path):
    # Libraries print to the numbers 1 and 2.
    done = shell(f"$MLTK summarize {CONV} -o {tmp_path}/text >&- 2>&-; echo $?")
    assert done.stdout.strip() == "0"
    assert "conv" in (tmp_path / "text").read_text().lower()


def test_a_full_stdout_is_one_line(tmp_path):
    for words in ("plugins list", f"summarize {CONV}", "--help"):
        done = shell(f"$MLTK {words} >/dev/full")
        unbuffered = shell(f"PYTHONUNBUFFERED=1 $MLTK {words} >/dev/full")
        assert done.returncode == unbuffered.returncode == 1
        assert (
            done.stderr.splitlines()
            == unbuffered.stderr.splitlines()
            == [
                "mltk: error: The output is incomplete, because stdout cannot be written: No space left on device."
            ]
        )
    # Where stderr is full, only the exit code can tell.
    assert shell("$MLTK summarize nosuch.tflite 2>/dev/full").returncode == 1


def test_without_a_working_directory_there_is_one_line_or_no_error(tmp_path):
    before = f"mkdir {tmp_path}/gone; cd {tmp_path}/gone; rmdir {tmp_path}/gone;"
    for words in ("--help", "plugins list", f"summarize {CONV}"):
        done = shell(f"{before} $MLTK {words}")
        assert (done.returncode, done.stderr) == (0, "")
    unknown = shell(f"{before} $MLTK summarize nosuch")
    assert unknown.stderr.startswith("mltk: error: There is no model named 'nosuch'")
    relative = shell(f"{before} $MLTK summarize {CONV} -o text")
    assert relative.returncode == 1
    assert relative.stderr == (
        "mltk: error: The working directory was removed. Change to another one, then try again.\n"
    )


@pytest.mark.parametrize(
    ("folder", "reason"),
    [
        ("file", "it is a file"),
        ("file/below", "Not a directory"),
        ("/dev/null", "it is a file"),
        ("~nosuchuser/x", "Could not determine home directory"),
        ("a" * 300, "File name too long"),
    ],
    ids=["file", "below a file", "device", "user", "long"],
)
def test_a_wrong_cache_folder_is_one_line(folder, reason, private_home):
    Path("file").touch()
    done = shell("$MLTK summarize nosuch", MLTK_CACHE_DIR=folder)
    assert (done.returncode, done.stderr) == (
        1,
        f"mltk: error: '{folder}' cannot be mltk's folder: {reason}. Set MLTK_CACHE_DIR to another one.\n",
    )
    # Not all commands need it.
    assert shell(f"$MLTK summarize {CONV}", MLTK_CACHE_DIR=folder).returncode == 0


def test_a_log_folder_that_cannot_be_made_is_one_line(monkeypatch):
    from mltk.core import MltkModel
    from mltk.errors import MltkError

    monkeypatch.setenv("MLTK_CACHE_DIR", "/proc/nosuch")
    with pytest.raises(
        MltkError, match="The log folder /proc/nosuch/models/test_environments cannot be made: No such file"
    ):
        _ = MltkModel().log_dir


def test_a_failing_disk_is_one_line(private_home):
    # Reading the memory of a process at the address 0 fails as a broken disk does.
    for name in ("x.tflite", "x.py", "x.mltk.zip"):
        Path(name).symlink_to("/proc/self/mem")
        done = shell(f"$MLTK summarize {name}")
        assert done.returncode == 1
        assert len(done.stderr.splitlines()) == 1, done.stderr
    assert "Input/output error" in shell("$MLTK summarize x.py").stderr


def test_output_goes_on_after_the_reader_is_gone(tmp_path):
    # The rest of the command must run: what it makes is worth more than what it prints.
    code = (
        "import sys; from mltk.cli import _streams; _streams.make_streams_last()\n"
        "for n in range(100000): print(n)\n"
        f"open({str(tmp_path / 'made')!r}, 'w').close(); print(_streams.flush_streams(), file=sys.stderr)"
    )
    done = subprocess.run(
        ["bash", "-c", '"$0" -c "$1" | head -1', sys.executable, code], capture_output=True, text=True
    )
    assert (done.stdout, done.stderr) == ("0\n", "None\n")
    assert (tmp_path / "made").exists()


STOPPED = """
import sys, time
from pathlib import Path
from mltk.cli import _streams
from mltk.utils.stopping import in_steps, stop_here, stop_signals
_streams.make_streams_last()
try:
    with stop_signals(), in_steps():
        print("ready", flush=True)
        for n in range(600):
            time.sleep(0.1)
            print("Epoch", n, flush=True)
            print("warning", file=sys.stderr, flush=True)
            stop_here()
except KeyboardInterrupt:
    Path(sys.argv[1]).write_text("stopped after a step")
"""


def test_a_terminal_that_is_closed_ends_a_training_after_its_step(tmp_path):
    # As a terminal does when its window is closed: it sends the signal, and writing to it fails.
    with subprocess.Popen(
        [sys.executable, "-c", STOPPED, str(tmp_path / "made")],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_DFL),
    ) as process:
        assert process.stdout.readline() == "ready\n"
        process.stdout.close()
        process.stderr.close()
        process.send_signal(signal.SIGHUP)
        assert process.wait(timeout=30) == 0
    assert (tmp_path / "made").read_text() == "stopped after a step"
