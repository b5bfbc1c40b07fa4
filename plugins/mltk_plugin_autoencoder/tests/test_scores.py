"""Scores agree with what TensorFlow and NumPy compute, and are found by every name."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from mltk.errors import EvaluationError, SpecificationError
from mltk_plugin_autoencoder.scores import SCORES, Score, as_score, score_of_loss, structural_similarity


def pair(shape, seed=0, noise=0.3):
    rng = np.random.default_rng(seed)
    original = rng.uniform(-1, 1, shape).astype(np.float32)
    return original, (original + noise * rng.standard_normal(shape)).astype(np.float32)


@pytest.mark.parametrize("shape", [(4, 30), (4, 12, 9), (4, 12, 9, 3)], ids=["vector", "matrix", "image"])
def test_scores_are_those_of_numpy(shape):
    a, b = pair(shape)
    rows = [(x.ravel().astype(float), y.ravel().astype(float)) for x, y in zip(a, b, strict=True)]
    assert SCORES["mse"].batch(a, b) == pytest.approx([np.mean((x - y) ** 2) for x, y in rows])
    assert SCORES["mae"].batch(a, b) == pytest.approx([np.mean(np.abs(x - y)) for x, y in rows])
    assert SCORES["corr"].batch(a, b) == pytest.approx([1 - np.corrcoef(x, y)[0, 1] for x, y in rows])


@pytest.mark.parametrize("shape", [(3, 32, 24, 1), (3, 17, 14, 3), (2, 7, 5, 1)])
@pytest.mark.parametrize("max_val", [2.0, 255.0])
def test_ssim_is_that_of_tensorflow(shape, max_val):
    import tensorflow as tf

    a, b = (x * np.float32(max_val / 2) for x in pair(shape))
    expected = 1 - tf.image.ssim(a, b, max_val, filter_size=min(11, *shape[1:3])).numpy()
    assert structural_similarity(max_val).batch(a, b) == pytest.approx(expected, abs=2e-5)


@pytest.mark.parametrize("name", SCORES)
def test_a_sample_scores_the_same_alone_and_in_any_batch(name):
    a, b = pair((5, 16, 16, 1))
    alone = [SCORES[name](x, y) for x, y in zip(a, b, strict=True)]
    assert SCORES[name].batch(a, b) == pytest.approx(alone, rel=1e-9)
    if SCORES[name].compares:
        assert SCORES[name].batch(a, a) == pytest.approx(np.zeros(5), abs=1e-9)


def test_integers_do_not_overflow():
    a, b = np.full((1, 4), 250, np.uint8), np.full((1, 4), 5, np.uint8)
    assert SCORES["mse"].batch(a, b) == pytest.approx([245.0**2])
    assert SCORES["mae"].batch(b, a) == pytest.approx([245.0])


def test_a_constant_sample_correlates_with_nothing():
    assert SCORES["corr"](np.ones(5), np.arange(5.0)) == 1.0


@pytest.mark.parametrize(
    ("value", "name"),
    [
        ("mean_squared_error", "mse"),
        ("MeanAbsoluteError", "mae"),
        ("correlation", "corr"),
        ("structural_similarity", "ssim"),
        (SCORES["mae"], "mae"),
        (SimpleNamespace(score=SCORES["corr"]), "corr"),
    ],
)
def test_scores_are_found_by_long_names_too(value, name):
    assert as_score(value) is SCORES[name]


def test_a_function_scores_one_sample_after_the_other_and_an_object_the_batch():
    a, b = pair((3, 4))
    worst = as_score(lambda original, decoded: np.abs(original - decoded).max())
    assert worst.batch(a, b) == pytest.approx(np.abs(a - b).max(axis=1))

    class Sum:
        def batch(self, originals, decoded):
            return np.abs(originals - decoded).sum(axis=1)

    assert as_score(Sum()).batch(a, b) == pytest.approx(np.abs(a - b).sum(axis=1))


def test_what_is_no_score_is_refused_in_one_line():
    with pytest.raises(SpecificationError, match=r"no scoring function 'msee'\. Did you mean 'mse'"):
        as_score("msee")
    with pytest.raises(SpecificationError, match="not of type int"):
        as_score(3)
    with pytest.raises(EvaluationError, match=r"returned an array of shape \(4,\)"):
        as_score(lambda a, b: a - b).batch(*pair((2, 4)))
    with pytest.raises(EvaluationError, match=r"ssim needs images.*\(4,\)"):
        SCORES["ssim"].batch(*pair((2, 4)))


def test_a_loss_says_what_the_score_is():
    import keras

    from mltk.core.keras.losses import Correlation, StructuralSimilarity

    assert score_of_loss("mse") is SCORES["mse"]
    assert score_of_loss(keras.losses.MeanAbsoluteError()) is SCORES["mae"]
    assert score_of_loss(keras.losses.mean_squared_error) is SCORES["mse"]
    assert score_of_loss(Correlation()) is SCORES["corr"]
    assert score_of_loss("huber") is None
    a, b = pair((1, 16, 16, 1))
    assert score_of_loss(StructuralSimilarity(max_val=255.0)).batch(a, b) == structural_similarity(
        255.0
    ).batch(a, b)
    assert isinstance(score_of_loss(StructuralSimilarity()), Score)
