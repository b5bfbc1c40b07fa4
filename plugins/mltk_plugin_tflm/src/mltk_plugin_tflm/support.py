"""Random inputs for models, and detection of layers that TensorFlow Lite Micro rejects."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from mltk_plugin_tflm.process import TflmError, TflmProcess
from mltk_plugin_tflm.submodel import cut

if TYPE_CHECKING:
    from mltk.tflite import TfliteLayer, TfliteModel, TfliteTensor

_FAILED_NODE = re.compile(r"(?:; )?Node \w+ \(number (\d+)\) failed to \w+ with status \d+")
_MOST_NAMES = 3
# gemmlowp's reciprocal of the sum has no more bits; a build without assertions gives zeros instead.
_SOFTMAX_LIMIT = 512


def random_values(tensor: TfliteTensor) -> np.ndarray:
    """Return values for a tensor: normally distributed floats, uniform int8 or uint8, or zeros for other types."""
    rng = np.random.default_rng(0)
    if tensor.dtype.kind == "f":
        return rng.standard_normal(tensor.shape).astype(tensor.dtype)
    if tensor.dtype in (np.int8, np.uint8):
        limits = np.iinfo(tensor.dtype)
        return rng.integers(limits.min, limits.max, tensor.shape, dtype=tensor.dtype, endpoint=True)
    return np.zeros(tensor.shape, tensor.dtype)


def random_inputs(model: TfliteModel) -> list[np.ndarray]:
    """Return `random_values` for all inputs of a model; none if one of them is text."""
    if any(tensor.dtype.hasobject for tensor in model.inputs):
        return []
    return [random_values(tensor) for tensor in model.inputs]


def refused_layers(model: TfliteModel, process: TflmProcess, problem: str) -> Mapping[int, str]:
    """Find all layers that TFLM rejects, by running each layer as a separate model.

    Args:
        model: The model.
        process: Process to use; holds another model afterwards.
        problem: Message of TFLM for the whole model; may name a layer that failed.

    Returns:
        The reasons by layer index; empty if TFLM accepts each layer separately.
    """
    failed = _FAILED_NODE.search(problem)
    # What is accepted may still fail, or crash, when it runs.
    for invoke in (False, True):
        reasons = {}
        for layer in model.layers:
            if invoke and not stands_alone(layer):
                continue
            process.load(cut(model, [layer], layer.outputs))
            reason = process.attempt(invoke=invoke).problem
            if reason is None and failed is not None and int(failed[1]) == layer.index:
                reason = problem
            if reason is not None:
                # The node number refers to the separate model.
                reasons[layer.index] = _clarify(layer, _FAILED_NODE.sub("", reason) or reason)
        if reasons:
            break
    return reasons


def stands_alone(layer: TfliteLayer) -> bool:
    """Return whether a layer runs without others: those with handles of variables do not."""
    return bool(layer.outputs) and not any(t.dtype.hasobject for t in [*layer.inputs, *layer.outputs])


def _clarify(layer: TfliteLayer, reason: str) -> str:
    """Return the reason in words that say what to do, where TFLM's do not."""
    quantized = [tensor for tensor in layer.inputs if tensor.quantization.n_channels]
    if any(tensor.dtype_str == "uint8" for tensor in quantized) and not _is_missing(reason):
        return "uint8 is not supported by the kernels of TensorFlow Lite Micro; int8 is"
    if layer.opcode_str == "softmax" and _crashed(reason) and layer.outputs[0].shape[-1] >= _SOFTMAX_LIMIT:
        return (
            f"its kernel aborts for scores whose exponentials, the largest of which is 1, add up to {_SOFTMAX_LIMIT} "
            f"or more, as {layer.outputs[0].shape[-1]} similar scores do; leave out the softmax or use fewer classes"
        )
    return reason


def _is_missing(reason: str) -> bool:
    """Return whether TFLM has no kernel of this name at all."""
    return "Didn't find op" in reason or "registration" in reason


def _crashed(reason: str) -> bool:
    return "crashed its process" in reason


def check(model: TfliteModel, process: TflmProcess) -> None:
    """Check that TFLM accepts a model.

    Args:
        model: The model.
        process: Process that has loaded the model.

    Raises:
        TflmError: TFLM rejects the model; the message names the rejected layers.
    """
    problem = process.attempt(invoke=False).problem
    if problem is not None:
        raise explain(model, process, problem)


def explain(model: TfliteModel, process: TflmProcess, problem: str) -> TflmError:
    """Return the error for a model that TFLM cannot run, with the rejected layers."""
    reasons = refused_layers(model, process, problem)
    layers: dict[str, list[str]] = {}
    for index, reason in reasons.items():
        layers.setdefault(reason, []).append(model.layers[index].name)
    named = "; ".join(f"{_list_names(names)}: {reason}" for reason, names in layers.items())
    error = TflmError(f"TensorFlow Lite Micro cannot run {model.source}: {named or problem}.")
    error.refused = reasons
    return error


def _list_names(names: Sequence[str]) -> str:
    if len(names) <= _MOST_NAMES:
        return ", ".join(names)
    return f"{', '.join(names[:_MOST_NAMES])} and {len(names) - _MOST_NAMES} more"
