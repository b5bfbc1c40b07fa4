"""Extraction of archives, good and hostile."""

from __future__ import annotations

import bz2
import contextlib
import gzip
import io
import lzma
import os
import stat
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mltk.errors import FileFormatError, MltkError
from mltk.utils.archive import extract_archive


def tree(root: Path) -> dict[str, str]:
    return {p.relative_to(root).as_posix(): p.read_text() for p in root.rglob("*") if p.is_file()}


def make_zip(path: Path, files: dict[str, str]) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, text in files.items():
            archive.writestr(name, text)
    return path


def make_tar(path: Path, *members: tuple[str, bytes, str], mode: str = "w") -> Path:
    """Write members `(name, type, content or link target)`."""
    with tarfile.open(path, mode) as archive:  # type: ignore[call-overload]
        for name, kind, text in members:
            info = tarfile.TarInfo(name)
            info.type = kind
            if kind == tarfile.REGTYPE:
                info.size = len(text)
                archive.addfile(info, io.BytesIO(text.encode()))
            else:
                info.linkname = text
                archive.addfile(info)
    return path


FILES = {"root/a/1.txt": "one", "root/b.txt": "two"}


@pytest.mark.parametrize("kind", ["zip", "tar", "tar.gz", "tar.bz2", "tar.xz"])
def test_every_kind_is_extracted_whatever_the_name(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "archive.bin"
    if kind == "zip":
        make_zip(path, FILES)
    else:
        mode = "w:" + kind.partition(".")[2]
        make_tar(path, *((name, tarfile.REGTYPE, text) for name, text in FILES.items()), mode=mode)
    assert extract_archive(path, tmp_path / "out") == (tmp_path / "out").as_posix()
    assert tree(tmp_path / "out") == FILES


def test_7z_is_extracted_and_checked(tmp_path: Path) -> None:
    py7zr = pytest.importorskip("py7zr")
    with py7zr.SevenZipFile(tmp_path / "a.7z", "w") as archive:
        for name, text in FILES.items():
            archive.writestr(text, name)
    extract_archive(tmp_path / "a.7z", tmp_path / "out", remove_root_dir=True)
    assert tree(tmp_path / "out") == {"a/1.txt": "one", "b.txt": "two"}
    with pytest.raises(FileFormatError, match="more than 3 bytes"):
        extract_archive(tmp_path / "a.7z", tmp_path / "out", max_bytes=3)
    (tmp_path / "link").symlink_to("/etc/hostname")
    with py7zr.SevenZipFile(tmp_path / "link.7z", "w") as archive:
        archive.write(tmp_path / "link", "link")
    with pytest.raises(FileFormatError, match="has a link"):
        extract_archive(tmp_path / "link.7z", tmp_path / "out")
    whole = (tmp_path / "a.7z").read_bytes()
    (tmp_path / "cut.7z").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(FileFormatError, match="damaged"):
        extract_archive(tmp_path / "cut.7z", tmp_path / "out")


def test_7z_without_its_package_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "py7zr", None)
    (tmp_path / "a.7z").write_bytes(b"7z\xbc\xaf\x27\x1c\0\4")
    with pytest.raises(MltkError, match="pip install py7zr"):
        extract_archive(tmp_path / "a.7z", tmp_path / "out")


@pytest.mark.parametrize(
    ("suffix", "pack"), [("gz", gzip.compress), ("bz2", bz2.compress), ("xz", lzma.compress)]
)
def test_single_compressed_file_loses_its_ending(tmp_path: Path, suffix: str, pack: object) -> None:
    path = tmp_path / f"table.csv.{suffix}"
    path.write_bytes(pack(b"1,2"))  # type: ignore[operator]
    extract_archive(path, tmp_path / "out")
    assert tree(tmp_path / "out") == {"table.csv": "1,2"}


