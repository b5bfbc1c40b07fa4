"""Keras losses of autoencoders, as classes and as functions. This module imports Keras."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import keras  # noqa: TID253 - the classes derive from Keras'
import numpy as np

from mltk_plugin_autoencoder.scores import SCORES, Score, structural_similarity

Tensor: TypeAlias = keras.KerasTensor
Loss: TypeAlias = Callable[[Tensor, Tensor], Tensor]


@keras.saving.register_keras_serializable("mltk")
class Correlation(keras.losses.Loss):
    """1 - Pearson's correlation of each sample with its reconstruction: 0 (equal up to scale and offset) to 2.

    Args:
        reduction: Reduction over the samples, as in Keras.
        name: Name of the loss.
    """

    def __init__(
        self, reduction: str | None = "sum_over_batch_size", name: str = "corr", **kwargs: object
    ) -> None:
        super().__init__(name=name, reduction=_reduction(reduction), **kwargs)

    @property
    def score(self) -> Score:
        """The score that equals this loss."""
        return SCORES["corr"]

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        """Return the loss of each sample, shape `(batch,)`."""
        ops = keras.ops
        a, b = (_center(ops.convert_to_tensor(y)) for y in (y_true, y_pred))
        product = ops.sum(a * b, axis=1)
        squares = ops.sum(ops.square(a), axis=1) * ops.sum(ops.square(b), axis=1)
        # The square root has no finite gradient at 0, the value of a constant sample.
        return 1 - product * ops.rsqrt(ops.maximum(squares, keras.config.epsilon() ** 2))


@keras.saving.register_keras_serializable("mltk")
class StructuralSimilarity(keras.losses.Loss):
    """1 - SSIM of each image and its reconstruction: 0 (equal) to 2.

    Wang et al., 2004, as `tf.image.ssim` computes it; the window of 11 pixels is that of the smaller side for smaller
    images.

    Args:
        max_val: Range of the values: 2 for -1 to 1, 255 for pixels.
        reduction: Reduction over the samples, as in Keras.
        name: Name of the loss.
    """

    def __init__(
        self,
        reduction: str | None = "sum_over_batch_size",
        name: str = "ssim",
        max_val: float = 2.0,
        **kwargs: object,
    ) -> None:
        super().__init__(name=name, reduction=_reduction(reduction), **kwargs)
        self.max_val = max_val

    @property
    def score(self) -> Score:
        """The score that equals this loss."""
        return structural_similarity(self.max_val)

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        """Return the loss of each image, shape `(batch,)`; `y_true` is `(batch, height, width, channels)`."""
        import tensorflow as tf

        height, width = y_true.shape[1:3]
        similarity = tf.image.ssim(y_true, y_pred, self.max_val, filter_size=min(11, height, width))
        return 1 - similarity

    def get_config(self) -> dict[str, object]:
        """Return the configuration of the loss."""
        return {**super().get_config(), "max_val": self.max_val}


def _function(score: Score, loss: Loss) -> Loss:
    def function(y_true: Tensor, y_pred: Tensor) -> Tensor:
        if isinstance(y_true, np.ndarray) and isinstance(y_pred, np.ndarray):
            return score(y_true, y_pred)
        return loss(y_true, y_pred)

    function.__name__ = function.__qualname__ = score.name
    function.__doc__ = (
        f"Return `{score.name}` of one sample and its reconstruction as a float, for NumPy arrays; or the loss of each "
        f"sample of a batch of tensors."
    )
    function.score = score  # type: ignore[attr-defined]  # read by score_of_loss
    return function


def _average_axes(loss: Loss) -> Loss:
    def call(y_true: Tensor, y_pred: Tensor) -> Tensor:
        values = loss(y_true, y_pred)
        return keras.ops.mean(values, axis=tuple(range(1, len(values.shape))))

    return call


def _center(batch: Tensor) -> Tensor:
    rows = keras.ops.reshape(batch, (keras.ops.shape(batch)[0], -1))
    return rows - keras.ops.mean(rows, axis=1, keepdims=True)


def _reduction(reduction: str | None) -> str | None:
    # Models of the reference and of Keras 2 have "auto".
    return "sum_over_batch_size" if reduction == "auto" else reduction


mse = mse_loss_func = _function(SCORES["mse"], _average_axes(keras.losses.mean_squared_error))
mae = mae_loss_func = _function(SCORES["mae"], _average_axes(keras.losses.mean_absolute_error))
corr = corr_loss_func = _function(SCORES["corr"], Correlation(reduction=None))
ssim = ssim_loss_func = _function(SCORES["ssim"], StructuralSimilarity(reduction=None))
