"""Files that cannot be written."""

import errno
from pathlib import Path

import pytest

from mltk.errors import MltkError
from mltk.utils.files import atomic_path, atomic_write

FULL = Path("/dev/full")


def test_full_disk_is_named_and_the_old_file_stays(tmp_path):
    if not FULL.exists():
        pytest.skip("this system has no device that is always full")
    path = tmp_path / "new" / "model.bin"
    path.parent.mkdir()
    path.write_text("old")
    with (
        pytest.raises(MltkError, match=r"model\.bin cannot be written: the disk is full"),
        atomic_path(path) as new,
    ):
        new.write_text("new")
        FULL.write_text("new")
    assert [p.name for p in path.parent.iterdir()] == ["model.bin"]
    assert path.read_text() == "old"


def test_full_disk_is_seen_in_the_errors_of_hdf5(tmp_path):
    with pytest.raises(MltkError, match="disk is full"), atomic_path(tmp_path / "x.weights.h5"):
        raise RuntimeError(
            "Can't decrement id ref count (errno = 28, error message = 'No space left on device')"
        )


def test_full_disk_is_seen_behind_the_error_that_it_led_to(tmp_path):
    with pytest.raises(MltkError, match="disk is full"), atomic_path(tmp_path / "x.zip"):
        try:
            raise OSError(errno.ENOSPC, "No space left on device")
        finally:
            raise ValueError("Can't close the ZIP file")


def test_other_errors_stay_what_they_are(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(NotADirectoryError):
        atomic_write(tmp_path / "file" / "x.txt", "text")
    with pytest.raises(FileNotFoundError, match="missing"), atomic_path(tmp_path / "x.txt"):
        (tmp_path / "missing").read_text()
