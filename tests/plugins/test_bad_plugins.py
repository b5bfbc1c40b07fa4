"""Plugins that misbehave are contained or named."""

import os
import random
import subprocess
import sys
import types
import warnings
from pathlib import Path

import pytest

from mltk.errors import MltkError
from mltk.plugins import Command, Evaluator, PluginManager, Profiler, hookimpl
from mltk.plugins.validation import hook_kind, hook_signatures


def plugin(**functions):
    """A plugin with these functions as hooks."""
    made = types.SimpleNamespace(**{name: hookimpl(f) for name, f in functions.items()})
    return type("Plugin", (), {name: staticmethod(f) for name, f in vars(made).items()})()


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="ends the process with a signal")
def test_a_plugin_that_hangs_while_it_is_imported_is_named_and_can_be_blocked(site):
    site.add_plugin("quick", "")
    site.add_plugin("sleepy", "import time\ntime.sleep(600)")
    environment = {**os.environ, "PYTHONPATH": str(site.folder)}
    with subprocess.Popen(
        [sys.executable, "-m", "mltk", "--help"], stderr=subprocess.PIPE, text=True, env=environment
    ) as process:
        try:
            line = process.stderr.readline()
        finally:
            process.kill()
    assert line == (
        "mltk: still waiting for the plugin 'sleepy' (dist-sleepy 1.0) to be imported. "
        "MLTK_BLOCK_PLUGINS=sleepy leaves it out.\n"
    )
    assert site.mltk("--help", env={"MLTK_BLOCK_PLUGINS": "sleepy"}).returncode == 0


def test_what_a_plugin_does_to_the_process_while_it_is_imported_is_undone(site):
    site.add_plugin(
        "rude",
        """
        import os, random, warnings
        print("hello from rude")
        os.chdir("/")
        random.seed(0)
        warnings.simplefilter("ignore")
        """,
    )
    assert (
        site.python(
            """
            import os, random, warnings
            before = os.getcwd(), warnings.filters[:], random.getstate()
            from mltk.plugins import get_plugin_manager
            names = [r.name for r in get_plugin_manager().records() if r.status == "active" and not r.builtin]
            print(names, before == (os.getcwd(), warnings.filters[:], random.getstate()))
            """
        )
        == "['rude'] True"
    )
    # Where nobody used random numbers before, they must not be those of the plugin's seed.
    drawn = site.python(
        "from mltk.plugins import get_plugin_manager; get_plugin_manager(); import random; print(random.random())"
    )
    assert float(drawn) != random.Random(0).random()


@pytest.mark.parametrize("hook", ["mltk_commands", "mltk_evaluators", "mltk_event"])
def test_what_a_plugin_does_to_the_process_in_a_hook_is_undone(hook, capsys, tmp_path):
    answers = {
        "mltk_commands": [Command("c", "", "a:b")],
        "mltk_evaluators": [Evaluator("e", "", id)],
        "mltk_event": [],
    }

    def rude():
        print("noise")
        os.chdir(tmp_path.parent)
        warnings.simplefilter("ignore")
        yield from answers[hook]

    manager = PluginManager()
    manager.register(
        plugin(**{hook: (lambda: list(rude()) or None) if hook == "mltk_event" else rude}), "rude"
    )
    before = Path.cwd(), warnings.filters[:]
    call = manager.call_each if hook_kind(hook) == "each by itself" else manager.collect_offers
    answer = call(hook, **dict.fromkeys(hook_signatures()[hook]))
    assert bool(answer) == (hook != "mltk_event")
    assert (Path.cwd(), warnings.filters[:]) == before
    assert capsys.readouterr() == ("", "noise\n")


