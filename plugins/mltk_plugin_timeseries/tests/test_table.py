"""Data sets in one table."""

import re
from pathlib import Path

import numpy as np
import pytest

from mltk.errors import DatasetError
from mltk_plugin_timeseries import ParallelTimeSeriesDataGenerator, RecordingTable

ROWS = """time,user,activity,x,note
0,anna,walk,1,a
1,anna,walk,2,b
2,anna,,3,between
3,anna,run,4,
4,ben,run,5,
5,ben,run,6,
9,ben,run,7,after a gap
0,ben,run,,again
1,ben,run,9,
"""


@pytest.fixture(autouse=True)
def table(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLTK_CACHE_DIR", str(tmp_path / "cache"))
    Path("motion.csv").write_text(ROWS)
    return Path("motion.csv")


def list_files(folder):
    return {
        path.relative_to(folder).as_posix(): np.load(path) for path in sorted(Path(folder).rglob("*.npz"))
    }


def test_runs_of_one_label_and_group_are_recordings():
    folder = RecordingTable("motion.csv", "activity", "user", "time", ["x"], gap=2).load_data()
    found = list_files(folder)
    assert {name: data["x"].tolist() for name, data in found.items() if "ben_2" not in name} == {
        "walk/anna_0.npz": [1, 2],
        "run/anna_0.npz": [4],
        "run/ben_0.npz": [5, 6],
        "run/ben_1.npz": [7],
    }
    assert np.isnan(found["run/ben_2.npz"]["x"][0])
    assert found["run/ben_0.npz"]["time"].tolist() == [4, 5]


def test_groups_are_in_the_names():
    files = list_files(RecordingTable("motion.csv", "activity", "user", channels=["x"]).load_data())
    assert {re.search(RecordingTable.GROUPS, name)[1] for name in files} == {"anna", "ben"}


def test_the_folder_is_written_once_for_one_content(table):
    data_set = RecordingTable("motion.csv", "activity", channels=["x"])
    folder = Path(data_set.load_data())
    (folder / "mine.txt").touch()
    assert Path(data_set.load_data(), "mine.txt").exists()
    table.write_text(ROWS + "2,ben,run,10,\n")
    assert Path(data_set.load_data()) != folder


def test_a_generator_reads_the_recordings():
    folder = RecordingTable("motion.csv", "activity", "user", "time", ["x"], gap=2).load_data()
    generator = ParallelTimeSeriesDataGenerator(
        channels=["x"], time_column="time", missing="interpolate", short_recordings="pad"
    )
    iterator = generator.flow_from_directory(folder, 2, shuffle=False)
    assert iterator.class_indices == {"run": 0, "walk": 1}
    assert iterator.samples == 5


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"path": "other.csv"}, "'other.csv' cannot be read: No such file"),
        ({"label": "activity_"}, "no column 'activity_'. Did you mean 'activity'"),
        (
            {"time": "time"},
            "row 1 of column 'note': 'a' is not a number. Name the columns to read with channels",
        ),
    ],
)
def test_what_does_not_fit_is_refused(settings, message):
    with pytest.raises(DatasetError, match=re.escape(message)):
        RecordingTable(**{"path": "motion.csv", "label": "activity", "group": "user", **settings}).load_data()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty"),
        ("activity,x\n,1\n", "has no row with a label"),
        ("activity,x\n../up,1\n", "The label '../up' of the table cannot be a part of a path"),
        ("activity,x\nrun\n", "row 2, has 1 cells instead of 2"),
    ],
)
def test_unusable_tables_are_refused(table, text, message):
    table.write_text(text)
    with pytest.raises(DatasetError, match=re.escape(message)):
        RecordingTable("motion.csv", "activity").load_data()


def test_parquet_files_are_read(table):
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    columns = {"activity": ["walk", "walk", "run"], "x": [1.0, None, 3.0], "n": [1, 2, 3]}
    parquet.write_table(pyarrow.table(columns), "motion.parquet")
    files = list_files(RecordingTable("motion.parquet", "activity").load_data())
    assert files["walk/recording_0.npz"]["n"].tolist() == [1, 2]
    assert np.isnan(files["walk/recording_0.npz"]["x"][1])
    Path("motion.parquet").write_bytes(b"PAR1")
    with pytest.raises(DatasetError, match="cannot be read"):
        RecordingTable("motion.parquet", "activity").load_data()


def test_columns_may_have_any_name(table):
    table.write_text("activity,file,a/b\nrun,1,2\n")
    folder = RecordingTable("motion.csv", "activity").load_data()
    iterator = ParallelTimeSeriesDataGenerator(debug=True).flow_from_directory(folder, 1)
    assert iterator.channel_names == ("file", "a/b")
    assert next(iter(iterator))[0].tolist() == [[[1, 2]]]
