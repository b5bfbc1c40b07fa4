"""Extraction of layers of a `.tflite` model as a separate model."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from mltk.tflite import TfliteModel, pack_model

if TYPE_CHECKING:
    from ai_edge_litert.schema_py_generated import OperatorT

    from mltk.tflite import TfliteLayer, TfliteTensor


def layer_inputs(layer: TfliteLayer) -> list[TfliteTensor]:
    """Return the inputs of a layer that are neither constants nor its state."""
    return [tensor for tensor in layer.inputs if not tensor.is_constant and not tensor.is_variable]


def open_inputs(layers: Sequence[TfliteLayer]) -> list[TfliteTensor]:
    """Return the inputs of layers that are not outputs of these layers."""
    given = {tensor.index for layer in layers for tensor in layer.outputs}
    taken = {tensor.index: tensor for layer in layers for tensor in layer_inputs(layer)}
    return [tensor for index, tensor in taken.items() if index not in given]


def cut(model: TfliteModel, layers: Sequence[TfliteLayer], outputs: Iterable[TfliteTensor]) -> TfliteModel:
    """Extract layers of a model as a new model.

    Its inputs are `open_inputs(layers)`, in that order. It has no metadata and signatures, and only the required
    buffers. Other subgraphs, which layers may refer to, are kept.

    Args:
        model: The model; not modified.
        layers: Layers of the first subgraph, in order; at least one.
        outputs: Outputs of the new model.
    """
    source = model.flatbuffer_model
    graph = source.subgraphs[0]
    operators = [graph.operators[layer.index] for layer in layers]
    used = dict.fromkeys(
        int(index)
        for operator in operators
        for indices in (operator.inputs, operator.outputs, operator.intermediates)
        for index in (() if indices is None else indices)
        if index >= 0
    )
    new_index = {old: new for new, old in enumerate(used)}

    part = copy.copy(source)
    part.metadata = part.metadataBuffer = part.signatureDefs = None
    part.description = None
    # Buffer indices of other subgraphs must not change, so unused buffers are emptied, not removed.
    others = {tensor.buffer for other in source.subgraphs[1:] for tensor in other.tensors or ()}
    needed = others | {graph.tensors[old].buffer for old in used}
    part.buffers = [
        buffer if number in needed else type(buffer)() for number, buffer in enumerate(source.buffers)
    ]
    new_graph = copy.copy(graph)
    new_graph.tensors = [graph.tensors[old] for old in used]
    new_graph.operators = [_renumber(operator, new_index) for operator in operators]
    new_graph.inputs = [new_index[tensor.index] for tensor in open_inputs(layers)]
    new_graph.outputs = [new_index[tensor.index] for tensor in outputs]
    part.subgraphs = [new_graph, *source.subgraphs[1:]]
    return TfliteModel(pack_model(part), path=model.path)


def _renumber(operator: OperatorT, new_index: dict[int, int]) -> OperatorT:
    copied = copy.copy(operator)
    for field in ("inputs", "outputs", "intermediates"):
        indices = getattr(operator, field)
        if indices is not None:
            setattr(copied, field, [new_index.get(int(index), -1) for index in indices])
    return copied
