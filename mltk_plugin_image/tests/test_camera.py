"""Steps that imitate cameras: colors, blur, JPEG, hidden parts."""

from __future__ import annotations

import colorsys

import numpy as np
import pytest

from mltk.errors import DatasetError, SpecificationError
from mltk_plugin_image import ParallelImageDataGenerator
from mltk_plugin_image._camera import Blur, ColorJitter, JpegArtifacts, RandomErasing

WEIGHTS = np.array([0.299, 0.587, 0.114])


def rng(seed=0):
    return np.random.default_rng(seed)


@pytest.fixture
def images():
    return rng(1).uniform(60, 190, (400, 12, 16, 3)).astype(np.float32)


def test_saturation_scales_colors_about_the_gray_of_the_same_luminance(images):
    result = ColorJitter((0.0, 1.5))(images.copy(), rng())
    gray = images @ WEIGHTS
    assert result @ WEIGHTS == pytest.approx(gray, abs=2)
    squares = [np.square(x - gray[..., None]).sum(axis=(1, 2, 3)) for x in (result, images)]
    factors = np.sqrt(squares[0] / squares[1])
    assert factors.min() < 0.05 and factors.max() > 1.4
    assert factors.mean() == pytest.approx(0.75, abs=0.07)


def test_hue_turns_colors_by_angles_to_both_sides():
    color = np.broadcast_to(np.float32([150, 100, 100]), (500, 2, 2, 3)).copy()
    result = ColorJitter(hue=30)(color, rng())
    hues = [(colorsys.rgb_to_hsv(*pixel)[0] * 360 + 180) % 360 - 180 for pixel in result[:, 0, 0]]
    assert -45 < min(hues) < -15 and 15 < max(hues) < 45
    assert abs(np.mean(hues)) < 3
    assert result @ WEIGHTS == pytest.approx(115, abs=1)


def test_gray_images_and_alpha_have_no_color(images):
    gray = images[..., :1]
    assert np.array_equal(ColorJitter((0, 2), 90)(gray.copy(), rng()), gray)
    clear = np.concatenate([images, gray], axis=3)
    assert np.array_equal(ColorJitter((0, 2), 90)(clear.copy(), rng())[..., 3:], gray)


@pytest.mark.parametrize("channels", [1, 3])
def test_blur_spreads_a_point_by_the_drawn_deviation(channels):
    points = np.zeros((200, 25, 25, channels), np.float32)
    points[:, 12, 12] = 1000
    result = Blur((0.5, 2.0))(points, rng())
    assert result.sum(axis=(1, 2)) == pytest.approx(1000, rel=1e-3)
    place = np.arange(25) - 12
    deviations = np.sqrt((result[..., 0].sum(axis=1) * place**2).sum(axis=1) / 1000)
    assert 0.4 < deviations.min() < 0.6 and 1.9 < deviations.max() < 2.1
    assert deviations.mean() == pytest.approx(1.25, abs=0.1)


@pytest.mark.parametrize("value_range", [(0.0, 255.0), (-1.0, 1.0)])
@pytest.mark.parametrize("channels", [1, 3])
def test_jpeg_changes_images_more_at_a_lower_quality(channels, value_range):
    low, high = value_range
    smooth = np.linspace(low, high, 16)[None, :, None, None] * np.ones((8, 1, 16, channels))
    smooth = smooth.astype(np.float32)
    errors = [
        np.abs(JpegArtifacts(quality, value_range=value_range)(smooth.copy(), rng()) - smooth).mean()
        / (high - low)
        for quality in ((5, 5), (50, 50), (100, 100))
    ]
    assert errors[0] > errors[1] > errors[2]
    assert 0.005 < errors[0] < 0.1 and errors[2] < 0.005


