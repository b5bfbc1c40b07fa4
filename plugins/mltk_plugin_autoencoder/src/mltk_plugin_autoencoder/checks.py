"""What can be said of an autoencoder before it is trained."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from mltk.errors import DatasetError, SpecificationError

if TYPE_CHECKING:
    import keras


def check_before_training(mltk_model: Any, keras_model: keras.Model) -> None:
    """Check that the network can reconstruct its input, and that it is told to.

    Args:
        mltk_model: The specification, with its data loaded.
        keras_model: What its build function returned.

    Raises:
        SpecificationError: Output and input differ in size.
        DatasetError: There is nothing to reconstruct.
    """
    # A subclassed model has no shapes yet; something else than a model is refused by the operation.
    shapes = getattr(keras_model, "input_shape", None), getattr(keras_model, "output_shape", None)
    if all(isinstance(shape, tuple) and None not in shape[1:] for shape in shapes):
        taken, given = (tuple(shape)[1:] for shape in shapes)  # type: ignore[arg-type]
        if math.prod(taken) != math.prod(given):
            raise SpecificationError(
                f"The network of '{mltk_model.name}' is no autoencoder: it takes {taken} and gives {given}."
            )
    if isinstance(mltk_model.x, np.ndarray) and mltk_model.y is None:
        raise DatasetError(
            f"The data set of '{mltk_model.name}' gave nothing to reconstruct: an autoencoder learns from (x, x), so "
            f"let its loader return the samples twice."
        )
