"""Integers with which the int8 kernels of TensorFlow Lite Micro compute a layer.

They follow `kernel_util.cc` and `quantization_util.cc` of TensorFlow Lite, and the quantization specification,
https://ai.google.dev/edge/litert/models/quantization_spec.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Protocol, Self

import numpy as np

from mltk.errors import SpecificationError
from mltk.tflite.options import (
    TfliteConv2DLayerOptions,
    TfliteDepthwiseConv2DLayerOptions,
    TfliteFullyConnectedLayerOptions,
    TflitePool2DLayerOptions,
    TfliteTransposeConvLayerOptions,
    WithActivation,
    WithWindow,
)
from mltk.tflite.tensors import TfliteTensor
from mltk.tflite.types import TfliteActivation, TflitePadding

_CLIPPED = {
    TfliteActivation.RELU: (0.0, math.inf),
    TfliteActivation.RELU6: (0.0, 6.0),
    TfliteActivation.RELU_N1_TO_1: (-1.0, 1.0),
}
"""Range of the real numbers that a fused activation lets through."""


class KernelPadding(int):
    """Padding of a kernel: the number of a `TflitePadding`, with the elements that it adds before the input."""

    height: int
    """Rows above."""
    width: int
    """Columns to the left."""

    def __new__(cls, kind: TflitePadding, height: int = 0, width: int = 0) -> Self:  # noqa: D102 - the class says it
        padding = super().__new__(cls, kind)
        padding.height, padding.width = height, width
        return padding

    def __repr__(self) -> str:
        return f"{TflitePadding(self)} {self.height}x{self.width}"


class _Layer(Protocol):
    @property
    def name(self) -> str: ...
    @property
    def input_tensor(self) -> TfliteTensor: ...
    @property
    def output_tensor(self) -> TfliteTensor: ...


class _Filtered(_Layer, Protocol):
    @property
    def filters_tensor(self) -> TfliteTensor: ...


class _Convolution(_Filtered, Protocol):
    @property
    def options(self) -> TfliteConv2DLayerOptions: ...


class _Depthwise(_Filtered, Protocol):
    @property
    def options(self) -> TfliteDepthwiseConv2DLayerOptions: ...


class _Transposed(_Filtered, Protocol):
    @property
    def options(self) -> TfliteTransposeConvLayerOptions: ...


class _Connected(_Layer, Protocol):
    @property
    def options(self) -> TfliteFullyConnectedLayerOptions: ...
    @property
    def weights_tensor(self) -> TfliteTensor: ...


class _Pool(_Layer, Protocol):
    @property
    def options(self) -> TflitePool2DLayerOptions: ...


@dataclass
class _Clipped:
    quantized_activation_min: int = 0
    """Smallest output after the fused activation."""
    quantized_activation_max: int = 0
    """Largest output after the fused activation."""

    def _set_range(self, layer: _Layer, options: WithActivation) -> None:
        output = layer.output_tensor
        _scale(output, layer)
        low, high = _CLIPPED.get(options.activation, (-math.inf, math.inf))
        ends = output.quantization.quantize(np.array([low, high]), output.dtype)
        self.quantized_activation_min, self.quantized_activation_max = map(int, ends)


@dataclass
class _Windowed:
    padding: KernelPadding = field(default_factory=lambda: KernelPadding(TflitePadding.SAME))
    """Kind of padding, with its `height` and `width`."""
    stride_width: int = 0
    """Step of the kernel along the width."""
    stride_height: int = 0
    """Step of the kernel along the height."""

    def _set_window(
        self,
        options: WithWindow,
        image: TfliteTensor,
        kernel: tuple[int, int],
        dilation: tuple[int, int] = (1, 1),
    ) -> None:
        self.stride_height, self.stride_width = options.stride_height, options.stride_width
        strides = (self.stride_height, self.stride_width)
        same = options.padding is TflitePadding.SAME
        # A kernel that stays inside adds nothing.
        sizes = [
            max((-(-size // stride) - 1) * stride + (k - 1) * d + 1 - size, 0) // 2 if same else 0
            for size, stride, k, d in zip(image.shape[1:3], strides, kernel, dilation, strict=True)
        ]
        self.padding = KernelPadding(options.padding, *sizes)


@dataclass
class _Offset(_Clipped):
    input_offset: int = 0
    """Minus the zero point of the input."""
    weights_offset: int = 0
    """Minus the zero point of the weights."""
    output_offset: int = 0
    """The zero point of the output."""


@dataclass
class _Scaled(_Offset):
    per_channel_output_multiplier: list[int] = field(default_factory=list)
    """Multipliers of the channels, of 31 bits: the scale is `multiplier * 2 ** (shift - 31)`."""
    per_channel_output_shift: list[int] = field(default_factory=list)
    """Shifts of the channels; positive ones are to the left."""

    def _set_weights(self, layer: _Layer, weights: TfliteTensor, channels: int) -> None:
        zeros = [
            next(iter(t.quantization.zeropoint), 0)
            for t in (layer.input_tensor, weights, layer.output_tensor)
        ]
        self.input_offset, self.weights_offset, self.output_offset = -zeros[0], -zeros[1], zeros[2]
        scales = weights.quantization.scale
        if len(scales) not in (1, channels):
            raise _not_quantized(layer)
        before, after = _scale(layer.input_tensor, layer), _scale(layer.output_tensor, layer)
        parts = [_split(before * scale / after) for scale in scales] * (channels // len(scales))
        self.per_channel_output_multiplier = [multiplier for multiplier, _ in parts]
        self.per_channel_output_shift = [shift for _, shift in parts]


@dataclass
class _Convolved(_Windowed, _Scaled):
    """Integers of a layer with filters."""


@dataclass
class TfliteConvParams(_Convolved):
    """Integers of CONV_2D."""

    dilation_width_factor: int = 1
    """Distance of the kernel's columns."""
    dilation_height_factor: int = 1
    """Distance of the kernel's rows."""

    @classmethod
    def calculate(cls, layer: _Convolution) -> Self:
        """Return the integers of a layer.

        Raises:
            SpecificationError: The layer is not quantized.
        """
        return cls._of(layer, layer.filters_tensor.shape[0])

    @classmethod
    def _of(cls, layer: _Convolution, channels: int) -> Self:
        params, options = cls(), layer.options
        params.dilation_width_factor = int(options.dilationWFactor)
        params.dilation_height_factor = int(options.dilationHFactor)
        shape = layer.filters_tensor.shape
        dilation = (params.dilation_height_factor, params.dilation_width_factor)
        params._set_window(options, layer.input_tensor, (shape[1], shape[2]), dilation)
        params._set_weights(layer, layer.filters_tensor, channels)
        params._set_range(layer, options)
        return params


