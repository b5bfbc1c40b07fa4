"""A text summary of a `.tflite` model."""

from __future__ import annotations

import math
from typing import TypedDict

from mltk.tflite.graph import TfliteGraph
from mltk.tflite.metrics import tflite_model_metrics
from mltk.tflite.parameters import TfliteModelParameters, format_value
from mltk.tflite.precision import name_precision
from mltk.tflite.tensors import TfliteTensor
from mltk.utils.string_formatting import format_table, format_units


class TensorDescription(TypedDict):
    """A tensor, for JSON."""

    name: str
    shape: list[int]
    dtype: str
    constant: bool


def describe(graph: TfliteGraph) -> dict[str, object]:
    """Return what `summarize` says as values for JSON."""
    counted = tflite_model_metrics(graph)
    parameters = TfliteModelParameters.load_from_tflite_model(graph)
    return {
        "name": graph.name,
        "description": graph.description,
        "size": graph.flatbuffer_size,
        "precision": name_precision(graph),
        "inputs": [_describe_tensor(tensor) for tensor in graph.inputs],
        "outputs": [_describe_tensor(tensor) for tensor in graph.outputs],
        "macs": counted.macs,
        "ops": counted.ops,
        "not_counted": list(counted.not_counted),
        "layers": [
            {
                "index": layer.index,
                "opcode": layer.opcode_str,
                "inputs": [_describe_tensor(tensor) for tensor in layer.inputs],
                "outputs": [_describe_tensor(tensor) for tensor in layer.outputs],
                "options": str(layer.options),
                "macs": metrics.macs,
                "ops": metrics.ops,
            }
            for layer, metrics in zip(graph.layers, counted.layers, strict=True)
        ],
        "parameters": {key: _to_json(value) for key, value in parameters.items()},
    }


def _to_json(value: object) -> object:
    """Return a parameter as JSON can hold it: bytes as hexadecimal digits, NaN and infinity as null."""
    if isinstance(value, list):
        return [_to_json(element) for element in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value.hex() if isinstance(value, bytes) else value


def _describe_tensor(tensor: TfliteTensor) -> TensorDescription:
    return {
        "name": tensor.name,
        "shape": list(tensor.shape),
        "dtype": tensor.dtype_str,
        "constant": tensor.is_constant,
    }


def summarize(graph: TfliteGraph) -> str:
    """Return the table of layers, the numbers of operations, the parameters and the size, as text."""
    rows = [
        [
            str(layer.index),
            layer.opcode_str,
            "\n".join(tensor.shape_dtype_str(include_batch=tensor.is_constant) for tensor in layer.inputs),
            "\n".join(tensor.shape_dtype_str() for tensor in layer.outputs),
            str(layer.options),
        ]
        for layer in graph.layers
    ]
    parameters = TfliteModelParameters.load_from_tflite_model(graph)
    lines = [
        format_table(["Index", "OpCode", "Input(s)", "Output(s)", "Options"], rows),
        tflite_model_metrics(graph).summary(),
        f"Name: {parameters.pop('name', graph.name)}",
    ]
    if "version" in parameters:
        lines.append(f"Version: {parameters.pop('version')}")
    lines.append(f"Description: {graph.description}")
    if "classes" in parameters:
        lines.append(f"Classes: {format_value(parameters.pop('classes'))}")
    memory = parameters.pop("runtime_memory_size", None)
    if isinstance(memory, int):
        lines.append(f"Runtime memory size (RAM): {format_units(memory)}B")
    lines += parameters.summary().splitlines()
    lines.append(f"Precision: {name_precision(graph)}")
    lines.append(f".tflite file size: {format_units(graph.flatbuffer_size)}B")
    return "\n".join(line.rstrip() for line in lines)
