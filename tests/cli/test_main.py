"""The command `mltk` itself."""

import os
import signal
import subprocess
import sys
import textwrap

import click
import pytest

from mltk import __version__, cli
from mltk.cli import _logging
from mltk.cli.main import builtin_commands, main
from mltk.errors import MltkError
from mltk.plugins import Command, hookimpl
from mltk.testing import assert_imports_light

COMMANDS = builtin_commands()

SPY = """
import sys
from mltk.cli.main import main
sys.argv = ["mltk", *{args!r}]
try:
    main()
except SystemExit as e:
    code = e.code
names = ("numpy", "tensorflow", "keras", "rich", "PIL", "matplotlib", "grain")
heavy = [name for name in names if name in sys.modules]
print("\\n", code, heavy, file=sys.stderr)
"""


@pytest.fixture
def error_command(monkeypatch, mltk_plugin_manager):
    """A command of a plugin that does what it is told."""

    @click.command()
    @click.argument("what")
    def fail(what):
        if what == "error":
            error = MltkError("It is broken. Mend it.")
            error.add_note("A note.")
            raise error
        if what == "interrupt":
            raise KeyboardInterrupt
        if what == "defect":
            raise RuntimeError("a defect")
        if what == "abort":
            cli.abort(3, "No way.")
        if what == "abort silently":
            cli.abort()
        if what == "handle":
            cli.handle_exception("Went wrong", ValueError("the reason"))
        if what == "gpu":
            click.echo(os.environ.get("CUDA_VISIBLE_DEVICES"))
        if what == "active":
            click.echo(cli.is_command_active())

    monkeypatch.setattr(sys.modules[__name__], "fail_command", fail, raising=False)
    monkeypatch.setitem(sys.modules, "error_command_module", sys.modules[__name__])

    class Plugin:
        @hookimpl
        def mltk_commands(self):
            return [Command("fail-now", "Fails.", "error_command_module:fail_command")]

    mltk_plugin_manager.strict = False
    mltk_plugin_manager.register(Plugin(), "failing")
    return mltk_plugin_manager


@pytest.mark.parametrize(
    "args",
    [["--help"], ["--version"], ["plugins", "list"], ["plugins", "list", "--json"], ["plugins", "hooks"], []],
    ids=" ".join,
)
def test_nothing_heavy_is_imported(args):
    done = subprocess.run(
        [sys.executable, "-c", SPY.format(args=args)], capture_output=True, text=True, check=True
    )
    code, _, heavy = done.stderr.splitlines()[-1].strip().partition(" ")
    assert (code, heavy) == ("0" if args else "2", "[]")


@pytest.mark.parametrize(
    ("words", "expected"),
    [("mltk tra", "train"), ("mltk plugins li", "list"), ("mltk --no-pl", "--no-plugins")],
)
def test_completing_a_command_imports_nothing_heavy(words, expected):
    env = {
        **os.environ,
        "_MLTK_COMPLETE": "bash_complete",
        "COMP_WORDS": words,
        "COMP_CWORD": str(len(words.split()) - 1),
    }
    done = subprocess.run(
        [sys.executable, "-c", SPY.format(args=[])], capture_output=True, text=True, env=env, check=True
    )
    assert f"plain,{expected}" in done.stdout
    assert done.stderr.split() == ["0", "[]"]


def test_the_version(mltk_cli):
    assert mltk_cli.invoke(["--version"]).stdout == f"{__version__}\n"


def test_help_names_every_command_with_its_summary(mltk_cli):
    shown = mltk_cli.invoke(["-h"]).stdout
    for name, row in COMMANDS.items():
        assert f"  {name} " in shown and row.summary in shown


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_is_light_until_it_runs(name):
    assert_imports_light(COMMANDS[name].target.partition(":")[0])


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_of_the_table_has_help_of_its_own(mltk_cli, name):
    result = mltk_cli.invoke([name, "--help"])
    assert result.exit_code == 0, result.stderr
    assert result.stdout.startswith(f"Usage: mltk {name} ")


def test_a_command_may_be_spelt_with_hyphens(mltk_cli, error_command):
    assert mltk_cli.invoke(["update-params", "--help"]).exit_code == 0
    assert mltk_cli.invoke(["fail_now", "active"]).stdout == "True\n"
    assert mltk_cli.invoke(["fail-now", "active"]).stdout == "True\n"


