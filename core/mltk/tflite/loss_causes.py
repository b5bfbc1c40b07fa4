"""Say in words why a layer loses by quantization, and what to do."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from mltk.tflite.layers import TfliteLayer
from mltk.tflite.tensor_statistics import TensorStatistics

_WITH_WEIGHTS = ("conv_2d", "depthwise_conv_2d", "fully_connected", "transpose_conv")
SQUASHING = ("softmax", "logistic", "tanh", "log_softmax")
"""Operators whose outputs have a fixed range."""
_JOINING = ("concatenation", "maximum", "minimum", "pack", "select", "select_v2")

_NOTABLE = 10**-3
"""Errors below this share of the power of the values (30 dB) are those of any int8 layer."""
_LARGE = 10**-2
"""Errors above this share of the power of the values (20 dB) need an explanation."""
_OUTLYING = 4
"""Values are outliers if they are this many times as large as 99.9 % of all, or weights as those of other channels."""
_FEW_STEPS = 8
"""A scale is coarse if the root mean square of the values is fewer steps."""
_WIDE_STEP = 0.25
"""A step of the input of softmax or sigmoid that changes its output by more than a fifth."""


@dataclass(frozen=True)
class Findings:
    """What is known of a layer."""

    layer: TfliteLayer
    twin: TfliteLayer | None
    """The same layer of the float model."""
    readers: Sequence[str]
    """The operators that read its output."""
    output: TensorStatistics
    inputs: Sequence[TensorStatistics]
    added: float
    """Power of the errors that the layer adds over that of its float values."""


def explain(found: Findings) -> Iterator[tuple[str, str]]:
    """Yield causes of a layer's loss, and what to do about each: the most certain ones first."""
    if found.added > _NOTABLE:
        checks = (_saturation, _coarse_input, _bias, _weights, _outliers, _coarse_scale, _cancellation)
        causes = [cause for check in checks for cause in check(found)]
        if not causes and found.added > _LARGE:
            causes = [
                (
                    "the steps of its numbers are coarse for it",
                    "Widen the layer, or train so that noise matters less (regularization, dropout)",
                )
            ]
        yield from causes[:2]
    yield from _dead_channels(found)


def _saturation(found: Findings) -> Iterator[tuple[str, str]]:
    output = found.output
    if output.beyond and output.noise_beyond > 0.3 and output.minimum is not None:
        assert output.maximum is not None
        yield (
            f"saturation: {output.beyond:.1%} of the values are outside of its range, {output.low:.3g} to "
            f"{output.high:.3g}; they reach from {output.minimum.min():.3g} to {output.maximum.max():.3g}",
            "Calibrate with data like those that the model meets (representative_dataset and "
            "representative_dataset_max_samples of my_model.tflite_converter)",
        )


def _coarse_input(found: Findings) -> Iterator[tuple[str, str]]:
    if found.layer.opcode_str not in SQUASHING or not found.inputs:
        return
    given = found.inputs[0]
    if given.step > _WIDE_STEP:
        yield (
            f"its input has the range {given.low:.3g} to {given.high:.3g}, so that a step is {given.step:.2g}, too "
            f"coarse for {found.layer.opcode_str}",
            "Keep the numbers before it small: label smoothing, weight decay, or batch normalization",
        )
    elif given.beyond:
        yield (
            f"its input is too narrow: {given.beyond:.1%} of the values are outside of {given.low:.3g} to "
            f"{given.high:.3g}",
            "Calibrate with data like those that the model meets",
        )


