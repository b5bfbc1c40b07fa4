"""Models with `TimeSeriesDatasetMixin`: subsets, statistics, parameters, what does not fit."""

import json
from pathlib import Path

import numpy as np
import pytest

from mltk.core import EvaluateClassifierMixin, MltkModel, TrainMixin
from mltk.data import DEFAULT_SEED
from mltk.errors import DatasetError, SpecificationError
from mltk_plugin_timeseries import ParallelTimeSeriesDataGenerator, TimeSeriesDatasetMixin


class SeriesModel(MltkModel, TrainMixin, TimeSeriesDatasetMixin, EvaluateClassifierMixin):
    """A model for the tests."""


@pytest.fixture
def make_model(tmp_path):
    def make(dataset, name="moves_v1", **settings):
        model = SeriesModel(str(tmp_path / f"{name}.py"))
        model.log_dir = str(tmp_path / "log")
        model.dataset = str(dataset) if isinstance(dataset, Path) else dataset
        model.classes = ["slow", "fast"]
        model.input_shape = (50, 3)
        model.batch_size = 4
        model.datagen = ParallelTimeSeriesDataGenerator(
            **{"featurewise_std_normalization": True, "cores": 1, **settings}
        )
        return model

    return make


def load(model, subset, **options):
    model.load_dataset(subset, **options)
    x, y = zip(*model.x, strict=True)
    return np.concatenate(x), np.concatenate(y)


def test_a_folder_is_split_into_subsets(make_model, write_recordings):
    model = make_model(write_recordings(count=8), validation_split=0.25)
    x, y = load(model, "training")
    assert x.shape == (12, 50, 3)
    assert y.sum(axis=0).tolist() == [6, 6]
    assert model.validation_data.samples == 4
    assert "slow" in model.summarize_dataset()
    assert "Windows for training" in model.summarize_dataset()
    x, _ = load(model, "evaluation")
    assert len(x) == 4


def test_a_test_folder_is_evaluated_whole(make_model, write_recordings):
    folder = write_recordings(
        ["train/slow", "train/fast", "val/slow", "val/fast", "test/slow", "test/fast"], 4
    )
    model = make_model(folder)
    assert len(load(model, "training")[0]) == 8
    assert model.validation_data.samples == 8
    assert "val" in model.validation_data.filepaths[0]
    x, y = load(model, "evaluation")
    assert y.argmax(axis=1).tolist() == [0] * 4 + [1] * 4
    assert len(x) == 8
    assert "/test/" in model.x.filepaths[0]


def test_all_parts_use_the_statistics_of_the_training_data(make_model, write_recordings):
    folder = write_recordings(["train/slow", "train/fast", "test/slow", "test/fast"], 4)
    for path in folder.glob("test/*/*.csv"):
        values = np.loadtxt(path, delimiter=",", skiprows=1) * 3
        np.savetxt(path, values, delimiter=",", header="acc_x,acc_y,acc_z", comments="")
    model = make_model(folder)
    untrained, _ = load(model, "evaluation")
    training, _ = load(model, "training")
    assert training.std() == pytest.approx(1, abs=0.01)
    trained, _ = load(model, "evaluation")
    assert np.array_equal(untrained, trained)
    assert trained.std() > 2


def test_the_statistics_of_the_training_run_are_kept(make_model, write_recordings, tmp_path):
    folder = write_recordings(["train/slow", "train/fast", "test/slow", "test/fast"], 4)
    model = make_model(folder)
    load(model, "training")
    saved = json.loads((tmp_path / "log" / "dataset" / "channel_statistics.json").read_text())
    assert saved["mean"] == pytest.approx(model.channel_statistics.mean.tolist())
    before, _ = load(model, "evaluation")
    for path in folder.glob("train/*/*.csv"):
        path.write_text("acc_x,acc_y,acc_z\n" + "7,8,9\n7,8,8\n" * 25)
    again = make_model(folder)
    assert np.array_equal(load(again, "evaluation")[0], before), "the network knows those of its training"


def test_damaged_statistics_are_refused(make_model, write_recordings, tmp_path):
    folder = write_recordings()
    (tmp_path / "log" / "dataset").mkdir(parents=True)
    (tmp_path / "log" / "dataset" / "channel_statistics.json").write_text('{"mean": [1]}')
    with pytest.raises(DatasetError, match=r"damaged.*Train the model again"):
        load(make_model(folder), "evaluation")
    (tmp_path / "log" / "dataset" / "channel_statistics.json").write_text('{"mean": [1], "std": [1]}')
    with pytest.raises(DatasetError, match=r"1 channels are known, but the recordings have 3"):
        load(make_model(folder), "evaluation")


