"""Give tensors scales of their own where TensorFlow's quantizer forces one on several.

Some operators, such as CONCATENATION, compute with integers only if their inputs and their output have one scale. The
quantizer gives these inputs the scale of the output, whatever else reads them: a convolution then computes with the
few integers that are left. TensorFlow's quantizer for int16 and PyTorch's requantize such an input instead, which is
what is done here: between calibration and quantization, a product with (nearly) 1 is put before the operator; the
quantizer gives its result another scale, and it becomes a QUANTIZE.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence

import numpy as np

from mltk.tflite import _schema
from mltk.tflite._generated import OperatorT, TensorT
from mltk.tflite.flatbuffer import to_integers, to_text
from mltk.tflite.layers import TfliteLayer
from mltk.tflite.model import TfliteModel
from mltk.tflite.tensors import TfliteTensor

_FORCING = {"concatenation", "maximum", "minimum", "pack", "select", "select_v2", "dynamic_update_slice"}
"""Operators of several inputs that all need the scale of the output."""
_COPYING = {
    *(
        "average_pool_2d",
        "batch_to_space_nd",
        "broadcast_to",
        "depth_to_space",
        "expand_dims",
        "gather",
        "gather_nd",
    ),
    *("max_pool_2d", "mirror_pad", "pad", "padv2", "reduce_max", "reduce_min", "reshape", "resize_bilinear"),
    *(
        "resize_nearest_neighbor",
        "reverse_v2",
        "slice",
        "space_to_batch_nd",
        "space_to_depth",
        "split",
        "split_v",
    ),
    *("squeeze", "strided_slice", "tile", "transpose", "unpack"),
}
"""Operators of one input whose outputs have its scale."""

_NEARLY_ONE = np.nextafter(np.float32(1), np.float32(2))
"""The factor of the product, which nothing folds away as it would 1."""
_COARSER = 1.5
"""A tensor gets a scale of its own if the forced one would be more than this many times as coarse."""
_CLIPPED = 0.02
"""... or if the forced one would cut off more than this share of its range."""


def separate_scales(model: TfliteModel, everywhere: bool = False, fixed: Collection[int] = ()) -> int:
    """Put a product with 1 before the inputs of operators that would force a scale on what others read.

    Args:
        model: A calibrated model in float32, whose tensors have `min` and `max`; changed, `regenerate_flatbuffer` is
            the caller's.
        everywhere: Also where the forced scale is hardly different.
        fixed: Indices of tensors that keep their scale, whatever reads them.

    Returns:
        The number of products.
    """
    graph = _Graph(model)
    kept = set(fixed)
    for layer in model.layers:
        if layer.opcode_str in _COPYING and layer.inputs[0].index in kept:
            kept.update(tensor.index for tensor in layer.outputs)
    found = [
        (layer.index, tensor.index)
        for layer in model.layers
        if layer.opcode_str in _FORCING and layer.outputs[0].dtype == np.float32
        for tensor in dict.fromkeys(layer.inputs)
        if tensor.dtype == np.float32
        and not tensor.is_constant
        and (
            tensor.index in kept
            or (
                graph.is_shared(tensor.index, layer)
                and (everywhere or _harms(graph.range(layer.outputs[0].index), graph.range(tensor.index)))
            )
        )
    ]
    if found:
        _insert_products(model, found)
    return len(found)


def forces_scales(model: TfliteModel) -> bool:
    """Return whether a model has operators of several inputs that need one scale."""
    return any(layer.opcode_str in _FORCING for layer in model.layers)


class _Graph:
    """Who reads and who writes the tensors of a model."""

    def __init__(self, model: TfliteModel) -> None:
        self._tensors: Sequence[TensorT] = model.flatbuffer_subgraph.tensors or ()
        self._outputs = set(to_integers(model.flatbuffer_subgraph.outputs))
        self._readers: defaultdict[int, set[int]] = defaultdict(set)
        self._writer: dict[int, TfliteLayer] = {}
        for layer in model.layers:
            for tensor in layer.inputs:
                self._readers[tensor.index].add(layer.index)
            self._writer.update((tensor.index, layer) for tensor in layer.outputs)

    def range(self, index: int) -> tuple[float, float] | None:
        """Return the calibrated range of a tensor, which contains 0, or `None`."""
        found = self._tensors[index].quantization
        if found is None or found.min is None or found.max is None or len(found.min) != 1:
            return None
        return min(float(found.min[0]), 0.0), max(float(found.max[0]), 0.0)

    def is_shared(self, index: int, reader: TfliteLayer) -> bool:
        """Return whether something besides a layer reads a tensor, or another one that must have the same scale."""
        if index in self._outputs or self._readers[index] - {reader.index}:
            return True
        writer = self._writer.get(index)
        if writer is None or writer.opcode_str not in _COPYING | _FORCING:
            return False
        if any(self._readers[t.index] - {reader.index} for t in writer.outputs):
            return True
        # Not the positions, axes and conditions.
        copied = [t for t in writer.inputs if t.dtype == np.float32 and not t.is_constant]
        return any(self.is_shared(t.index, writer) for t in copied)


def _harms(forced: tuple[float, float] | None, own: tuple[float, float] | None) -> bool:
    """Return whether a tensor would lose much with the range that is forced on it."""
    if forced is None or own is None:
        return False
    width = own[1] - own[0]
    beyond = max(forced[0] - own[0], own[1] - forced[1])
    return forced[1] - forced[0] > _COARSER * width or beyond > _CLIPPED * width


def _insert_products(model: TfliteModel, found: Iterable[tuple[int, int]]) -> None:
    schema = _schema.schema()
    tensors, operators = model.flatbuffer_subgraph.tensors, model.flatbuffer_subgraph.operators
    one = _add_scalar(model, _NEARLY_ONE)
    code = _opcode_index(model, schema.BuiltinOperator.MUL)
    before: defaultdict[int, list[OperatorT]] = defaultdict(list)
    for reader, index in found:
        source, copied = tensors[index], schema.TensorT()
        copied.name = f"{to_text(source.name)}_mltk{len(tensors)}".encode()
        copied.shape, copied.shapeSignature = source.shape, source.shapeSignature
        copied.quantization = source.quantization
        product = schema.OperatorT()
        _set_product(product, code, index, one)
        product.outputs = [len(tensors)]
        operators[reader].inputs = [
            len(tensors) if i == index else i for i in to_integers(operators[reader].inputs)
        ]
        tensors.append(copied)
        before[reader].append(product)
    model.flatbuffer_subgraph.operators = [
        each for i, operator in enumerate(operators) for each in (*before[i], operator)
    ]


def use_products(model: TfliteModel) -> int:
    """Replace NEG and SQUARE, which have no integer kernels, by products.

    Args:
        model: A calibrated model in float32; changed, `regenerate_flatbuffer` is the caller's.

    Returns:
        The number of operators replaced.
    """
    found = [
        (layer, operator)
        for layer, operator in zip(model.layers, model.flatbuffer_subgraph.operators or (), strict=True)
        if layer.opcode_str in ("neg", "square") and layer.inputs[0].dtype == np.float32
    ]
    if found:
        minus_one = _add_scalar(model, np.float32(-1))
        code = _opcode_index(model, _schema.schema().BuiltinOperator.MUL)
    for layer, operator in found:
        source = layer.inputs[0].index
        _set_product(operator, code, source, source if layer.opcode_str == "square" else minus_one)
    return len(found)


def _add_scalar(model: TfliteModel, value: np.float32) -> int:
    """Add a constant to a model, and return its index."""
    schema = _schema.schema()
    buffer, tensor = schema.BufferT(), schema.TensorT()
    buffer.data = np.frombuffer(value.tobytes(), np.uint8)
    tensor.name, tensor.shape = f"mltk{value:g}".encode(), []
    tensor.buffer = len(model.flatbuffer_model.buffers)
    model.flatbuffer_model.buffers.append(buffer)
    model.flatbuffer_subgraph.tensors.append(tensor)
    return len(model.flatbuffer_subgraph.tensors) - 1


def _set_product(operator: OperatorT, code: int, first: int, second: int) -> None:
    schema = _schema.schema()
    operator.opcodeIndex, operator.inputs = code, [first, second]
    operator.builtinOptionsType = schema.BuiltinOptions.MulOptions
    operator.builtinOptions = schema.MulOptionsT()


def _opcode_index(model: TfliteModel, code: int) -> int:
    """Return the index of a built-in operator's code in a model, which gets it if it has none."""
    codes = model.flatbuffer_model.operatorCodes
    for i, known in enumerate(codes):
        if max(int(known.deprecatedBuiltinCode), int(known.builtinCode)) == code:
            return i
    new = _schema.schema().OperatorCodeT()
    new.deprecatedBuiltinCode = new.builtinCode = code
    codes.append(new)
    return len(codes) - 1


