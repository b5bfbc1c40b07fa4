"""What callbacks of a specification hold is written as JSON and read back."""

import json
import random
from collections import deque

import keras
import numpy as np
import pytest

from mltk.keras.callback_state import CallbackKeeper, NotPlainError, decode, encode


@pytest.mark.parametrize(
    "value",
    [
        None,
        True,
        3,
        1e300,
        "x",
        b"\x00\xff",
        [1, [2.5, None]],
        (1, ("a",)),
        {1, 2},
        frozenset({"a"}),
        {"a": {1: (2, 3)}, (1, 2): []},
        deque([1, 2], maxlen=3),
    ],
)
def test_plain_values_come_back_equal_and_of_their_type(value):
    again = decode(json.loads(json.dumps(encode(value))))
    assert again == value
    assert type(again) is type(value)


@pytest.mark.parametrize("dtype", ["float32", "int64", "bool", "<U3", "complex64"])
def test_arrays_and_numbers_of_numpy_come_back(dtype):
    for value in (np.arange(6).reshape(2, 3).astype(dtype), np.arange(3).astype(dtype)[1]):
        again = decode(json.loads(json.dumps(encode(value))))
        assert again.dtype == value.dtype
        np.testing.assert_array_equal(again, value)


def test_variables_are_kept_as_arrays():
    np.testing.assert_array_equal(decode(encode(keras.Variable([1.0, 2.0]))), [1.0, 2.0])


def test_random_generators_go_on_where_they_were():
    ours, theirs = random.Random(1), np.random.default_rng(1)
    ours.random(), theirs.random()
    again = decode(json.loads(json.dumps(encode(ours)))), decode(json.loads(json.dumps(encode(theirs))))
    assert [again[0].random(), again[1].random()] == [ours.random(), theirs.random()]


@pytest.mark.parametrize("value", [object(), [object()], np.array([object()]), np.zeros(1 << 20), open])
def test_other_values_are_refused(value):
    with pytest.raises(NotPlainError):
        encode(value)


class Counter(keras.callbacks.Callback):
    def __init__(self):
        super().__init__()
        self.start = 5
        self.count = 0
        self.average = keras.Variable(0.0)
        self.function = len
        self.loss = keras.losses.MeanSquaredError()
        self.teacher = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
        self.opened = object()


def test_attributes_that_changed_are_kept_and_objects_with_a_state_are_named():
    callback = Counter()
    keeper = CallbackKeeper(callback)
    callback.count, callback.added = 3, [1]
    callback.average.assign(2.5)
    values, unsaved = keeper.read()
    assert set(values) == {"count", "added", "average"}
    assert unsaved == ["teacher", "opened"]
    other = Counter()
    average = other.average
    CallbackKeeper(other).restore(json.loads(json.dumps(values)))
    assert (other.count, other.added, other.start) == (3, [1], 5)
    assert other.average is average
    assert float(average) == 2.5


def test_methods_of_the_callback_take_precedence():
    class WithMethods(keras.callbacks.Callback):
        def __init__(self):
            super().__init__()
            self.cache = object()
            self.n = 0

        def get_state(self):
            return {"n": self.n}

        def set_state(self, state):
            self.n = state["n"] + 100

    callback = WithMethods()
    keeper = CallbackKeeper(callback)
    callback.n = 7
    values, unsaved = keeper.read()
    assert not unsaved
    other = WithMethods()
    CallbackKeeper(other).restore(json.loads(json.dumps(values)))
    assert other.n == 107


def test_what_keras_chooses_anew_is_not_kept_in_subclasses_of_its_callbacks():
    class Own(keras.callbacks.EarlyStopping):
        pass

    callback = Own("loss", min_delta=0.5, mode="min", patience=9)
    keeper = CallbackKeeper(callback)
    network = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    network.compile("sgd", "mse")
    network.fit(np.ones((4, 1)), np.ones((4, 1)), epochs=2, verbose=0, callbacks=[callback])
    values, unsaved = keeper.read()
    assert not unsaved
    assert {"best", "best_epoch"} <= set(values)
    assert not {"min_delta", "monitor_op"} & set(values)
