"""Run a `.tflite` model on arrays. No code of a file is run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mltk.data.samples import load_named_arrays
from mltk.errors import DatasetError, SpecificationError
from mltk.operations.evaluation.predictors import LITERT, make_predictor
from mltk.sources.source import ModelSource
from mltk.tflite import TfliteModel
from mltk.tflite.interpreter import RawRunner
from mltk.utils.files import atomic_path

if TYPE_CHECKING:
    from mltk.model.model import MltkModel
    from mltk.tflite import TfliteTensor


def predict_model(
    model: MltkModel | TfliteModel | str | Path,
    data: str | Path | Mapping[str, np.ndarray],
    output: str | Path | None = None,
    runtime: str | None = None,
    raw: bool = False,
    test: bool = False,
) -> dict[str, np.ndarray]:
    """Run the quantized model on arrays and return all of its outputs.

    Args:
        model: Model, name, path of a specification, archive or `.tflite` file, or a `TfliteModel`. No code is run from
            any of them.
        data: Arrays by name, or a `.npz` file with them; the first axis is the sample. The names are those of the
            model's inputs (see `input_names`); the array for a model with one input may also be called `x`, or be
            the only one, and those of several inputs `x0`, `x1` and so on. A model with state also takes sequences,
            with an axis of frames after that of samples.
        output: `.npz` file to write the outputs to.
        runtime: Name of what runs the model; LiteRT by default.
        raw: The arrays hold the integers of quantized inputs, and those of outputs are returned. By default all are
            real numbers.
        test: Use the trial run's files.

    Returns:
        The outputs by name: `y` if there is one, otherwise the names in the file's signature, or `y0`, `y1` and so on.

    Raises:
        DatasetError: The file is missing or damaged, or lacks an array.
        EvaluationError: The arrays do not fit the model, or the runtime cannot run it.
        SpecificationError: This is a Keras model, or there is no such runtime.
    """
    tflite_model = ModelSource.of(model, test=test).tflite()
    arrays = data if isinstance(data, Mapping) else load_named_arrays(data)
    what = "The data" if isinstance(data, Mapping) else f"'{data}'"
    inputs = _choose_inputs(tflite_model, arrays, what)
    predictor = make_predictor(tflite_model, tflite_model.name, runtime or LITERT)
    if isinstance(predictor, RawRunner):
        outputs = predictor.run(inputs, raw=raw, all_frames=True)
        if not raw:
            outputs = [
                tflite_model.dequantize_output_to_float32(out, i)
                if tflite_model.outputs[i].quantization.n_channels
                else out
                for i, out in enumerate(outputs)
            ]
    elif raw or len(inputs) > 1:
        raise SpecificationError(
            f"The runtime '{predictor.kind}' takes one input of real numbers only; leave out --runtime and --raw."
        )
    else:
        outputs = [predictor.predict(inputs[0])]
    names = output_names(tflite_model)
    # A predictor without `run` gives the first output only.
    results = dict(zip(names, outputs, strict=len(outputs) > 1))
    if output is not None:
        write_arrays(output, results)
    return results


def write_arrays(path: str | Path, arrays: Mapping[str, np.ndarray]) -> Path:
    """Write arrays to a `.npz` file, whole or not at all."""
    path = Path(path)
    with atomic_path(path) as temporary, Path(temporary).open("wb") as file:
        # A name may be that of an argument of `savez`.
        np.savez(file, allow_pickle=False, **arrays)
    return path


def input_names(model: TfliteModel) -> list[str]:
    """Return the names of a model's inputs: those of its signature, or of its tensors."""
    return _signature_names(model, "inputs", model.inputs) or [tensor.name for tensor in model.inputs]


def output_names(model: TfliteModel) -> list[str]:
    """Return the names that `predict_model` gives the outputs of a model."""
    if model.n_outputs == 1:
        return ["y"]
    return _signature_names(model, "outputs", model.outputs) or [f"y{i}" for i in range(model.n_outputs)]


def _signature_names(model: TfliteModel, side: str, tensors: Sequence[TfliteTensor]) -> list[str] | None:
    """Return the names that the file's signature gives to tensors; `None` if it does not name each of them once."""
    for signature in model.signatures:
        names = {index: name for name, index in signature[side].items()}
        if len(names) == len(tensors) and all(tensor.index in names for tensor in tensors):
            return [names[tensor.index] for tensor in tensors]
    return None


def _choose_inputs(model: TfliteModel, arrays: Mapping[str, np.ndarray], what: str) -> list[np.ndarray]:
    """Return the arrays for the inputs of a model, in their order."""
    count = model.n_inputs
    choices = [
        input_names(model),
        [tensor.name for tensor in model.inputs],
        ["x"] if count == 1 else [f"x{i}" for i in range(count)],
        # What numpy.savez calls arrays without a name.
        [f"arr_{i}" for i in range(count)],
    ]
    for names in choices:
        if all(name in arrays for name in names) and len(set(names)) == count:
            return [arrays[name] for name in names]
    if count == 1 and len(arrays) == 1:
        return list(arrays.values())
    wanted = " and ".join(f"'{name}'" for name in choices[2])
    shapes = ", ".join(
        f"'{name}' {tensor.shape}" for name, tensor in zip(input_names(model), model.inputs, strict=True)
    )
    found = ", ".join(f"'{name}' {array.shape}" for name, array in arrays.items()) or "none"
    raise DatasetError(
        f"{what} must have the array{'s' * (count > 1)} {wanted}, or those with the names of the model's inputs: "
        f"{shapes}. It has: {found}."
    )
