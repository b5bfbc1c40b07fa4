"""Iterators over windows: cutting, labels, standardization, seeds, callbacks."""

import numpy as np
import pytest

from mltk.errors import DatasetError, SpecificationError
from mltk_plugin_timeseries import ParallelTimeSeriesDataGenerator as Generator
from mltk_plugin_timeseries._windows import Windowing

AUGMENTED = {
    "jitter": 0.1,
    "scale": 0.1,
    "time_warp": 0.1,
    "rotation": 0.2,
    "rotation_axes": [("acc_x", "acc_y", "acc_z")],
    "featurewise_std_normalization": True,
    "mixup": 0.2,
}


@pytest.fixture
def write_counts(tmp_path):
    """Write files whose rows count upwards: the value tells which row was read."""

    def write(lengths, folders=("a", "b")):
        for number, folder in enumerate(folders):
            (tmp_path / "counts" / folder).mkdir(parents=True)
            for i, rows in enumerate(lengths):
                values = np.arange(rows) + 1000 * i + 100_000 * number
                np.save(tmp_path / "counts" / folder / f"{i}.npy", values.astype(np.float32))
        return tmp_path / "counts"

    return write


def read_all(iterator):
    x, y = zip(*iterator, strict=True)
    return np.concatenate(x), np.concatenate(y)


def test_recordings_are_cut_into_overlapping_windows(write_counts):
    folder = write_counts([10, 23])
    iterator = Generator(window_length=8, window_overlap=0.5).flow_from_directory(folder, shuffle=False)
    x, y = read_all(iterator)
    assert x[:, 0, 0].tolist() == [0, 1000, 1004, 1008, 1012, 100000, 101000, 101004, 101008, 101012]
    assert np.array_equal(np.diff(x[:, :, 0]), np.ones((10, 7)))
    assert y.argmax(axis=1).tolist() == [0] * 5 + [1] * 5
    assert iterator.filenames[1:3] == ["a/1.npy", "a/1.npy from row 4"]
    assert iterator.filepaths[2].endswith("a/1.npy")
    assert iterator.window_shape == (8, 1)


@pytest.mark.parametrize("overlap", [0, 0.25, 0.9])
def test_windows_begin_a_step_apart(overlap):
    windowing = Windowing(20, overlap)
    starts = windowing.starts(100)
    assert set(np.diff(starts)) == {windowing.step} == {{0: 20, 0.25: 15, 0.9: 2}[overlap]}
    assert starts[0] == 0
    assert 80 - windowing.step < starts[-1] <= 80


def test_short_recordings_are_continued_with_a_warning(write_counts, caplog):
    folder = write_counts([5, 8])
    iterator = Generator().flow_from_directory(folder, window_length=8, shuffle=False)
    x, _ = read_all(iterator)
    assert x[0, :, 0].tolist() == [0, 1, 2, 3, 4, 4, 4, 4]
    assert len(x) == 4
    iterator.close()
    assert "shorter than a window" in caplog.text
    assert "'a/0.npy', 'b/0.npy' (2 of 4 files)" in caplog.text


def test_short_recordings_can_be_continued_skipped_or_refused(write_counts, caplog):
    folder = write_counts([5, 8])
    padded = Generator(short_recordings="pad").flow_from_directory(folder, 8)
    assert padded.samples == 4
    padded.close()
    assert not caplog.text
    skipped = Generator(short_recordings="skip").flow_from_directory(folder, 8)
    assert skipped.samples == 2
    with pytest.raises(DatasetError, match=r"a/0\.npy' has 5 rows, fewer than a window \(8\)"):
        Generator(short_recordings="refuse").flow_from_directory(folder, 8)
    with pytest.raises(DatasetError, match="No recording of the class 'a'"):
        Generator(short_recordings="skip").flow_from_directory(folder, 9)


@pytest.mark.parametrize("cache_bytes", [0, 60, 2**20])
def test_the_cache_changes_nothing(write_counts, cache_bytes):
    folder = write_counts([10, 23])
    generator = Generator(window_length=8, window_overlap=0.5, cache_bytes=cache_bytes)
    x, y = read_all(generator.flow_from_directory(folder, seed=3))
    assert sorted(x[:, 0, 0].astype(int) % 100_000) == sorted([0, 1000, 1004, 1008, 1012] * 2)
    assert np.array_equal(y.argmax(axis=1), x[:, 0, 0] >= 100_000)


def test_the_limit_counts_windows(write_counts):
    folder = write_counts([40, 40])
    counts = {}
    iterator = Generator(window_length=8, max_samples_per_class=3).flow_from_directory(
        folder, shuffle=False, class_counts=counts
    )
    assert counts == {"a": 3, "b": 3}
    assert read_all(iterator)[0][:, 0, 0].tolist() == [0, 8, 16, 100000, 100008, 100016]


