import io
import os
import stat
import struct
import tracemalloc
import zipfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mltk.errors import ArchiveFileNotFoundError, FileFormatError, MltkError
from mltk.utils.model_archive import ModelArchive


@pytest.fixture
def archive(private_home) -> ModelArchive:
    return ModelArchive(private_home / "m.mltk.zip")


def raw_archive(path: Path, *members: tuple[str | zipfile.ZipInfo, bytes]) -> ModelArchive:
    with zipfile.ZipFile(path, "w") as file:
        for name, content in members:
            file.writestr(name, content)
    return ModelArchive(path)


def test_members_come_back_and_are_replaced_and_removed(archive, tmp_path):
    file = tmp_path / "b.txt"
    file.write_bytes(b"file")
    archive.update({"a/a.txt": b"bytes", "b.txt": file, "eval/x": b"1", "eval/y": b"2"})
    assert archive.names() == ["a/a.txt", "b.txt", "eval/x", "eval/y"]
    archive.update({"eval/z": b"3"}, remove=["eval/"])
    assert archive.names() == ["a/a.txt", "b.txt", "eval/z"]
    assert (archive.read("a/a.txt"), archive.read("b.txt")) == (b"bytes", b"file")
    archive.update({"new": b""}, remove=[""])
    assert archive.names() == ["new"]


def test_equal_content_gives_equal_bytes_whatever_the_order(tmp_path):
    one, two = ModelArchive(tmp_path / "1"), ModelArchive(tmp_path / "2")
    one.update({"a": b"1", "b": b"2"})
    two.update({"b": b"2"})
    two.update({"a": b"1"})
    assert one.path.read_bytes() == two.path.read_bytes()


def test_failing_update_leaves_the_old_archive_whole(archive, tmp_path):
    archive.update({"a": b"1"})
    before = archive.path.read_bytes()
    with pytest.raises(FileNotFoundError):
        archive.update({"b": tmp_path / "missing"})
    assert archive.path.read_bytes() == before
    assert [p.name for p in archive.path.parent.iterdir()] == ["m.mltk.zip"]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50)
@given(
    st.dictionaries(
        st.from_regex(r"[a-z]{1,8}(/[a-z]{1,8}){0,3}\.[a-z]{1,3}", fullmatch=True),
        st.binary(max_size=200),
        max_size=8,
    )
)
def test_any_content_survives(archive, members):
    archive.path.unlink(missing_ok=True)
    archive.update(members)
    assert {name: archive.read(name) for name in archive.names()} == members


@pytest.mark.parametrize(
    "name", ["../evil", "/etc/evil", "a/../../evil", "a\\..\\evil", "C:evil", "a\nb", "a/\x1b[31m", ".."]
)
def test_member_with_an_unsafe_name_is_refused(tmp_path, name):
    archive = raw_archive(tmp_path / "m.mltk.zip", (name, b"x"))
    with pytest.raises(FileFormatError, match="unsafe name"):
        archive.names()
    with pytest.raises(FileFormatError, match="unsafe name"):
        archive.extract([name], tmp_path / "out")
    assert not (tmp_path / "evil").exists()


def test_link_is_refused(tmp_path):
    info = zipfile.ZipInfo("link")
    info.external_attr = (stat.S_IFLNK | 0o777) << 16
    archive = raw_archive(tmp_path / "m.mltk.zip", (info, b"/etc/passwd"))
    with pytest.raises(FileFormatError, match="not a plain file"):
        archive.read("link")


def test_name_that_occurs_twice_is_refused(tmp_path):
    with pytest.warns(UserWarning, match="Duplicate name"):
        archive = raw_archive(tmp_path / "m.mltk.zip", ("a", b"1"), ("a", b"2"))
    with pytest.raises(FileFormatError, match="'a' twice"):
        archive.names()


def test_too_many_members_and_too_large_ones_are_refused(tmp_path, monkeypatch):
    archive = raw_archive(tmp_path / "m.mltk.zip", ("a", b"x" * 100), ("b", b"x" * 100))
    monkeypatch.setattr("mltk.utils.model_archive.MAX_TOTAL_BYTES", 150)
    with pytest.raises(FileFormatError, match="too large"):
        archive.names()
    monkeypatch.setattr("mltk.utils.model_archive.MAX_MEMBERS", 1)
    with pytest.raises(FileFormatError, match="has 2 members"):
        archive.names()


