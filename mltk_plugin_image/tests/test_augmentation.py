"""Each random transform, judged by the statistics of what comes out."""

from __future__ import annotations

import numpy as np
import pytest

from mltk.errors import SpecificationError
from mltk_plugin_image import ParallelImageDataGenerator
from mltk_plugin_image._augmentation import standard_normal


def transformed(images: np.ndarray, seed: int = 3, **settings: object) -> np.ndarray:
    """Return all images, in order, after the random transforms."""
    iterator = ParallelImageDataGenerator(debug=True, **settings).flow(
        images, batch_size=len(images), shuffle=False, seed=seed
    )
    return iterator[0][0]


def dots(n: int, size: int = 41, at: tuple[int, int] = (20, 20)) -> np.ndarray:
    """Return black images with a soft white spot around `at` (row, column)."""
    rows, columns = np.mgrid[:size, :size]
    spot = 255 * np.exp(-((rows - at[0]) ** 2 + (columns - at[1]) ** 2) / 8.0)
    return np.repeat(spot[None, :, :, None], n, axis=0).astype(np.float32)


def centres(images: np.ndarray) -> np.ndarray:
    """Return the centre of mass of each image, (row, column)."""
    weights = images[..., 0] / images[..., 0].sum(axis=(1, 2), keepdims=True)
    rows, columns = np.mgrid[: images.shape[1], : images.shape[2]]
    return np.stack([(weights * rows).sum(axis=(1, 2)), (weights * columns).sum(axis=(1, 2))], axis=1)


def test_without_settings_images_are_unchanged():
    images = np.random.default_rng(0).integers(0, 256, (5, 8, 9, 3)).astype(np.float32)
    assert np.array_equal(transformed(images), images)


def test_rotation_covers_its_range_about_the_centre():
    offsets = centres(transformed(dots(300, at=(20, 30)), rotation_range=35, fill_mode="constant")) - 20
    angles = np.rad2deg(np.arctan2(offsets[:, 0], offsets[:, 1]))
    assert np.abs(angles).max() == pytest.approx(35, abs=1)
    assert angles.min() < -33 and angles.max() > 33
    assert abs(angles.mean()) < 3
    assert angles.std() == pytest.approx(70 / np.sqrt(12), rel=0.1)
    assert np.hypot(*offsets.T) == pytest.approx(10, abs=0.2)


@pytest.mark.parametrize(("setting", "axis"), [("height_shift_range", 0), ("width_shift_range", 1)])
@pytest.mark.parametrize(
    ("value", "bound"), [(5.0, 5.0), (0.2, 0.2 * 41), (5, 4.0)], ids=["pixels", "fraction", "whole"]
)
def test_shifts_cover_their_range_on_their_axis(setting, axis, value, bound):
    moved = centres(transformed(dots(300), fill_mode="constant", **{setting: value})) - 20
    assert np.abs(moved[:, axis]).max() == pytest.approx(bound, abs=0.15)
    assert moved[:, axis].min() < -0.9 * bound and moved[:, axis].max() > 0.9 * bound
    assert np.abs(moved[:, 1 - axis]).max() < 0.01
    if isinstance(value, int):
        assert set(np.rint(moved[:, axis]).astype(int).tolist()) == set(range(-4, 5))
        assert moved[:, axis] == pytest.approx(np.rint(moved[:, axis]), abs=0.01)


def test_a_list_of_shifts_is_chosen_from_with_both_signs():
    moved = centres(transformed(dots(200), width_shift_range=[2, 7], fill_mode="constant"))[:, 1] - 20
    assert set(np.rint(moved).astype(int).tolist()) == {-7, -2, 2, 7}


def test_zoom_covers_its_range_and_keeps_the_centre():
    square = np.zeros((300, 61, 61, 1), np.float32)
    square[:, 20:41, 20:41] = 255
    zoomed = transformed(square, zoom_range=(0.5, 1.5))
    heights = zoomed[:, :, 30, 0].sum(axis=1) / 255
    widths = zoomed[:, 30, :, 0].sum(axis=1) / 255
    for sizes in (heights, widths):
        assert sizes.min() == pytest.approx(21 / 1.5, abs=0.6)
        assert sizes.max() == pytest.approx(21 / 0.5, abs=1.2)
    assert abs(np.corrcoef(heights, widths)[0, 1]) < 0.2
    assert centres(zoomed) == pytest.approx(30, abs=0.1)


