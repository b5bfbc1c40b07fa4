"""Random inputs for models, and detection of layers that TensorFlow Lite Micro rejects."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from mltk_plugin_tflm.process import TflmError, TflmProcess
from mltk_plugin_tflm.submodel import cut

if TYPE_CHECKING:
    from mltk.tflite import TfliteModel, TfliteTensor

_FAILED_NODE = re.compile(r"(?:; )?Node \w+ \(number (\d+)\) failed to \w+ with status \d+")


def random_values(tensor: TfliteTensor) -> np.ndarray:
    """Return values for a tensor: normally distributed floats, uniform int8 or uint8, or zeros for other types."""
    rng = np.random.default_rng(0)
    if tensor.dtype.kind == "f":
        return rng.standard_normal(tensor.shape).astype(tensor.dtype)
    if tensor.dtype in (np.int8, np.uint8):
        limits = np.iinfo(tensor.dtype)
        return rng.integers(limits.min, limits.max, tensor.shape, dtype=tensor.dtype, endpoint=True)
    return np.zeros(tensor.shape, tensor.dtype)


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
    reasons = {}
    for layer in model.layers:
        process.load(cut(model, [layer], layer.outputs))
        reason = process.attempt(invoke=False).problem
        if reason is None and failed is not None and int(failed[1]) == layer.index:
            reason = problem
        if reason is not None:
            # The node number refers to the separate model.
            reasons[layer.index] = _FAILED_NODE.sub("", reason) or reason
    return reasons


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
    named = "; ".join(f"{model.layers[index].name}: {reason}" for index, reason in reasons.items())
    return TflmError(f"TensorFlow Lite Micro cannot run {model.source}: {named or problem}.")