def test_a_bomb_is_refused_by_its_ratio_before_anything_is_unpacked(tmp_path, monkeypatch):
    monkeypatch.setattr("mltk.utils.model_archive._ANY_RATIO_BYTES", 1 << 20)
    archive = ModelArchive(tmp_path / "m.mltk.zip")
    archive.update({"small.txt": bytes(1 << 19)})
    assert archive.names() == ["small.txt"]
    archive.update({"zeros.json": bytes(2 << 20)})
    assert archive.path.stat().st_size < 5000
    with pytest.raises(FileFormatError, match=r"too large when unpacked \('zeros\.json'\)"):
        archive.read("small.txt")


def test_ten_gigabytes_and_a_million_members_are_refused_at_once(tmp_path):
    size = struct.pack("<I", 0xFFFFFFFF)
    extra = struct.pack("<2HQ", 1, 8, 10 << 30)
    directory = (
        b"PK\x01\x02" + bytes(20) + size + struct.pack("<2H", 1, len(extra)) + bytes(14) + b"a" + extra
    )
    end = b"PK\x05\x06" + bytes(4) + struct.pack("<2H2IH", 1, 1, len(directory), 0, 0)
    (tmp_path / "m.mltk.zip").write_bytes(directory + end)
    with pytest.raises(FileFormatError, match="too large when unpacked"):
        ModelArchive(tmp_path / "m.mltk.zip").names()

    one = b"PK\x01\x02" + bytes(24) + struct.pack("<H", 1) + bytes(16) + b"a"
    members = one * 1_000_000
    # The count is of 16 bits and is not what is read.
    end = b"PK\x05\x06" + bytes(4) + struct.pack("<2H2IH", 1, 1, len(members), 0, 0)
    (tmp_path / "n.mltk.zip").write_bytes(members + end)
    tracemalloc.start()
    try:
        with pytest.raises(FileFormatError, match="more than 20000 members"):
            ModelArchive(tmp_path / "n.mltk.zip").names()
        assert tracemalloc.get_traced_memory()[1] < 32 << 20
    finally:
        tracemalloc.stop()


def test_damaged_archive_is_one_clear_line(archive):
    archive.update({"a.txt": os.urandom(5000)})
    content = bytearray(archive.path.read_bytes())
    content[100] ^= 0xFF
    archive.path.write_bytes(content)
    with pytest.raises(FileFormatError, match=r"'a\.txt' in the archive .* is damaged"):
        archive.read("a.txt")
    archive.path.write_bytes(content[:200])
    with pytest.raises(FileFormatError, match="not a readable model archive"):
        archive.names()


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=200, deadline=None)
@given(st.integers(0, 10_000), st.binary(min_size=1, max_size=8))
def test_any_damage_gives_content_or_our_error(archive, position, junk):
    if not archive.path.exists():
        archive.update({"a/b.txt": b"hello" * 50, "c": b""})
    whole = archive.path.read_bytes()
    position %= len(whole)
    damaged = ModelArchive(archive.path.with_name("damaged.mltk.zip"))
    damaged.path.write_bytes(whole[:position] + junk + whole[position + len(junk) :])
    try:
        for name in damaged.names():
            damaged.read(name)
    except FileFormatError as e:
        assert "\n" not in str(e)


def test_missing_archive_and_member_are_named(archive):
    with pytest.raises(ArchiveFileNotFoundError, match="no model archive"):
        archive.read("a")
    archive.update({"b": b""})
    with pytest.raises(ArchiveFileNotFoundError, match="does not contain 'a'"):
        archive.read("a")


def test_unwritable_places_are_refused_beforehand(archive, monkeypatch):
    archive.check_writable()
    monkeypatch.setenv("MLTK_READONLY", "1")
    with pytest.raises(MltkError, match="MLTK_READONLY"):
        archive.check_writable()
    monkeypatch.delenv("MLTK_READONLY")
    missing = ModelArchive(archive.path.parent / "no" / "folder.mltk.zip")
    with pytest.raises(MltkError, match="cannot be written"):
        missing.check_writable()
    archive.path.mkdir()
    with pytest.raises(MltkError, match="a folder of that name"):
        archive.check_writable()


def test_reference_style_archive_with_any_order_and_dates_is_read(tmp_path):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr(zipfile.ZipInfo("z.tflite", (2022, 4, 13, 18, 10, 48)), b"TFL3")
        file.writestr("a.py", b"")
    path = tmp_path / "m.mltk.zip"
    path.write_bytes(buffer.getvalue())
    assert ModelArchive(path).names() == ["a.py", "z.tflite"]
