"""Checks of an autoencoder before training."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from mltk.errors import DatasetError, SpecificationError

if TYPE_CHECKING:
    import keras

    from mltk_plugin_autoencoder.mixins import AutoEncoderModel


def check_before_training(mltk_model: AutoEncoderModel, keras_model: keras.Model) -> None:
    """Check that the network and the training data fit an autoencoder.

    Args:
        mltk_model: The specification, with its data loaded.
        keras_model: The model that its build function returned.

    Raises:
        SpecificationError: Output and input differ in size.
        DatasetError: The data set has no targets.
    """
    if not mltk_model.get_scoring_function().compares:
        return
    # A subclassed model has no shapes yet; the operation rejects objects that are not Keras models.
    taken, given = (
        shape[1:] if isinstance(shape, tuple) else (None,)
        for shape in (getattr(keras_model, "input_shape", None), getattr(keras_model, "output_shape", None))
    )
    if None not in (*taken, *given) and math.prod(taken) != math.prod(given):
        raise SpecificationError(
            f"The network of '{mltk_model.name}' is not an autoencoder: "
            f"its input has the shape {taken}, its output {given}."
        )
    if isinstance(mltk_model.x, np.ndarray) and mltk_model.y is None:
        raise DatasetError(
            f"The data set of '{mltk_model.name}' gave nothing to reconstruct: an autoencoder learns from (x, x), so "
            f"let its loader return the samples twice."
        )