@pytest.mark.parametrize("hook", hook_signatures())
def test_a_plugin_that_raises_in_a_hook_is_named(hook, caplog):
    def fail():
        raise RuntimeError("on purpose")

    manager = PluginManager()
    manager.register(plugin(**{hook: fail}), "failing")
    arguments = dict.fromkeys(hook_signatures()[hook])
    if hook_kind(hook) == "each by itself":
        assert manager.call_each(hook, **arguments) == []
        assert f"The plugin 'failing' failed in the hook {hook}: RuntimeError: on purpose." in caplog.text
        return
    remedy = "Block it with MLTK_BLOCK_PLUGINS=failing."
    if hook_kind(hook) == "first answer":
        with pytest.raises(RuntimeError, match="on purpose") as e:
            manager.call_first(hook, **arguments)
        assert e.value.__notes__ == [f"Raised by the plugin 'failing' in the hook {hook}. {remedy}"]
        return
    with pytest.raises(MltkError) as e:
        manager.collect_offers(hook, **arguments)
    assert (
        str(e.value) == f"The plugin 'failing' failed in the hook {hook}: RuntimeError: on purpose. {remedy}"
    )


@pytest.mark.parametrize("hook", hook_signatures())
def test_a_plugin_that_answers_with_something_else_is_named(hook, caplog):
    manager = PluginManager()
    manager.register(plugin(**{hook: lambda: 3}), "odd")
    arguments = dict.fromkeys(hook_signatures()[hook])
    message = f"The plugin 'odd' failed in the hook {hook}: it returned an int"
    if hook_kind(hook) == "each by itself":
        assert manager.call_each(hook, **arguments) == []
        assert message in caplog.text
        return
    call = manager.call_first if hook_kind(hook) == "first answer" else manager.collect_offers
    with pytest.raises(MltkError, match=f"^{message}"):
        call(hook, **arguments)


def test_a_taken_name_ends_the_operation_with_both_named(mltk_cli, mltk_plugin_manager):
    mltk_plugin_manager.register(plugin(mltk_profilers=lambda: [Profiler("static", "", id)]), "mine")
    model = Path(__file__).parents[1] / "tflite" / "data" / "conv_int8.tflite"
    result = mltk_cli.invoke(["profile", model])
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == (
        "mltk: error: The profiler 'static' is offered by both the plugin 'mine' and mltk itself. "
        "Block one of them, e.g. MLTK_BLOCK_PLUGINS=mine.\n"
    )


def test_with_200_plugins_every_command_is_listed(site):
    source = (
        "from mltk.plugins import Command, hookimpl\n"
        "@hookimpl\n"
        "def mltk_commands():\n"
        "    return [Command(f'{__name__}-run', 'Runs.', 'nowhere:command')]\n"
    )
    for number in range(200):
        site.add_plugin(f"p{number:03}", source)
    done = site.mltk("--help")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.count("-run  ") == 200


def test_a_profiler_hook_that_raises_ends_the_command_in_one_line(mltk_cli, mltk_plugin_manager):
    mltk_plugin_manager.register(plugin(mltk_profilers=lambda: 1 / 0), "mine")
    model = Path(__file__).parents[1] / "tflite" / "data" / "conv_int8.tflite"
    result = mltk_cli.invoke(["profile", model])
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == (
        "mltk: error: The plugin 'mine' failed in the hook mltk_profilers: ZeroDivisionError: division by zero. "
        "Block it with MLTK_BLOCK_PLUGINS=mine.\n"
    )


def test_another_plugin_cannot_take_the_name_of_one_of_ours(site):
    source = "from mltk.plugins import Command, hookimpl\n@hookimpl\ndef mltk_commands():\n    return None\n"
    site.add_plugin("image", "raise RuntimeError('never loaded')", distribution="aaa-image")
    site.add_plugin("image", source, distribution="mltk-plugin-image")
    done = site.mltk("plugins", "list", env={"MLTK_BLOCK_PLUGINS": ""})
    rows = [line.split() for line in done.stdout.splitlines() if line.startswith("image ")]
    assert [(row[1], row[3]) for row in rows] == [("mltk-plugin-image", "active"), ("aaa-image", "broken")]