def test_shear_tilts_vertical_lines_and_not_horizontal_ones():
    line = np.zeros((200, 41, 41, 1), np.float32)
    line[:, :, 20] = 255
    sheared = transformed(line, shear_range=20, fill_mode="constant")[..., 0]
    columns = np.arange(41)
    at = [(row * columns).sum(axis=1) / row.sum(axis=1) for row in (sheared[:, 10], sheared[:, 30])]
    slope = np.abs(at[1] - at[0]) / 20
    assert slope.max() == pytest.approx(np.tan(np.deg2rad(20)), abs=0.03)
    assert slope.mean() == pytest.approx(np.tan(np.deg2rad(10)), rel=0.15)


def test_flips_happen_to_half_of_the_images_each_on_its_axis():
    image = np.arange(12, dtype=np.float32).reshape(1, 3, 4, 1)
    for setting, axis in (("horizontal_flip", 2), ("vertical_flip", 1)):
        out = transformed(np.repeat(image, 1000, axis=0), **{setting: True})
        flipped = (out == np.flip(image, axis)).all(axis=(1, 2, 3))
        assert ((out == image).all(axis=(1, 2, 3)) | flipped).all()
        assert flipped.mean() == pytest.approx(0.5, abs=0.06)


def test_flips_are_the_same_with_and_without_a_rotation_beside_them():
    images = dots(200, at=(15, 27))
    plain = centres(transformed(images, horizontal_flip=True, vertical_flip=True))
    warped = centres(transformed(images, horizontal_flip=True, vertical_flip=True, rotation_range=1e-6))
    assert {tuple(np.rint(c).astype(int)) for c in plain} == {(15, 27), (15, 13), (25, 27), (25, 13)}
    for c in warped:
        assert tuple(np.rint(c).astype(int)) in {(15, 27), (15, 13), (25, 27), (25, 13)}
    assert len({tuple(np.rint(c)) for c in warped}) == 4


@pytest.mark.parametrize(
    ("fill_mode", "expected"),
    [
        ("nearest", [0, 0, 0, 1]),
        ("constant", [9, 9, 0, 1]),
        ("reflect", [1, 0, 0, 1]),
        ("wrap", [3, 4, 0, 1]),
    ],
)
def test_fill_modes_are_those_of_keras(fill_mode, expected):
    row = np.arange(5, dtype=np.float32)
    images = np.repeat(row[None, None, :, None], 64, axis=0).repeat(3, axis=1)
    out = transformed(images, width_shift_range=[2], fill_mode=fill_mode, cval=9)
    right = out[out[:, 0, 2, 0] == 0]
    assert len(right)
    assert right[0, 1, :4, 0].tolist() == expected


@pytest.mark.parametrize("channels", [1, 2, 3, 4, 6])
def test_any_number_of_channels_moves_together(channels):
    image = np.repeat(dots(20), channels, axis=3) * np.linspace(0.5, 1, channels, dtype=np.float32)
    out = transformed(image, rotation_range=40, width_shift_range=0.2, fill_mode="constant")
    assert out.shape == image.shape
    for c in range(1, channels):
        assert out[..., c] == pytest.approx(out[..., 0] * image[0, 20, 20, c] / image[0, 20, 20, 0], abs=1e-2)


def test_nearest_interpolation_makes_no_new_values():
    images = np.random.default_rng(0).choice([0.0, 100.0, 200.0], (10, 20, 20, 1))
    out = transformed(images, rotation_range=45, interpolation_order=0)
    assert set(np.unique(out).tolist()) == {0.0, 100.0, 200.0}
    assert len(np.unique(transformed(images, rotation_range=45, interpolation_order=1))) > 100


