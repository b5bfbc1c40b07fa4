"""The profiler `tflm`: what a model needs, by TensorFlow Lite Micro itself."""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from typing import TYPE_CHECKING

from mltk.results.profiling import ProfilingLayerResult, ProfilingModelResults
from mltk_plugin_tflm.arena import measure_memory
from mltk_plugin_tflm.process import TflmError, TflmProcess
from mltk_plugin_tflm.submodel import cut, layer_inputs, open_inputs
from mltk_plugin_tflm.support import random_values, refused_layers

if TYPE_CHECKING:
    import numpy as np

    from mltk.tflite import TfliteModel

_SECONDS = 0.2
"""About how long the model is run to time it; its layers by themselves take as long again."""


def profile(model: TfliteModel) -> ProfilingModelResults:
    """Profile a model with TFLM's reference kernels on this computer.

    The memory is TFLM's own figure. For its time each layer is run as a model of its own, with the values that it
    gets in an inference of the whole model on random input.

    Returns:
        Where TFLM does not run the model, memory and times are absent, and the layers that it refuses are marked.

    Raises:
        TflmError: TFLM does not run the model although it refuses no layer, or `tflite-micro` is not there.
    """
    with TflmProcess(model) as process:
        try:
            memory = measure_memory(model, process)
        except TflmError as error:
            refused = refused_layers(model, process, str(error))
            if not refused:
                raise
            layers = [
                ProfilingLayerResult.from_layer(
                    layer, supported=layer.index not in refused, error_msg=refused.get(layer.index)
                )
                for layer in model.layers
            ]
            return ProfilingModelResults(model, "simulated", layers, platform=_platform())
        inputs = [random_values(tensor) for tensor in model.inputs]
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
    """Return the seconds of the layers that run by themselves."""
    tensors = {tensor.index: tensor for layer in model.layers for tensor in layer_inputs(layer)}
    process.open(preserve=True)
    values = dict(zip(tensors, process.trace(inputs, list(tensors)), strict=True))
    times = {}
    for layer in model.layers:
        process.load(cut(model, [layer], layer.outputs))
        taken = [values[tensor.index] for tensor in open_inputs([layer])]
        seconds = process.attempt(inputs=taken, seconds=_SECONDS / len(model.layers)).seconds
        if seconds is not None:
            times[layer.index] = seconds
    return times
