"""Helpers that scripts for silabs-mltk import from `mltk.utils`."""

import io
import logging
import operator
import os
import signal
import sys
import tarfile
from pathlib import Path

import numpy as np
import pytest

from mltk.core.utils import convert_y_to_labels
from mltk.errors import DownloadError, FileFormatError, SpecificationError
from mltk.utils import python, system
from mltk.utils.archive import gzip_directory_files, gzip_file
from mltk.utils.archive_downloader import verify_extract, verify_file_hash, verify_sha1
from mltk.utils.bin2header import bin2header
from mltk.utils.hasher import hash_file
from mltk.utils.logger import (
    ConsoleLoggerLevelContext,
    DummyLogger,
    get_logger,
    make_filelike,
    redirect_stream,
    timing_decorator,
)
from mltk.utils.path import (
    clean_directory,
    copy_directory,
    create_dir,
    create_tempdir,
    extension,
    file_is_newer,
    get_user_setting,
    has_filename,
    pushd,
    remove_directory,
    set_file_last_modified,
    walk_with_depth,
)
from mltk.utils.process_pool import ProcessPool, calculate_n_jobs
from mltk.utils.shell_cmd import run_shell_cmd
from mltk.utils.signal_handler import SignalHandler
from mltk.utils.string_formatting import FormattedInt, convert_units, iso_time_filename_str, iso_time_str


def test_folders_are_made_copied_cleaned_and_removed(private_home, monkeypatch):
    monkeypatch.setenv("MLTK_TEMP_DIR", str(private_home / "temp"))
    assert Path(create_tempdir("a/b")) == private_home / "temp/a/b"
    assert Path(create_dir("made/here/file.txt")) == private_home / "made/here"
    Path("made/here/file.txt").write_text("1")
    copy_directory("made", "copy")
    assert Path("copy/here/file.txt").read_text() == "1"
    copy_directory("made", "other", exclude_dirs=["made/here"])
    assert not Path("other/here").exists()
    assert [Path(folder).name for folder, _, _ in walk_with_depth("made", depth=0)] == ["made"]
    set_file_last_modified("copy/here/file.txt")
    assert file_is_newer("made/here/file.txt", "copy/here/file.txt")
    clean_directory("made")
    assert [path.name for path in Path("made").rglob("*")] == ["here"]
    with pushd("made"):
        assert Path.cwd().name == "made"
    remove_directory("made")
    remove_directory("made")
    assert not Path("made").exists()
    assert (extension("a/b.tar.gz"), has_filename("a/b")) == ("gz", False)


def test_a_user_setting_is_read(private_home, monkeypatch):
    Path("settings.yaml").write_text("model_paths: here")
    monkeypatch.setenv("MLTK_USER_SETTINGS_PATH", str(private_home / "settings.yaml"))
    assert get_user_setting("model_paths") == "here"
    assert get_user_setting("nothing", 3) == 3


def test_files_are_compressed_checked_and_extracted(private_home):
    Path("folder/inner").mkdir(parents=True)
    Path("folder/inner/a.txt").write_text("text")
    Path("folder/b.bin").write_text("left out")
    archive = gzip_directory_files("folder", regex=r".*\.txt$")
    with tarfile.open(archive) as file:
        assert file.getnames() == ["inner/a.txt"]
    assert verify_file_hash(archive, hash_file(archive, "sha256").upper())
    folder = verify_extract(archive, "out", file_hash=hash_file(archive))
    assert Path(folder, "inner/a.txt").read_text() == "text"
    with pytest.raises(DownloadError, match="does not have the checksum"):
        verify_sha1(archive, "0" * 40)
    assert Path(gzip_file("folder/b.bin")).name == "b.bin.gz"


def test_numbers_and_times_are_text():
    assert str(FormattedInt(1_500_000)) == "1.5 M"
    assert [convert_units(v) for v in ("32kb", "2*128M", "0x10", "12", 7, None)] == [
        32768,
        2**28,
        16,
        12,
        7,
        None,
    ]
    with pytest.raises(SpecificationError, match="'much' is not a number of bytes"):
        convert_units("much")
    assert iso_time_str().endswith("Z")
    assert ":" not in iso_time_filename_str()
    assert convert_y_to_labels(np.eye(3)).tolist() == [0, 1, 2]


