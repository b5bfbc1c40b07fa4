"""Arrays for the inputs of a `.tflite` model: checked, and in its types."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from mltk.errors import EvaluationError
from mltk.tflite._interpreters import find_batch_axis
from mltk.tflite.graph import TfliteGraph
from mltk.tflite.tensors import TfliteShape, to_tensor_dtype
from mltk.utils.trees import Tree, leaves_of

__all__ = [
    "arrange_inputs",
    "as_frames",
    "check_inputs",
    "convert_inputs",
    "find_batch_axis",
    "prepare_inputs",
]


def arrange_inputs(model: TfliteGraph, batch: Tree) -> list[np.ndarray]:
    """Return a batch as one array for each input of a model.

    Args:
        model: The model.
        batch: An array, a list of arrays in the order of the inputs, or a dictionary of arrays by the names of the
            model's signature or else in alphabetical order. As for Keras, a last axis of length 1 may be missing.
    """
    names = input_names(model)
    if isinstance(batch, Mapping) and names and set(names) <= set(batch):
        arrays = [np.asarray(batch[name]) for name in names]
    else:
        arrays = [np.asarray(array) for array in leaves_of(batch)]
    return [
        array[..., np.newaxis] if (1, *array.shape[1:], 1) == (1, *tensor.shape[1:]) else array
        for array, tensor in zip(arrays, model.inputs, strict=False)
    ] + arrays[len(model.inputs) :]


def input_names(model: TfliteGraph) -> list[str]:
    """Return the names that the signature of a model gives its inputs, in their order; none without a signature."""
    for signature in model.flatbuffer_model.signatureDefs or ():
        names = {entry.tensorIndex: entry.name for entry in signature.inputs or ()}
        found = [names.get(tensor.index) for tensor in model.inputs]
        if all(name is not None for name in found):
            return [name.decode() if isinstance(name, bytes) else str(name) for name in found]
    return []


def prepare_inputs(
    model: TfliteGraph, inputs: Sequence[np.ndarray], shapes: Sequence[Sequence[int]], raw: bool = False
) -> list[np.ndarray]:
    """Return batches in the types of a model's inputs: `check_inputs`, then `convert_inputs`."""
    return convert_inputs(model, check_inputs(model, inputs, shapes), raw)


def as_frames(
    model: TfliteGraph, inputs: Sequence[np.ndarray], shapes: Sequence[Sequence[int]]
) -> list[np.ndarray] | None:
    """Return sequences for a model with state, `(n, frames, …)` per input; `None` if the arrays are no sequences.

    The sequences of a model with one input and with resources may also have the frames of all inferences in one axis:
    `(n, 99, 40)` for a model that takes 3x40 is a sequence of 33.

    Args:
        model: The model.
        inputs: One array per input.
        shapes: The shapes of the inputs without the axis of samples; -1 for axes of any length.

    Raises:
        EvaluationError: The frames do not fill the model's input.
    """
    if not model.is_stateful or len(inputs) != len(shapes):
        return None
    if all(_fits(np.shape(array)[2:], shape) for array, shape in zip(inputs, shapes, strict=True)):
        arrays = [np.asarray(array) for array in inputs]
        if len({array.shape[:2] for array in arrays}) > 1 or not arrays[0].shape[1]:
            raise EvaluationError(
                f"The sequences for {model.source} have different numbers of frames, or none."
            )
        return arrays
    found, wanted = np.shape(inputs[0]), shapes[0]
    if not (model.has_resources and len(inputs) == 1 and len(wanted) > 1 and wanted[0] > 0):
        return None
    if len(found) != len(wanted) + 1 or not _fits(found[2:], wanted[1:]) or found[1] in (0, wanted[0]):
        return None
    if found[1] % wanted[0]:
        raise EvaluationError(
            f"{model.source} takes {wanted[0]} frames at once, so sequences need a multiple of it; got {found[1]}."
        )
    return [np.reshape(inputs[0], (found[0], found[1] // wanted[0], wanted[0], *found[2:]))]


def _fits(found: Sequence[int], wanted: Sequence[int]) -> bool:
    return len(found) == len(wanted) and all(w in (-1, f) for w, f in zip(wanted, found, strict=True))


def check_inputs(
    model: TfliteGraph, inputs: Sequence[np.ndarray], shapes: Sequence[Sequence[int]]
) -> list[np.ndarray]:
    """Return batches for a model, one for each input, as arrays of equal length.

    Args:
        model: The model.
        inputs: One array per input of the model.
        shapes: The shapes of the inputs, batch axis included; -1 for axes of any length.

    Raises:
        EvaluationError: The arrays do not fit the model.
    """
    if len(inputs) != len(shapes):
        raise EvaluationError(f"{model.source} has {len(shapes)} inputs; {len(inputs)} arrays were passed.")
    for array, full in zip(inputs, shapes, strict=True):
        wanted = full[1:]
        found = np.shape(array)
        if not found or not _fits(found[1:], wanted):
            shape = "x".join("any" if d < 0 else str(d) for d in wanted)
            raise EvaluationError(
                f"{model.source} takes batches of samples of shape {shape or 'scalar'};"
                f" got an array of shape {TfliteShape(found)}."
            )
    arrays = [np.asarray(array) for array in inputs]
    if len({len(array) for array in arrays}) > 1:
        raise EvaluationError("The arrays for the model's inputs hold different numbers of samples.")
    return arrays


def convert_inputs(model: TfliteGraph, arrays: Sequence[np.ndarray], raw: bool = False) -> list[np.ndarray]:
    """Return batches in the types of a model's inputs.

    Args:
        model: The model.
        arrays: One array of numbers per input, which are quantized if the input is.
        raw: The arrays hold what the inputs hold, and are not quantized.

    Raises:
        EvaluationError: They cannot be converted.
    """
    return [
        np.ascontiguousarray(to_tensor_dtype(array, tensor, raw))
        for array, tensor in zip(arrays, model.inputs, strict=True)
    ]