@dataclass
class TfliteDepthwiseConvParams(TfliteConvParams):
    """Integers of DEPTHWISE_CONV_2D."""

    depth_multiplier: int = 0
    """Output channels per input channel."""

    @classmethod
    def calculate(cls, layer: _Depthwise) -> Self:  # type: ignore[override]  # of another kind of layer
        """Return the integers of a layer (see `TfliteConvParams.calculate`)."""
        params = cls._of(layer, layer.filters_tensor.shape[3])
        params.depth_multiplier = layer.options.multiplier
        return params


@dataclass
class TfliteTransposeConvParams(_Convolved):
    """Integers of TRANSPOSE_CONV."""

    @classmethod
    def calculate(cls, layer: _Transposed) -> Self:
        """Return the integers of a layer (see `TfliteConvParams.calculate`)."""
        params, shape = cls(), layer.filters_tensor.shape
        # The kernel moves over the output.
        params._set_window(layer.options, layer.output_tensor, (shape[1], shape[2]))
        params._set_weights(layer, layer.filters_tensor, shape[0])
        params._set_range(layer, layer.options)
        return params


@dataclass
class TfliteFullyConnectedParams(_Scaled):
    """Integers of FULLY_CONNECTED."""

    output_multiplier: int = 0
    """Multiplier if the weights have one scale, else 0."""
    output_shift: int = 0
    """Shift if the weights have one scale, else 0."""

    @classmethod
    def calculate(cls, layer: _Connected) -> Self:
        """Return the integers of a layer (see `TfliteConvParams.calculate`)."""
        params, weights = cls(), layer.weights_tensor
        params._set_weights(layer, weights, weights.shape[0])
        if len(weights.quantization.scale) == 1:
            # The kernel multiplies these two as float32.
            product = np.float32(_scale(layer.input_tensor, layer)) * np.float32(_scale(weights, layer))
            scale = float(product) / _scale(layer.output_tensor, layer)
            params.output_multiplier, params.output_shift = _split(scale)
        params._set_range(layer, layer.options)
        return params


@dataclass
class TflitePoolParams(_Windowed, _Clipped):
    """Integers of AVERAGE_POOL_2D and MAX_POOL_2D."""

    @classmethod
    def calculate(cls, layer: _Pool) -> Self:
        """Return the integers of a layer (see `TfliteConvParams.calculate`)."""
        params, options = cls(), layer.options
        params._set_window(options, layer.input_tensor, (options.filter_height, options.filter_width))
        params._set_range(layer, options)
        return params


def _scale(tensor: TfliteTensor, layer: _Layer) -> float:
    if len(tensor.quantization.scale) != 1 or tensor.dtype.kind not in "iu":
        raise _not_quantized(layer)
    return tensor.quantization.scale[0]


def _not_quantized(layer: _Layer) -> SpecificationError:
    return SpecificationError(
        f"The layer {layer.name} has no integers of a kernel: its tensors are not quantized in the usual way."
    )


def _split(scale: float) -> tuple[int, int]:
    """Return a scale as a multiplier of 31 bits and a shift."""
    if scale == 0:
        return 0, 0
    mantissa, shift = math.frexp(scale)
    multiplier = math.floor(mantissa * 2**31 + 0.5)
    if multiplier == 2**31:
        multiplier, shift = multiplier // 2, shift + 1
    # Smaller scales give zero, as in the kernels.
    return (multiplier, shift) if shift >= -31 else (0, 0)
