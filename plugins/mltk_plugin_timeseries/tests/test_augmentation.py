"""The random transforms: shape, distribution, seed."""

import numpy as np
import pytest

from mltk.data import batch_rng
from mltk.errors import SpecificationError
from mltk_plugin_timeseries import ParallelTimeSeriesDataGenerator
from mltk_plugin_timeseries._augmentation import RandomTransforms, draw_rotations, read_at, smooth_basis

N, ROWS, CHANNELS = 400, 60, 3
CENTER = np.array([1.0, -2.0, 10.0], np.float32)
UNIT = np.array([0.5, 2.0, 1.0], np.float32)


def transform(batch, seed=1, **settings):
    transforms = RandomTransforms(center=CENTER, unit=UNIT, axes=((0, 1, 2),), **settings)
    return transforms(batch.copy(), batch_rng(seed, 0, 0))


@pytest.fixture
def constant():
    return np.broadcast_to(CENTER + UNIT, (N, ROWS, CHANNELS)).astype(np.float32)


@pytest.fixture
def ramp():
    return np.broadcast_to(np.arange(ROWS, dtype=np.float32)[None, :, None], (N, ROWS, CHANNELS)).copy()


ALL = {
    "rotation": 0.3,
    "shift": 0.1,
    "time_warp": 0.2,
    "scale": 0.1,
    "magnitude_warp": 0.1,
    "drift": 0.3,
    "jitter": 0.1,
    "cutout": 0.3,
}


@pytest.mark.parametrize("name", ALL)
def test_a_transform_keeps_shape_and_type_and_depends_on_the_seed(ramp, name):
    first = transform(ramp, **{name: ALL[name]})
    assert first.shape == ramp.shape
    assert first.dtype == np.float32
    assert np.isfinite(first).all()
    assert not np.array_equal(first, ramp)
    assert np.array_equal(first, transform(ramp, **{name: ALL[name]}))
    assert not np.array_equal(first, transform(ramp, seed=2, **{name: ALL[name]}))
    assert not np.array_equal(first[0], first[1]), "windows of a batch differ"


def test_no_transform_changes_nothing(ramp):
    assert np.array_equal(transform(ramp), ramp)


def test_jitter_is_noise_in_units_of_each_channel(constant):
    noise = transform(constant, jitter=0.1) - constant
    assert np.allclose(noise.std(axis=(0, 1)), 0.1 * UNIT, rtol=0.05)
    assert abs(np.corrcoef(noise[:, :-1, 0].ravel(), noise[:, 1:, 0].ravel())[0, 1]) < 0.05


def test_scale_is_one_factor_of_each_channel_around_its_mean(constant):
    factors = (transform(constant, scale=0.2) - CENTER) / UNIT
    assert np.ptp(factors, axis=1).max() < 1e-5
    assert np.allclose(factors[:, 0].mean(axis=0), 1, atol=0.05)
    assert np.allclose(factors[:, 0].std(axis=0), 0.2, rtol=0.15)
    assert abs(np.corrcoef(factors[:, 0, 0], factors[:, 0, 1])[0, 1]) < 0.2


def test_magnitude_warp_is_a_smooth_factor(constant):
    factors = (transform(constant, magnitude_warp=0.2) - CENTER) / UNIT
    assert np.allclose(factors.std(axis=0), 0.2, rtol=0.2), "in every row"
    assert np.abs(np.diff(factors, axis=1)).std() < 0.03
    assert np.ptp(factors, axis=1).mean() > 0.2


def test_drift_is_a_smooth_offset_in_units_of_each_channel(constant):
    offsets = (transform(constant, drift=0.5) - constant) / UNIT
    assert np.allclose(offsets.std(axis=0), 0.5, rtol=0.2)
    assert np.abs(np.diff(offsets, axis=1)).std() < 0.08


def test_shift_moves_windows_by_up_to_a_fraction(ramp):
    moved = transform(ramp, shift=0.1)
    offsets = moved[:, 20:40, 0] - ramp[:, 20:40, 0]
    assert np.ptp(offsets, axis=1).max() < 1e-4
    assert 5.5 < offsets.max() <= 6
    assert -6 <= offsets.min() < -5.5
    assert abs(offsets.mean()) < 0.6
    assert moved.min() == 0, "the ends are continued"
    assert moved.max() == ROWS - 1
    assert np.array_equal(moved[..., 0], moved[..., 1]), "channels stay together"


