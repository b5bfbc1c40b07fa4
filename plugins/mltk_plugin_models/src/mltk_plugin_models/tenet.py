"""TENet, a network for keyword spotting with convolutions along time only.

Li, Wei and Qin, "Small-Footprint Keyword Spotting with Multi-Scale Temporal Convolution", Interspeech 2020
(arXiv:2010.09960). This module imports Keras.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from operator import add
from typing import TypeAlias, TypedDict, Unpack

import keras  # noqa: TID253 - the layer below derives from Keras'
import numpy as np

from mltk_plugin_models._blocks import batch_norm, classifier, conv_bn

Network: TypeAlias = keras.Model | keras.KerasTensor
_Shape: TypeAlias = Sequence[int] | None

_MULTIPLE_SCALES = (9, 7, 5, 3)


@keras.saving.register_keras_serializable("mltk_plugin_models")
class MultiScaleTemporalConvolution(keras.layers.Layer):
    """The sum of depthwise convolutions with several kernel lengths along time.

    Several kernels train better than one. As their sum is a convolution too, `fuse` merges them for the device.

    Args:
        stride: Stride along both axes.
        scales: Kernel lengths: odd numbers, at least 3; or a number for a single kernel.
        **kwargs: Arguments of `keras.layers.Layer`.

    Input and output have shape (batch, time, 1, channels), with `ceil(time / stride)` steps in the output.

    Raises:
        ValueError: A scale is even or below 3.
    """

    def __init__(self, stride: int = 1, scales: int | Sequence[int] | None = None, **kwargs: object) -> None:
        super().__init__(**kwargs)
        self.stride = stride
        self.scales = [scales] if isinstance(scales, int) else list(scales or sorted(_MULTIPLE_SCALES))
        wrong = [scale for scale in self.scales if scale < 3 or scale % 2 == 0]
        if wrong:
            raise ValueError(f"scales must be odd numbers, at least 3, got {', '.join(map(str, wrong))}.")
        self.temporal_convolutions = [self._convolution(scale) for scale in self.scales]

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Create the kernels."""
        for convolution in self.temporal_convolutions:
            convolution.build(input_shape)

    def call(self, inputs: keras.KerasTensor) -> keras.KerasTensor:
        """Return the sum of the convolutions."""
        return reduce(add, [convolution(inputs) for convolution in self.temporal_convolutions])

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """Return the output shape."""
        return tuple(self.temporal_convolutions[0].compute_output_shape(input_shape))

    def get_config(self) -> dict[str, object]:
        """Return the configuration of the layer."""
        return {**super().get_config(), "stride": self.stride, "scales": list(self.scales)}

    def fused(self) -> keras.layers.DepthwiseConv2D:
        """Return a new depthwise convolution that is equivalent to this layer.

        Raises:
            ValueError: The layer is not built, or its stride exceeds its shortest kernel.
        """
        if not self.built:
            raise ValueError(f"The layer '{self.name}' has no kernels yet: build the model first.")
        if self.stride > min(self.scales):
            # The padding of the kernels would differ, and so would the positions of their windows.
            raise ValueError(f"The stride {self.stride} exceeds the shortest kernel, {min(self.scales)}.")
        longest = max(self.scales)
        kernels = []
        for scale, convolution in zip(self.scales, self.temporal_convolutions, strict=True):
            margin = (longest - scale) // 2
            kernels.append(np.pad(convolution.get_weights()[0], [(margin, margin), *3 * [(0, 0)]]))
        kernel = np.sum(kernels, axis=0)
        fused = self._convolution(longest)
        fused.build((None, None, 1, kernel.shape[2]))
        fused.set_weights([kernel])
        return fused

    def fuse(self) -> None:
        """Replace the convolutions by an equivalent one.

        Compile the model again before you train it further.

        Raises:
            ValueError: See `fused`.
        """
        kernel = self.fused().get_weights()
        longest = self.scales.index(max(self.scales))
        for convolution in [c for i, c in enumerate(self.temporal_convolutions) if i != longest]:
            # Functions of the model that TensorFlow has compiled still add this convolution.
            convolution.set_weights([np.zeros_like(convolution.get_weights()[0])])
            self.temporal_convolutions.remove(convolution)
        self.temporal_convolutions[0].set_weights(kernel)
        self.scales = [max(self.scales)]

    def _convolution(self, scale: int) -> keras.layers.DepthwiseConv2D:
        return keras.layers.DepthwiseConv2D(
            (scale, 1),
            strides=self.stride,
            padding="same",
            use_bias=False,
            dtype=self.dtype_policy,
            name=f"scale{scale}",
        )


