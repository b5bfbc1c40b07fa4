"""Say during a training run what goes wrong while it can still be mended.

This module imports Keras; it is imported when a training starts.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence

import keras  # noqa: TID253 - the class below derives from Keras'

from mltk.keras.types import Logs

_PATIENCE = 5
"""Epochs after which a training run should have begun to learn; a tenth of all in long runs."""


class Advice(keras.callbacks.Callback):
    """Warn once of each problem that the history of a training run shows.

    Args:
        logger: Receives the warnings.
        epochs: Epochs of the whole training run.
        class_counts: Number of training samples of each class; empty if it is not known.
    """

    def __init__(self, logger: logging.Logger, epochs: int, class_counts: Mapping[str, int]) -> None:
        super().__init__()
        self._logger = logger
        self._patience = max(_PATIENCE, epochs // 10)
        self._largest = _find_largest_class(class_counts)
        self._history: dict[str, list[float]] = {}
        self._said: set[str] = set()

    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        """Look at the history after an epoch."""
        for name, value in (logs or {}).items():
            self._history.setdefault(name, []).append(float(value))
        for kind, text in find_problems(self._history, self._largest, self._patience):
            if kind not in self._said:
                self._said.add(kind)
                self._logger.warning(f"After {epoch + 1} epochs: {text}")


def find_problems(
    history: Mapping[str, Sequence[float]], largest: tuple[str, float] | None, patience: int
) -> list[tuple[str, str]]:
    """Return the problems that the history of a training run shows.

    Args:
        history: Values of each metric after each epoch.
        largest: The largest class and its share of the training samples, if they are known.
        patience: Number of epochs after which a training run should have begun to learn.

    Returns:
        A key and one sentence or two for each: what is wrong, the likely cause, what to set.
    """
    loss = history.get("loss", ())
    if len(loss) < patience:
        return []
    found = []
    lowest = min(loss)
    if loss[-1] > 1.5 * lowest > 0 and loss[-1] > loss[0]:
        found.append(
            ("rising", f"the loss went up from {lowest:.4g} to {loss[-1]:.4g}. Set a smaller learning rate.")
        )
    elif lowest > 0.99 * loss[0] > 0:
        found.append(
            (
                "flat",
                f"the loss is still {loss[-1]:.4g}, where it began. Try a larger or a smaller learning rate, and check "
                f"the scale of the inputs and the labels.",
            )
        )
    found += _compare_with_largest_class(history, largest)
    found += _compare_parts(history, patience)
    return found


def _compare_with_largest_class(
    history: Mapping[str, Sequence[float]], largest: tuple[str, float] | None
) -> list[tuple[str, str]]:
    accuracies = history.get("accuracy", ())
    if largest is None or not accuracies or max(accuracies) > largest[1] + 0.01:
        return []
    label, share = largest
    text = f"accuracy {accuracies[-1]:.1%} is no better than always answering '{label}' ({share:.1%} of the samples)."
    if label in ("_unknown_", "_silence_"):
        setting = f"{label.strip('_')}_class_percentage"
        return [("largest", f"{text} It drowns the other classes: set a lower {setting}.")]
    return [
        (
            "largest",
            f"{text} Check labels and learning rate, and set my_model.class_weights = 'balanced' if a class dominates.",
        )
    ]


def _compare_parts(history: Mapping[str, Sequence[float]], patience: int) -> list[tuple[str, str]]:
    """Tell overfitting: the validation loss rises for `patience` epochs while the training loss decreases."""
    loss, validation = history["loss"], history.get("val_loss", ())
    if len(validation) != len(loss) or len(loss) < 2 * patience:
        return []
    best = min(validation)
    since = len(validation) - 1 - list(validation).index(best)
    rising = since >= patience and min(validation[-patience:]) > 1.2 * best > 0
    if not rising or loss[-1] > loss[-1 - since]:
        return []
    return [
        (
            "apart",
            f"the validation loss rose from {best:.4g} to {validation[-1]:.4g} since epoch {len(loss) - since}, while "
            f"the training loss decreases: the network memorizes. More data, more augmentation, dropout or a "
            f"smaller network help, and my_model.early_stopping ends such a run.",
        )
    ]


def _find_largest_class(counts: Mapping[str, int]) -> tuple[str, float] | None:
    total = sum(counts.values())
    if len(counts) < 2 or total == 0:
        return None
    label = max(counts, key=lambda name: counts[name])
    return str(label), counts[label] / total
