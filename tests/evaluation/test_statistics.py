"""Intervals of measured figures, and what a model is compared with."""

import numpy as np
import pytest
from scipy import stats

from mltk.operations.evaluation.baselines import MAX_SAMPLES, measure_nearest_neighbor
from mltk.results.statistics import auc_interval, proportion_interval


@pytest.mark.parametrize(("successes", "count"), [(0, 10), (10, 10), (3, 7), (59, 74), (9_000, 10_000)])
def test_the_interval_of_a_share_is_that_of_scipy(successes, count):
    wanted = stats.binomtest(successes, count).proportion_ci(method="wilson")
    np.testing.assert_allclose(proportion_interval(successes, count), wanted, atol=1e-6)


def test_the_interval_of_an_auc_covers_what_other_samples_give():
    rng = np.random.default_rng(1)
    true = stats.norm.cdf(1.5 / np.sqrt(2))
    covered = 0
    for _ in range(400):
        positive, negative = rng.normal(1.5, 1, 36), rng.normal(0, 1, 36)
        area = (positive[:, None] > negative).mean()
        low, high = auc_interval(area, 36, 36)
        covered += low <= true <= high
    assert 0.9 < covered / 400 < 0.99


def test_the_interval_of_a_perfect_auc_depends_on_the_number_of_samples():
    (few, high), (many, _) = auc_interval(1.0, 3, 3), auc_interval(1.0, 300, 300)
    assert 0.3 < few < 0.75
    assert 0.98 < many < high == 1.0
    assert auc_interval(0.0, 3, 3) == pytest.approx((0.0, 1 - few))


class Blobs:
    """Stands in for a specification: two clouds of points, one of them far from the other."""

    test_mode_enabled = False
    steps_per_epoch = None

    def __init__(self, count=200):
        rng = np.random.default_rng(1)
        self.data = rng.normal(0, 1, (count, 2, 3)).astype(np.float32)
        self.labels = np.arange(count) % 2
        self.data[self.labels == 1] += 6
        self.loaded = []
        self.x = self.y = None

    def load_dataset(self, subset, test, **options):
        self.loaded.append((subset, options))
        self.x, self.y = self.data, self.labels

    def unload_dataset(self):
        self.x = self.y = None


def test_the_nearest_neighbor_tells_clouds_apart():
    model = Blobs()
    tested = [(model.data[:50] + 0.1, np.eye(2)[model.labels[:50]]), (model.data[50:60], model.labels[50:60])]
    assert measure_nearest_neighbor(model, [tested[0]]) == 1.0
    assert model.loaded == [("training", {})]
    assert model.x is None, "the data are released"
    wrong = [(model.data[:10], 1 - model.labels[:10])]
    assert measure_nearest_neighbor(model, wrong) == 0.0


def test_a_generator_is_read_without_augmentation():
    model = Blobs()
    model.datagen = object()
    measure_nearest_neighbor(model, [(model.data[:5], model.labels[:5])])
    assert model.loaded == [("training", {"augment": False})]


@pytest.mark.parametrize(
    "batches",
    [
        [(np.zeros((4, 2)), None)],
        [(np.array([["a"], ["b"]]), np.zeros(2))],
        [(np.zeros((MAX_SAMPLES + 1, 1)), np.zeros(MAX_SAMPLES + 1))],
        [],
    ],
    ids=["no labels", "text", "too many", "nothing"],
)
def test_other_data_are_not_measured(batches):
    assert measure_nearest_neighbor(Blobs(), batches) is None


def test_too_many_training_data_are_not_measured():
    model = Blobs(count=MAX_SAMPLES + 2)
    assert measure_nearest_neighbor(model, [(model.data[:5], model.labels[:5])]) is None