def test_the_firmware_is_told_how_to_standardize(make_model, write_recordings):
    model = make_model(write_recordings(), sample_rate=20, channels=["acc_x", "acc_y", "acc_z"])
    load(model, "training")
    model.populate_model_parameters()
    parameters = model.model_parameters
    assert parameters["timeseries.mean"] == pytest.approx(model.channel_statistics.mean.tolist())
    assert parameters["timeseries.std"] == pytest.approx(model.channel_statistics.std.tolist())
    assert parameters["timeseries.sample_rate"] == 20
    assert parameters["timeseries.channels"] == ["acc_x", "acc_y", "acc_z"]


def test_without_standardization_there_is_no_mean(make_model, write_recordings):
    model = make_model(write_recordings(), featurewise_std_normalization=False)
    load(model, "training")
    model.populate_model_parameters()
    assert "timeseries.mean" not in model.model_parameters


def test_groups_stay_together(make_model, write_recordings):
    folder = write_recordings(count=8)
    for path in list(folder.glob("*/*.csv")):
        path.rename(path.with_name(f"{'anna' if int(path.stem) % 2 else 'ben'}_{path.name}"))
    model = make_model(folder, validation_split=0.3)
    model.group_by = r"/([a-z]+)_\d"
    model.load_dataset("training")
    groups = [
        {name.partition("/")[2].partition("_")[0] for name in iterator.filenames}
        for iterator in (model.x, model.validation_data)
    ]
    assert sorted(map(sorted, groups)) == [["anna"], ["ben"]]


def test_the_window_must_have_the_input_shape(make_model, write_recordings):
    folder = write_recordings()
    model = make_model(folder)
    model.input_shape = (50, 2)
    with pytest.raises(
        SpecificationError, match=r"is \(50, 2\), but a window is \(50, 3\).*acc_x, acc_y, acc_z"
    ):
        model.load_dataset("training")
    model.input_shape = (50, 3, 1)
    with pytest.raises(SpecificationError, match=r"must be \(rows, channels\)"):
        model.load_dataset("training")
    model = make_model(folder, window_length=25)
    with pytest.raises(SpecificationError, match=r"a window is \(25, 3\)"):
        model.load_dataset("training")


def test_other_generators_and_data_are_refused(make_model):
    with pytest.raises(SpecificationError, match="must be a ParallelTimeSeriesDataGenerator, got a str"):
        make_model("x").datagen = "fast"
    with pytest.raises(DatasetError, match="is of type set; it must be a folder"):
        make_model(lambda: {1, 2}).load_dataset("training")


def test_the_seed_of_the_model_sets_the_batches(make_model, write_recordings):
    folder = write_recordings()
    first, _ = load(make_model(folder, jitter=0.1), "training")
    other = make_model(folder, jitter=0.1)
    assert np.array_equal(load(other, "training")[0], first)
    other.seed = DEFAULT_SEED + 1
    assert not np.array_equal(load(other, "training")[0], first)


def test_groups_and_divided_recordings_exclude_each_other(make_model, write_recordings):
    model = make_model(write_recordings(), validation_split=0.5, split_recordings=True)
    model.group_by = r"\d"
    with pytest.raises(SpecificationError, match="group_by keeps recordings together"):
        model.load_dataset("training")


def test_arrays_are_windows(make_model):
    rng = np.random.default_rng(0)
    x = rng.normal([1, 2, 3], [1, 2, 4], (20, 50, 3))
    y = np.arange(20) % 2
    model = make_model(lambda: ((x[:12], y[:12]), (x[12:] * 2, y[12:])))
    training, labels = load(model, "training")
    assert training.mean(axis=(0, 1)) == pytest.approx(np.zeros(3), abs=1e-5)
    assert labels.sum(axis=0).tolist() == [6, 6]
    assert model.validation_data.samples == 8
    evaluation, _ = load(model, "evaluation")
    expected = (x[12:] * 2 - model.channel_statistics.mean) / model.channel_statistics.std
    assert np.allclose(evaluation, expected, atol=1e-5)
    assert len(load(model, "training", max_samples_per_class=2)[0]) == 4


def test_arrays_of_one_channel_need_no_axis_for_it(make_model):
    x = np.random.default_rng(0).normal(size=(8, 50))
    model = make_model(lambda: (x[:4], x[4:], np.arange(4) % 2, np.arange(4) % 2))
    model.input_shape = (50, 1)
    assert load(model, "training")[0].shape == (4, 50, 1)
    model.input_shape = (50, 2)
    with pytest.raises(SpecificationError, match=r"a window is \(50, 1\)"):
        model.load_dataset("training")