def fuse(keras_model: keras.Model) -> None:
    """Fuse every `MultiScaleTemporalConvolution` of a model, including nested models.

    Raises:
        ValueError: See `MultiScaleTemporalConvolution.fused`.
    """
    for layer in keras_model.layers:
        if isinstance(layer, MultiScaleTemporalConvolution):
            layer.fuse()
        elif isinstance(layer, keras.Model):
            fuse(layer)


def InvertedBottleneckBlock(  # noqa: N802 - the name specifications use
    x: keras.KerasTensor,
    channels: int,
    stride: int,
    expansion_ratio: float = 3,
    scales: Sequence[int] | None = None,
    name: str | None = None,
) -> keras.KerasTensor:
    """Apply an expansion, a convolution along time and a projection, and add the input.

    Args:
        x: Tensor of shape (batch, time, 1, channels).
        channels: Number of output channels; with stride 1, the same as in `x`.
        stride: Stride along time; if greater than 1, the shortcut has a convolution.
        expansion_ratio: Number of expanded channels relative to `channels`.
        scales: Kernel lengths along time; `None` for one kernel of 9.
        name: Prefix of the layer names; chosen by Keras by default.

    Returns:
        Tensor of shape (batch, ceil(time / stride), 1, channels).

    Raises:
        ValueError: `x` has a wrong shape.
    """
    shape = tuple(x.shape)
    if len(shape) != 4 or shape[2] != 1:
        raise ValueError(f"The input must have shape (batch, time, 1, channels), got {shape}.")
    if stride == 1 and shape[-1] != channels:
        raise ValueError(f"With stride 1 the input must have {channels} channels, got {shape[-1]}.")

    def part(suffix: str) -> str | None:
        return name and f"{name}_{suffix}"

    y = conv_bn(x, int(channels * expansion_ratio), name=part("expand"), use_bias=False)
    y = MultiScaleTemporalConvolution(stride, scales or [max(_MULTIPLE_SCALES)], name=part("time"))(y)
    y = batch_norm(y, name=part("time"))
    y = conv_bn(y, channels, relu=False, name=part("contract"), use_bias=False)
    if stride > 1:
        x = conv_bn(x, channels, strides=stride, name=part("residual"), use_bias=False)
    return keras.layers.ReLU(name=part("relu"))(keras.layers.Add(name=part("add"))([y, x]))


class TENetSettings(TypedDict, total=False):
    """Arguments of `TENet` besides the shape and the classes."""

    channels: int
    blocks: int
    block_depth: int
    scales: Sequence[int]
    channel_increase: float
    include_head: bool
    return_model: bool
    input_layer: keras.KerasTensor | None
    dropout: float