def test_root_folder_is_removed_only_if_it_is_alone(tmp_path: Path) -> None:
    extract_archive(
        make_zip(tmp_path / "a.zip", {**FILES, "__MACOSX/x": ""}), tmp_path / "one", remove_root_dir=True
    )
    assert tree(tmp_path / "one") == {"a/1.txt": "one", "b.txt": "two"}
    extract_archive(make_zip(tmp_path / "b.zip", {**FILES, "c": "3"}), tmp_path / "two", remove_root_dir=True)
    assert tree(tmp_path / "two") == {**FILES, "c": "3"}


def test_destination_is_replaced_or_added_to(tmp_path: Path) -> None:
    out = tmp_path / "in/out"
    out.mkdir(parents=True)
    (out / "old").write_text("old")
    extract_archive(make_zip(tmp_path / "a.zip", {"new": "1"}), out, clean_dest_dir=False)
    assert tree(out) == {"old": "old", "new": "1"}
    extract_archive(make_zip(tmp_path / "a.zip", {"new": "2"}), out)
    assert tree(out) == {"new": "2"}
    assert [p.name for p in out.parent.iterdir()] == ["out"]


def test_archives_within_are_extracted_where_they_lie(tmp_path: Path) -> None:
    inner = make_zip(tmp_path / "inner.zip", {"x": "1"}).read_bytes()
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("sub/inner.zip", inner)
    extract_archive(tmp_path / "a.zip", tmp_path / "out", extract_nested=True)
    assert tree(tmp_path / "out") == {"sub/x": "1"}


@pytest.mark.parametrize(
    "name", ["../evil", "a/../../evil", "/evil", "\\evil", "..\\evil", "C:\\evil", "C:/evil"]
)
@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_names_that_lead_outside_are_refused_and_nothing_is_left(
    tmp_path: Path, kind: str, name: str
) -> None:
    path = tmp_path / "in" / "a.bin"
    path.parent.mkdir()
    if kind == "zip":
        make_zip(path, {"good": "x", name: "x"})
    else:
        make_tar(path, ("good", tarfile.REGTYPE, "x"), (name, tarfile.REGTYPE, "x"))
    with pytest.raises(FileFormatError, match="outside of the destination"):
        extract_archive(path, tmp_path / "in/deep/out")
    assert not list(tmp_path.rglob("*evil*"))
    assert list((tmp_path / "in/deep").iterdir()) == []


@given(
    st.lists(st.sampled_from(["..", ".", "a", "", "b"]), min_size=1, max_size=6), st.sampled_from(["/", "\\"])
)
def test_no_name_is_ever_written_outside(
    tmp_path_factory: pytest.TempPathFactory, parts: list[str], separator: str
) -> None:
    base = tmp_path_factory.mktemp("x")
    path = make_tar(base / "a.tar", (separator.join(parts), tarfile.REGTYPE, "x"))
    inside = base / "1/2/3/4/5/6/7/out"
    with contextlib.suppress(FileFormatError):
        extract_archive(path, inside)
    written = [p for p in base.rglob("*") if p.is_file() and p != path]
    assert all(inside in p.parents for p in written)


@pytest.mark.parametrize("target", ["/etc/hostname", "../../etc/hostname", "missing", "folder"])
@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE], ids=["symbolic", "hard"])
def test_tar_links_to_anything_but_a_file_inside_are_refused(
    tmp_path: Path, kind: bytes, target: str
) -> None:
    path = make_tar(tmp_path / "a.tar", ("folder", tarfile.DIRTYPE, ""), ("link", kind, target))
    with pytest.raises(FileFormatError, match=r"link|outside"):
        extract_archive(path, tmp_path / "out")


def test_tar_links_to_files_inside_become_copies(tmp_path: Path) -> None:
    path = make_tar(
        tmp_path / "a.tar",
        ("a/file", tarfile.REGTYPE, "text"),
        ("b/symbolic", tarfile.SYMTYPE, "../a/file"),
        ("b/hard", tarfile.LNKTYPE, "a/file"),
    )
    extract_archive(path, tmp_path / "out")
    assert tree(tmp_path / "out") == {"a/file": "text", "b/symbolic": "text", "b/hard": "text"}
    assert not any(p.is_symlink() for p in (tmp_path / "out").rglob("*"))


