"""TENet, a network for keyword spotting that convolves along time only.

Li, Wei and Qin, "Small-Footprint Keyword Spotting with Multi-Scale Temporal Convolution", Interspeech 2020
(arXiv:2010.09960). This module imports Keras.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from operator import add
from typing import Any

import keras  # noqa: TID253 - the layer below derives from Keras'
import numpy as np

from mltk_plugin_models._blocks import batch_norm, classifier, conv_bn

_MULTIPLE_SCALES = (9, 7, 5, 3)


@keras.saving.register_keras_serializable("mltk_plugin_models")
class MultiScaleTemporalConvolution(keras.layers.Layer):  # type: ignore[misc]
    """Depthwise convolutions of several lengths along time, summed.

    Training several kernels finds better ones; as their sum is a convolution itself, `fuse` leaves one for the device.

    Args:
        stride: Step along both axes.
        scales: Lengths of the kernels, odd numbers from 3; one number for a single kernel.
        kwargs: As of every Keras layer.

    Input and output have shape (batch, time, 1, channels), with `ceil(time / stride)` steps in the output.

    Raises:
        ValueError: A scale is even or below 3.
    """

    def __init__(self, stride: int = 1, scales: int | Sequence[int] | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.stride = stride
        self.scales = [scales] if isinstance(scales, int) else list(scales or sorted(_MULTIPLE_SCALES))
        wrong = [scale for scale in self.scales if scale < 3 or scale % 2 == 0]
        if wrong:
            raise ValueError(f"scales must be odd numbers from 3, not {', '.join(map(str, wrong))}.")
        self.temporal_convolutions = [self._convolution(scale) for scale in self.scales]

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Make the kernels."""
        for convolution in self.temporal_convolutions:
            convolution.build(input_shape)

    def call(self, inputs: Any) -> Any:
        """Return the sum of the convolutions."""
        return reduce(add, [convolution(inputs) for convolution in self.temporal_convolutions])

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> Any:
        """Return the shape of the output."""
        return self.temporal_convolutions[0].compute_output_shape(input_shape)

    def get_config(self) -> dict[str, Any]:
        """Return the arguments that make an equal layer."""
        return {**super().get_config(), "stride": self.stride, "scales": list(self.scales)}

    def fused(self) -> keras.layers.DepthwiseConv2D:
        """Return a new depthwise convolution that does what all of this layer's do together.

        Raises:
            ValueError: The layer is not built, or its stride is longer than its shortest kernel.
        """
        if not self.built:
            raise ValueError(
                f"The layer '{self.name}' has no kernels yet: call it, or build the model, first."
            )
        if self.stride > min(self.scales):
            # Then padding is cut off at 0 for some of the kernels, and their windows lie elsewhere.
            raise ValueError(
                f"A stride of {self.stride} is longer than the shortest kernel, {min(self.scales)}."
            )
        longest = max(self.scales)
        kernel: Any = 0
        for scale, convolution in zip(self.scales, self.temporal_convolutions, strict=True):
            margin = (longest - scale) // 2
            kernel = kernel + np.pad(convolution.get_weights()[0], [(margin, margin), (0, 0), (0, 0), (0, 0)])
        fused = self._convolution(longest)
        fused.build((None, None, 1, kernel.shape[2]))
        fused.set_weights([kernel])
        return fused

    def fuse(self) -> None:
        """Replace the convolutions by one that does the same; a layer with one stays as it is.

        Compile the model again before it is trained further.

        Raises:
            ValueError: As of `fused`.
        """
        kernel = self.fused().get_weights()
        longest = self.scales.index(max(self.scales))
        for convolution in [c for i, c in enumerate(self.temporal_convolutions) if i != longest]:
            # Functions of the model that TensorFlow has compiled before go on adding it.
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
    """Fuse every `MultiScaleTemporalConvolution` of a model, also of models inside it.

    Raises:
        ValueError: As of `MultiScaleTemporalConvolution.fused`.
    """
    for layer in keras_model.layers:
        if isinstance(layer, MultiScaleTemporalConvolution):
            layer.fuse()
        elif isinstance(layer, keras.Model):
            fuse(layer)


