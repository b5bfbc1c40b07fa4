"""`seeded_batches` as pure functions of seed, epoch and position."""

import numpy as np
import pytest
import tensorflow as tf

from mltk.errors import DatasetError, SpecificationError
from mltk_plugin_tfdata import seeded_batches

X = np.arange(22, dtype=np.float32).reshape(11, 2)
Y = np.arange(11)


def noisy(x, y, seed):
    return x + tf.random.stateless_uniform([2], seed), y


def passes(batches, n=2):
    return [[tuple(part.tolist() for part in batch) for batch in batches] for _ in range(n)]


def test_each_sample_comes_once_an_epoch_in_another_order_and_with_other_noise():
    first, second = passes(seeded_batches((X, Y), noisy, batch_size=4, seed=1))
    ids = [[i for _, y in epoch for i in y] for epoch in (first, second)]
    assert sorted(ids[0]) == sorted(ids[1]) == list(range(11))
    assert ids[0] != ids[1]
    assert [len(y) for _, y in first] == [4, 4, 3]
    noise = [
        {i: row[0] - 2 * i for x, y in epoch for row, i in zip(x, y, strict=True)}
        for epoch in (first, second)
    ]
    assert all(0 <= v < 1 for epoch in noise for v in epoch.values())
    assert len({round(v, 6) for epoch in noise for v in epoch.values()}) == 22


def test_equal_seeds_give_equal_bytes_at_any_position_and_with_any_threads():
    one, other = (seeded_batches((X, Y), noisy, batch_size=4, seed=1) for _ in range(2))
    other.workers = 0
    other.epoch = 1
    assert passes(one, 2)[1] == passes(other, 1)[0]
    assert passes(seeded_batches((X, Y), noisy, batch_size=4, seed=2), 1) != passes(
        seeded_batches((X, Y), noisy, batch_size=4, seed=1), 1
    )


def test_without_shuffling_order_and_seeds_are_the_same_in_each_epoch():
    first, second = passes(seeded_batches((X, Y), noisy, batch_size=4, seed=1, shuffle=False))
    assert first == second
    assert [i for _, y in first for i in y] == list(range(11))


def test_columns_may_be_texts_lists_and_tensors_and_the_function_may_be_left_out():
    columns = ([f"{i}.wav" for i in range(3)], tf.range(3), [0.5, 1.5, 2.5])
    batches = seeded_batches(columns, batch_size=2, seed=0, shuffle=False)
    texts, ids, weights = batches[0]
    assert texts.tolist() == [b"0.wav", b"1.wav"]
    assert ids.tolist() == [0, 1]
    assert weights.dtype == np.float32
    (alone,) = seeded_batches(X, batch_size=20, seed=0, shuffle=False)[0]
    np.testing.assert_array_equal(alone, X)


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ((X, Y[:3]), "differ in length: 11, 3"),
        ((X[:0], Y[:0]), "The data set is empty"),
        (3.0, "The data set is empty"),
    ],
)
def test_columns_that_are_invalid_are_rejected(columns, message):
    with pytest.raises(DatasetError, match=message):
        seeded_batches(columns, batch_size=2, seed=0)
    with pytest.raises(SpecificationError, match="batch_size must be at least 1"):
        seeded_batches(X, batch_size=0, seed=0)


def test_values_that_are_not_finite_and_operations_that_fail_are_one_line():
    x = X.copy()
    x[5] = np.inf
    with pytest.raises(DatasetError, match="Batch 2 of the data contains NaN or infinite values"):
        list(seeded_batches((x, Y), batch_size=4, seed=0, shuffle=False))

    def missing(path, seed):
        return tf.io.read_file(path)

    with pytest.raises(DatasetError) as caught:
        list(seeded_batches(["/no/such.png"], missing, batch_size=4, seed=0))
    assert str(caught.value) == "Reading the data failed: /no/such.png; No such file or directory"
