"""Temporary folders, moved folders, and what a killed process leaves of them."""

import errno
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from mltk.utils.folders import merge_folder, replace_folder, write_folder_once
from mltk.utils.temporary import kept_temporary_folder, temporary_folder

KILLED = """
import os, signal, sys
from pathlib import Path
from mltk.utils.temporary import temporary_folder
with temporary_folder(Path(sys.argv[1]) if len(sys.argv) > 1 else None) as folder:
    (folder / "content").write_text("x")
    print(folder, flush=True)
    if sys.stdin.readline() == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture(autouse=True)
def own_temporary_files(tmp_path, monkeypatch):
    folder = tmp_path / "system"
    folder.mkdir()
    monkeypatch.setenv("TMPDIR", str(folder))
    monkeypatch.setattr(tempfile, "tempdir", None)


@pytest.fixture
def process():
    """Start a process that has a temporary folder until it is killed."""
    started = []

    def start(*args):
        one = subprocess.Popen(
            [sys.executable, "-c", KILLED, *map(str, args)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        started.append(one)
        return one, Path(one.stdout.readline().strip())

    yield start
    for one in started:
        one.kill()
        one.communicate()


@pytest.mark.skipif(os.name != "posix", reason="needs POSIX signals")
@pytest.mark.parametrize("is_beside", [False, True], ids=["in the system's folder", "beside a path"])
def test_the_next_process_removes_what_a_killed_one_left_and_nothing_else(is_beside, process, tmp_path):
    args = (tmp_path / "data set[1]",) if is_beside else ()
    killed, abandoned = process(*args)
    _, in_use = process(*args)
    killed.communicate("kill")
    assert abandoned.is_dir()
    with temporary_folder(*args) as own, temporary_folder(*args) as second:
        assert own.is_dir() and second.is_dir()
        assert not abandoned.exists()
        assert (in_use / "content").exists()
        assert own.parent == in_use.parent
    assert sorted(p.name for p in in_use.parent.iterdir() if p.name.startswith(in_use.name[:3])) == [
        in_use.name,
        f"{in_use.name}.lock",
    ]


@pytest.mark.skipif(not hasattr(os, "getuid"), reason="needs POSIX users")
def test_the_folder_is_readable_by_this_user_only_whoever_was_first():
    with temporary_folder() as folder:
        assert folder.parent.stat().st_mode & 0o077 == 0
    folder.parent.chmod(0o777)
    with temporary_folder() as elsewhere:
        assert elsewhere.parent != folder.parent
        assert elsewhere.parent.stat().st_mode & 0o077 == 0


def test_a_kept_folder_ends_with_its_owner():
    class Owner:
        pass

    owner = Owner()
    folder = kept_temporary_folder(owner)
    assert folder.is_dir()
    del owner
    assert not folder.exists()


def test_a_folder_that_cannot_take_its_place_leaves_the_old_one(tmp_path, monkeypatch):
    target = tmp_path / "data"
    write_folder_once(target, {"v": 1}, lambda folder: (folder / "a").write_text("old"))
    rename = Path.rename

    def no_room(self, to):
        if Path(to) == target and not (self / "kept").exists():
            raise OSError(errno.ENOSPC, "No space left on device")
        return rename(self, to)

    monkeypatch.setattr(
        Path, "rename", lambda self, to: no_room(self, to) if "old" not in self.name else rename(self, to)
    )
    with pytest.raises(OSError, match="No space left"):
        write_folder_once(target, {"v": 2}, lambda folder: (folder / "a").write_text("new"))
    assert (target / "a").read_text() == "old"
    assert [p.name for p in tmp_path.iterdir() if p.name.startswith(".")] == []


def test_folders_are_replaced_or_merged(tmp_path):
    for name in ("one", "two", "target"):
        (tmp_path / name / "sub").mkdir(parents=True)
        (tmp_path / name / "sub" / name).write_text(name)
    merge_folder(tmp_path / "one", tmp_path / "target")
    assert sorted(p.name for p in (tmp_path / "target" / "sub").iterdir()) == ["one", "target"]
    replace_folder(tmp_path / "two", tmp_path / "target")
    assert sorted(p.name for p in (tmp_path / "target" / "sub").iterdir()) == ["two"]