def test_validation_has_other_files(write_counts):
    folder = write_counts([16, 16, 16, 16])
    generator = Generator(window_length=8, validation_split=0.25)
    parts = {
        part: set(generator.flow_from_directory(folder, subset=part).batches.samples.files)
        for part in ("training", "validation")
    }
    assert parts["validation"] == {"a/0.npy", "b/0.npy"}
    assert not parts["validation"] & parts["training"]


def test_columns_are_found_by_name_in_each_file(tmp_path):
    for name, header in (("a", "x,y"), ("b", "y,x")):
        (tmp_path / "data" / name).mkdir(parents=True)
        (tmp_path / "data" / name / "0.csv").write_text(f"{header}\n1,2\n")
    x, _ = read_all(Generator().flow_from_directory(tmp_path / "data", 1, shuffle=False))
    assert x[:, 0].tolist() == [[1, 2], [2, 1]]


def test_recordings_at_different_rates_need_a_rate(tmp_path):
    for name, step in (("a", 0.1), ("b", 0.05)):
        (tmp_path / "data" / name).mkdir(parents=True)
        rows = "".join(f"{i * step},{i * step}\n" for i in range(41))
        (tmp_path / "data" / name / "0.csv").write_text("t,x\n" + rows)
    with pytest.raises(DatasetError, match=r"has 20 rows per second, and 'a/0\.csv' has 10: set sample_rate"):
        Generator(time_column="t").flow_from_directory(tmp_path / "data", 5)
    generator = Generator(time_column="t", sample_rate=5)
    x, _ = read_all(generator.flow_from_directory(tmp_path / "data", 5, shuffle=False))
    # 4 s and 2 s at 5 Hz: four windows and two, in units of a second.
    assert np.allclose(x[:, 1:4, 0], np.array([0, 1, 2, 3, 0, 1])[:, None] + [0.2, 0.4, 0.6], atol=0.02)


def test_unusable_files_are_named_together(write_counts):
    folder = write_counts([10, 10])
    for name in ("a/1.npy", "b/0.npy"):
        (folder / name).write_bytes(b"nothing")
    with pytest.raises(DatasetError, match=r"a/1\.npy.*Other files are not usable either: 'b/0\.npy'"):
        Generator().flow_from_directory(folder, 8)


def test_channels_are_standardized_by_the_training_data(write_recordings):
    folder = write_recordings()
    generator = Generator(featurewise_std_normalization=True, validation_split=0.5)
    training = generator.flow_from_directory(folder, 50, subset="training")
    x, _ = read_all(training)
    assert np.allclose(x.mean(axis=(0, 1)), 0, atol=1e-4)
    assert np.allclose(x.std(axis=(0, 1)), 1, atol=1e-4)
    assert abs(x.mean(axis=1)).max() > 0.01, "not each window for itself"
    assert generator.statistics.mean[2] == pytest.approx(9.81, abs=0.1)
    before = generator.statistics
    validation, _ = read_all(generator.flow_from_directory(folder, 50, subset="validation"))
    assert generator.statistics is before
    assert not np.allclose(validation.std(axis=(0, 1)), 1, atol=1e-5)


def test_statistics_of_the_validation_data_alone_are_refused(write_recordings):
    generator = Generator(featurewise_center=True, validation_split=0.5)
    with pytest.raises(SpecificationError, match=r"call datagen\.fit"):
        generator.flow_from_directory(write_recordings(), 50, subset="validation")


def test_a_constant_channel_becomes_zero():
    x = np.random.default_rng(0).normal(5, 2, (20, 10, 2)).astype(np.float32)
    x[:, :, 1] = 1e6 + 0.1
    generator = Generator(featurewise_std_normalization=True)
    generator.fit(x)
    batch = generator.standardize_batch(x)
    assert np.abs(batch[:, :, 1]).max() < 0.2
    assert batch[:, :, 0].std() == pytest.approx(1, abs=1e-3)


def test_statistics_are_exact_for_large_offsets():
    x = np.random.default_rng(0).normal(1e4, 1, (50, 40, 1))
    generator = Generator(featurewise_center=True)
    generator.fit(x)
    assert generator.statistics.mean[0] == pytest.approx(x.mean(), rel=1e-7)
    assert generator.statistics.std[0] == pytest.approx(x.std(), rel=1e-5)


def test_windows_are_counted_once_in_the_statistics(write_counts):
    folder = write_counts([10, 23])
    generator = Generator(window_length=8, window_overlap=0.5, featurewise_center=True)
    generator.flow_from_directory(folder)
    rows = [*range(8), *range(1000, 1020), *range(100000, 100008), *range(101000, 101020)]
    assert generator.statistics.mean[0] == pytest.approx(np.mean(rows), rel=1e-6)