def test_an_unknown_command_is_a_usage_error_with_near_matches(mltk_cli, error_command):
    result = mltk_cli.invoke(["trian"])
    assert result.exit_code == 2
    assert "No such command 'trian'. Did you mean 'train'?" in result.stderr
    assert "Did you mean 'fail-now'?" in mltk_cli.invoke(["fail-nwo"]).stderr


def test_an_error_of_the_user_is_one_line_and_exit_code_1(mltk_cli, error_command):
    result = mltk_cli.invoke(["fail-now", "error"])
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == "mltk: error: It is broken. Mend it. A note.\n"


def test_debug_shows_the_traceback(mltk_cli, error_command):
    with pytest.raises(MltkError):
        mltk_cli.invoke(["--debug", "fail-now", "error"])


def test_a_defect_keeps_its_traceback(mltk_cli, error_command):
    with pytest.raises(RuntimeError):
        mltk_cli.invoke(["fail-now", "defect"])


def test_an_interruption_is_said_and_has_exit_code_130(mltk_cli, error_command):
    result = mltk_cli.invoke(["fail-now", "interrupt"])
    assert (result.exit_code, result.stderr) == (130, "Interrupted.\n")


@pytest.mark.parametrize(
    ("what", "exit_code", "message"),
    [
        ("abort", 3, "mltk: error: No way.\n"),
        ("abort silently", -1, ""),
        ("handle", 1, "mltk: error: Went wrong: the reason\n"),
    ],
)
def test_the_helpers_of_commands_end_them(mltk_cli, error_command, what, exit_code, message):
    result = mltk_cli.invoke(["fail-now", what])
    assert (result.exit_code, result.stderr) == (exit_code, message)


def test_no_gpu_hides_the_devices_for_this_command_only(mltk_cli, error_command, monkeypatch):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert mltk_cli.invoke(["--no-gpu", "fail-now", "gpu"]).stdout == "-1\n"
    assert mltk_cli.invoke(["fail-now", "gpu"]).stdout == "\n"
    assert "CUDA_VISIBLE_DEVICES" not in os.environ


def test_a_command_of_a_plugin_that_cannot_be_loaded_names_the_plugin(mltk_cli, error_command):
    class Plugin:
        @hookimpl
        def mltk_commands(self):
            return [
                Command("gone", "Is gone.", "no_such_module:command"),
                Command("no", "Is none.", "math:pi"),
            ]

    error_command.register(Plugin(), "careless")
    for name, reason in (
        ("gone", "No module named 'no_such_module'"),
        ("no", "math:pi is not a click command"),
    ):
        result = mltk_cli.invoke([name])
        assert result.exit_code == 1
        assert f"The command '{name}' of the plugin 'careless' cannot be loaded" in result.stderr
        assert reason in result.stderr


def test_a_plugin_cannot_replace_a_command(mltk_cli, error_command, caplog):
    class Plugin:
        @hookimpl
        def mltk_commands(self):
            names = ("train", "update-params", "fail_now")
            return [Command(name, "Evil.", "nothing:here") for name in names]

    error_command.register(Plugin(), "aaa")
    shown = mltk_cli.invoke(["--help"])
    assert shown.exit_code == 0
    # The last registered is asked first, so `fail_now` of this plugin is the one that stays.
    assert shown.stdout.count("Evil.") == 1
    assert "The command 'train' of the plugin 'aaa' is left out: mltk itself has it." in caplog.text
    assert "The command 'update-params' of the plugin 'aaa' is left out: mltk itself has it." in caplog.text
    assert (
        "The command 'fail-now' of the plugin 'failing' is left out: the plugin 'aaa' has it." in caplog.text
    )


def test_python_dash_m(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "mltk", "--version"], capture_output=True, text=True, check=True
    )
    assert done.stdout == f"{__version__}\n"


