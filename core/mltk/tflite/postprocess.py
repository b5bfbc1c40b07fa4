"""Changes to a converted model: batch axis, LSTM scales, signature."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mltk.tflite import _schema
from mltk.tflite.flatbuffer import to_integers, to_text
from mltk.tflite.model import TfliteModel

SIGNATURE = "serving_default"
"""TensorFlow's name for the signature of a model that has one."""

# Places among the inputs and the intermediate tensors of UNIDIRECTIONAL_SEQUENCE_LSTM.
_LSTM_HIDDEN_STATE = 18
_LSTM_CELL_STATE = 19
_LSTM_HIDDEN_INTERMEDIATE = 4


def free_batch_axis(model: TfliteModel) -> None:
    """Change a model that was made for one sample so that it accepts batches.

    An interpreter that is given more samples adapts all operators but reshapes that name the batch: where they say
    `[1, 384]`, they get `[-1, 384]`, which is the same for one sample. Models of several subgraphs stay as they are.

    Args:
        model: Changed; `regenerate_flatbuffer` is the caller's.
    """
    if model.n_subgraphs > 1:
        return
    tensors, buffers = model.flatbuffer_subgraph.tensors or (), model.flatbuffer_model.buffers
    targets: set[int] = set()
    used_otherwise: set[int] = set()
    for layer, operator in zip(model.layers, model.flatbuffer_subgraph.operators or (), strict=True):
        for position, index in enumerate(to_integers(operator.inputs)):
            if index < 0:  # absent
                continue
            is_target = position == 1 and layer.opcode_str == "reshape" and layer.inputs[0].shape[:1] == (1,)
            (targets if is_target else used_otherwise).add(tensors[index].buffer)
    for buffer in (buffers[i] for i in targets - used_otherwise):
        shape = np.asarray(() if buffer.data is None else buffer.data, np.uint8).view("<i4")
        if len(shape) > 1 and shape[0] == 1 and (shape > 0).all():
            buffer.data = np.r_[np.int32(-1), shape[1:]].astype("<i4").view(np.uint8)


def repair_lstm_scales(model: TfliteModel) -> None:
    """Set the scales of the states of quantized LSTM operators so that their kernels compute the network's values.

    The kernels write the hidden state to the output as it is, so that both must have one scale, and REVERSE_V2 copies
    integers. The converter gives what goes to a concatenation, as in `Bidirectional`, another scale.

    For the cell state the converter takes the smallest power of two that holds what it had after the last step of
    each sample. After other steps it may be larger, and the kernels leave states of scales under 2^-15 uncomputed. So
    it gets twice the scale, between 2^-12, which is a thirtieth of the output's usual 2^-7, and 2^-9, the most that
    kernels take. No other number depends on these scales.

    Args:
        model: Changed; `regenerate_flatbuffer` is the caller's.
    """
    tensors = model.flatbuffer_subgraph.tensors or ()
    for layer, operator in zip(model.layers, model.flatbuffer_subgraph.operators or (), strict=True):
        if layer.opcode_str != "unidirectional_sequence_lstm":
            continue
        inputs, intermediates = to_integers(operator.inputs), to_integers(operator.intermediates)
        output_index = to_integers(operator.outputs)[0]
        output = tensors[output_index].quantization
        if output is None or output.scale is None:
            continue
        readers = [o for o in model.layers if any(t.index == output_index for t in o.inputs)]
        if [reader.opcode_str for reader in readers] == ["reverse_v2"]:
            copied = tensors[readers[0].outputs[0].index].quantization
            if copied is not None:
                output.scale, output.zeroPoint = copied.scale, copied.zeroPoint
        for index in (inputs[_LSTM_HIDDEN_STATE], intermediates[_LSTM_HIDDEN_INTERMEDIATE]):
            hidden = tensors[index].quantization
            if hidden is not None:
                hidden.scale, hidden.zeroPoint = output.scale, output.zeroPoint
        cell = tensors[inputs[_LSTM_CELL_STATE]].quantization
        if cell is not None and cell.scale is not None:
            cell.scale = np.clip(2 * cell.scale, np.float32(2**-12), np.float32(2**-9))


def order_by_signature(model: TfliteModel, inputs: Sequence[str], outputs: Sequence[str]) -> bool:
    """Put the inputs and outputs of a model in an order that is given by their names in its signature.

    Args:
        model: Changed; `regenerate_flatbuffer` is the caller's.
        inputs: The names of the inputs in the order wanted.
        outputs: The names of the outputs in the order wanted.

    Returns:
        Whether the order is right: also if there is no signature, and not if it has other names.
    """
    for signature in model.flatbuffer_model.signatureDefs or ():
        ends = [
            {to_text(entry.name): entry.tensorIndex for entry in entries or ()}
            for entries in (signature.inputs, signature.outputs)
        ]
        if [sorted(names) for names in ends] != [sorted(inputs), sorted(outputs)]:
            return False
        model.flatbuffer_subgraph.inputs = [ends[0][name] for name in inputs]
        model.flatbuffer_subgraph.outputs = [ends[1][name] for name in outputs]
    return True


def add_signature(model: TfliteModel, inputs: Sequence[str], outputs: Sequence[str]) -> None:
    """Name the inputs and outputs of a model, for interpreters that are called with names.

    Args:
        model: Changed; `regenerate_flatbuffer` is the caller's.
        inputs: A name for each input.
        outputs: A name for each output.
    """
    schema = _schema.schema()

    def pair_names(names: Sequence[str], indices: Sequence[int]) -> list[object]:
        entries = []
        for name, index in zip(names, indices, strict=True):
            entry = schema.TensorMapT()
            entry.name, entry.tensorIndex = name, index
            entries.append(entry)
        return entries

    signature = schema.SignatureDefT()
    signature.inputs = pair_names(inputs, to_integers(model.flatbuffer_subgraph.inputs))
    signature.outputs = pair_names(outputs, to_integers(model.flatbuffer_subgraph.outputs))
    signature.signatureKey = SIGNATURE
    signature.subgraphIndex = 0
    model.flatbuffer_model.signatureDefs = [signature]
