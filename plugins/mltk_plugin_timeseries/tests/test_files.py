"""Reading of recordings: formats, channels, times, what is refused."""

import numpy as np
import pytest

from mltk.data import FileReport
from mltk.errors import DatasetError
from mltk_plugin_timeseries._files import ReadingRules, read_recording, read_table
from mltk_plugin_timeseries._resampling import ResamplingRules


def read(path, **rules):
    resampling = {k: rules.pop(k) for k in list(rules) if k in ResamplingRules.__dataclass_fields__}
    return read_recording(path, ReadingRules(**rules, resampling=ResamplingRules(**resampling)))


@pytest.fixture
def csv_file(tmp_path):
    def write(text, encoding="utf-8"):
        path = tmp_path / "a.csv"
        path.write_bytes(text.encode(encoding))
        return path

    return write


def test_a_csv_file_is_read_with_the_names_of_its_header(csv_file):
    recording = read(csv_file("x,y\n1,2\n3,4.5\n"))
    assert recording.channels == ("x", "y")
    assert recording.values.dtype == np.float32
    assert recording.values.tolist() == [[1, 2], [3, 4.5]]
    assert recording.rate is None


@pytest.mark.parametrize(
    "text",
    [
        "x;y\n1;2\n3;4.5\n",
        "x;y\n1;2\n3;4,5\n",
        "x\ty\n1\t2\n3\t4.5\n",
        '"x", "y"\r\n1, 2\r\n3, "4.5"\r\n',
        "\ufeffx,y\n\n1,2\n3,4.5",
    ],
    ids=["semicolon", "decimal comma", "tab", "quotes and spaces", "byte order mark and empty lines"],
)
def test_dialects_of_csv_are_read(csv_file, text):
    recording = read(csv_file(text))
    assert recording.channels == ("x", "y")
    assert recording.values.tolist() == [[1, 2], [3, 4.5]]


@pytest.mark.parametrize("first", ["1,2", ",2", "nan,2"])
def test_without_a_header_channels_have_numbers(csv_file, first):
    recording = read(csv_file(f"{first}\n3,4\n5,6\n"), channels=("1",))
    assert recording.channels == ("1",)
    assert recording.values.tolist() == [[2], [4], [6]]


def test_channels_are_selected_in_the_given_order(csv_file):
    recording = read(csv_file("x,y,z\n1,2,3\n"), channels=("z", "x"))
    assert recording.values.tolist() == [[3, 1]]


def test_text_may_stand_in_columns_that_are_not_read(csv_file):
    path = csv_file("x,label,y\n1,walk,2\n3,run,4\n")
    assert read(path, channels=("y", "x")).values.tolist() == [[2, 1], [4, 3]]
    with pytest.raises(DatasetError, match=r"row 2, column 'label': 'walk' is not a number\. Leave out such"):
        read(path)


def test_a_channel_that_is_missing_is_named(csv_file):
    with pytest.raises(DatasetError, match=r"no column 'acc_x'\. Did you mean 'acc_X'\? Columns: acc_X, y"):
        read(csv_file("acc_X,y\n1,2\n"), channels=("acc_x",))


def test_numpy_files_are_read(tmp_path):
    np.save(tmp_path / "a.npy", np.arange(6, dtype=np.int16).reshape(3, 2))
    assert read(tmp_path / "a.npy").values.tolist() == [[0, 1], [2, 3], [4, 5]]
    np.save(tmp_path / "b.npy", np.arange(3))
    assert read(tmp_path / "b.npy").values.tolist() == [[0], [1], [2]]


def test_arrays_of_an_npz_file_are_channels_by_their_names(tmp_path):
    np.savez(tmp_path / "a.npz", current=[1.0, 2], time=[0.0, 0.5], acc=[[3.0, 4], [5, 6]])
    recording = read(tmp_path / "a.npz", time_column="time")
    assert recording.channels == ("current", "acc.0", "acc.1")
    assert recording.values.tolist() == [[1, 3, 4], [2, 5, 6]]
    assert recording.rate == 2


def test_the_only_array_of_an_npz_file_is_the_recording(tmp_path):
    np.savez(tmp_path / "a.npz", data=[[3.0, 4], [5, 6]])
    assert read(tmp_path / "a.npz").channels == ("0", "1")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "has no rows"),
        ("x,y\n", "has no rows"),
        ("x,y\n1,2\n3,four\n", "row 3, column 'y': 'four' is not a number"),
        ("x,y\n1,2\n3\n", "row 3 has 1 cells instead of 2"),
        ("x,x\n1,2\n", "two columns have the name 'x'"),
        ("x,y\n1,\n3,4\n", "lacks 1 values, the first in row 1; missing='interpolate' fills them"),
        ("x,y\n1,2\ninf,4\n", "holds an infinite value in row 2"),
    ],
)
def test_bad_text_is_refused_with_the_place(csv_file, text, message):
    with pytest.raises(DatasetError, match=r"a\.csv") as raised:
        read(csv_file(text))
    assert message in str(raised.value)
    assert "\n" not in str(raised.value)


def test_damaged_files_are_refused(csv_file, tmp_path):
    with pytest.raises(DatasetError, match="cannot be read"):
        read(csv_file("Wärme °C\n1\n", encoding="latin-1"))
    for name, content in (("a.npy", b"\x93NUMPY"), ("a.npz", b"PK\x03\x04"), ("b.npy", b"")):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(DatasetError, match="cannot be read"):
            read(tmp_path / name)
    np.save(tmp_path / "c.npy", np.array([{}], object), allow_pickle=True)
    with pytest.raises(DatasetError, match="cannot be read"):
        read(tmp_path / "c.npy")
    np.save(tmp_path / "d.npy", np.zeros((2, 3, 4)))
    with pytest.raises(DatasetError, match=r"\(2, 3, 4\) is not \(rows,\) or \(rows, channels\)"):
        read(tmp_path / "d.npy")
    np.savez(tmp_path / "e.npz", a=[1, 2], b=[1])
    with pytest.raises(DatasetError, match=r"differ in length \(a: 2, b: 1\)"):
        read(tmp_path / "e.npz")


def test_dates_are_times(csv_file):
    text = "date,x\n2024-02-29T23:59:59.9,1\n2024-03-01T00:00:00.0Z,2\n2024-03-01 00:00:00.1,3\n"
    recording = read(csv_file(text), time_column="date", time_unit=0.001)
    assert recording.rate == pytest.approx(10)
    assert recording.values.tolist() == [[1], [2], [3]]


def test_times_have_a_unit(csv_file):
    recording = read(csv_file("t,x\n0,1\n20,2\n40,3\n"), time_column="t", time_unit=0.001)
    assert recording.rate == pytest.approx(50)


def test_times_that_would_be_a_channel_are_reported(csv_file, caplog):
    report = FileReport(1)
    read_recording(csv_file("Time,x\n0,1\n1,2\n"), ReadingRules(), report, "a.csv")
    report.close()
    assert "a column that seems to be times" in caplog.text
    assert "time_column" in caplog.text


def test_missing_values_are_not_a_number_in_a_table(csv_file):
    table = read_table(csv_file("x,y\n1,NA\nnull,2\n"))
    assert np.isnan(table.values).tolist() == [[False, True], [True, False]]
