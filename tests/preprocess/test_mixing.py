"""mixup, CutMix and balanced classes."""

import numpy as np
import pytest

from mltk.data.mixing import Mixing
from mltk.data.seeding import balanced_order
from mltk.errors import SpecificationError

IMAGES = np.arange(12, dtype=np.float32)[:, None, None, None] * np.ones((1, 10, 8, 1), np.float32)
LABELS = np.eye(3, dtype=np.float32)[np.arange(12) % 3]


def test_mixup_blends_samples_and_labels_in_the_same_share():
    values = LABELS @ np.float32([0, 10, 100])
    x, y = Mixing(mixup=0.5)(values[:, None], LABELS, np.random.default_rng(1))
    np.testing.assert_allclose(y @ np.float32([0, 10, 100]), x[:, 0], rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(y.sum(axis=1), 1, rtol=1e-6)
    assert (y.max(axis=1) < 1).any()
    assert x.dtype == y.dtype == np.float32


def test_cutmix_replaces_a_rectangle_and_mixes_labels_by_its_area():
    x, y = Mixing(cutmix=1.0)(IMAGES, LABELS, np.random.default_rng(1))
    changed = 0
    for image, label, original in zip(x[..., 0], y, range(12), strict=True):
        replaced = image != original
        share = replaced.mean()
        changed += bool(share)
        if share:
            rows, columns = replaced.any(axis=1), replaced.any(axis=0)
            assert replaced.sum() == rows.sum() * columns.sum()
            partner = int(image[replaced][0])
            expected = (1 - share) * LABELS[original] + share * LABELS[partner]
            np.testing.assert_allclose(label, expected, rtol=1e-5)
    assert changed > 4


def test_each_batch_gets_one_of_both():
    mixing = Mixing(mixup=1.0, cutmix=1.0)
    blended = []
    for seed in range(30):
        x, _ = mixing(IMAGES, LABELS, np.random.default_rng(seed))
        blended.append(bool((x != np.rint(x)).any()))
    assert 5 < sum(blended) < 25


def test_balanced_order_draws_every_class_equally_often():
    ids = np.repeat([0, 1, 2], [90, 9, 1])
    order = balanced_order(ids, seed=3, epoch=0)
    assert sorted(np.bincount(ids[order])) == [33, 33, 34]
    # Every sample of the middle class comes three or four times.
    assert set(np.bincount(order)[90:99]) <= {3, 4}
    assert not np.array_equal(order, balanced_order(ids, seed=3, epoch=1))
    np.testing.assert_array_equal(order, balanced_order(ids, seed=3, epoch=0))
    for first in range(0, 99, 3):
        assert set(ids[order[first : first + 3]]) == {0, 1, 2}


def image_generator(**settings):
    from mltk_plugin_image import ParallelImageDataGenerator

    return ParallelImageDataGenerator(**settings)


def test_a_generator_mixes_only_augmented_batches():
    plain = image_generator().flow(IMAGES, LABELS, batch_size=12, augment=False)
    mixed = image_generator(mixup=1.0).flow(IMAGES, LABELS, batch_size=12, augment=True)
    off = image_generator(mixup=1.0).flow(IMAGES, LABELS, batch_size=12, augment=False)
    disabled = image_generator(mixup=1.0, disabled_augmentations=["mix"]).flow(IMAGES, LABELS, batch_size=12)
    x, y = plain[0]
    np.testing.assert_array_equal(off[0][0], x)
    np.testing.assert_array_equal(disabled[0][1], y)
    assert not np.array_equal(mixed[0][1], y)


def test_class_ids_cannot_be_mixed():
    flow = image_generator(cutmix=1.0).flow(IMAGES, np.arange(12) % 3, batch_size=12)
    with pytest.raises(SpecificationError, match="must be one-hot"):
        flow[0]


def test_negative_shares_are_refused():
    with pytest.raises(SpecificationError, match="mixup"):
        image_generator(mixup=-1)
