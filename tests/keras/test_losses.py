"""Losses that core adds to Keras."""

import keras
import numpy as np
import pytest

from mltk.core.keras.losses import ContrastiveLoss


@pytest.mark.parametrize("shape", [(2,), (2, 1)])
def test_contrastive_loss_is_that_of_each_pair(shape):
    # Alike and 3 apart; unlike and 0.5 apart, with a margin of 2.
    distances = np.float32([3, 0.5]).reshape(shape)
    loss = ContrastiveLoss(margin=2)
    assert np.allclose(loss.call(np.int32([0, 1]), distances), [9, 1.5**2])
    assert float(loss(np.int32([0, 1]), distances)) == (9 + 1.5**2) / 2
    assert float(loss(np.int32([1]), np.float32([2.5]))) == 0


def test_contrastive_loss_weighs_pairs():
    loss = ContrastiveLoss()(np.int32([0, 0]), np.float32([[1], [2]]), sample_weight=np.float32([1, 0.5]))
    assert float(loss) == (1 + 0.5 * 4) / 2


def test_contrastive_loss_comes_back_from_its_configuration():
    loss = keras.saving.deserialize_keras_object(
        keras.saving.serialize_keras_object(ContrastiveLoss(margin=0.25))
    )
    assert isinstance(loss, ContrastiveLoss) and loss.margin == 0.25


def test_contrastive_loss_reads_what_the_reference_wrote():
    config = {"reduction": "auto", "name": "contrastive_loss", "margin": 1.0}
    assert ContrastiveLoss.from_config(config).reduction == "sum_over_batch_size"


def test_a_margin_that_is_not_above_0_is_refused():
    with pytest.raises(ValueError, match="margin must be above 0, not 0"):
        ContrastiveLoss(margin=0)