def test_brightness_multiplies_by_a_factor_of_its_range_and_stays_in_the_value_range():
    images = np.full((500, 4, 4, 1), 100, np.float32)
    factors = transformed(images, brightness_range=(0.5, 1.5))[:, 0, 0, 0] / 100
    assert 0.5 <= factors.min() < 0.52 and 1.48 < factors.max() <= 1.5
    assert factors.mean() == pytest.approx(1, abs=0.05)
    assert transformed(images * 2, brightness_range=(3, 3)).max() == 255


def test_contrast_scales_about_the_mean_of_the_image():
    images = np.random.default_rng(1).uniform(100, 150, (500, 8, 8, 1)).astype(np.float32)
    out = transformed(images, contrast_range=(0.5, 1.5))
    assert out.mean(axis=(1, 2, 3)) == pytest.approx(images.mean(axis=(1, 2, 3)), abs=0.01)
    factors = out.std(axis=(1, 2, 3)) / images.std(axis=(1, 2, 3))
    assert factors.min() + 1e-4 >= 0.5 and factors.min() < 0.52 and 1.48 < factors.max() < 1.5001
    assert factors.mean() == pytest.approx(1, abs=0.05)


def test_contrast_of_colour_images_uses_the_mean_luminance():
    images = np.zeros((1, 4, 4, 3), np.float32) + np.array([200, 100, 50], np.float32)
    grey = 0.299 * 200 + 0.587 * 100 + 0.114 * 50
    assert transformed(images, contrast_range=(0, 0)) == pytest.approx(grey, abs=0.01)


def test_channel_shift_adds_one_value_within_the_extremes_of_the_image():
    images = np.tile(np.array([50.0, 100, 150, 200], np.float32), (400, 2, 2, 1))[..., :3]
    images = np.concatenate([images, np.full_like(images, 0), np.full_like(images, 255)], axis=1)
    shifts = transformed(images, channel_shift_range=30)[:, 0, 0] - images[:, 0, 0]
    assert np.ptp(shifts, axis=1).max() < 1e-3
    assert -30 <= shifts.min() < -28 and 28 < shifts.max() <= 30
    narrow = np.random.default_rng(0).uniform(90, 110, (50, 4, 4, 3)).astype(np.float32)
    out = transformed(narrow, channel_shift_range=200)
    assert narrow.min() <= out.min() and out.max() <= narrow.max()


def noise_of(level: float, **settings: object) -> np.ndarray:
    images = np.full((40, 32, 32, 1), level, np.float32)
    return transformed(images, **settings) - images


@pytest.mark.parametrize(
    ("kind", "level", "sigma"),
    [
        ("gauss", 60, 0.04 * 255),
        ("gauss", 128, 0.04 * 255),
        ("poisson", 128, 0.06 * 255 * np.sqrt(128 / 255)),
        ("poisson", 60, 0.06 * 255 * np.sqrt(60 / 255)),
        ("speckle", 100, 10),
        ("speckle", 200, 20),
    ],
)
def test_noise_is_visible_and_has_the_stated_deviation(kind, level, sigma):
    noise = noise_of(level, noise=[kind])
    clipped = level + 3 * sigma > 255
    assert noise.std() == pytest.approx(sigma, rel=0.1 if clipped else 0.02)
    assert abs(noise.mean()) < (0.1 if clipped else 0.03) * sigma
    half = noise_of(level, noise=[kind], noise_strength=0.5)
    assert half.std() == pytest.approx(sigma / 2, rel=0.03)
    named = noise_of(level, noise=[kind], noise_strength={kind: 0.5})
    assert np.array_equal(named, half)


def test_noise_of_neighbours_and_of_images_is_independent():
    noise = noise_of(128, noise=["gauss"])[..., 0]
    for other in (noise[:, 1:, :], noise[:, :, 1:], noise[1:]):
        same = noise[: other.shape[0], : other.shape[1], : other.shape[2]]
        assert abs(np.corrcoef(same.ravel(), other.ravel())[0, 1]) < 0.02


def test_salt_and_pepper_hits_the_stated_part_of_the_pixels_with_both_colours():
    out = noise_of(100, noise=["s&p"]) + 100
    assert np.mean(out == 255) == pytest.approx(0.002, rel=0.4)
    assert np.mean(out == 0) == pytest.approx(0.002, rel=0.4)
    assert np.isin(out, (0, 100, 255)).all()
    assert np.mean(noise_of(100, noise=["s&p"], noise_strength=10) != 0) == pytest.approx(0.04, rel=0.15)


