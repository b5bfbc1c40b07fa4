"""`mltk plugins`, and the plugin that it writes."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from mltk.plugins import Evaluator, hookimpl
from mltk.plugins._scaffold import PluginNames, render_plugin
from mltk.plugins.validation import hook_signatures

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture
def one_plugin(mltk_plugin_manager):
    class Plugin:
        @hookimpl
        def mltk_evaluators(self):
            return [Evaluator("mine", "My own.", lambda context: None)]

    mltk_plugin_manager.register(Plugin(), "mine")


def test_without_plugins_the_list_says_so(mltk_cli, mltk_plugin_manager):
    assert mltk_cli.invoke(["plugins", "list"]).stdout == "No plugins are installed.\n"
    assert json.loads(mltk_cli.invoke(["plugins", "list", "--json"]).stdout) == []


def test_the_list_as_a_table_and_as_json(mltk_cli, one_plugin):
    table = mltk_cli.invoke(["plugins", "list"]).stdout.splitlines()
    assert table[0].split() == ["Name", "Distribution", "Version", "Status", "Hooks", "or", "error"]
    assert table[1].split() == ["mine", "active", "mltk_evaluators"]
    (record,) = json.loads(mltk_cli.invoke(["plugins", "list", "--json"]).stdout)
    assert record == {
        "name": "mine",
        "status": "active",
        "module": "",
        "distribution": None,
        "version": None,
        "error": None,
        "details": None,
        "hooks": ["mltk_evaluators"],
        "builtin": False,
    }


def test_all_adds_the_built_in_plugins_and_hook_chooses(mltk_cli, one_plugin):
    everything = mltk_cli.invoke(["plugins", "list", "--all"]).stdout
    assert "mltk.build" in everything and "mine" in everything
    builders = mltk_cli.invoke(["plugins", "list", "--all", "--hook", "mltk_build_model"]).stdout
    assert "mltk.build" in builders and "mine" not in builders
    assert (
        mltk_cli.invoke(["plugins", "list", "--hook", "mltk_event"]).stdout
        == "No plugin implements mltk_event.\n"
    )


def test_an_unknown_hook_is_a_usage_error(mltk_cli):
    result = mltk_cli.invoke(["plugins", "list", "--hook", "mltk_evnt"])
    assert result.exit_code == 2
    assert "there is no hook 'mltk_evnt'. Did you mean 'mltk_event'" in result.stderr


def test_show_tells_what_is_known(mltk_cli, one_plugin):
    shown = mltk_cli.invoke(["plugins", "show", "mltk.build"]).stdout
    assert "mltk.builtin.build" in shown and "mltk_build_model" in shown
    (record,) = json.loads(mltk_cli.invoke(["plugins", "show", "mine", "--json"]).stdout)
    assert record["hooks"] == ["mltk_evaluators"] and record["provides"] == []


def test_show_of_an_unknown_plugin_gives_near_matches(mltk_cli, one_plugin):
    result = mltk_cli.invoke(["plugins", "show", "mien"])
    assert (result.exit_code, result.stderr) == (
        1,
        "mltk: error: There is no plugin 'mien'. Did you mean 'mine'?\n",
    )


def test_the_hooks_with_who_implements_them(mltk_cli, one_plugin):
    rows = json.loads(mltk_cli.invoke(["plugins", "hooks", "--json"]).stdout)
    assert [row["name"] for row in rows] == list(hook_signatures())
    assert {row["kind"] for row in rows} == {"first answer", "offers", "each by itself"}
    assert "mine" in next(row for row in rows if row["name"] == "mltk_evaluators")["plugins"]
    assert "mltk_load_dataset      first answer" in mltk_cli.invoke(["plugins", "hooks"]).stdout


def test_check_is_content_with_a_good_plugin(mltk_cli, one_plugin, monkeypatch):
    import importlib_metadata

    monkeypatch.setattr(importlib_metadata, "entry_points", lambda **_: ())
    result = mltk_cli.invoke(["plugins", "check"])
    assert (result.exit_code, result.stdout) == (0, "1 plugin, no problem.\n")


# A new plugin


@pytest.mark.parametrize("typed", ["my-metric", "my_metric", "mltk-plugin-my-metric", "My-Metric"])
def test_a_new_plugin_is_named_after_what_was_typed(mltk_cli, monkeypatch, typed):
    monkeypatch.chdir(mltk_cli.home)
    result = mltk_cli.invoke(["plugins", "new", typed])
    assert result.exit_code == 0
    folder = mltk_cli.home / "mltk_plugin_my_metric"
    assert 'name = "mltk-plugin-my-metric"' in (folder / "pyproject.toml").read_text()
    assert (folder / "src" / "mltk_plugin_my_metric" / "plugin.py").is_file()
    assert list(mltk_cli.home.iterdir()) == [folder]


@pytest.mark.parametrize("name", ["1st", "a b", "../up", "ä", ""])
def test_what_is_not_a_name_is_refused(mltk_cli, monkeypatch, name):
    monkeypatch.chdir(mltk_cli.home)
    result = mltk_cli.invoke(["plugins", "new", name])
    assert result.exit_code == 1
    assert f"'{name}' is not a name for a plugin." in result.stderr
    assert list(mltk_cli.home.iterdir()) == []


def test_a_taken_name_is_refused(mltk_cli, one_plugin):
    assert "There is a plugin 'mine' already." in mltk_cli.invoke(["plugins", "new", "mine"]).stderr
    assert (
        "There is a plugin 'classifier' already." in mltk_cli.invoke(["plugins", "new", "classifier"]).stderr
    )


def test_a_folder_with_something_in_it_is_left_alone(mltk_cli):
    precious = mltk_cli.home / "precious"
    precious.write_text("")
    result = mltk_cli.invoke(["plugins", "new", "thing", "--dir", mltk_cli.home])
    assert (result.exit_code, list(mltk_cli.home.iterdir())) == (1, [precious])
    assert "exists already" in result.stderr


def test_a_plugin_that_cannot_be_written_leaves_nothing_behind(mltk_cli, tmp_path):
    (tmp_path / "file").write_text("")
    result = mltk_cli.invoke(["plugins", "new", "thing", "--dir", tmp_path / "file" / "folder"])
    assert result.exit_code == 1
    assert "cannot be written" in result.stderr


def test_the_example_in_the_repository_is_the_template():
    folder = REPOSITORY / "plugins" / "example"
    expected = {path.as_posix(): text for path, text in render_plugin(PluginNames("example"))}
    found = {
        path.relative_to(folder).as_posix(): path.read_text(encoding="utf-8")
        for path in folder.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts and not path.name.endswith((".pyc", ".orig"))
    }
    assert found == expected


@pytest.mark.slow
def test_a_new_plugin_passes_its_own_tests_and_is_found_when_on_the_path(mltk_cli, tmp_path):
    folder = tmp_path / "fresh"
    assert mltk_cli.invoke(["plugins", "new", "fresh", "--dir", folder]).exit_code == 0
    info = folder / "src" / "mltk_plugin_fresh-0.1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: mltk-plugin-fresh\nVersion: 0.1.0\n")
    (info / "entry_points.txt").write_text("[mltk.plugins]\nfresh = mltk_plugin_fresh.plugin\n")
    env = {**os.environ, "PYTHONPATH": str(folder / "src")}

    tests = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests"],
        cwd=folder,
        env=env,
        capture_output=True,
        text=True,
        check=False,
    )
    assert tests.returncode == 0, tests.stdout

    listed = subprocess.run(
        [sys.executable, "-m", "mltk", "plugins", "list", "--json"],
        env=env,
        capture_output=True,
        text=True,
        check=True,
    )
    record = next(r for r in json.loads(listed.stdout) if r["name"] == "fresh")
    assert (record["status"], record["hooks"]) == ("active", ["mltk_evaluators"])