@pytest.mark.parametrize("threads", [1, 3])
def test_batches_depend_only_on_seed_and_position(write_recordings, threads):
    folder = write_recordings()

    def epochs(seed, cores=threads):
        iterator = Generator(cores=cores, **AUGMENTED).flow_from_directory(
            folder, 50, batch_size=5, seed=seed
        )
        return [read_all(iterator)[0] for _ in range(2)]

    first, second = epochs(1)
    again, _ = epochs(1, cores=1)
    assert np.array_equal(first, again)
    assert not np.array_equal(first, second)
    assert not np.array_equal(first, epochs(2)[0])


def test_augmentation_can_be_disabled(write_recordings):
    folder = write_recordings()
    plain = Generator(featurewise_std_normalization=True).flow_from_directory(folder, 50, seed=1)
    for settings, options in (
        ({"disabled_augmentations": ["timeseries_transforms", "mix"]}, {}),
        ({}, {"augment": False}),
    ):
        iterator = Generator(**AUGMENTED, **settings).flow_from_directory(folder, 50, seed=1, **options)
        assert np.array_equal(read_all(iterator)[0], read_all(plain)[0])
        plain.reset()


def test_mixup_blends_windows_and_labels(write_counts):
    folder = write_counts([8] * 6)
    x, y = read_all(Generator(mixup=1.0).flow_from_directory(folder, 8, batch_size=12, seed=1))
    assert ((y > 0.01) & (y < 0.99)).any()
    assert np.allclose(x[:, 0, 0] / 100_000, y[:, 1], atol=0.06)


def test_rotation_needs_channels_that_exist(write_recordings):
    generator = Generator(rotation=0.1, rotation_axes=[("acc_x", "acc_y", "acc_w")])
    with pytest.raises(SpecificationError, match=r"channel 'acc_w'.*Channels: acc_x, acc_y, acc_z"):
        generator.flow_from_directory(write_recordings(), 50)


def test_callbacks_see_windows_and_settings(write_recordings):
    seen = []

    def clip(params, x, class_id, filename):
        seen.append((params.window_shape, params.channel_names, params.jitter, class_id, filename))
        return np.clip(x, -0.5, 0.5)

    generator = Generator(preprocessing_function=clip, debug=True)
    x, _ = read_all(generator.flow_from_directory(write_recordings(count=1), 50, shuffle=False))
    assert np.abs(x).max() == 0.5
    assert seen[0] == ((50, 3), ("acc_x", "acc_y", "acc_z"), 0.0, 0, "fast/0.csv")


def test_arrays_flow_as_windows():
    x = np.random.default_rng(0).normal(size=(10, 20)).astype(np.float32)
    y = np.arange(10)
    iterator = Generator(featurewise_std_normalization=True).flow(x, y, batch_size=4)
    batches, labels = read_all(iterator)
    assert batches.shape == (10, 20, 1)
    assert sorted(labels.tolist()) == list(range(10))
    with pytest.raises(DatasetError, match="10 windows, but y has 9"):
        Generator().flow(x, y[:9])
    with pytest.raises(DatasetError, match=r"\(n, rows, channels\)"):
        Generator().flow(x[0])
    with pytest.raises(DatasetError, match="NaN"):
        Generator().flow(x * np.nan)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"window_length": 0}, "window_length must be an integer of at least 1"),
        ({"window_overlap": 1}, "window_overlap must be below 1"),
        ({"short_recordings": "cut"}, "short_recordings must be one of"),
        ({"channels": "acc_x"}, "channels must be a list"),
        ({"sample_rate": 0}, "sample_rate must be above 0"),
        ({"time_unit": -1}, "time_unit must be at least 0"),
        ({"irregular": "interpolate"}, "irregular must be one of"),
        ({"missing": "resample"}, "missing must be one of"),
        ({"max_gap": -1}, "max_gap must be an integer"),
        ({"time_column": "t", "recorded_rate": 10}, "time_column or recorded_rate, not both"),
    ],
)
def test_wrong_settings_are_refused(settings, message):
    with pytest.raises(SpecificationError, match=message):
        Generator(**settings)


def test_the_fingerprint_changes_with_files_and_windows(write_counts):
    folder = write_counts([10, 23])
    prints = {
        Generator(**settings).flow_from_directory(folder, 8).batches.fingerprint()
        for settings in ({}, {"window_overlap": 0.5}, {"jitter": 0.1})
    }
    assert len(prints) == 2, "augmentation does not change the data"
    np.save(folder / "a" / "2.npy", np.zeros(8))
    assert Generator().flow_from_directory(folder, 8).batches.fingerprint() not in prints


def test_recordings_can_be_divided_between_the_parts(write_counts):
    folder = write_counts([40])
    generator = Generator(window_length=4, window_overlap=0.5, validation_split=0.25, split_recordings=True)
    rows = {}
    for part in ("validation", "training"):
        iterator = generator.flow_from_directory(folder, subset=part, shuffle=False)
        x, _ = read_all(iterator)
        rows[part] = set(x[..., 0].ravel().astype(int).tolist())
    assert rows["validation"] == {*range(10), *range(100000, 100010)}
    assert rows["training"] == {*range(10, 40), *range(100010, 100040)}