def test_time_warp_changes_the_speed_smoothly_and_keeps_the_middle(ramp):
    warped = transform(ramp, time_warp=0.2)[..., 0]
    assert np.allclose(warped[:, ROWS // 2], ROWS // 2, atol=1e-3)
    speed = np.diff(warped[:, 20:40], axis=1)
    assert np.allclose(np.log(speed).std(axis=0), 0.2, rtol=0.25)
    assert (np.diff(warped, axis=1) >= 0).all()
    assert np.abs(np.diff(np.log(speed), axis=1)).max() < 0.1


def test_cutout_replaces_one_stretch_by_the_means(ramp):
    cut = transform(ramp + 100, cutout=0.5)
    is_cut = (cut == CENTER).all(axis=2)
    shares = is_cut.mean(axis=1)
    assert 0.45 < shares.max() <= 0.51
    assert shares.mean() == pytest.approx(0.25, abs=0.03)
    assert (np.diff(is_cut.astype(int), axis=1) == 1).sum(axis=1).max() == 1
    assert (cut == ramp + 100).all(axis=2)[~is_cut].all()
    assert is_cut.any(axis=0).all(), "at all places"


def test_rotation_keeps_lengths_and_angles(constant):
    rng = np.random.default_rng(0)
    batch = rng.standard_normal(constant.shape).astype(np.float32)
    turned = transform(batch, rotation=0.3)
    assert np.allclose(np.linalg.norm(turned, axis=2), np.linalg.norm(batch, axis=2), atol=1e-5)
    assert np.allclose((turned[:, 0] * turned[:, 1]).sum(-1), (batch[:, 0] * batch[:, 1]).sum(-1), atol=1e-4)


def test_the_angle_of_a_rotation_has_the_deviation():
    turns = draw_rotations(4000, 0.2, np.random.default_rng(0)).astype(float)
    assert np.allclose(np.linalg.det(turns), 1, atol=1e-5)
    angles = np.arccos(np.clip((np.trace(turns, axis1=1, axis2=2) - 1) / 2, -1, 1))
    assert np.sqrt((angles**2).mean()) == pytest.approx(0.2, rel=0.05)


def test_sensors_of_one_device_turn_together():
    batch = np.random.default_rng(0).standard_normal((5, 10, 7)).astype(np.float32)
    batch[:, :, 4:] = batch[:, :, :3]
    turned = RandomTransforms(rotation=0.5, axes=((0, 1, 2), (4, 5, 6)))(batch.copy(), batch_rng(1, 0, 0))
    assert np.array_equal(turned[:, :, 4:], turned[:, :, :3])
    assert np.array_equal(turned[:, :, 3], batch[:, :, 3])
    assert not np.allclose(turned[:, :, :3], batch[:, :, :3])


def test_windows_are_read_between_rows():
    batch = np.array([[[0.0], [10], [20]]], np.float32)
    positions = np.array([[-5, 0, 0.5, 1.25, 2, 9]], np.float32)
    assert read_at(batch, positions)[0, :, 0].tolist() == [0, 0, 5, 12.5, 20, 20]
    assert read_at(batch[:, :1], positions)[0, :, 0].tolist() == [0] * 6


def test_smooth_curves_vary_equally_everywhere():
    assert np.allclose((smooth_basis(50, 5) ** 2).sum(axis=1), 1, atol=1e-5)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"jitter": -0.1}, "jitter must be at least 0"),
        ({"shift": 2}, "shift must be at most 1"),
        ({"cutout": 1.5}, "cutout must be at most 1"),
        ({"rotation": 0.1}, "rotation needs rotation_axes"),
        ({"rotation_axes": ["xyz"]}, "three channels each, got 'xyz'"),
        ({"rotation_axes": [("x", "y")]}, "three channels each"),
        ({"warp_knots": 1}, "warp_knots must be an integer of at least 2"),
        ({"cutmix": 1.0}, "cutmix is for images"),
        ({"jiter": 0.1}, "Did you mean 'jitter'"),
    ],
)
def test_wrong_settings_are_refused(settings, message):
    with pytest.raises(SpecificationError, match=message):
        ParallelTimeSeriesDataGenerator(**settings)
