"""Free converted models from the batch size that they were converted for."""

from __future__ import annotations

import numpy as np

from mltk.core.tflite_model.tflite_model import TfliteModel


def free_batch_axis(content: bytes) -> bytes:
    """Let a `.tflite` that was made for one sample take several at once.

    An interpreter that is given more samples adapts all operators but reshapes that name the batch: where they say
    `[1, 384]`, the result has `[-1, 384]`, which is the same for one sample.

    Args:
        content: The flatbuffer.

    Returns:
        The flatbuffer with other targets of reshapes; as it was if there are none, or if it has several subgraphs.
    """
    model = TfliteModel(content)
    if model.n_subgraphs > 1:
        return content
    tensors, buffers = model.flatbuffer_subgraph.tensors, model.flatbuffer_model.buffers
    targets: set[int] = set()
    used_otherwise: set[int] = set()
    for layer, operator in zip(model.layers, model.flatbuffer_subgraph.operators or (), strict=True):
        for position, index in enumerate(operator.inputs):
            if index < 0:  # absent
                continue
            is_target = position == 1 and layer.opcode_str == "reshape" and layer.inputs[0].shape[:1] == (1,)
            (targets if is_target else used_otherwise).add(tensors[index].buffer)
    changed = False
    for buffer in (buffers[i] for i in sorted(targets - used_otherwise)):
        shape = np.asarray(() if buffer.data is None else buffer.data, np.uint8).view("<i4")
        if len(shape) > 1 and shape[0] == 1 and (shape > 0).all():
            buffer.data = np.r_[np.int32(-1), shape[1:]].astype("<i4").view(np.uint8)
            changed = True
    if not changed:
        return content
    model.regenerate_flatbuffer()
    return model.flatbuffer_data
