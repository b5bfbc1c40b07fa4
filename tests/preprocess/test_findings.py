"""The report of what the first reading of a data set's files finds."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from mltk.data import FileReport, FileSamples, Finding
from mltk.errors import DatasetError

SILENT = Finding("Recordings that are silent", "Remove them.")
CUT = Finding("Recordings that are cut")


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [r.getMessage() for r in caplog.records if r.levelno == logging.WARNING]


def test_each_kind_gives_one_line_after_all_files_were_read(tmp_path: Path, caplog) -> None:
    report = FileReport(1200, str(tmp_path))
    for i in range(1200):
        if i % 240 == 0:
            report.add(SILENT, f"a/{i}.wav")
        if i == 7:
            report.add(CUT, "a/7.wav")
        assert not warnings(caplog)
        report.count_read(i)
    assert warnings(caplog) == [
        "Recordings that are cut: 'a/7.wav' (1 of 1,200 files).",
        "Recordings that are silent: 'a/0.wav', 'a/240.wav', 'a/480.wav' and 2 more (5 of 1,200 files). "
        "Remove them.",
    ]
    report.add(CUT, "a/8.wav")
    report.close()
    assert len(warnings(caplog)) == 2


def test_a_report_that_is_closed_early_tells_what_was_read(tmp_path: Path, caplog) -> None:
    report = FileReport(10, str(tmp_path))
    for i in range(4):
        report.add(SILENT, "a.wav")
        report.count_read(i)
    report.close()
    assert warnings(caplog) == ["Recordings that are silent: 'a.wav' (1 of 4 files). Remove them."]


def test_the_same_line_about_the_same_folder_is_given_once(tmp_path: Path, caplog) -> None:
    for folder in (tmp_path, tmp_path, tmp_path / "other"):
        report = FileReport(2, str(folder))
        report.add(SILENT, "a.wav")
        report.count_read(0)
        report.count_read(1)
    assert len(warnings(caplog)) == 2


def read(path: str, name: str, report: FileReport) -> str:
    content = Path(path).read_text()
    if not content:
        raise DatasetError(f"The file '{path}' is empty.")
    if content == "odd":
        report.add(CUT, name)
    return content


def test_samples_are_read_with_a_report_and_an_unusable_one_names_the_others(tmp_path: Path, caplog) -> None:
    for name, content in (("a", "1"), ("b", "odd"), ("c", "3")):
        (tmp_path / name).write_text(content)
    samples = FileSamples(str(tmp_path), ["a", None, "b", "c"])
    assert [samples.load(i, read) for i in (0, 2)] == ["1", "odd"]
    (tmp_path / "c").write_text("")
    with pytest.raises(DatasetError, match=r"c' is empty\.$"):
        samples.load(3, read)
    assert not warnings(caplog)
    samples.close_report()
    assert warnings(caplog) == ["Recordings that are cut: 'b' (1 of 2 files)."]

    for name in "defgh":
        (tmp_path / name).touch()
    samples = FileSamples(str(tmp_path), ["a", "b", *"defgh"])
    for index in (3, 5):
        with pytest.raises(
            DatasetError, match=r"is empty. Other files are not usable either: '.*and 1 more\."
        ):
            samples.load(index, read)