def test_writing_through_a_link_is_impossible(tmp_path: Path) -> None:
    path = make_tar(
        tmp_path / "a.tar", ("x", tarfile.SYMTYPE, str(tmp_path)), ("x/evil", tarfile.REGTYPE, "x")
    )
    with pytest.raises(FileFormatError):
        extract_archive(path, tmp_path / "out")
    assert not (tmp_path / "evil").exists()


def test_zip_links_are_refused(tmp_path: Path) -> None:
    info = zipfile.ZipInfo("link")
    info.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr(info, "/etc/hostname")
    with pytest.raises(FileFormatError, match="has a link, 'link'"):
        extract_archive(tmp_path / "a.zip", tmp_path / "out")


def test_pipes_and_devices_are_refused(tmp_path: Path) -> None:
    path = make_tar(tmp_path / "a.tar", ("pipe", tarfile.FIFOTYPE, ""))
    with pytest.raises(FileFormatError, match="device or pipe"):
        extract_archive(path, tmp_path / "out")


def test_number_of_entries_and_size_are_bounded(tmp_path: Path) -> None:
    path = make_zip(tmp_path / "a.zip", {str(i): "x" * 10 for i in range(10)})
    with pytest.raises(FileFormatError, match="more than 9 entries"):
        extract_archive(path, tmp_path / "out", max_files=9)
    with pytest.raises(FileFormatError, match="more than 99 bytes"):
        extract_archive(path, tmp_path / "out", max_bytes=99)
    extract_archive(path, tmp_path / "out", max_files=10, max_bytes=100)


def test_a_bomb_is_stopped_while_it_is_written(tmp_path: Path) -> None:
    (tmp_path / "bomb.gz").write_bytes(gzip.compress(bytes(50_000_000)))
    with pytest.raises(FileFormatError, match="more than 1,000,000 bytes"):
        extract_archive(tmp_path / "bomb.gz", tmp_path / "out", max_bytes=1_000_000)
    assert not (tmp_path / "out").exists()


def test_file_and_folder_of_one_name_are_refused(tmp_path: Path) -> None:
    path = make_tar(tmp_path / "a.tar", ("x", tarfile.REGTYPE, ""), ("x/y", tarfile.REGTYPE, ""))
    with pytest.raises(FileFormatError, match="same name"):
        extract_archive(path, tmp_path / "out")


@pytest.mark.parametrize("kind", ["zip", "tar.gz", "gz", "tar.xz"])
def test_damaged_archives_are_said_to_be_so_and_the_destination_stays(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "a.bin"
    noise = os.urandom(50_000).hex()
    if kind == "zip":
        make_zip(path, {"a": noise})
    elif kind == "gz":
        path.write_bytes(gzip.compress(noise.encode()))
    else:
        make_tar(path, ("a", tarfile.REGTYPE, noise), mode="w:" + kind.partition(".")[2])
    out = tmp_path / "out"
    out.mkdir()
    (out / "old").write_text("old")
    path.write_bytes(path.read_bytes()[:-20_000])
    with pytest.raises(FileFormatError, match="damaged"):
        extract_archive(path, out)
    assert tree(out) == {"old": "old"}


@pytest.mark.parametrize("content", [b"", b"hello", b"PK\x03\x04"])
def test_other_files_are_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.bin").write_bytes(content)
    with pytest.raises(FileFormatError, match=r"known kind|damaged"):
        extract_archive(tmp_path / "a.bin", tmp_path / "out")


def test_tar_that_ends_in_a_zip_is_a_tar(tmp_path: Path) -> None:
    inner = make_zip(tmp_path / "inner.zip", {"evil": ""}).read_bytes()
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        info = tarfile.TarInfo("inner.zip")
        info.size = len(inner)
        archive.addfile(info, io.BytesIO(inner))
    extract_archive(tmp_path / "a.tar", tmp_path / "out")
    assert [p.name for p in (tmp_path / "out").iterdir()] == ["inner.zip"]
