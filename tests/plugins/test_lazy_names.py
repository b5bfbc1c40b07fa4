"""The public names of core, found when first used."""

import ast
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

LAZY = [
    "mltk.core",
    "mltk.core.keras",
    "mltk.core.keras.losses",
    "mltk.core.model",
    "mltk.core.preprocess.utils",
    "mltk.cli",
]
SAME_NAME = [
    ("mltk.core", "train_model"),
    ("mltk.core", "quantize_model"),
    ("mltk.core", "evaluate_model"),
    ("mltk.core", "summarize_model"),
    ("mltk.core", "profile_model"),
    ("mltk.core", "update_model_parameters"),
    ("mltk.core.preprocess.utils", "normalize"),
]


@pytest.mark.parametrize("package", LAZY)
def test_every_name_in_the_table_exists(package):
    module = import_module(package)
    for name in vars(module)["__all__"]:
        assert getattr(module, name) is not None


@pytest.mark.parametrize("package", LAZY)
def test_editors_see_the_names_that_exist(package):
    module = import_module(package)
    tree = ast.parse(Path(module.__file__).with_suffix(".pyi").read_text(encoding="utf-8"))
    seen = {
        alias.asname for n in tree.body if isinstance(n, ast.ImportFrom) for alias in n.names if alias.asname
    }
    seen |= {n.targets[0].id for n in tree.body if isinstance(n, ast.Assign)}
    assert seen == set(vars(module)["__all__"])
    assert set(vars(module)["__all__"]) <= set(dir(module))
    assert sorted(vars(module)["__all__"]) == list(vars(module)["__all__"])


@pytest.mark.parametrize(("package", "name"), SAME_NAME)
@pytest.mark.parametrize("first", ["from {0} import {1}", "import {0}.{1}", "import {0}.{1} as x"])
def test_a_function_is_not_replaced_by_the_module_of_its_name(package, name, first):
    code = f"""
{first.format(package, name)}
import importlib, sys
module = importlib.import_module("{package}.{name}")
import {package} as p
from {package} import {name}
assert p.{name} is {name} is module.{name} and callable({name}), p.{name}
assert module is sys.modules["{package}.{name}"]
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_importing_core_imports_nothing_heavy():
    from mltk.testing import assert_imports_light

    for module in (
        "mltk",
        "mltk.core",
        "mltk.core.model",
        "mltk.plugins",
        "mltk.cli.main",
        "mltk.cli.plugins_cmd",
    ):
        assert_imports_light(module)
