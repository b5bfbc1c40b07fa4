"""Parts of a `.tflite` model as models of their own."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from mltk.tflite import TfliteModel

if TYPE_CHECKING:
    from mltk.tflite import TfliteLayer, TfliteTensor


def layer_inputs(layer: TfliteLayer) -> list[TfliteTensor]:
    """Return the tensors that a layer takes from others: neither constants nor its own state."""
    return [tensor for tensor in layer.inputs if not tensor.is_constant and not tensor.is_variable]


def open_inputs(layers: Sequence[TfliteLayer]) -> list[TfliteTensor]:
    """Return the tensors that some of these layers take and none of them gives."""
    given = {tensor.index for layer in layers for tensor in layer.outputs}
    taken = {tensor.index: tensor for layer in layers for tensor in layer_inputs(layer)}
    return [tensor for index, tensor in taken.items() if index not in given]


def cut(model: TfliteModel, layers: Sequence[TfliteLayer], outputs: Iterable[TfliteTensor]) -> TfliteModel:
    """Return the model of some of the layers of a model.

    Its inputs are `open_inputs(layers)`, in that order. It has no metadata, no signatures, and only the data that it
    needs. The other graphs of the model, which layers may refer to, stay as they are.

    Args:
        model: The model; it is not changed.
        layers: Layers of its first graph, in their order; at least one.
        outputs: What the new model gives.
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
    # The numbers of other graphs' buffers must stay, so what is not needed is only emptied.
    others = {tensor.buffer for other in source.subgraphs[1:] for tensor in other.tensors or ()}
    needed = others | {graph.tensors[old].buffer for old in used}
    part.buffers = [
        buffer if number in needed else type(buffer)() for number, buffer in enumerate(source.buffers)
    ]
    new_graph = copy.copy(graph)
    new_graph.tensors = [graph.tensors[old] for old in used]
    new_graph.operators = [_renumbered(operator, new_index) for operator in operators]
    new_graph.inputs = [new_index[tensor.index] for tensor in open_inputs(layers)]
    new_graph.outputs = [new_index[tensor.index] for tensor in outputs]
    part.subgraphs = [new_graph, *source.subgraphs[1:]]
    return TfliteModel(_packed(part), path=model.path)


def _renumbered(operator: Any, new_index: dict[int, int]) -> Any:
    copied = copy.copy(operator)
    for field in ("inputs", "outputs", "intermediates"):
        indices = getattr(operator, field)
        if indices is not None:
            setattr(copied, field, [new_index.get(int(index), -1) for index in indices])
    return copied


def _packed(model: Any) -> bytes:
    import flatbuffers

    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())