def test_lists_dictionaries_and_texts(private_home):
    assert [python.as_list(v) for v in (None, "a", (1, 2), 5)] == [[], ["a"], [1, 2], [5]]
    assert python.as_list("a, b", split=",") == ["a", "b"]
    assert python.flatten_list([1, [2, ["ab"]]]) == [1, 2, "ab"]
    assert (python.list_rindex([1, 2, 1], 1), python.list_rindex([], 1)) == (2, -1)
    assert python.contains_class_type([1, "a"], str)
    assert python.get_case_insensitive("ABC", ["x", "abc"]) == "abc"
    assert (python.is_true("on"), python.is_false("no"), python.is_true(0)) == (True, True, False)
    with pytest.raises(SpecificationError):
        python.is_true([])
    nested = python.DefaultDict({"a": {"b": 1}, "c": [{}]})
    assert (nested["x"], nested["a"]["x"], nested["c"][0]["x"]) == (None, None, None)
    assert python.merge_dict({"a": {"b": 1}}, {"a": {"c": 2}}) == {"a": {"b": 1, "c": 2}}
    assert python.forward_method_kwargs(self=1, a=2, _b=3, kwargs={"c": 4}) == {"a": 2, "c": 4}
    Path("x.json").write_text('{"a": "http://x", /* c */ "b": [1, 2,], // d\n}')
    assert python.load_json_safe("x.json") == {"a": "http://x", "b": [1, 2]}
    Path("x.json").write_text("{")
    with pytest.raises(FileFormatError, match="is not JSON"):
        python.load_json_safe("x.json")
    Path("some_module_beside.py").write_text("value = 3")
    assert python.import_module_at_path("some_module_beside.py").value == 3


def test_functions_are_timed_and_quiet(capsys, caplog):
    assert python.timeit(operator.add)(1, 2) == 3
    assert capsys.readouterr().out.startswith("add ")
    with caplog.at_level("INFO"):
        assert timing_decorator(operator.add)(1, 2) == 3
    assert "add took" in caplog.text
    assert python.disable_warnings(operator.add)(1, 2) == 3


def test_a_logger_writes_to_console_and_file(private_home, capsys):
    logger = get_logger("test_helpers_console", level="info", console=True, log_file="log.txt")
    logger.debug("fine")
    logger.info("coarse")
    with ConsoleLoggerLevelContext(logger, "ERROR"):
        logger.info("hidden")
    assert capsys.readouterr().out == "coarse\n"
    assert Path("log.txt").read_text().split() == ["fine", "coarse", "hidden"]
    DummyLogger().info("nothing")


def test_a_logger_stands_for_a_file(caplog, monkeypatch):
    logger = logging.getLogger("test_helpers_file")
    with caplog.at_level("INFO"):
        print("a line\nand a part", file=make_filelike(logger), flush=True)
        monkeypatch.setattr(sys, "stderr", io.StringIO())
        close = redirect_stream(logger, "stderr", close_atexit=False)
        print("from stderr", file=sys.stderr)
        close()
    assert [record.message for record in caplog.records] == ["a line", "and a part", "from stderr"]


def test_a_program_is_run(private_home):
    lines = io.StringIO()
    code, text = run_shell_cmd(
        [sys.executable, "-c", "print(1); exit(3)"], outfile=lines, line_processor=str.upper
    )
    assert (code, text, lines.getvalue()) == (3, "1\n", "1\n")
    assert run_shell_cmd("echo $MINE", env={**os.environ, "MINE": "x"}, logger=logging.getLogger("x")) == (
        0,
        "x\n",
    )
    assert run_shell_cmd(["no-such-program-here"])[0] == -1


def test_the_system_is_known(tmp_path):
    assert [system.is_linux(), system.is_osx(), system.is_windows()].count(True) <= 1
    assert system.get_current_os() in ("linux", "osx", "windows", "unknown")
    assert system.has_admin()[0] == system.get_username()
    file = tmp_path / "program"
    file.touch(0o644)
    system.make_path_executable(file)
    assert file.stat().st_mode & 0o777 == 0o755


def test_a_signal_is_noted():
    seen = []
    with SignalHandler(signal.SIGUSR1, callback=lambda: seen.append(1)) as handler:
        system.send_signal(signal.SIGUSR1)
        system.raise_signal(signal.SIGUSR1)
    assert handler.interrupted
    assert seen == [1]


@pytest.mark.parametrize("debug", [True, False])
def test_functions_run_in_a_pool(debug):
    results = []
    with ProcessPool(operator.mul, n_jobs=1, debug=debug) as pool:
        batch = pool.create_batch(2)
        for i in range(2):
            pool.process(i, 3, pool_batch=batch, pool_callback=results.append)
        assert batch.wait() == [0, 3]
        assert pool.process(2, 3) == 6
    assert sorted(results) == [0, 3]
    assert calculate_n_jobs(0.0001) == 1


def test_bytes_are_a_c_array(private_home):
    text = bin2header(b"\x01\xff", "x.h", var_name="MODEL")
    assert "const unsigned char MODEL[] =\n{\n  0x01, 0xFF,\n};\nconst unsigned int DATA_LENGTH = 2;" in text
    assert Path("x.h").read_text() == text
    assert "  1.5, 2," in bin2header([1.5, 2], dtype="float", length_var_name="", prepend_header=False)
