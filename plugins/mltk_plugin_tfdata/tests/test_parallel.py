"""`parallel_process`: order, parallel calls and errors."""

import random
import threading
import time

import numpy as np
import pytest
import tensorflow as tf

from mltk.data.samples import iterate_batches
from mltk.errors import DatasetError, SpecificationError
from mltk.keras.environment import seed_everything
from mltk_plugin_tfdata import ProcessPool, parallel_process


def numbers(n=40):
    return tf.data.Dataset.range(n)


def test_results_come_in_order_from_several_calls_at_a_time_that_are_bounded():
    barrier = threading.Barrier(4, timeout=30)
    started = []

    def meets_three_others(v):
        started.append(int(v))
        # The first call is made alone, to see what it does, and the last may be abandoned.
        if 4 <= v < 8:
            barrier.wait()
        return v * 2

    data, _ = parallel_process(numbers(400), meets_three_others, dtype=np.int64, n_jobs=4)
    taken = iter(data.as_numpy_iterator())
    assert [int(next(taken)) for _ in range(9)] == list(range(0, 18, 2))
    assert len(started) < 30


def test_parallel_calls_stay_parallel_when_the_training_is_deterministic():
    seed_everything(1)
    barrier = threading.Barrier(2, timeout=30)

    def meets_another(v):
        if v >= 2:
            barrier.wait()
        return v

    data, _ = parallel_process(numbers(6), meets_another, dtype=np.int64, n_jobs=2)
    assert list(data.as_numpy_iterator()) == list(range(6))


def test_a_callback_gets_the_components_as_numpy_values_and_may_return_several():
    data = tf.data.Dataset.from_tensor_slices((["a", "b"], [1, 2], [[1.0, 2.0], [3.0, 4.0]]))

    def callback(text, number, row):
        assert isinstance(text, bytes)
        assert isinstance(number, np.int32)
        assert row.dtype == np.float32
        return row * number, text.decode() + "!"

    results, _ = parallel_process(data, callback, dtype=(np.float64, tf.string), n_jobs=0.5)
    found = [(row.tolist(), text) for row, text in results.as_numpy_iterator()]
    assert found == [([1.0, 2.0], b"a!"), ([6.0, 8.0], b"b!")]
    assert results.element_spec[0].dtype == tf.float64


def test_batches_are_given_as_batches_and_more_elements_may_be_under_way():
    data, pool = parallel_process(numbers(10).batch(4), lambda v: v + 1, dtype=np.int64, job_batch_size=16)
    assert [v.tolist() for v in data.as_numpy_iterator()] == [[1, 2, 3, 4], [5, 6, 7, 8], [9, 10]]
    assert int(data.cardinality()) == 3
    again, same = parallel_process(numbers(2), lambda v: v, dtype=np.int64, pool=pool)
    assert same is pool
    assert list(again.as_numpy_iterator()) == [0, 1]


@pytest.mark.parametrize("seeded", [True, False], ids=["seeded by the callback", "not seeded"])
def test_callbacks_with_global_generators_give_the_same_whatever_the_number_of_jobs(seeded):
    def callback(v):
        if seeded:
            np.random.seed(int(v))
            random.seed(int(v))
        drawn = np.random.random()
        time.sleep(0.001)
        return drawn + random.random()

    def run(jobs):
        data, _ = parallel_process(numbers(), callback, dtype=np.float64, n_jobs=jobs)
        return [list(data.as_numpy_iterator()) for _ in range(2)]

    np.random.seed(7)
    expected = np.random.random()
    np.random.seed(7)
    one, four = run(1), run(4)
    assert one == four
    assert len(set(one[0])) == 40
    # Without a seed of their own, other numbers in each pass.
    assert (one[0] == one[1]) is seeded
    assert np.random.random() == expected


def test_a_callback_that_rarely_uses_global_generators_is_detected():
    def callback(v):
        return np.random.random() if v >= 3 else 0.0

    def run(jobs):
        data, _ = parallel_process(numbers(), callback, dtype=np.float64, n_jobs=jobs)
        return list(data.as_numpy_iterator())

    assert run(4) == run(4) == run(1)


def test_tensorflow_in_callbacks_does_not_wait_for_threads_that_callbacks_hold():
    @tf.function
    def heavy(v):
        return tf.reduce_sum(tf.map_fn(lambda a: a * a, tf.cast(tf.range(v), tf.float32)))

    def callback(v):
        inner = tf.data.Dataset.range(3).map(lambda a: a + 1, num_parallel_calls=2)
        return heavy(tf.constant(int(v))) + sum(int(a) for a in inner)

    data, _ = parallel_process(numbers(12), callback, n_jobs=8)
    assert list(data.as_numpy_iterator()) == [sum(i * i for i in range(n)) + 6 for n in range(12)]


def test_exceptions_of_a_callback_are_raised_with_its_own_traceback_and_the_element():
    def broken(path):
        if path == b"/data/3.wav":
            raise KeyError("no such label")
        return np.zeros(2)

    data = tf.data.Dataset.from_tensor_slices([f"/data/{i}.wav" for i in range(6)])
    data, _ = parallel_process(data, broken, name="training")
    with pytest.raises(KeyError, match="no such label") as caught:
        list(iterate_batches(data))
    assert caught.traceback[-1].name == "broken"
    assert caught.value.__notes__ == [
        "Raised in parallel_process('training') by element 3 of the data set: '/data/3.wav'."
    ]


def test_a_pool_that_was_shut_down_says_so():
    data, pool = parallel_process(numbers(), lambda v: v, name="validation")
    pool.shutdown()
    with pytest.raises(DatasetError, match=r"The pool of parallel_process\('validation'\) was shut down"):
        list(iterate_batches(data))
    with ProcessPool() as another:
        assert not another.closed
    assert another.closed


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"n_jobs": 0}, "n_jobs must be at least 1"),
        ({"n_jobs": 1.5}, "n_jobs as a fraction"),
        ({"job_batch_size": 0}, "job_batch_size must be at least 1"),
        ({"callback": 3}, "must be callable, got 3"),
    ],
)
def test_wrong_settings_are_rejected(arguments, message):
    with pytest.raises(SpecificationError, match=message):
        parallel_process(numbers(), **{"callback": lambda v: v, **arguments})


@pytest.mark.parametrize(
    ("result", "dtype", "message"),
    [
        (None, np.float32, "returned None. Is a `return` missing?"),
        (np.zeros(2), (np.float32, np.int32), "must return 2 arrays (dtype has 2 types), got ndarray"),
        ((np.zeros(2),), (np.float32, np.int32), "must return 2 arrays (dtype has 2 types), got 1 results"),
    ],
    ids=["None", "array", "too few"],
)
def test_wrong_results_are_rejected(result, dtype, message):
    data, _ = parallel_process(numbers(), lambda v: result, dtype=dtype)
    with pytest.raises(SpecificationError) as caught:
        list(iterate_batches(data))
    assert message in str(caught.value)


def test_env_is_accepted_and_reported_as_ignored(caplog):
    with caplog.at_level("INFO", logger="mltk"):
        data, _ = parallel_process(numbers(2), lambda v: v, dtype=np.int64, env={"A": "1"})
    assert list(data.as_numpy_iterator()) == [0, 1]
    assert "env has no effect" in caplog.text
