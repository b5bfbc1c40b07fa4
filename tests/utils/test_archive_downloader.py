"""Downloads against a real server on this machine."""

from __future__ import annotations

import hashlib
import io
import json
import logging
import tarfile
import threading
import zipfile
from pathlib import Path
from typing import Any

import pytest

from mltk.errors import DownloadError
from mltk.utils import download
from mltk.utils.archive_downloader import download_url, download_verify_extract, mirrored_url

DATA = bytes(range(256)) * 4096  # 1 MiB
SHA256 = hashlib.sha256(DATA).hexdigest()


def zipped(**files: str) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, text in files.items():
            archive.writestr(name.replace("__", "/"), text)
    return buffer.getvalue()


def tree(root: Path) -> dict[str, str]:
    return {p.relative_to(root).as_posix(): p.read_text() for p in root.rglob("*") if p.is_file()}


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Seconds waited between attempts, without waiting."""
    seconds: list[float] = []
    monkeypatch.setattr(download.time, "sleep", seconds.append)
    return seconds


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MLTK_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.mark.parametrize("algorithm", ["md5", "sha1", "sha256"])
def test_file_is_downloaded_and_its_checksum_compared(server: Any, tmp_path: Path, algorithm: str) -> None:
    url = server.add("a.bin", DATA)
    digest = hashlib.new(algorithm, DATA).hexdigest().upper()
    path = download_url(url, tmp_path / "sub/a.bin", file_hash=digest)
    assert path == (tmp_path / "sub/a.bin").as_posix()
    assert Path(path).read_bytes() == DATA
    assert [p.name for p in (tmp_path / "sub").iterdir()] == ["a.bin"]


def test_a_file_that_is_there_is_not_downloaded_again_unless_its_checksum_differs(
    server: Any, tmp_path: Path
) -> None:
    url = server.add("a.bin", DATA)
    target = tmp_path / "a.bin"
    for _ in range(2):
        download_url(url, target, file_hash=SHA256)
    assert len(server.requests) == 1
    target.write_bytes(b"damaged")
    download_url(url, target, file_hash=SHA256)
    assert target.read_bytes() == DATA


def test_cut_connection_is_resumed(server: Any, tmp_path: Path, waits: list[float]) -> None:
    url = server.add("a.bin", DATA, cut_after=[300_000, 500_000])
    download_url(url, tmp_path / "a.bin", file_hash=SHA256)
    assert (tmp_path / "a.bin").read_bytes() == DATA
    ranges = [asked for _, asked in server.requests]
    assert ranges == [None, "bytes=300000-", "bytes=800000-"]
    assert len(waits) == 2


def test_a_later_call_goes_on_where_an_earlier_one_gave_up(
    server: Any, tmp_path: Path, waits: list[float]
) -> None:
    url = server.add("a.bin", DATA, cut_after=[300_000], statuses=[])
    served = server.files["/a.bin"]
    served.cut_after = [300_000, 0, 0, 0, 0, 0]
    with pytest.raises(DownloadError, match=r"connection broke off.*Another attempt continues"):
        download_url(url, tmp_path / "a.bin", file_hash=SHA256)
    assert (tmp_path / "a.bin.part").stat().st_size == 300_000
    assert not (tmp_path / "a.bin").exists()
    served.cut_after.clear()
    download_url(url, tmp_path / "a.bin", file_hash=SHA256)
    assert server.requests[-1] == ("/a.bin", "bytes=300000-")
    assert (tmp_path / "a.bin").read_bytes() == DATA


def test_a_file_that_changed_meanwhile_is_started_anew(
    server: Any, tmp_path: Path, waits: list[float]
) -> None:
    url = server.add("a.bin", b"old" * 1000, cut_after=[500, 0, 0, 0, 0, 0], etag='"old"')
    with pytest.raises(DownloadError):
        download_url(url, tmp_path / "a.bin")
    server.add("a.bin", DATA, etag='"new"')
    download_url(url, tmp_path / "a.bin")
    assert server.requests[-1] == ("/a.bin", "bytes=500-")
    assert (tmp_path / "a.bin").read_bytes() == DATA


@pytest.mark.parametrize("etag", [None, 'W/"weak"'])
def test_without_a_way_to_tell_a_change_only_a_checksum_allows_to_resume(
    server: Any, tmp_path: Path, waits: list[float], etag: str | None
) -> None:
    for checksum, asked in ((None, None), (SHA256, "bytes=1000-")):
        url = server.add("a.bin", DATA, etag=etag, cut_after=[1000])
        download_url(url, tmp_path / f"{asked}.bin", file_hash=checksum)
        assert server.requests[-1] == ("/a.bin", asked)
        assert (tmp_path / f"{asked}.bin").read_bytes() == DATA


def test_a_damaged_part_is_noticed_and_started_anew(server: Any, tmp_path: Path) -> None:
    url = server.add("a.bin", DATA)
    (tmp_path / "a.bin.part").write_bytes(b"x" * 1000)
    (tmp_path / "a.bin.part.json").write_text(json.dumps({"url": url, "validator": '"v1"'}))
    download_url(url, tmp_path / "a.bin", file_hash=SHA256)
    assert [asked for _, asked in server.requests] == ["bytes=1000-", None]
    assert (tmp_path / "a.bin").read_bytes() == DATA


def test_a_part_that_is_longer_than_the_file_is_started_anew(
    server: Any, tmp_path: Path, waits: list[float]
) -> None:
    url = server.add("a.bin", b"short")
    (tmp_path / "a.bin.part").write_bytes(b"x" * 1000)
    (tmp_path / "a.bin.part.json").write_text(json.dumps({"url": url, "validator": '"v1"'}))
    download_url(url, tmp_path / "a.bin")
    assert (tmp_path / "a.bin").read_bytes() == b"short"


def test_a_whole_part_is_only_moved_into_place(server: Any, tmp_path: Path) -> None:
    (tmp_path / "a.bin.part").write_bytes(DATA)
    download_url(server.add("a.bin", DATA), tmp_path / "a.bin", file_hash=SHA256)
    assert server.requests == []
    assert (tmp_path / "a.bin").read_bytes() == DATA


def test_server_without_ranges_sends_everything_again(
    server: Any, tmp_path: Path, waits: list[float]
) -> None:
    url = server.add("a.bin", DATA, ranges=False, cut_after=[1000])
    download_url(url, tmp_path / "a.bin", file_hash=SHA256)
    assert (tmp_path / "a.bin").read_bytes() == DATA


def test_passing_failures_of_the_server_are_waited_for(
    server: Any, tmp_path: Path, waits: list[float]
) -> None:
    url = server.add("a.bin", DATA, statuses=[503, 429, 500])
    download_url(url, tmp_path / "a.bin", file_hash=SHA256)
    assert waits == [1, 2, 4]


@pytest.mark.parametrize("status", [401, 403, 410])
def test_lasting_refusal_is_not_tried_again(server: Any, tmp_path: Path, status: int) -> None:
    url = server.add("a.bin", statuses=[status])
    with pytest.raises(DownloadError, match=f"Cannot download {url}: the server answered {status}"):
        download_url(url, tmp_path / "a.bin")
    assert len(server.requests) == 1


def test_missing_file_is_one_clear_line(server: Any, tmp_path: Path) -> None:
    with pytest.raises(DownloadError, match=r"/no\.bin: the server answered 404 Not Found\.$"):
        download_url(f"{server.url}/no.bin", tmp_path / "a.bin")
    assert not (tmp_path / "a.bin").exists()


def test_nobody_there_is_one_clear_line(tmp_path: Path, waits: list[float]) -> None:
    with pytest.raises(DownloadError, match="Connection refused") as error:
        download_url("http://127.0.0.1:9/a.bin", tmp_path / "a.bin")
    assert "\n" not in str(error.value)
    assert "object at" not in str(error.value)


def test_wrong_checksum_keeps_nothing(server: Any, tmp_path: Path) -> None:
    url = server.add("a.bin", DATA)
    with pytest.raises(DownloadError, match=f"sha256 checksum {SHA256}, but {'0' * 64} was expected"):
        download_url(url, tmp_path / "out/a.bin", file_hash="0" * 64)
    assert len(server.requests) == 1
    assert [p.name for p in (tmp_path / "out").iterdir() if not p.name.endswith(".lock")] == []


def test_redirect_is_followed(server: Any, tmp_path: Path) -> None:
    server.add("real.bin", DATA)
    url = server.add("a.bin", redirect="/real.bin")
    download_url(url, tmp_path / "a.bin", file_hash=SHA256)
    assert (tmp_path / "a.bin").read_bytes() == DATA


@pytest.mark.parametrize(
    "target", ["http://example.invalid/a.bin", "file:///etc/hostname", "ftp://127.0.0.1/a"]
)
def test_redirect_away_from_https_is_refused(server: Any, tmp_path: Path, target: str) -> None:
    url = server.add("a.bin", redirect=target)
    with pytest.raises(DownloadError, match="only https"):
        download_url(url, tmp_path / "a.bin")


@pytest.mark.parametrize(
    "url", ["ftp://example.invalid/a", "file:///etc/hostname", "/etc/hostname", "https:///a", "http:///a"]
)
def test_only_https_is_downloaded(tmp_path: Path, url: str) -> None:
    with pytest.raises(DownloadError, match="only https"):
        download_url(url, tmp_path / "a.bin")


def test_http_is_taken_as_https(tmp_path: Path, waits: list[float]) -> None:
    with pytest.raises(DownloadError, match=r"Cannot download https://localhost\.invalid/a\?b"):
        download_url("http://localhost.invalid/a?b", tmp_path / "a.bin")


@pytest.mark.parametrize(
    ("digest", "algorithm"), [("abc", "auto"), ("z" * 32, "auto"), ("0" * 32, "sha1"), ("0" * 32, "crc")]
)
def test_unusable_checksum_is_refused(tmp_path: Path, digest: str, algorithm: str) -> None:
    with pytest.raises(DownloadError, match="not an MD5, SHA-1 or SHA-256"):
        download_url("https://x.invalid/a", tmp_path / "a", file_hash=digest, file_hash_algorithm=algorithm)


def test_missing_checksum_is_said(server: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    download_url(server.add("a.bin", DATA), tmp_path / "a.bin")
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "No checksum is given" in caplog.text


def test_compression_on_the_way_does_not_change_the_file(server: Any, tmp_path: Path) -> None:
    url = server.add("a.gz", DATA, headers={"Content-Encoding": "x-gzip"})
    download_url(url, tmp_path / "a.gz", file_hash=SHA256)
    assert (tmp_path / "a.gz").read_bytes() == DATA


def test_progress_is_lines_where_there_is_no_terminal(
    server: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    download_url(server.add("a.bin", DATA), tmp_path / "a.bin", show_progress=True, file_hash=SHA256)
    lines = [record.message for record in caplog.records]
    assert lines[-1] == "a.bin: 100 % of 1.0 MB"
    assert len(lines) <= 12


def test_two_downloads_of_one_file_at_a_time_fetch_it_once(server: Any, tmp_path: Path) -> None:
    url = server.add("a.bin", DATA)
    threads = [
        threading.Thread(target=download_url, args=(url, tmp_path / "a.bin"), kwargs={"file_hash": SHA256})
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(server.requests) == 1
    assert (tmp_path / "a.bin").read_bytes() == DATA


def test_archive_is_extracted_below_the_cache(server: Any, cache: Path) -> None:
    content = zipped(root__a__1="one", root__b__2="two")
    url = server.add("data.zip", content)
    digest = hashlib.md5(content).hexdigest()
    path = download_verify_extract(url, dest_subdir="datasets/x", file_hash=digest, remove_root_dir=True)
    assert path == (cache / "datasets/x").as_posix()
    assert sorted(tree(Path(path))) == ["a/1", "b/2", "data.zip-mltk.json"]
    assert (cache / "downloads/data.zip").read_bytes() == content


def test_destination_is_named_after_the_archive_by_default(server: Any, cache: Path) -> None:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        archive.addfile(tarfile.TarInfo("a"))
    path = download_verify_extract(server.add("data.tar.gz", buffer.getvalue()))
    assert path == (cache / "data").as_posix()


def test_what_was_extracted_is_not_extracted_again_until_it_changes(server: Any, cache: Path) -> None:
    content = zipped(a="one")
    url = server.add("data.zip", content)
    digest = hashlib.sha1(content).hexdigest()
    path = Path(download_verify_extract(url, file_hash=digest))
    (path / "mine").write_text("kept")
    download_verify_extract(url, file_hash=digest)
    assert (path / "mine").exists()
    changed = zipped(b="two")
    server.add("data.zip", changed)
    download_verify_extract(url, file_hash=hashlib.sha1(changed).hexdigest())
    assert sorted(tree(path)) == ["b", "data.zip-mltk.json"]


def test_destination_can_be_added_to(server: Any, cache: Path, tmp_path: Path) -> None:
    target = tmp_path / "target"
    for name in ("a", "b"):
        download_verify_extract(
            server.add(f"{name}.zip", zipped(**{name: name})), target, clean_dest_dir=False
        )
    assert sorted(tree(target)) == ["a", "a.zip-mltk.json", "b", "b.zip-mltk.json"]


def test_files_of_the_user_are_not_replaced(server: Any, cache: Path, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/thesis.txt").write_text("x")
    with pytest.raises(DownloadError, match="has files that were not downloaded"):
        download_verify_extract(server.add("a.zip", zipped(a="a")), tmp_path / "mine")
    assert tree(tmp_path / "mine") == {"thesis.txt": "x"}


def test_without_extraction_the_path_of_the_file_is_returned(server: Any, cache: Path) -> None:
    path = download_verify_extract(server.add("a.zip", DATA), file_hash=SHA256, extract=False)
    assert path == (cache / "downloads/a.zip").as_posix()


def test_archive_that_leads_outside_leaves_no_trace(server: Any, cache: Path) -> None:
    url = server.add("evil.zip", zipped(**{"good": "x", "..__..__evil": "x"}))
    with pytest.raises(DownloadError, match=r"entry, '\.\./\.\./evil', that would be written outside"):
        download_verify_extract(url, dest_subdir="datasets/evil")
    assert not list(cache.glob("datasets/*"))
    assert not list(cache.parent.rglob("evil"))


def test_address_without_a_file_name_needs_one(cache: Path) -> None:
    with pytest.raises(DownloadError, match="archive_fname"):
        download_verify_extract("https://x.invalid/")


def test_mirror_takes_the_place_of_the_address(monkeypatch: pytest.MonkeyPatch) -> None:
    assert mirrored_url("https://x.invalid/a/b.gz?c", "mnist") == "https://x.invalid/a/b.gz?c"
    monkeypatch.setenv("MLTK_DATASET_MIRROR", "http://localhost:1/m/")
    assert mirrored_url("https://x.invalid/a/b.gz?c", "mnist") == "http://localhost:1/m/mnist/b.gz"


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLTK_OFFLINE", "1")


def test_offline_a_folder_with_files_is_used_as_it_is(server: Any, cache: Path, offline: None) -> None:
    (cache / "datasets/a").mkdir(parents=True)
    (cache / "datasets/a/own.txt").write_text("x")
    url = server.add("a.zip", zipped(a="a"))
    path = download_verify_extract(url, dest_subdir="datasets/a", file_hash=SHA256)
    assert path == (cache / "datasets/a").as_posix()
    assert tree(cache / "datasets/a") == {"own.txt": "x"}
    assert server.requests == []


def test_offline_an_archive_that_is_there_is_extracted(
    server: Any, cache: Path, offline: None, caplog: pytest.LogCaptureFixture
) -> None:
    (cache / "downloads").mkdir(parents=True)
    (cache / "downloads/a.zip").write_bytes(zipped(own="x"))
    path = download_verify_extract(server.add("a.zip", DATA), dest_subdir="datasets/a", file_hash=SHA256)
    assert (Path(path) / "own").read_text() == "x"
    assert "another checksum; it is used" in caplog.text
    assert server.requests == []


def test_offline_what_is_missing_is_one_clear_line(server: Any, cache: Path, offline: None) -> None:
    (cache / "datasets/a").mkdir(parents=True)
    for call in (
        lambda: download_verify_extract(server.add("a.zip", zipped(a="a")), dest_subdir="datasets/a"),
        lambda: download_url(server.add("a.zip", DATA), cache / "downloads/a.zip"),
    ):
        with pytest.raises(
            DownloadError, match=r"MLTK_OFFLINE is set\. Put the file at '.*/downloads/a\.zip'"
        ):
            call()
    assert server.requests == []


@pytest.mark.parametrize(
    "headers",
    [
        {"Content-Length": "\N{SUPERSCRIPT TWO}"},
        {"Content-Length": "9" * 5000},
        {"Content-Length": "-1"},
        {"Content-Length": "5, 6"},
        {"Transfer-Encoding": "chunked"},
        {"ETag": '"\xff"', "Content-Type": "\xff", "Set-Cookie": "=;=;\xff"},
        {"Content-Encoding": "\xff"},
    ],
)
def test_headers_cannot_cause_another_error(
    server: Any, tmp_path: Path, waits: list[float], headers: dict[str, str]
) -> None:
    url = server.add("a.bin", DATA, headers=headers, etag=None)
    try:
        download_url(url, tmp_path / "a.bin", file_hash=SHA256)
    except DownloadError as error:
        assert str(error).startswith(f"Cannot download {url}")
    else:
        assert (tmp_path / "a.bin").read_bytes() == DATA


@pytest.mark.parametrize(
    "target", ["http://[", "//[::1", "https://", "ftp://x/y", "\xff", "http://\xff..\xff/"]
)
def test_redirects_to_no_address_are_refused(server: Any, tmp_path: Path, target: str) -> None:
    url = server.add("a.bin", redirect=target)
    with pytest.raises(DownloadError):
        download_url(url, tmp_path / "a.bin", file_hash=SHA256)


def test_address_that_cannot_be_parsed_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DownloadError, match="is not an address"):
        download_url("https://[x/a.bin", tmp_path / "a.bin")


def test_odd_retry_after_is_an_ordinary_wait(server: Any, tmp_path: Path, waits: list[float]) -> None:
    url = server.add("a.bin", DATA, headers={"Retry-After": "\N{SUPERSCRIPT TWO}"}, statuses=[503])
    download_url(url, tmp_path / "a.bin", file_hash=SHA256)
    assert waits == [1.0]


@pytest.mark.parametrize("headers", [{}, {"Content-Length": "x"}])
def test_size_has_a_limit_with_and_without_a_length(
    server: Any, tmp_path: Path, headers: dict[str, str]
) -> None:
    url = server.add("a.bin", DATA, headers=headers)
    with pytest.raises(DownloadError, match=r"larger than the limit of 0\.0005 GB"):
        download_url(url, tmp_path / "a.bin", max_bytes=500_000)
    assert not list(tmp_path.glob("a.bin*"))


def test_time_has_a_limit_and_a_later_call_continues(server: Any, tmp_path: Path, waits: list[float]) -> None:
    url = server.add("a.bin", DATA, cut_after=[300_000])
    with pytest.raises(DownloadError, match=r"within 0 h\. Another attempt continues"):
        download_url(url, tmp_path / "a.bin", file_hash=SHA256, max_seconds=0.0)
    download_url(url, tmp_path / "a.bin", file_hash=SHA256)
    assert server.requests[-1][1] is not None
