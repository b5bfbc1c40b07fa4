from __future__ import annotations

import threading

import numpy as np
import pytest

from mltk.data.loader import BatchIterator, original_errors
from mltk.errors import DatasetError

keras = pytest.importorskip("keras")


class Numbered:
    """Batches of two samples whose value is the position of the batch; the label is its parity."""

    def __init__(self, batches: int = 6, fail_at: tuple[int, int] | None = None) -> None:
        self.batches = batches
        self.fail_at = fail_at
        self.made: list[tuple[int, int]] = []

    def __len__(self) -> int:
        return self.batches

    def batch(self, epoch: int, index: int) -> tuple[np.ndarray, ...]:
        self.made.append((epoch, index))
        if (epoch, index) == self.fail_at:
            raise DatasetError("cat/3.jpg is damaged")
        value = epoch * 100 + index
        return np.full((2, 1), value, np.float32), np.full((2,), value % 2, np.float32)


class Recorder(keras.layers.Layer):
    """Passes its input through and keeps the values."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[int] = []

    def call(self, x):
        if hasattr(x, "numpy"):  # Not while Keras works out the shapes.
            self.seen.append(int(x.numpy()[0, 0]))
        return x


@pytest.fixture
def recording():
    recorder = Recorder()
    model = keras.Sequential([recorder, keras.layers.Dense(1)])
    model.compile("sgd", "mse", run_eagerly=True)
    return model, recorder.seen


def batch_threads() -> list[str]:
    return [t.name for t in threading.enumerate() if t.name.startswith("mltk-batch")]


def test_fit_sees_every_batch_once_per_epoch_in_our_order(recording):
    model, seen = recording
    source = Numbered()
    with BatchIterator(source, workers=2) as iterator:
        model.fit(iterator.to_keras(), epochs=3, verbose=0)
    assert seen == [e * 100 + i for e in range(3) for i in range(6)]
    assert len(source.made) == len(set(source.made)), "a batch was made twice"
    assert iterator.epoch == 3
    assert not batch_threads()


def test_fit_resumed_at_an_epoch_sees_that_epoch(recording):
    model, seen = recording
    with BatchIterator(Numbered(), workers=2) as iterator:
        model.fit(
            iterator.to_keras(), initial_epoch=4, epochs=6, callbacks=[iterator.epoch_callback()], verbose=0
        )
    assert seen == [400 + i for i in range(6)] + [500 + i for i in range(6)]


def test_steps_go_on_where_the_last_epoch_stopped(recording):
    model, seen = recording
    with BatchIterator(Numbered(), workers=1) as iterator:
        data = iterator.to_keras(steps=4)
        model.fit(data, epochs=3, verbose=0)
        seen.clear()
        model.fit(data, initial_epoch=1, epochs=2, callbacks=[iterator.epoch_callback()], verbose=0)
    assert seen == [4, 5, 100, 101]


def test_validation_and_evaluation_read_one_pass_each(recording):
    model, seen = recording
    with BatchIterator(Numbered(3)) as training, BatchIterator(Numbered(2), workers=2) as validation:
        model.fit(training.to_keras(), validation_data=validation.to_keras(), epochs=2, verbose=0)
        assert seen == [0, 1, 2, 0, 1, 100, 101, 102, 100, 101]
        seen.clear()
        validation.reset()
        model.evaluate(validation.to_keras(), verbose=0)
        assert seen == [0, 1]
        seen.clear()
        validation.reset()
        assert model.predict(validation.to_keras(), verbose=0).shape == (4, 1)
        assert seen == [0, 1]


def test_class_weights_apply():
    def loss_with(class_weight):
        model = keras.Sequential([keras.layers.Dense(1, kernel_initializer="zeros")])
        model.compile(keras.optimizers.SGD(0.0), "mse")
        with BatchIterator(Numbered(2)) as iterator:
            return model.fit(iterator.to_keras(), class_weight=class_weight, verbose=0).history["loss"][0]

    assert loss_with({0: 1.0, 1: 3.0}) == pytest.approx(3 * loss_with(None))


def test_an_error_in_a_batch_comes_out_of_fit_as_itself(recording):
    model, _ = recording
    iterator = BatchIterator(Numbered(fail_at=(1, 2)), workers=2)
    with iterator, pytest.raises(DatasetError, match=r"cat/3\.jpg"), original_errors(iterator):
        model.fit(iterator.to_keras(), epochs=3, verbose=0)
    assert not batch_threads()