@pytest.mark.skipif(os.name != "posix", reason="needs a POSIX shell")
def test_a_reader_that_goes_away_is_no_error():
    done = subprocess.run(
        f"'{sys.executable}' -m mltk plugins hooks | true",
        shell=True,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stderr == ""


@pytest.mark.skipif(os.name != "posix", reason="needs POSIX signals")
def test_ctrl_c_ends_a_real_process_with_130(tmp_path):
    (tmp_path / "waiting.py").write_text(
        textwrap.dedent(
            """
            import time, click
            from mltk.plugins import Command, hookimpl
            @hookimpl
            def mltk_commands():
                return [Command("wait", "Waits.", "waiting:wait")]
            @click.command()
            def wait():
                print("ready", flush=True)
                time.sleep(60)
            """
        )
    )
    info = tmp_path / "waiting-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: waiting\nVersion: 1\n")
    (info / "entry_points.txt").write_text("[mltk.plugins]\nwaiting = waiting\n")
    with subprocess.Popen(
        [sys.executable, "-m", "mltk", "wait"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        # Where the tests run in the background, children would ignore it.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    ) as process:
        assert process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGINT)
        _, stderr = process.communicate(timeout=20)
    assert (process.returncode, stderr.splitlines()[-1]) == (130, "Interrupted.")


def test_the_logger_writes_to_stderr_and_within_a_command_to_a_file(mltk_cli, error_command, monkeypatch):
    import logging

    @click.command()
    @click.option("--verbose", is_flag=True)
    def talk(verbose):
        logger = cli.get_logger(verbose=verbose)
        logger.info("an info")
        logger.debug("a detail")
        logging.getLogger("mltk.child").warning("a warning")
        click.echo("a result")

    monkeypatch.setattr(sys.modules[__name__], "fail_command", talk)
    quiet = mltk_cli.invoke(["fail-now"])
    assert (quiet.stdout, quiet.stderr) == ("a result\n", "an info\na warning\n")
    loud = mltk_cli.invoke(["fail-now", "--verbose"])
    assert loud.stderr == "an info\na detail\na warning\n"
    text = (mltk_cli.home / ".mltk" / "cli_logs" / "fail-now.log").read_text()
    assert [line.split(" ", 2)[2] for line in text.splitlines()] == [
        "INFO    mltk: an info",
        "DEBUG   mltk: a detail",
        "WARNING mltk.child: a warning",
    ]


def test_outside_a_command_there_is_no_log_file_and_abort_ends_the_program(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("MLTK_CACHE_DIR", str(tmp_path / "cache"))
    assert not cli.is_command_active()
    cli.get_logger("mine").info("said")
    assert capsys.readouterr().err == "said\n"
    assert not (tmp_path / "cache").exists()
    with pytest.raises(SystemExit) as e:
        cli.abort(2, "No.")
    assert e.value.code == 2
    cli.get_logger(console=False).info("unsaid")
    assert capsys.readouterr().err == "mltk: error: No.\n"
    _logging.reset()


def test_a_log_that_cannot_be_written_does_not_stop_a_command(mltk_cli, error_command, monkeypatch):
    blocked = mltk_cli.home / "file"
    blocked.write_text("")
    monkeypatch.setenv("MLTK_CACHE_DIR", str(blocked))
    monkeypatch.setattr(
        sys.modules[__name__], "fail_command", click.command()(lambda: cli.get_logger().info("still here"))
    )
    assert mltk_cli.invoke(["fail-now"]).stderr == "still here\n"


def test_a_table_is_aligned_text_when_nobody_watches(capsys):
    cli.print_table(("Name", "N"), [("a", "1"), ("longer", "")])
    assert capsys.readouterr().out == "Name    N\na       1\nlonger\n"


def test_a_table_on_a_terminal_keeps_every_cell(capsys, monkeypatch):
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    cli.print_table(("Name", "N"), [("[bold]a", "1")])
    assert "[bold]a" in capsys.readouterr().out


def test_the_entry_point_is_this_command():
    from importlib_metadata import entry_points

    (script,) = entry_points(group="console_scripts", name="mltk")
    assert script.value == "mltk.cli.main:main"
    assert script.load() is main


def test_an_accelerator_is_found_in_any_case_and_an_unknown_one_ends_with_near_matches(capsys):
    assert cli.parse_accelerator_option(None) is None
    assert cli.parse_accelerator_option("STATIC") == "static"
    with pytest.raises(SystemExit) as error:
        cli.parse_accelerator_option("statik")
    assert error.value.code == 1
    assert capsys.readouterr().err == ("mltk: error: Unknown accelerator: 'statik'. Did you mean 'static'?\n")
    cli.print_did_you_mean_error("Unknown color", "x", ["red", "blue"])
    assert capsys.readouterr().err == "mltk: error: Unknown color: 'x'. There are: red, blue.\n"