def InvertedBottleneckBlock(  # noqa: N802 - the name specifications use
    x: Any,
    channels: int,
    stride: int,
    expansion_ratio: float = 3,
    scales: Sequence[int] | None = None,
    name: str | None = None,
) -> Any:
    """Widen the channels, convolve along time, narrow the channels, and add the input.

    Args:
        x: Tensor of shape (batch, time, 1, channels).
        channels: Channels of the result. With a stride of 1, as many as `x` has.
        stride: Step along time; above 1, the input comes through a convolution of its own.
        expansion_ratio: Channels in between, as a multiple of `channels`.
        scales: Lengths of the kernels along time; `None` for one of 9.
        name: Beginning of the layers' names; `None` leaves them to Keras.

    Returns:
        Tensor of shape (batch, ceil(time / stride), 1, channels).

    Raises:
        ValueError: `x` has another shape.
    """
    shape = tuple(x.shape)
    if len(shape) != 4 or shape[2] != 1:
        raise ValueError(f"The input must have the shape (batch, time, 1, channels), not {shape}.")
    if stride == 1 and shape[-1] != channels:
        raise ValueError(
            f"With a stride of 1 the number of channels cannot change: the input has {shape[-1]}, not {channels}."
        )

    def part(suffix: str) -> str | None:
        return name and f"{name}_{suffix}"

    y = conv_bn(x, int(channels * expansion_ratio), name=part("expand"), use_bias=False)
    y = MultiScaleTemporalConvolution(stride, scales or [max(_MULTIPLE_SCALES)], name=part("time"))(y)
    y = batch_norm(y, name=part("time"))
    y = conv_bn(y, channels, relu=False, name=part("contract"), use_bias=False)
    if stride > 1:
        x = conv_bn(x, channels, strides=stride, name=part("residual"), use_bias=False)
    return keras.layers.ReLU(name=part("relu"))(keras.layers.Add(name=part("add"))([y, x]))


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
    input_layer: Any = None,
    dropout: float = 0.1,
) -> Any:
    """Build a TENet: one convolution, then blocks of inverted bottlenecks, the first of each halving the time axis.

    Args:
        input_shape: Time steps, 1, features: a spectrogram as a series of vectors. Not used with `input_layer`.
        classes: Number of classes.
        channels: Channels of the first convolution, and of the bottlenecks.
        blocks: Number of blocks.
        block_depth: Bottlenecks per block.
        scales: Lengths of the kernels along time, odd numbers from 3.
        channel_increase: By how much each block widens the bottlenecks, as a share of `channels`.
        include_head: End in averages over time, dropout and a fully connected layer.
        return_model: Return a model; otherwise the output tensor.
        input_layer: Tensor to begin with, instead of a new input.
        dropout: Share of the averages that is dropped in training, 0 to 1.

    Returns:
        The model, not compiled, or its output: probabilities (batch, classes), or the last map
        (batch, time, 1, channels).

    Raises:
        ValueError: The input has another shape.
    """
    inputs = keras.Input(tuple(input_shape or ())) if input_layer is None else input_layer
    if len(inputs.shape) != 4 or inputs.shape[2] != 1:
        raise ValueError(f"The input must have the shape (time, 1, features), not {tuple(inputs.shape[1:])}.")
    # What is not a model of its own may be part of one in which these names are taken.
    x = conv_bn(inputs, channels, (3, 1), relu=False, name="conv" if return_model else None)
    for block in range(1, blocks + 1):
        width = int(channels * (1 + channel_increase * block))
        for i in range(block_depth):
            name = f"block{block}_{i + 1}" if return_model else None
            x = InvertedBottleneckBlock(x, width, 1 if i else 2, scales=scales, name=name)
    if include_head:
        x = classifier(x, classes, (x.shape[1], 1), dropout=dropout)
    return keras.Model(inputs, x, name="TENet") if return_model else x


def TENet6(input_shape: Any, classes: int, mtconv: bool = False, **settings: Any) -> Any:  # noqa: N802
    """Build the TENet with 3 blocks of 2 bottlenecks and 32 channels.

    Args:
        input_shape: As of `TENet`.
        classes: As of `TENet`.
        mtconv: Use kernels of lengths 9, 7, 5 and 3, instead of 9 only.
        settings: Further arguments of `TENet`; they go before those that make this network.
    """
    return _preset(input_shape, classes, mtconv, settings, block_depth=2)


def TENet12(input_shape: Any, classes: int, mtconv: bool = False, **settings: Any) -> Any:  # noqa: N802
    """Build the TENet with 3 blocks of 4 bottlenecks and 32 channels; arguments as of `TENet6`."""
    return _preset(input_shape, classes, mtconv, settings)


def TENet6Narrow(input_shape: Any, classes: int, mtconv: bool = False, **settings: Any) -> Any:  # noqa: N802
    """Build the TENet with 3 blocks of 2 bottlenecks and 16 channels; arguments as of `TENet6`."""
    return _preset(input_shape, classes, mtconv, settings, block_depth=2, channels=16)


def TENet12Narrow(input_shape: Any, classes: int, mtconv: bool = False, **settings: Any) -> Any:  # noqa: N802
    """Build the TENet with 3 blocks of 4 bottlenecks and 16 channels; arguments as of `TENet6`."""
    return _preset(input_shape, classes, mtconv, settings, channels=16)


def HFTENet12(input_shape: Any, classes: int, mtconv: bool = False, **settings: Any) -> Any:  # noqa: N802
    """Build a TENet12 whose channels grow by an eighth with each block; arguments as of `TENet6`."""
    return _preset(input_shape, classes, mtconv, settings, channel_increase=0.125)


def _preset(input_shape: Any, classes: int, mtconv: bool, settings: dict[str, Any], **preset: Any) -> Any:
    scales = _MULTIPLE_SCALES if mtconv else _MULTIPLE_SCALES[:1]
    return TENet(input_shape, classes, **{"scales": scales, **preset, **settings})