def TENet(  # noqa: N802 - the name specifications use
    input_shape: Sequence[int] | None,
    classes: int,
    channels: int = 32,
    blocks: int = 3,
    block_depth: int = 4,
    scales: Sequence[int] = (9,),
    channel_increase: float = 0.0,
    include_head: bool = True,
    return_model: bool = True,
    input_layer: keras.KerasTensor | None = None,
    dropout: float = 0.1,
) -> Network:
    """Build a TENet: one convolution and blocks of inverted bottlenecks; each block halves the time axis.

    Args:
        input_shape: Time steps, 1, features. Not used with `input_layer`.
        classes: Number of classes.
        channels: Channels of the first convolution and the bottlenecks.
        blocks: Number of blocks.
        block_depth: Bottlenecks per block.
        scales: Kernel lengths along time: odd numbers, at least 3.
        channel_increase: Additional channels of each block, as a fraction of `channels`.
        include_head: Add average pooling over time, dropout and a dense layer.
        return_model: Return a model instead of the output tensor.
        input_layer: Input tensor, instead of a new input.
        dropout: Dropout rate, 0 to 1.

    Returns:
        The uncompiled model or its output: probabilities (batch, classes), or the last feature map
        (batch, time, 1, channels).

    Raises:
        ValueError: The input has a wrong shape.
    """
    inputs = keras.Input(tuple(input_shape or ())) if input_layer is None else input_layer
    if len(inputs.shape) != 4 or inputs.shape[2] != 1:
        raise ValueError(f"The input must have shape (time, 1, features), got {tuple(inputs.shape[1:])}.")
    # Names are unique per model, so layers that become part of another model get none.
    x = conv_bn(inputs, channels, (3, 1), relu=False, name="conv" if return_model else None)
    for block in range(1, blocks + 1):
        width = int(channels * (1 + channel_increase * block))
        for i in range(block_depth):
            name = f"block{block}_{i + 1}" if return_model else None
            x = InvertedBottleneckBlock(x, width, 1 if i else 2, scales=scales, name=name)
    if include_head:
        x = classifier(x, classes, (x.shape[1], 1), dropout=dropout)
    return keras.Model(inputs, x, name="TENet") if return_model else x


def TENet6(input_shape: _Shape, classes: int, mtconv: bool = False, **more: Unpack[TENetSettings]) -> Network:  # noqa: N802
    """Build a TENet with 3 blocks of 2 bottlenecks and 32 channels.

    Args:
        input_shape: See `TENet`.
        classes: See `TENet`.
        mtconv: Use kernels of lengths 9, 7, 5 and 3 instead of 9 only.
        **more: Further arguments of `TENet`; they take precedence over the preset.
    """
    return _build_preset(input_shape, classes, mtconv, more, block_depth=2)


def TENet12(  # noqa: N802 - the name specifications use
    input_shape: _Shape, classes: int, mtconv: bool = False, **more: Unpack[TENetSettings]
) -> Network:
    """Build a TENet with 3 blocks of 4 bottlenecks and 32 channels. See `TENet6`."""
    return _build_preset(input_shape, classes, mtconv, more)


def TENet6Narrow(  # noqa: N802 - the name specifications use
    input_shape: _Shape, classes: int, mtconv: bool = False, **more: Unpack[TENetSettings]
) -> Network:
    """Build a TENet with 3 blocks of 2 bottlenecks and 16 channels. See `TENet6`."""
    return _build_preset(input_shape, classes, mtconv, more, block_depth=2, channels=16)


def TENet12Narrow(  # noqa: N802 - the name specifications use
    input_shape: _Shape, classes: int, mtconv: bool = False, **more: Unpack[TENetSettings]
) -> Network:
    """Build a TENet with 3 blocks of 4 bottlenecks and 16 channels. See `TENet6`."""
    return _build_preset(input_shape, classes, mtconv, more, channels=16)


def HFTENet12(  # noqa: N802 - the name specifications use
    input_shape: _Shape, classes: int, mtconv: bool = False, **more: Unpack[TENetSettings]
) -> Network:
    """Build a TENet12 whose channels grow by 1/8 per block. See `TENet6`."""
    return _build_preset(input_shape, classes, mtconv, more, channel_increase=0.125)


def _build_preset(
    input_shape: _Shape, classes: int, mtconv: bool, more: TENetSettings, **preset: Unpack[TENetSettings]
) -> Network:
    scales = _MULTIPLE_SCALES if mtconv else _MULTIPLE_SCALES[:1]
    chosen: TENetSettings = {"scales": scales, **preset, **more}
    return TENet(input_shape, classes, **chosen)
