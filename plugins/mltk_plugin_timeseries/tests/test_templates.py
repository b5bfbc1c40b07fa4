"""Specifications that `mltk new` writes for recordings of sensors."""

import numpy as np
import pytest

from mltk.core import load_mltk_model
from mltk.operations.create import create_specification
from mltk.plugins import DraftRequest
from mltk_plugin_timeseries.templates import draft_classifier, find_axes


@pytest.fixture(autouse=True)
def work_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def create(data, tmp_path):
    created = create_specification("moves_v1", data, folder=tmp_path)
    model = load_mltk_model(str(created.path))
    model.log_dir = str(tmp_path / "log")
    model.load_dataset("training")
    return created, model, model.build_model_function(model)


def write_table(path, rows, header="t,x"):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(header + "\n" + "".join(",".join(map(str, row)) + "\n" for row in rows))


def test_short_recordings_are_one_window_each(write_recordings, tmp_path):
    created, model, network = create(write_recordings(rows=50), tmp_path)
    assert created.template == "timeseries"
    assert network.input_shape == (None, 50, 3)
    assert network.output_shape == (None, 2)
    assert model.datagen.rotation_axes == [("acc_x", "acc_y", "acc_z")]
    assert model.datagen.window_overlap == 0
    x, y = next(iter(model.x))
    assert x.shape[1:] == (50, 3)
    assert ((y > 0) & (y < 1)).any()


def test_recordings_of_similar_length_are_padded(write_recordings, tmp_path):
    _, model, network = create(write_recordings(rows=[40, 60]), tmp_path)
    assert network.input_shape[1] == 60
    assert model.datagen.short_recordings == "pad"


def test_long_recordings_are_cut(write_recordings, tmp_path):
    _, model, network = create(write_recordings(rows=[400, 1500], count=5), tmp_path)
    assert network.input_shape[1] == 128
    assert model.datagen.window_overlap == 0.5
    assert model.x.samples == 2 * (22 + 5 + 22 + 5), "the first of five recordings validates"


def test_a_test_folder_is_used_for_evaluation(write_recordings, tmp_path):
    folder = write_recordings([f"{part}/{name}" for part in ("train", "test") for name in ("slow", "fast")])
    created, model, _ = create(folder, tmp_path)
    assert any("12 test files" in line for line in created.draft.findings)
    assert model.x.samples == 12
    model.load_dataset("evaluation")
    assert "/test/" in model.x.filepaths[0]


def test_times_give_the_rate_and_the_window(tmp_path):
    for name in "ab":
        write_table(tmp_path / "data" / name / "0.csv", [(i * 20, i) for i in range(2000)])
        write_table(tmp_path / "data" / name / "1.csv", [(i * 20, i) for i in range(500)])
    _, model, network = create(tmp_path / "data", tmp_path)
    datagen = model.datagen
    assert (datagen.time_column, datagen.time_unit, datagen.sample_rate) == ("t", 0.001, 50)
    assert datagen.irregular == "refuse"
    assert network.input_shape == (None, 128, 1)


def test_irregular_times_and_missing_values_are_filled(tmp_path):
    for name in "ab":
        rows = [(i / 10, "" if i == 7 else i) for i in range(60) if i not in (20, 21)]
        for number in range(2):
            write_table(tmp_path / "data" / name / f"{number}.csv", rows, "time,x")
    _, model, network = create(tmp_path / "data", tmp_path)
    assert model.datagen.irregular == "resample"
    assert model.datagen.missing == "interpolate"
    assert network.input_shape == (None, 60, 1)


def test_text_and_row_numbers_are_not_channels(tmp_path):
    for name in "ab":
        rows = [(i, name, i % 7) for i in range(60)]
        for number in range(2):
            write_table(tmp_path / "data" / name / f"{number}.csv", rows, ",label,x")
    _, model, network = create(tmp_path / "data", tmp_path)
    assert model.datagen.channels == ["x"]
    assert network.input_shape == (None, 60, 1)


def test_arrays_of_one_channel_are_time_series_not_pictures(tmp_path):
    for name in "ab":
        (tmp_path / "data" / name).mkdir(parents=True)
        for i in range(3):
            np.save(tmp_path / "data" / name / f"{i}.npy", np.arange(30.0) + i)
    created, _, network = create(tmp_path / "data", tmp_path)
    assert created.template == "timeseries"
    assert network.input_shape == (None, 30, 1)


def test_one_class_and_pictures_are_not_classified(tmp_path, write_recordings):
    request = DraftRequest("moves_v1", write_recordings(["slow"]), "moves")
    assert draft_classifier(request) is None
    for name in "ab":
        (tmp_path / "pictures" / name).mkdir(parents=True)
        np.save(tmp_path / "pictures" / name / "0.npy", np.zeros((96, 96)))
    assert draft_classifier(DraftRequest("moves_v1", tmp_path / "pictures", "pictures")) is None


@pytest.mark.parametrize(
    ("channels", "axes"),
    [
        (["acc_x", "acc_y", "acc_z", "t"], [("acc_x", "acc_y", "acc_z")]),
        (["X", "Y", "Z"], [("X", "Y", "Z")]),
        (["gz", "ax", "az", "gx", "ay", "gy"], [("gx", "gy", "gz"), ("ax", "ay", "az")]),
        (["x_hand", "y_hand", "z_hand"], [("x_hand", "y_hand", "z_hand")]),
        (["0", "1", "2"], []),
        (["acc_x", "acc_y"], []),
    ],
)
def test_three_axis_sensors_are_found_by_name(channels, axes):
    assert find_axes(channels) == axes


@pytest.mark.slow
def test_the_specification_trains_as_it_is(write_recordings, tmp_path, mltk_cli):
    data = write_recordings([f"{part}/{name}" for part in ("train", "test") for name in ("slow", "fast")])
    create_specification("moves_v1", data, folder=tmp_path)
    done = mltk_cli.invoke(["train", str(tmp_path / "moves_v1.py"), "--test"])
    assert done.exit_code == 0, done.stderr
    assert "int8" in done.stdout
    assert "(test data" in done.stdout


@pytest.mark.parametrize(("rows", "validation", "training"), [(3000, 8, 36), (900, 1, 10)])
def test_a_few_long_recordings_are_divided(write_recordings, tmp_path, rows, validation, training):
    created, model, _ = create(write_recordings(rows=rows, count=1), tmp_path)
    assert "the first fifth of each" in created.draft.findings[1]
    assert model.datagen.split_recordings
    assert model.validation_data.samples == 2 * validation
    assert model.x.samples == 2 * training


def test_the_network_keeps_the_order_only_of_whole_recordings(write_recordings, tmp_path):
    _, _, network = create(write_recordings(["whole/slow", "whole/fast"], rows=50) / "whole", tmp_path)
    assert any("flatten" in layer.name for layer in network.layers)
    (tmp_path / "moves_v1.py").unlink()
    _, _, network = create(write_recordings(["long/slow", "long/fast"], rows=2000) / "long", tmp_path)
    assert not any("flatten" in layer.name for layer in network.layers)
