"""Specifications where they lie in a copy of the reference, with the paths of modules that they had there."""

import sys

import pytest

import mltk
from mltk.core import load_mltk_model

SPEC = """
# @mltk_model
from mltk.core import MltkModel
from mltk.models.{folder}.signatures_{folder} import LENGTH

my_model = MltkModel()
my_model.version = LENGTH
"""


@pytest.fixture(autouse=True)
def forget_modules(monkeypatch):
    """Take back what loading a specification leaves in the interpreter."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    before = set(sys.modules)
    yield
    for name in set(sys.modules) - before:
        if name.startswith("mltk.models.shelf"):
            del sys.modules[name]


def put(folder, length, name="reader_v1"):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.py").write_text(SPEC.format(folder=folder.name))
    (folder / f"signatures_{folder.name}.py").write_text(f"LENGTH = {length}\n")
    return folder / f"{name}.py"


def test_a_module_beside_a_specification_is_found_by_the_path_it_had_in_the_reference(private_home):
    assert load_mltk_model(put(private_home / "shelf", 7)).version == 7


def test_a_second_folder_of_the_same_name_is_searched_too(private_home):
    put(private_home / "a" / "shelf2", 7)
    spec = put(private_home / "b" / "shelf2", 8, "writer_v1")
    (spec.parent / "signatures_shelf2.py").rename(spec.parent / "signatures_b.py")
    spec.write_text(SPEC.format(folder="shelf2").replace("signatures_shelf2", "signatures_b"))
    assert load_mltk_model(private_home / "a" / "shelf2" / "reader_v1.py").version == 7
    assert load_mltk_model(spec).version == 8


def test_the_package_mltk_of_a_copy_of_the_reference_does_not_hide_this_one(private_home):
    package = private_home / "copy" / "mltk"
    spec = put(package / "models" / "shelf3", 9)
    for folder in (package, package / "models", package / "models" / "shelf3"):
        (folder / "__init__.py").write_text("raise SystemExit('not this package')\n")
    model = load_mltk_model(spec)
    assert (model.version, model.name) == (9, "reader_v1")
    assert str(package.parent) not in sys.path
    assert sys.modules["mltk"] is mltk


def test_a_folder_cannot_take_the_place_of_a_package_of_mltk(private_home):
    spec = put(private_home / "shared", 7)
    with pytest.raises(ValueError, match="line 4"):
        load_mltk_model(spec)
