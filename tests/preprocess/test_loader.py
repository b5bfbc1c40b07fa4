from __future__ import annotations

import gc
import threading
import time
import traceback
import weakref

import numpy as np
import pytest

from mltk.data.loader import BatchIterator, original_errors
from mltk.data.seeding import batch_rng, epoch_permutation
from mltk.errors import DatasetError, SpecificationError
from mltk.utils.threads import worker_count


class NoiseSource:
    """Random batches that depend on the position only."""

    def __init__(self, batches: int = 7, fail_at: tuple[int, int] | None = None, delay: float = 0.0) -> None:
        self.batches = batches
        self.fail_at = fail_at
        self.delay = delay
        self.made: list[tuple[int, int]] = []

    def __len__(self) -> int:
        return self.batches

    def batch(self, epoch: int, index: int) -> tuple[np.ndarray, ...]:
        self.made.append((epoch, index))
        if (epoch, index) == self.fail_at:
            raise DatasetError("bad.jpg is damaged")
        rng = batch_rng(1, epoch, index)
        time.sleep(self.delay * rng.random())
        return rng.random((4, 3), dtype=np.float32), np.full((4,), epoch * 100 + index)


def labels(batches) -> list[int]:
    return [int(b[1][0]) for b in batches]


def batch_threads() -> list[str]:
    return [t.name for t in threading.enumerate() if t.name.startswith("mltk-batch")]


@pytest.mark.parametrize("workers", [0, 1, 2, 4])
def test_any_number_of_workers_gives_the_same_bytes_in_order(workers):
    expected = [NoiseSource().batch(e, i) for e in range(2) for i in range(7)]
    with BatchIterator(NoiseSource(delay=0.003), workers=workers) as iterator:
        got = [batch for _ in range(2) for batch in iterator]
    assert labels(got) == [0, 1, 2, 3, 4, 5, 6, 100, 101, 102, 103, 104, 105, 106]
    assert b"".join(b[0].tobytes() for b in got) == b"".join(b[0].tobytes() for b in expected)


def test_epoch_can_be_set_and_reset():
    iterator = BatchIterator(NoiseSource(2), workers=2)
    iterator.epoch = 5
    assert labels(iterator) == [500, 501]
    assert iterator.epoch == 6
    assert labels([iterator[0], iterator[-1]]) == [600, 601]
    iterator.reset()
    assert labels(iterator) == [0, 1]
    with pytest.raises(IndexError):
        iterator[2]


def test_no_more_than_prefetch_batches_are_ahead():
    source = NoiseSource(50)
    with BatchIterator(source, workers=2, prefetch=3) as iterator:
        passing = iter(iterator)
        for taken in range(1, 6):
            next(passing)
            time.sleep(0.02)
            assert len(source.made) <= taken + 3


def test_a_pass_makes_each_batch_once():
    source = NoiseSource(20)
    labels(BatchIterator(source, workers=3))
    assert sorted(source.made) == [(0, i) for i in range(20)]


@pytest.mark.parametrize("workers", [0, 2])
def test_an_exception_comes_to_the_consumer_at_its_place_with_its_traceback(workers):
    passing = iter(BatchIterator(NoiseSource(fail_at=(0, 3)), workers=workers))
    assert labels([next(passing) for _ in range(3)]) == [0, 1, 2]
    with pytest.raises(DatasetError, match=r"bad\.jpg") as caught:
        next(passing)
    assert "raise DatasetError" in "".join(traceback.format_tb(caught.value.__traceback__))
    assert not batch_threads()


def test_threads_end_with_the_pass():
    iterator = BatchIterator(NoiseSource(), workers=2)
    passing = iter(iterator)
    next(passing)
    assert batch_threads()
    list(passing)
    assert not batch_threads()


def test_an_abandoned_pass_leaves_no_thread():
    for _ in BatchIterator(NoiseSource(50), workers=2):
        break
    assert not batch_threads()


def test_close_in_the_middle_leaves_no_thread_and_ends_the_iterator():
    iterator = BatchIterator(NoiseSource(50), workers=2)
    passing = iter(iterator)
    next(passing)
    iterator.shutdown()
    assert not batch_threads()
    with pytest.raises(RuntimeError):
        next(passing)
    with pytest.raises(RuntimeError, match="closed"):
        next(iter(iterator))


def test_a_collected_iterator_leaves_no_thread():
    iterator = BatchIterator(NoiseSource(50), workers=2)
    passing = iter(iterator)
    next(passing)
    gone = weakref.ref(iterator)
    del iterator, passing
    gc.collect()
    assert gone() is None
    deadline = time.monotonic() + 5
    while batch_threads() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not batch_threads()


@pytest.mark.parametrize(("cores", "threads"), [(1, 1), (3, 3), (0.0001, 1)])
def test_cores_mean_threads_or_a_fraction(cores, threads):
    assert worker_count(cores) == threads


@pytest.mark.parametrize("cores", [0, -1, 0.0, 1.5, True, "2"])
def test_impossible_cores_are_refused(cores):
    with pytest.raises(SpecificationError, match="cores"):
        worker_count(cores)


def test_impossible_settings_are_refused():
    with pytest.raises(SpecificationError, match="workers must be at least 0, got -1"):
        BatchIterator(NoiseSource(), workers=-1)
    with pytest.raises(SpecificationError, match="prefetch must be at least 1, got 0"):
        BatchIterator(NoiseSource(), prefetch=0)


def test_seeds_streams_and_positions_give_different_numbers():
    keys = [(1, 0, 0, "a"), (2, 0, 0, "a"), (1, 1, 0, "a"), (1, 0, 1, "a"), (1, 0, 0, "b")]
    draws = {batch_rng(*key).integers(2**63) for key in keys}
    assert len(draws) == len(keys)
    assert batch_rng(1, 2, 3).integers(2**63) == batch_rng(1, 2, 3).integers(2**63)


def test_an_order_is_a_permutation_that_changes_with_the_epoch():
    first, second = epoch_permutation(100, 3, 0), epoch_permutation(100, 3, 1)
    assert sorted(first) == list(range(100))
    assert not np.array_equal(first, second)
    assert np.array_equal(first, epoch_permutation(100, 3, 0))


def test_errors_that_keras_did_not_see_are_left_alone():
    with pytest.raises(KeyError), original_errors(BatchIterator(NoiseSource()), None):
        raise KeyError("other")