def _bias(found: Findings) -> Iterator[tuple[str, str]]:
    if found.layer.opcode_str not in _WITH_WEIGHTS or len(found.layer.inputs) < 3:
        return
    bias = found.layer.inputs[2]
    exact = found.twin.inputs[2] if found.twin is not None and len(found.twin.inputs) == 3 else None
    if (
        exact is None
        or not exact.is_constant
        or not bias.is_constant
        or exact.shape.flat_size != bias.shape.flat_size
    ):
        return
    scales = np.asarray(bias.quantization.scale or [1.0])
    off = np.abs(exact.data.reshape(-1) - bias.data.reshape(-1) * scales).max() / found.output.step
    if off > 0.5:
        yield (
            f"the scale of its bias is too coarse: the bias is off by up to {off:.1f} steps of the output",
            "Scale the inputs of the layer to a smaller range, for example by batch normalization before it",
        )


def _weights(found: Findings) -> Iterator[tuple[str, str]]:
    if found.layer.opcode_str not in _WITH_WEIGHTS or len(found.layer.inputs) < 2:
        return
    weights = found.layer.inputs[1]
    if not weights.is_constant or weights.quantization.n_channels != 1:
        return
    axis = tuple(range(1, len(weights.shape)))
    largest = np.abs(weights.data.astype(np.int32)).max(axis=axis)
    usual = float(np.median(largest))
    if largest.max() > _OUTLYING * max(usual, 1.0):
        yield (
            f"outliers in a channel: the weights of channel {int(largest.argmax())} are "
            f"{largest.max() / max(usual, 1.0):.0f} times as large as those of most, and all share one scale",
            "Set my_model.tflite_converter['dense_per_channel'] = True, or use weight decay or a kernel constraint",
        )


def _outliers(found: Findings) -> Iterator[tuple[str, str]]:
    output = found.output
    if output.minimum is None or output.maximum is None or not output.usual:
        return
    largest = np.maximum(np.abs(output.minimum), np.abs(output.maximum))
    if largest.max() > _OUTLYING * output.usual:
        yield (
            f"outliers in channel {int(largest.argmax())}: values up to {largest.max():.3g}, while 99.9 % are below "
            f"{output.usual:.3g}",
            "Limit the outputs (ReLU6, batch normalization, weight decay), or leave unusual samples out of the "
            "representative data",
        )


def _coarse_scale(found: Findings) -> Iterator[tuple[str, str]]:
    output = found.output
    if output.rms >= _FEW_STEPS * output.step:
        return
    steps = output.rms / output.step
    if joining := [name for name in (found.layer.opcode_str, *found.readers) if name in _JOINING]:
        yield (
            f"scale too coarse: {joining[0]} needs one scale for inputs of different ranges, and these values are "
            f"{steps:.2g} steps in size",
            f"Bring the inputs of {joining[0]} to similar ranges, for example by batch normalization",
        )
    else:
        yield (
            f"scale too coarse: its values are {steps:.2g} steps in size (root mean square) of the range "
            f"{output.low:.3g} to {output.high:.3g}",
            "Narrow the range: batch normalization, ReLU6, weight decay; or input_range, if it is the input's",
        )


def _cancellation(found: Findings) -> Iterator[tuple[str, str]]:
    if found.layer.opcode_str not in ("add", "sub") or len(found.inputs) < 2:
        return
    larger = max(one.rms for one in found.inputs)
    if larger > _OUTLYING * found.output.rms:
        yield (
            f"it is a difference of nearly equal numbers, {larger / found.output.rms:.0f} times as large as itself",
            "Normalize before the layer, or let it have inputs of which less cancels",
        )


def _dead_channels(found: Findings) -> Iterator[tuple[str, str]]:
    output = found.output
    if found.layer.opcode_str not in _WITH_WEIGHTS or output.minimum is None or output.maximum is None:
        return
    constant = np.flatnonzero(output.maximum == output.minimum)
    if len(constant) and len(output.minimum) > 1:
        first = ", ".join(str(i) for i in constant[:5]) + (", …" if len(constant) > 5 else "")
        yield (
            f"{len(constant)} of its {len(output.minimum)} channels are constant in all samples ({first})",
            "They cost memory and time for nothing: use fewer channels, or a smaller learning rate",
        )
