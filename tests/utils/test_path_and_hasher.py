"""Paths, folders and hashes."""

import hashlib
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from mltk.errors import MltkError
from mltk.utils.hasher import generate_hash, hash_file
from mltk.utils.path import create_user_dir, fullpath, recursive_listdir


def test_fullpath_resolves_home_variables_and_dots(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", "/home/someone")
    monkeypatch.setenv("X", "data")
    monkeypatch.chdir(tmp_path)
    assert fullpath("~/$X/../b") == "/home/someone/b"
    assert fullpath("a/./b") == (tmp_path / "a/b").as_posix()


def test_user_folder_is_made_below_the_cache_or_the_given_folder(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("MLTK_CACHE_DIR", str(tmp_path / "cache"))
    assert create_user_dir() == (tmp_path / "cache").as_posix()
    assert create_user_dir("/datasets\\x") == (tmp_path / "cache/datasets/x").as_posix()
    assert create_user_dir("y", base_dir=tmp_path) == (tmp_path / "y").as_posix()
    assert (tmp_path / "cache/datasets/x").is_dir()


def test_folder_that_cannot_be_made_says_what_to_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("MLTK_CACHE_DIR", str(tmp_path / "file"))
    with pytest.raises(MltkError, match="Set MLTK_CACHE_DIR"):
        create_user_dir("x")


@pytest.mark.parametrize(
    "pattern",
    [r".*\.py$", re.compile(r".*\.py$"), lambda path: path.endswith(".py")],
    ids=["text", "re", "function"],
)
def test_files_are_listed_sorted_and_chosen(
    tmp_path: Path, pattern: str | re.Pattern[str] | Callable[[str], bool]
) -> None:
    for name in ("b/x.py", "a/y.py", "a/z.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "b/loop").symlink_to(tmp_path)
    assert recursive_listdir(tmp_path, regex=pattern, return_relative_paths=True) == ["a/y.py", "b/x.py"]
    assert recursive_listdir(tmp_path)[1] == (tmp_path / "a/z.txt").as_posix()


def test_file_hash_is_that_of_the_content(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"abc")
    assert hash_file(tmp_path / "a") == hashlib.md5(b"abc").hexdigest()
    assert hash_file(tmp_path / "a", "sha256") == hashlib.sha256(b"abc").hexdigest()


def test_hash_of_values_is_fixed() -> None:
    assert generate_hash("a", 1, [2.5, None], {"k": b"v"}) == "d6ba72832e85610d98323a0ce7fee4be"


@pytest.mark.parametrize(
    ("a", "b"),
    [
        (("ab",), ("a", "b")),
        ((1,), ("1",)),
        ((1,), (True,)),
        ((1,), (1.0,)),
        (([1, 2], 3), ([1], 2, 3)),
        ((np.zeros(2000),), (np.r_[np.zeros(1999), 1],)),
        ((np.zeros(4),), (np.zeros((2, 2)),)),
        (({"a": 1},), ({"a": 2},)),
    ],
)
def test_different_values_have_different_hashes(a: tuple[object, ...], b: tuple[object, ...]) -> None:
    assert generate_hash(*a) != generate_hash(*b)


def test_order_of_mappings_and_sets_and_kind_of_sequence_do_not_matter() -> None:
    assert generate_hash({"a": 1, "b": 2}) == generate_hash({"b": 2, "a": 1})
    assert generate_hash({"x", "y", "z"}) == generate_hash({"z", "y", "x"})
    assert generate_hash([1, 2]) == generate_hash((1, 2))
    assert generate_hash(np.float32(0.5)) == generate_hash(0.5)


def test_values_without_a_stable_text_are_refused() -> None:
    assert generate_hash(generate_hash) == generate_hash(generate_hash)
    with pytest.raises(TypeError, match="of a object"):
        generate_hash(object())