def test_each_image_gets_one_of_the_kinds_of_noise_with_equal_probability():
    out = transformed(np.full((900, 24, 24, 1), 128, np.float32), noise=["gauss", "s&p", "speckle"])
    salt_only = np.isin(out, (0, 128, 255)).all(axis=(1, 2, 3))
    assert salt_only.mean() == pytest.approx(1 / 3, abs=0.05)


def test_noise_stays_in_the_value_range():
    for kind in ("gauss", "poisson", "speckle", "s&p"):
        out = noise_of(250, noise=[kind]) + 250
        assert out.max() <= 255
    small = transformed(np.full((4, 16, 16, 1), 0.5, np.float32), noise=["gauss"], value_range=(0, 1))
    assert small.std() == pytest.approx(0.04, rel=0.1)


def test_the_quick_normal_numbers_are_normal():
    z = standard_normal(400_001, np.random.default_rng(0))
    assert z.shape == (400_001,) and z.dtype == np.float32
    assert z.mean() == pytest.approx(0, abs=0.005)
    assert z.std() == pytest.approx(1, abs=0.005)
    assert (z**3).mean() == pytest.approx(0, abs=0.02)
    assert (z**4).mean() == pytest.approx(3, abs=0.05)
    assert np.mean(np.abs(z) > 1.959964) == pytest.approx(0.05, abs=0.002)
    assert 4 < np.abs(z).max() < 4.5


@pytest.fixture
def generator():
    return ParallelImageDataGenerator(
        rotation_range=20,
        width_shift_range=0.2,
        height_shift_range=[1, 2],
        shear_range=5,
        zoom_range=0.2,
        channel_shift_range=10,
        horizontal_flip=True,
        vertical_flip=True,
        brightness_range=(0.5, 1.5),
        contrast_range=(0.5, 1.5),
        noise=["gauss"],
    )


def test_one_transform_is_drawn_and_applied(generator):
    image = np.random.default_rng(0).uniform(0, 255, (12, 10, 3)).astype(np.float32)
    drawn = generator.get_random_transform(image.shape, seed=3)
    assert list(drawn) == list(generator.default_transform)
    assert drawn == generator.get_random_transform(image.shape, seed=3)
    assert drawn != generator.get_random_transform(image.shape)
    assert -20 <= drawn["theta"] <= 20
    assert abs(drawn["tx"]) in (1, 2)
    assert abs(drawn["ty"]) <= 2
    changed = generator.apply_transform(image, drawn)
    assert changed.shape == image.shape
    assert not np.array_equal(changed, image)
    assert np.array_equal(generator.apply_transform(image, generator.default_transform), image)
    generator.random_transforms_enabled = False
    assert generator.get_random_transform(image.shape) == generator.default_transform


def test_the_parameters_of_a_transform_do_what_they_say(generator):
    image = np.arange(12 * 10, dtype=np.float32).reshape(12, 10, 1)

    def apply(**given):
        return generator.apply_transform(image, given)

    assert np.array_equal(apply(flip_horizontal=True), image[:, ::-1])
    assert np.array_equal(apply(flip_vertical=True), image[::-1])
    assert np.allclose(apply(tx=2)[:-2], image[2:], atol=1e-3)
    assert np.allclose(apply(ty=3)[:, :-3], image[:, 3:], atol=1e-3)
    assert np.allclose(apply(theta=180), image[::-1, ::-1], atol=1e-2)
    assert np.allclose(apply(brightness=2.0), np.clip(image * 2, 0, 255))
    assert apply(zx=2.0)[:, 0, 0].std() > image[:, 0, 0].std()
    assert apply(contrast=0.0).std() < 1e-3
    assert apply(noise="gauss").std() != image.std()
    for wrong, message in (
        ({"thetaa": 1}, "'thetaa'.*Did you mean 'theta'"),
        ({"noise": "poisson"}, "'poisson'"),
    ):
        with pytest.raises(SpecificationError, match=message):
            apply(**wrong)
