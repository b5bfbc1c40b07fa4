"""The contrastive loss. This module imports Keras."""

from __future__ import annotations

from typing import Any

import keras  # noqa: TID253 - the class derives from Keras'


@keras.saving.register_keras_serializable("mltk")
class ContrastiveLoss(keras.losses.Loss):
    """Pulls pairs of one class together, and pushes others apart up to a margin.

    For a distance d and a label y, 0 for alike and 1 for unlike, `(1 - y) * d² + y * max(margin - d, 0)²`:
    Hadsell, Chopra and LeCun, "Dimensionality Reduction by Learning an Invariant Mapping", CVPR 2006.

    Args:
        margin: Distance from which on unlike pairs cost nothing; above 0.
        reduction: How the losses of the pairs become one, as in Keras.
        name: Name of the loss.
    """

    def __init__(
        self, margin: float = 1, reduction: str | None = "sum_over_batch_size", name: str = "contrastive_loss"
    ) -> None:
        if margin <= 0:
            raise ValueError(f"margin must be above 0, not {margin}.")
        # The reference's models, and Keras 2, wrote "auto".
        super().__init__(name=name, reduction="sum_over_batch_size" if reduction == "auto" else reduction)
        self.margin = margin

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Return the loss of each pair, shape (batch,).

        Args:
            y_true: Labels, as many as distances.
            y_pred: Distances, shape (batch,) or (batch, n).
        """
        distance = keras.ops.convert_to_tensor(y_pred)
        # Labels of shape (batch,) and distances of shape (batch, 1) would broadcast to (batch, batch).
        unlike = keras.ops.reshape(keras.ops.cast(y_true, distance.dtype), keras.ops.shape(distance))
        missing = keras.ops.relu(self.margin - distance)
        losses = (1 - unlike) * keras.ops.square(distance) + unlike * keras.ops.square(missing)
        return keras.ops.mean(losses, axis=tuple(range(1, len(losses.shape))))

    def get_config(self) -> dict[str, Any]:
        """Return the arguments that make an equal loss."""
        return {**super().get_config(), "margin": self.margin}
