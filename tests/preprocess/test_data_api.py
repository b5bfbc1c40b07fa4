"""`mltk.data` is the public API of data plugins."""

from __future__ import annotations

import ast
import inspect
from pathlib import Path

import numpy as np
import pytest

import mltk.data
from mltk.data import GeneratorSettings, check_choice, check_integer, check_range, list_directory
from mltk.data.generator_settings import FlowOptions
from mltk.errors import DatasetError, SpecificationError
from mltk.testing import assert_imports_light

SOURCES = sorted(Path(mltk.data.__file__).parent.glob("*.py"))


def test_importing_the_package_is_light():
    assert_imports_light("mltk.data")


@pytest.mark.parametrize("name", mltk.data.__all__)
def test_every_name_exists_and_functions_and_classes_have_a_docstring(name):
    value = getattr(mltk.data, name)
    if inspect.isfunction(value) or inspect.isclass(value):
        assert value.__doc__ and value.__doc__.split()[0][0].isupper()


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.stem)
def test_the_data_path_imports_only_lower_floors(path):
    imported = {
        node.module
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.ImportFrom) and node.module
    }
    own = {name.split(".")[1] for name in imported if name.startswith("mltk.")}
    assert own <= {"data", "plugins", "tflite", "utils", "errors"}


@pytest.fixture
def folders(tmp_path):
    for label, n in {"a": 4, "b": 2, "c": 6}.items():
        (tmp_path / "samples" / label).mkdir(parents=True)
        for i in range(n):
            (tmp_path / "samples" / label / f"{i}.bin").touch()
    return tmp_path / "samples"


def listing(folder, **arguments):
    return list_directory(
        GeneratorSettings(), folder, **{"formats": ["bin"], "flow": FlowOptions(), **arguments}
    )


def test_a_listing_has_all_class_folders_in_order(folders):
    (folders / ".hidden").mkdir()
    found = listing(folders)
    assert (found.classes, found.class_indices) == (("a", "b", "c"), {"a": 0, "b": 1, "c": 2})
    assert found.names[:5] == ("a/0.bin", "a/1.bin", "a/2.bin", "a/3.bin", "b/0.bin")
    assert found.labels.ids.tolist() == [0] * 4 + [1] * 2 + [2] * 6


def test_a_listing_of_some_classes_keeps_their_ids(folders):
    counts = {}
    found = listing(folders, classes=["c", "b", "a"], only=["b"], class_counts=counts)
    assert (found.names, found.labels.ids.tolist()) == (("b/0.bin", "b/1.bin"), [1, 1])
    assert counts == {"b": 2}
    with pytest.raises(SpecificationError, match="classes must be one of 'c', 'b'; got 'a'"):
        listing(folders, classes=["c", "b"], only=["a"])


def test_special_classes_are_sized_by_all_others(folders):
    arguments = {
        "classes": ["a", "c", "other", "nothing"],
        "unknown_class": "other",
        "empty_class": "nothing",
    }
    counts = {}
    found = listing(folders, **arguments, only=["other", "nothing"], class_counts=counts)
    assert counts == {"other": 2, "nothing": 5}
    assert sorted(filter(None, found.names)) == ["b/0.bin", "b/1.bin"] and found.names.count(None) == 5
    (folders / "nothing").mkdir()
    with pytest.raises(DatasetError, match="'nothing' has no samples"):
        listing(folders, **arguments)


def test_subsets_of_a_listing_are_disjoint_and_complete(folders):
    settings = GeneratorSettings(validation_split=0.5)
    parts = [
        list_directory(settings, folders, formats=["bin"], flow=FlowOptions(subset=subset)).names
        for subset in ("training", "validation")
    ]
    assert [len(part) for part in parts] == [6, 6]
    assert sorted(parts[0] + parts[1]) == sorted(listing(folders).names)


def test_checks_name_the_setting_and_its_value():
    assert check_range("span", np.array([1, 2])) == (1.0, 2.0)
    with pytest.raises(SpecificationError, match=r"^span must be \(minimum, maximum\), got \(2, 1\)\.$"):
        check_range("span", (2, 1))
    with pytest.raises(SpecificationError, match=r"^count must be an integer of at least 1, got 0\.$"):
        check_integer("count", 0, minimum=1)
    with pytest.raises(SpecificationError, match=r"got 'wite'\. Did you mean 'white'\?$"):
        check_choice("color", "wite", ("white", "pink"))
