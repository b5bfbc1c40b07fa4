"""Bringing samples to the model's value range."""

import numpy as np
import pytest

from mltk.data.normalize import normalize, normalize_batch


def test_result_is_float32_without_any_option() -> None:
    result = normalize(np.array([0, 255], np.uint8))
    assert result.dtype == np.float32
    assert result.tolist() == [0, 255]


def test_input_is_not_changed() -> None:
    x = np.array([1, 2, 3], np.float32)
    normalize(x, rescale=2, samplewise_center=True)
    assert x.tolist() == [1, 2, 3]


def test_steps_are_done_in_order() -> None:
    x = np.array([0.0, 100.0, 200.0])
    result = normalize(
        x, rescale=0.01, samplewise_center=True, samplewise_std_normalization=True, dtype=np.float64
    )
    assert result == pytest.approx(np.array([-1, 0, 1]) / (np.std([0, 1, 2]) + 1e-6), abs=1e-12)


def test_range_maps_smallest_and_largest() -> None:
    assert normalize(np.array([3, 7, 5], np.uint8), samplewise_normalize_range=(-1, 1)).tolist() == [-1, 1, 0]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"samplewise_normalize_range": (-1, 1)}, -1),
        ({"samplewise_center": True, "samplewise_std_normalization": True}, 0),
    ],
    ids=["range", "std"],
)
def test_constant_sample_gives_finite_values(options: dict[str, object], expected: float) -> None:
    result = normalize(np.full((2, 3), 7, np.uint8), **options)  # type: ignore[arg-type]
    assert result.tolist() == [[expected] * 3] * 2


def test_result_type_is_chosen() -> None:
    result = normalize(np.array([0, 255], np.uint8), samplewise_normalize_range=(-128, 127), dtype=np.int8)
    assert result.dtype == np.int8
    assert result.tolist() == [-128, 127]


def test_empty_batch_stays_empty() -> None:
    assert normalize_batch(np.zeros((0, 4)), samplewise_normalize_range=(0, 1)).shape == (0, 4)


def test_batch_gives_the_same_as_its_samples() -> None:
    batch = np.random.default_rng(1).integers(0, 256, (5, 4, 3), dtype=np.uint8)
    options = {"rescale": 1 / 255, "samplewise_center": True, "samplewise_std_normalization": True}
    each = np.stack([normalize(sample, **options) for sample in batch])  # type: ignore[arg-type]
    assert np.array_equal(normalize_batch(batch, **options), each)  # type: ignore[arg-type]