def test_jpeg_keeps_the_order_of_the_channels():
    red = np.zeros((1, 16, 16, 3), np.float32)
    red[..., 0] = 200
    assert JpegArtifacts((90, 90))(red, rng())[0, 8, 8] == pytest.approx([200, 0, 0], abs=8)
    with pytest.raises(DatasetError, match="1 or 3 channels, but the images have 4"):
        JpegArtifacts((90, 90))(np.zeros((1, 8, 8, 4), np.float32), rng())


def test_erased_rectangles_have_the_drawn_area_lie_within_and_are_anywhere():
    step = RandomErasing((0.05, 0.3), probability=0.8)
    inside = step.draw_rectangles((3000, 40, 60), rng())
    share = inside.mean(axis=(1, 2))
    erased = share > 0
    assert erased.mean() == pytest.approx(0.8, abs=0.03)
    assert share[erased].min() > 0.04 and share[erased].max() < 0.32
    assert share[erased].mean() == pytest.approx(0.175, abs=0.01)
    rows, columns = inside.any(axis=2), inside.any(axis=1)
    assert np.array_equal(inside, rows[:, :, None] & columns[:, None, :])
    aspect = rows.sum(axis=1)[erased] / columns.sum(axis=1)[erased]
    assert aspect.min() < 0.4 and aspect.max() > 2.5
    assert inside.any(axis=0).all()


def test_erased_pixels_are_noise_within_the_range(images):
    result = RandomErasing((0.2, 0.2), value_range=(-1, 1))(images.copy(), rng())
    changed = (result != images).any(axis=3)
    assert changed.mean() == pytest.approx(0.2, abs=0.02)
    noise = result[changed]
    assert noise.min() >= -1 and noise.max() <= 1
    assert noise.std() == pytest.approx(1 / np.sqrt(3), abs=0.01)


@pytest.mark.parametrize(
    "step", [ColorJitter((0.5, 0.6)), Blur((1, 2)), JpegArtifacts((5, 10)), RandomErasing((0.1, 0.2))]
)
def test_a_step_changes_the_share_of_images_that_its_probability_says(images, step):
    some = type(step)(**{**vars(step), "probability": 0.25})
    result = some(images.copy(), rng())
    assert (result != images).any(axis=(1, 2, 3)).mean() == pytest.approx(0.25, abs=0.07)
    assert np.array_equal(result, some(images.copy(), rng()))
    assert result.shape == images.shape and result.dtype == np.float32


SETTINGS = {
    "saturation_range": (0.5, 1.5),
    "hue_range": 10,
    "blur_range": (0, 1),
    "jpeg_quality_range": (30, 90),
    "erasing_range": (0.02, 0.2),
}


def test_the_settings_make_steps_that_can_be_disabled_and_do_not_disturb_the_others(images):
    x = images[:8]

    def batch(**settings):
        return ParallelImageDataGenerator(cores=1, rotation_range=20, **settings).flow(x, shuffle=False)[0][0]

    steps = [step.name for step in ParallelImageDataGenerator(**SETTINGS).all_steps()]
    assert steps == ["image_transforms", "color_jitter", "blur", "jpeg", "random_erasing"]
    everything = batch(**SETTINGS)
    assert np.array_equal(everything, batch(**SETTINGS))
    assert np.abs(everything - batch()).max() > 20
    assert np.array_equal(batch(), batch(**SETTINGS, disabled_augmentations=steps[1:]))
    assert np.array_equal(batch(), batch(**SETTINGS, probabilities=dict.fromkeys(steps[1:], 0)))


@pytest.mark.parametrize(
    "settings",
    [
        {"saturation_range": (-1, 1)},
        {"hue_range": 181},
        {"blur_range": 3},
        {"jpeg_quality_range": (0, 50)},
        {"erasing_range": (0.1, 1.1)},
        {"probabilities": {"smear": 1}},
        {"probabilities": {"blur": 2}},
    ],
)
def test_wrong_settings_are_refused(settings):
    with pytest.raises(SpecificationError, match=next(iter(settings))):
        ParallelImageDataGenerator(**settings)
