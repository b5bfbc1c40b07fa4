"""Name the kind of numbers that a `.tflite` model computes with."""

from __future__ import annotations

from collections import Counter

from mltk.tflite.graph import TfliteGraph
from mltk.tflite.tensors import TfliteTensor

# They convert numbers and compute none.
_CONVERSIONS = ("quantize", "dequantize", "cast")


def name_precision(graph: TfliteGraph) -> str:
    """Return in TensorFlow's words how a model is quantized.

    Returns:
        `int8`, `uint8` or `int16x8` (int16 activations) if most operators compute with such integers, followed by
        ` with float32` if others compute with real numbers; `dynamic-range` if weights are integers and
        activations are not; `float16` if weights are float16; otherwise `float32`.
    """
    constants = [tensor for tensor in graph.tensors if tensor.is_constant]
    computing = [layer for layer in graph.layers if layer.opcode_str not in _CONVERSIONS]
    activations = [tensor for layer in computing for tensor in layer.outputs]
    integers = Counter(tensor.dtype_str for tensor in activations if _is_quantized(tensor))
    if integers:
        name = integers.most_common(1)[0][0]
        floats = any(tensor.dtype.kind == "f" for tensor in activations)
        return ("int16x8" if name == "int16" else name) + (" with float32" if floats else "")
    if any(_is_quantized(tensor) for tensor in constants):
        return "dynamic-range"
    if any(tensor.dtype_str == "float16" for tensor in constants):
        return "float16"
    return "float32"


def _is_quantized(tensor: TfliteTensor) -> bool:
    return bool(tensor.quantization.n_channels) and tensor.dtype.kind in "iu"
