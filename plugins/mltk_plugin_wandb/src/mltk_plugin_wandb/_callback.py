"""The Keras callback that logs each epoch. Imports Keras; imported when a training begins."""

from __future__ import annotations

from typing import Any

import keras  # noqa: TID253 - the class below derives from Keras'


class EpochLogger(keras.callbacks.Callback):  # type: ignore[misc]
    """Logs the metrics of each epoch, its number (from 0) and the learning rate.

    Args:
        mltk_model: The model with the open run.
    """

    def __init__(self, mltk_model: Any) -> None:
        super().__init__()
        self._mltk_model = mltk_model

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Log one step."""
        rate = float(self.model.optimizer.learning_rate)
        self._mltk_model.wandb_log({"epoch": epoch, "learning_rate": rate, **(logs or {})})
