"""The inputs of a Keras model: their names, shapes and types, and data in their order."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from mltk.errors import DatasetError
from mltk.utils.trees import Tree, as_tree, leaves_of

if TYPE_CHECKING:
    import keras


class InputSpec(NamedTuple):
    """One input of a network."""

    name: str
    shape: tuple[int | None, ...]
    """Batch axis included."""
    dtype: np.dtype


def input_specs(keras_model: keras.Model) -> list[InputSpec]:
    """Return the inputs of a model in their order; none for a subclassed model, which has no symbolic tensors."""
    return [
        InputSpec(tensor.name, tuple(tensor.shape), np.dtype(tensor.dtype))
        for tensor in getattr(keras_model, "inputs", None) or ()
    ]


def arrange_inputs(keras_model: keras.Model, x: Tree) -> list[np.ndarray]:
    """Return samples as one array for each input of a model, in their order.

    Args:
        keras_model: The model.
        x: An array, or a list or dictionary of arrays, as `fit` takes it.

    Raises:
        DatasetError: The number of arrays, or a name, is not that of the inputs.
    """
    tree = as_tree(x)
    specs = input_specs(keras_model)
    names = [spec.name for spec in specs]
    if isinstance(tree, Mapping) and not isinstance(keras_model.input if specs else None, Mapping):
        if specs and not set(names) <= set(tree):
            raise DatasetError(
                f"The data have the inputs {_join(tree)}, but the model has {_join(names)}: "
                f"use the names of the model's Input layers."
            )
        return [tree[name] for name in names] if specs else leaves_of(tree)
    if isinstance(tree, Mapping):
        keys = sorted(keras_model.input)
        if not set(keys) <= set(tree):
            raise DatasetError(f"The data have the inputs {_join(tree)}, but the model has {_join(keys)}.")
        # Data may have more than the model takes, as for Keras.
        tree = {key: tree[key] for key in keys}
    arrays = leaves_of(tree)
    if specs and len(arrays) != len(specs):
        raise DatasetError(
            f"The data have {len(arrays)} arrays for a sample, but the model has {len(specs)} inputs ({_join(names)})."
        )
    return arrays


def fit_input(array: np.ndarray, spec: InputSpec, what: str) -> np.ndarray:
    """Return samples in the shape and type of an input.

    Args:
        array: A batch or one sample without a batch axis; a last axis of length 1 may be missing, as for `fit`.
        spec: The input.
        what: Name of the data, for the message.

    Raises:
        DatasetError: The shape is another one.
    """
    wanted = spec.shape[1:]
    for shape in (array.shape[1:], array.shape, (*array.shape[1:], 1), (*array.shape, 1)):
        if len(shape) == len(wanted) and all(w in (None, n) for w, n in zip(wanted, shape, strict=True)):
            return array.reshape(-1, *shape).astype(spec.dtype, copy=False)
    name = f"input '{spec.name}'" if spec.name else "input"
    raise DatasetError(
        f"{what} the shape {array.shape}, but the {name} of the model takes {spec.shape} (None: any number)."
    )


def _join(names: Iterable[str]) -> str:
    return ", ".join(f"'{name}'" for name in names)
