"""The profiler `tflm`: memory, layer support and times with TensorFlow Lite Micro."""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from typing import TYPE_CHECKING

from mltk.results.profiling import ProfilingLayerResult, ProfilingModelResults
from mltk_plugin_tflm.arena import measure_memory
from mltk_plugin_tflm.process import TflmError, TflmProcess
from mltk_plugin_tflm.submodel import cut, layer_inputs, open_inputs
from mltk_plugin_tflm.support import random_inputs, stands_alone

if TYPE_CHECKING:
    import numpy as np

    from mltk.tflite import TfliteModel

_SECONDS = 0.2
"""Approximate time to measure the model; measuring its layers takes the same time again."""


def profile(model: TfliteModel) -> ProfilingModelResults:
    """Profile a model with the reference kernels of TFLM on this computer.

    TFLM reports the memory. The time of a layer is measured by running it as a separate model, with its inputs from an
    inference of the model on random data.

    Returns:
        The profile. If TFLM rejects layers, these are marked, and memory and times are missing.

    Raises:
        TflmError: TFLM cannot run the model but rejects no layer, or `tflite-micro` cannot be imported.
    """
    with TflmProcess(model) as process:
        try:
            memory = measure_memory(model, process)
        except TflmError as error:
            refused = error.refused
            if not refused:
                raise
            layers = [
                ProfilingLayerResult.from_layer(
                    layer, supported=layer.index not in refused, error_msg=refused.get(layer.index)
                )
                for layer in model.layers
            ]
            return ProfilingModelResults(model, "simulated", layers, platform=_platform())
        inputs = random_inputs(model)
        time = process.attempt(inputs=inputs, seconds=_SECONDS).seconds
        times = _time_layers(model, inputs, process)
    return ProfilingModelResults(
        model,
        "simulated",
        [
            ProfilingLayerResult.from_layer(layer, supported=True, host_time=times.get(layer.index))
            for layer in model.layers
        ],
        platform=_platform(),
        memory=memory,
        totals={} if time is None else {"host_time": time},
    )


def _platform() -> str:
    return f"TensorFlow Lite Micro {version('tflite-micro')}, reference kernels, {platform.machine()}"


def _time_layers(
    model: TfliteModel, inputs: Sequence[np.ndarray], process: TflmProcess
) -> Mapping[int, float]:
    """Measure the time of each layer that can run separately, in seconds."""
    # Layers with handles of variables cannot run without those that make these.
    tensors = {
        tensor.index: tensor
        for layer in model.layers
        for tensor in layer_inputs(layer)
        if not tensor.dtype.hasobject
    }
    process.open(preserve=True)
    values = dict(zip(tensors, process.trace(inputs, list(tensors)), strict=True))
    times = {}
    for layer in model.layers:
        if not stands_alone(layer):
            continue
        process.load(cut(model, [layer], layer.outputs))
        taken = [values[tensor.index] for tensor in open_inputs([layer])]
        seconds = process.attempt(inputs=taken, seconds=_SECONDS / len(model.layers)).seconds
        if seconds is not None:
            times[layer.index] = seconds
    return times
