"""Values to try a model with, and which of its layers TensorFlow Lite Micro refuses."""

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
    """Return values for a tensor: normally distributed or all integers of a byte, and 0 for indices and the like."""
    rng = np.random.default_rng(0)
    if tensor.dtype.kind == "f":
        return rng.standard_normal(tensor.shape).astype(tensor.dtype)
    if tensor.dtype in (np.int8, np.uint8):
        limits = np.iinfo(tensor.dtype)
        return rng.integers(limits.min, limits.max, tensor.shape, dtype=tensor.dtype, endpoint=True)
    return np.zeros(tensor.shape, tensor.dtype)


def refused_layers(model: TfliteModel, process: TflmProcess, problem: str) -> Mapping[int, str]:
    """Find the layers that TFLM refuses: each is tried alone, as it stops at the first one of the model.

    Args:
        model: The model.
        process: Where to try; has another model afterwards.
        problem: What TFLM said of the whole model; it names a layer that failed while it ran.

    Returns:
        The reasons by the number of the layer; empty if it takes each layer by itself.
    """
    failed = _FAILED_NODE.search(problem)
    reasons = {}
    for layer in model.layers:
        process.load(cut(model, [layer], layer.outputs))
        reason = process.attempt(invoke=False).problem
        if reason is None and failed is not None and int(failed[1]) == layer.index:
            reason = problem
        if reason is not None:
            # The number is that of the part; the layer's own is known here.
            reasons[layer.index] = _FAILED_NODE.sub("", reason) or reason
    return reasons


def check(model: TfliteModel, process: TflmProcess) -> None:
    """Prepare a model, so that what is wrong with it is told by its layers.

    Args:
        model: The model.
        process: Has it loaded.

    Raises:
        TflmError: TFLM does not take it; the message names the layers that it refuses.
    """
    problem = process.attempt(invoke=False).problem
    if problem is not None:
        raise explained(model, process, problem)


def explained(model: TfliteModel, process: TflmProcess, problem: str) -> TflmError:
    """Return the error for a model that TFLM does not run, with the layers that it refuses where it refuses some."""
    reasons = refused_layers(model, process, problem)
    named = "; ".join(f"{model.layers[index].name}: {reason}" for index, reason in reasons.items())
    return TflmError(f"TensorFlow Lite Micro cannot run {model.source}: {named or problem}.")
