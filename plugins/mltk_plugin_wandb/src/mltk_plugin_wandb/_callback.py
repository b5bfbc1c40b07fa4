"""Keras callback that logs each epoch. Imported when training starts, because it imports Keras."""

from __future__ import annotations

from typing import TYPE_CHECKING

import keras  # noqa: TID253 - the class below derives from Keras'

if TYPE_CHECKING:
    from mltk_plugin_wandb.mixins import WeightsAndBiasesMixin


class EpochLogger(keras.callbacks.Callback):
    """Log the metrics of each epoch, its number (from 0) and the learning rate.

    Args:
        mltk_model: The model with the open run.
    """

    def __init__(self, mltk_model: WeightsAndBiasesMixin) -> None:
        super().__init__()
        self._mltk_model = mltk_model

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Log one step."""
        rate = float(self.model.optimizer.learning_rate)
        self._mltk_model.wandb_log({"epoch": epoch, "learning_rate": rate, **(logs or {})})
