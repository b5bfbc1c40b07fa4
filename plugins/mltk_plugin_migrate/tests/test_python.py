"""Helpers that the reference's specifications import."""

import io
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from mltk.errors import MltkError
from mltk.utils.python import DictObject, append_exception_msg, install_pip_package, prepend_exception_msg
from mltk_plugin_migrate.renamed_arguments import accept_old_arguments


@pytest.fixture
def commands(monkeypatch):
    """The pip commands that would have run; they succeed without doing anything."""
    run = []

    def fake(command, **kwargs):
        run.append(command[4:])
        return subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setattr(subprocess, "run", fake)
    return run


def test_entries_of_a_dict_object_are_attributes():
    d = DictObject(rate=0.1)
    d.steps = 3
    assert (d.rate, d["steps"]) == (0.1, 3)
    del d.rate
    assert d == {"steps": 3}
    assert not hasattr(d, "rate")
    with pytest.raises(AttributeError, match="rate"):
        del d.rate


def test_text_is_put_before_and_behind_that_of_an_exception():
    e = ValueError("no such file", 7)
    assert prepend_exception_msg(e, "Cannot load") is e
    append_exception_msg(e, "look there")
    assert str(e) == "Cannot load, no such file, 7, look there"


def test_a_package_that_is_there_is_not_installed(commands):
    install_pip_package("numpy")
    install_pip_package("numpy>=1.0")
    install_pip_package("PyYAML", "yaml")
    assert commands == []


def test_a_missing_package_is_named_with_the_command_that_installs_it(commands, monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    with pytest.raises(MltkError, match=r"pip install 'surely-not-here'"):
        install_pip_package("surely-not-here")
    with pytest.raises(MltkError, match=r"pip install 'numpy<1'"):
        install_pip_package("numpy<1")
    assert commands == []


def test_packages_are_installed_without_asking_when_the_user_said_so(commands, monkeypatch, tmp_path):
    monkeypatch.setenv("MLTK_INSTALL_PACKAGES", "always")
    monkeypatch.setattr(sys, "path", list(sys.path))
    install_pip_package("surely-not-here")
    install_pip_package("numpy", upgrade=True, no_deps=True)
    install_pip_package("surely_not_here>=2", install_dir=tmp_path / "packages")
    pip = ["--disable-pip-version-check"]
    assert commands == [
        [*pip, "surely-not-here"],
        [*pip, "--upgrade", "--no-deps", "numpy"],
        [*pip, "--target", str(tmp_path / "packages"), "surely_not_here>=2"],
    ]
    assert str(tmp_path / "packages") in sys.path


def test_the_user_is_asked_on_a_terminal(commands, monkeypatch):
    class Terminal:
        def __init__(self, answer):
            self.answer = answer

        def isatty(self):
            return True

        def readline(self, *args):
            return self.answer

    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    monkeypatch.setattr("click.termui.visible_prompt_func", lambda prompt: sys.stdin.readline())
    monkeypatch.setattr(sys, "stdin", Terminal("n"))
    with pytest.raises(MltkError, match="surely-not-here"):
        install_pip_package("surely-not-here")
    assert commands == []
    monkeypatch.setattr(sys, "stdin", Terminal("y"))
    install_pip_package("surely-not-here")
    assert len(commands) == 1


def test_a_failed_installation_is_one_line(monkeypatch):
    monkeypatch.setenv("MLTK_INSTALL_PACKAGES", "always")
    # pip itself, without an index to ask.
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    with pytest.raises(
        MltkError, match=r"'surely-not-here' could not be installed: No matching distribution"
    ):
        install_pip_package("surely-not-here")


@pytest.mark.parametrize("name", ["", "--index-url=x", "a b", "-r list.txt", "http://x/y.whl"])
def test_only_names_of_packages_are_given_to_pip(name, commands, monkeypatch):
    monkeypatch.setenv("MLTK_INSTALL_PACKAGES", "always")
    with pytest.raises(MltkError, match="not the name of a package"):
        install_pip_package(name)
    assert commands == []


def test_a_wrong_policy_is_refused(monkeypatch):
    monkeypatch.setenv("MLTK_INSTALL_PACKAGES", "yes")
    with pytest.raises(MltkError, match="'ask', 'always' or 'never', not 'yes'"):
        install_pip_package("surely-not-here")


def test_what_only_keras_2_can_use_is_not_asked_for(commands, monkeypatch):
    monkeypatch.setenv("MLTK_INSTALL_PACKAGES", "never")
    install_pip_package("tensorflow-model-optimization", "tensorflow_model_optimization")
    assert commands == []


def test_old_arguments_of_audiomentations_are_accepted():
    class Gain:
        def __init__(self, min_gain_db=-12.0, max_gain_db=12.0, p=0.5, lru_cache_size=None):
            if lru_cache_size is not None:
                raise ValueError("no longer supported")
            self.values = (min_gain_db, max_gain_db, p)

    class KnowsOldNames:
        def __init__(self, min_gain_in_db=None, min_gain_db=1.0):
            self.values = (min_gain_in_db, min_gain_db)

    module = ModuleType("audiomentations")
    module.Gain, module.KnowsOldNames, module.Path = Gain, KnowsOldNames, Path
    for _ in range(2):
        accept_old_arguments(module)
    assert Gain(min_gain_in_db=-3, max_gain_db=2, p=1).values == (-3, 2, 1)
    assert Gain(min_gain_in_db=-3, lru_cache_size=16).values == (-3, 12.0, 0.5)
    assert Gain(-3).values == (-3, 12.0, 0.5)
    assert KnowsOldNames(min_gain_in_db=5).values == (5, 1.0)
    with pytest.raises(TypeError, match="min_gain_db"):
        Gain(min_gain_in_db=1, min_gain_db=2)
