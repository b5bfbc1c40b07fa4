"""Callbacks that specifications may use."""

import keras
import numpy as np
import pytest

from mltk.keras.callbacks import SteppedLearnRateScheduler


def _network():
    network = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    network.compile(keras.optimizers.SGD(learning_rate=1.0), "mse")
    return network


def _data(n_batches):
    return np.zeros((2 * n_batches, 2), np.float32), np.zeros((2 * n_batches, 1), np.float32)


def test_the_learning_rate_follows_the_steps_and_the_training_ends_with_the_last():
    rates = []
    network = _network()
    watch = keras.callbacks.LambdaCallback(
        on_train_batch_end=lambda batch, logs: rates.append(float(network.optimizer.learning_rate))
    )
    scheduler = SteppedLearnRateScheduler([(2, 0.5), (3, 0.25), (1, 0.125)])
    history = network.fit(*_data(4), batch_size=2, epochs=9, verbose=0, callbacks=[scheduler, watch])
    assert rates == [0.5, 0.5, 0.25, 0.25, 0.25, 0.125]
    assert history.history["learning_rate"] == [0.25, 0.125]


def test_a_training_that_goes_on_has_the_rate_of_its_step():
    network = _network()
    schedule = [(3, 0.5), (9, 0.25)]
    network.fit(*_data(2), batch_size=2, verbose=0, callbacks=[SteppedLearnRateScheduler(schedule)])
    network.fit(
        *_data(2), batch_size=2, verbose=0, callbacks=[SteppedLearnRateScheduler(learning_rate=schedule)]
    )
    assert float(network.optimizer.learning_rate) == 0.25


def test_a_schedule_without_steps_is_refused():
    with pytest.raises(ValueError, match="at least one pair"):
        SteppedLearnRateScheduler([])
