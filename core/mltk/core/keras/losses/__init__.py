"""Keras losses: those of core, and those that plugins provide."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mltk._namespace import lazy_names

if TYPE_CHECKING:
    from keras.losses import MeanAbsoluteError as MeanAbsoluteError
    from keras.losses import MeanSquaredError as MeanSquaredError

    from mltk.core.keras.losses.contrastive import ContrastiveLoss as ContrastiveLoss

_NAMES = {
    "ContrastiveLoss": "mltk.core.keras.losses.contrastive",
    "MeanAbsoluteError": "keras.losses",
    "MeanSquaredError": "keras.losses",
}

__all__ = [*_NAMES]

__getattr__, __dir__ = lazy_names(__name__, _NAMES)