def replace_products(model: TfliteModel) -> None:
    """Replace the products with 1 in a quantized model, which is changed, by QUANTIZE operators."""
    schema = _schema.schema()
    operators = model.flatbuffer_subgraph.operators or ()
    factors: set[int] = set()
    for layer, operator in zip(model.layers, operators, strict=True):
        if layer.opcode_str != "mul" or not _is_one(layer.inputs[1]):
            continue
        if all(tensor.dtype.kind == "i" for tensor in (layer.inputs[0], layer.outputs[0])):
            operator.opcodeIndex = _opcode_index(model, schema.BuiltinOperator.QUANTIZE)
            operator.inputs = [layer.inputs[0].index]
            operator.builtinOptionsType = schema.BuiltinOptions.QuantizeOptions
            operator.builtinOptions = schema.QuantizeOptionsT()
            factors.add(layer.inputs[1].index)
    if factors:
        read = {i for operator in operators for i in to_integers(operator.inputs)}
        _remove_tensors(model, factors - read)
        model.regenerate_flatbuffer(reload_model=True)


def _is_one(tensor: TfliteTensor) -> bool:
    if not tensor.is_constant or tensor.shape.flat_size != 1 or tensor.quantization.n_channels != 1:
        return False
    return abs(float(tensor.quantization.dequantize(tensor.data).item()) - 1) < 1e-6


def _remove_tensors(model: TfliteModel, removed: Collection[int]) -> None:
    """Remove constants that nothing reads; their buffers stay, empty."""
    graph, buffers = model.flatbuffer_subgraph, model.flatbuffer_model.buffers
    tensors = graph.tensors or []
    kept = [i for i in range(len(tensors)) if i not in removed]
    for buffer in {tensors[i].buffer for i in removed} - {tensors[i].buffer for i in kept}:
        buffers[buffer] = _schema.schema().BufferT()
    new = {-1: -1} | {old: i for i, old in enumerate(kept)}
    graph.tensors = [tensors[i] for i in kept]
    for owner in (graph, *(graph.operators or ())):
        for field in ("inputs", "outputs", "intermediates"):
            indices = getattr(owner, field, None)
            if indices is not None:
                setattr(owner, field, [new[int(i)] for i in indices])
    for signature in model.flatbuffer_model.signatureDefs or ():
        # `replace_products` only changes the first subgraph.
        for entry in (*(signature.inputs or ()), *(signature.outputs or ())):
            entry.tensorIndex = new[entry.tensorIndex]
