"""A text summary of a `.tflite` model."""

from __future__ import annotations

from mltk.tflite.graph import TfliteGraph
from mltk.tflite.metrics import tflite_model_metrics
from mltk.tflite.parameters import TfliteModelParameters, format_value
from mltk.tflite.precision import name_precision
from mltk.utils.string_formatting import format_table, format_units


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
