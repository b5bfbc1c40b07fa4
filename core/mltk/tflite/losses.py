"""Compare a quantized model with the float model that it was made of, layer by layer."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mltk.tflite.layers import TfliteLayer
from mltk.tflite.loss_causes import SQUASHING, Findings, explain
from mltk.tflite.model import TfliteModel
from mltk.tflite.runner import GraphRunner
from mltk.tflite.tensor_statistics import TensorStatistics
from mltk.tflite.tensors import TfliteTensor, to_tensor_dtype
from mltk.utils.string_formatting import format_table

# A few samples tell; all values of one sample are in memory at a time.
_SAMPLES = 8
_VALUES = 20_000_000
"""Values of tensors that are compared in all, for networks with large activations."""
_LOW_DB = 10.0
"""A layer loses a lot if it alone leaves this signal-to-noise ratio."""


@dataclass(frozen=True)
class LayerLoss:
    """What the output of a layer loses by quantization."""

    index: int
    """Index of the layer in the quantized model."""
    name: str
    """Operator, and where known the name of the Keras layer: `conv_2d conv2d_1`."""
    snr_db: float
    """Signal-to-noise ratio of the output: power of the float values over that of the errors, in dB."""
    added: float
    """Power of the errors over that of the float values (the median of the channels), less that of the inputs."""
    causes: tuple[tuple[str, str], ...]
    """What is wrong and what to do, in words."""

    @property
    def own_snr_db(self) -> float:
        """Signal-to-noise ratio that the layer would have with exact inputs, in dB; estimated."""
        return -10 * math.log10(self.added) if self.added > 0 else math.inf

    @property
    def is_severe(self) -> bool:
        """Whether the layer loses a lot."""
        return self.own_snr_db < _LOW_DB

    def __str__(self) -> str:
        cause = f": {self.causes[0][0]}" if self.causes else ""
        return f"layer {self.index} ({self.name}) loses, its own SNR is {_in_db(self.own_snr_db)} dB{cause}"


def find_losses(
    model: TfliteModel, floating: TfliteModel, samples: Sequence[Sequence[np.ndarray]]
) -> list[LayerLoss]:
    """Run both models on a few samples and compare the outputs of their layers.

    Args:
        model: The quantized model.
        floating: The same network in float32. Tensors with the same name hold the same.
        samples: Samples as lists of one array, with a batch axis of 1, for each input; evenly spaced ones are used.

    Returns:
        The layers with a quantized output that the float model has too, those that lose most first.

    Raises:
        EvaluationError: LiteRT cannot run a model.
        ValueError: Shapes vary from sample to sample.
    """
    pairs = _match(model, floating)
    size = sum(tensor.shape.flat_size for tensor, _ in pairs.values())
    count = max(1, min(_SAMPLES, len(samples), _VALUES // max(size, 1)))
    chosen = [samples[i] for i in np.linspace(0, len(samples) - 1, count).astype(int)]
    statistics = {index: TensorStatistics(tensor) for index, (tensor, _) in pairs.items()}
    mine, theirs = (GraphRunner(each, num_threads=1, preserve=True) for each in (model, floating))
    for sample in chosen:
        integers = mine.trace(_fill_in(model, sample), list(pairs))
        floats = theirs.trace(_fill_in(floating, sample), [twin.index for _, twin in pairs.values()])
        for index, exact, held in zip(pairs, floats, integers, strict=True):
            statistics[index].add(exact, held)
    twins = {_output(layer).index: layer for layer in floating.layers if layer.outputs}
    losses = [
        _measure(model, layer, twins.get(pairs[_output(layer).index][1].index), statistics)
        for layer in model.layers
        if layer.outputs and _output(layer).index in statistics
    ]
    return sorted(losses, key=lambda loss: (-loss.added, loss.index))


def format_losses(losses: Sequence[LayerLoss]) -> str:
    """Return the table of layers, those that lose most first, followed by causes and what to do."""
    rows = [[str(loss.index), loss.name, _in_db(loss.snr_db), _in_db(loss.own_snr_db)] for loss in losses]
    lines = [format_table(["Index", "Layer", "SNR (dB)", "Own SNR (dB)"], rows)]
    for loss in losses:
        lines += [f"Layer {loss.index} ({loss.name}): {cause}. {advice}" for cause, advice in loss.causes]
    return "\n".join(lines)


def _fill_in(model: TfliteModel, sample: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Return a sample in the types and shapes of a model's inputs."""
    return [
        to_tensor_dtype(np.asarray(array), tensor).reshape(tensor.shape)
        for tensor, array in zip(model.inputs, sample, strict=True)
    ]


def _in_db(value: float) -> str:
    # Not -0.0.
    return f"{value + 0.0:.1f}" if math.isfinite(value) else "-"


def _output(layer: TfliteLayer) -> TfliteTensor:
    return layer.outputs[0]


def _match(model: TfliteModel, floating: TfliteModel) -> dict[int, tuple[TfliteTensor, TfliteTensor]]:
    """Return the activations of a quantized model with their counterparts, by tensor index."""
    named = {tensor.name: tensor for layer in floating.layers for tensor in layer.outputs}
    pairs = {
        mine.index: (mine, theirs)
        for mine, theirs in [
            *zip(model.inputs, floating.inputs, strict=False),
            *((t, named[t.name]) for layer in model.layers for t in layer.outputs if t.name in named),
        ]
    }
    # What QUANTIZE and DEQUANTIZE give is what they get.
    for layer in model.layers:
        if layer.opcode_str == "quantize" and layer.inputs[0].index in pairs:
            pairs.setdefault(_output(layer).index, (_output(layer), pairs[layer.inputs[0].index][1]))
    for layer in reversed(model.layers):
        if layer.opcode_str == "dequantize" and _output(layer).index in pairs:
            pairs.setdefault(layer.inputs[0].index, (layer.inputs[0], pairs[_output(layer).index][1]))
    return {
        index: (mine, theirs)
        for index, (mine, theirs) in pairs.items()
        if mine.quantization.n_channels == 1 and mine.dtype.kind in "iu" and theirs.dtype == np.float32
        if mine.shape.flat_size == theirs.shape.flat_size
    }


def _measure(
    model: TfliteModel,
    layer: TfliteLayer,
    twin: TfliteLayer | None,
    statistics: dict[int, TensorStatistics],
) -> LayerLoss:
    output = statistics[_output(layer).index]
    inputs = [statistics[tensor.index] for tensor in layer.inputs if tensor.index in statistics]
    # Most classes have nearly no probability, and no channel is to hold it.
    ratio = output.noise_ratio if layer.opcode_str in SQUASHING else output.channel_noise_ratio
    added = max(0.0, ratio - max((one.channel_noise_ratio for one in inputs), default=0.0))
    readers = [one for one in model.layers if any(t.index == _output(layer).index for t in one.inputs)]
    findings = Findings(layer, twin, [one.opcode_str for one in readers], output, inputs, added)
    parts = [part for part in _output(layer).name.split(";")[0].split("/") if part]
    # `m_1/functional_1/conv2d_1/Relu` is the output of the Keras layer `conv2d_1`.
    # Keras' second call of a layer, which is the converted one, adds `_1`.
    name = f"{layer.opcode_str} {parts[-2].removesuffix('_1')}" if len(parts) > 1 else layer.opcode_str
    return LayerLoss(layer.index, name, output.snr_db, added, tuple(explain(findings)))
