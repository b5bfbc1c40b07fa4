"""Caches and TFRecord files."""

import json

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from mltk.errors import DatasetError, SpecificationError
from mltk_plugin_tfdata import cache_to_disk, read_tfrecords, write_tfrecords

ROWS = (np.arange(20, dtype=np.float32).reshape(10, 2), np.arange(10), [f"{i}.wav" for i in range(10)])


def rows():
    return tf.data.Dataset.from_tensor_slices(ROWS)


def listed(data):
    return [
        tf.nest.map_structure(lambda v: v.tolist() if hasattr(v, "tolist") else v, e)
        for e in data.as_numpy_iterator()
    ]


def test_elements_are_read_in_order_whatever_the_number_of_files(tmp_path):
    for shards in (1, 3):
        folder = write_tfrecords(rows(), tmp_path / str(shards), shards=shards)
        data = read_tfrecords(folder)
        assert listed(data) == listed(rows())
        assert data.element_spec == rows().element_spec
        assert int(data.cardinality()) == 10
    parts = [read_tfrecords(folder, shard=(i, 2)) for i in range(2)]
    assert [[n for _, n, _ in listed(part)] for part in parts] == [[0, 2, 3, 5, 6, 8, 9], [1, 4, 7]]


def test_the_files_are_plain_examples(tmp_path):
    folder = write_tfrecords(rows(), tmp_path / "r")
    record = next(iter(tf.data.TFRecordDataset(f"{folder}/data-00000-of-00001.tfrecord"))).numpy()
    features = tf.train.Example.FromString(record).features.feature
    assert np.frombuffer(features["0"].bytes_list.value[0], "<f4").tolist() == [0.0, 1.0]
    assert features["2"].bytes_list.value[0] == b"0.wav"
    index = json.loads((tmp_path / "r" / "features.json").read_text())
    assert index["features"][0] == {"name": "0", "dtype": "float32", "shape": [2]}


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    array=arrays.arrays(
        st.sampled_from(["float32", "float64", "int8", "uint8", "int16", "int32", "int64", "bool"]),
        arrays.array_shapes(min_dims=1, max_dims=4, min_side=0, max_side=4).filter(lambda s: s[0] > 0),
    ),
    as_dict=st.booleans(),
)
def test_any_tensor_comes_back_bit_for_bit(tmp_path_factory, array, as_dict):
    data = tf.data.Dataset.from_tensor_slices({"a b": array} if as_dict else array)
    read = read_tfrecords(write_tfrecords(data, tmp_path_factory.mktemp("r") / "x"))
    assert read.element_spec == data.element_spec
    found = np.stack([e["a b"] if as_dict else e for e in read.as_numpy_iterator()])
    assert found.dtype == array.dtype
    assert found.tobytes() == array.tobytes()


def test_files_with_the_same_identity_are_left_alone_and_others_replaced(tmp_path):
    write_tfrecords(rows(), tmp_path / "r", "v1")
    write_tfrecords(rows().take(2), tmp_path / "r", "v1")
    assert len(listed(read_tfrecords(tmp_path / "r"))) == 10
    write_tfrecords(rows().take(2), tmp_path / "r", "v2")
    assert len(listed(read_tfrecords(tmp_path / "r"))) == 2


def test_a_failure_leaves_nothing(tmp_path):
    broken = rows().map(lambda x, n, t: tf.debugging.check_numerics(x / tf.cast(5 - n, tf.float32), "five"))
    for write in (
        lambda: write_tfrecords(broken, tmp_path / "r"),
        lambda: cache_to_disk(broken, 1, folder=tmp_path),
    ):
        with pytest.raises(DatasetError, match="five"):
            write()
    assert list(tmp_path.iterdir()) == []


def axes(v):
    return np.zeros([1] * (int(v) + 1), np.int64)


def test_elements_of_any_structure_and_length_come_back(tmp_path):
    data = tf.data.Dataset.range(3).map(
        lambda n: ({"clip": tf.range(n), "rate": (n, n + 1)}, tf.fill([n], "ä"))
    )
    read = read_tfrecords(write_tfrecords(data, tmp_path / "r"))
    assert listed(read) == listed(data)
    assert read.element_spec == data.element_spec


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (lambda: rows().repeat(), "infinite data set cannot be written"),
        (lambda: rows().take(0), "is empty"),
        (
            lambda: tf.data.Dataset.from_tensor_slices(tf.ragged.constant([[1], [2, 3]])),
            "Only tensors can be written, but the elements contain a RaggedTensorSpec",
        ),
        (
            lambda: tf.data.Dataset.range(2).map(lambda v: tf.numpy_function(axes, [v], tf.int64)),
            "their number of axes varies",
        ),
    ],
    ids=["endless", "empty", "ragged", "axes"],
)
def test_data_that_cannot_be_written_are_rejected(tmp_path, data, message):
    with pytest.raises(DatasetError, match=message):
        write_tfrecords(data(), tmp_path / "r")
    assert not (tmp_path / "r").exists()


def test_folders_and_shards_that_cannot_be_read_are_rejected(tmp_path):
    with pytest.raises(DatasetError, match=r"features\.json is missing or damaged"):
        read_tfrecords(tmp_path)
    folder = write_tfrecords(rows(), tmp_path / "r", shards=2)
    with pytest.raises(SpecificationError, match="0 <= index < count <= 2"):
        read_tfrecords(folder, shard=(0, 3))
    (tmp_path / "r" / "data-00001-of-00002.tfrecord").unlink()
    with pytest.raises(DatasetError, match=r"data-00001-of-00002.tfrecord' is missing"):
        read_tfrecords(folder)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "notes.txt").touch()
    with pytest.raises(DatasetError, match="has other files in it"):
        write_tfrecords(rows(), tmp_path / "other")


def test_a_cache_is_filled_once_and_known_by_its_identity(tmp_path):
    calls = []

    def count(v):
        calls.append(int(v))
        return v

    def halves(x):
        return x / 2

    def data():
        return tf.data.Dataset.range(5).map(lambda v: tf.numpy_function(count, [v], tf.int64))

    first = cache_to_disk(data(), "files", 3, halves)
    assert listed(first) == listed(cache_to_disk(data(), "files", 3, halves)) == [0, 1, 2, 3, 4]
    assert calls == [0, 1, 2, 3, 4]
    assert int(first.cardinality()) == 5
    assert (tmp_path / "cache" / "tf_data").is_dir()
    assert listed(cache_to_disk(data(), "files", 4, halves)) == [0, 1, 2, 3, 4]
    assert len(calls) == 10

    def halves(x):
        return x / 2.0

    cache_to_disk(data(), "files", 3, halves)
    assert len(calls) == 15


def test_a_cache_needs_an_identity_that_can_be_told_from_others():
    with pytest.raises(SpecificationError, match="cache_to_disk requires an identity"):
        cache_to_disk(rows())
    with pytest.raises(SpecificationError, match="Cannot make a hash of a object"):
        cache_to_disk(rows(), object())
