"""MobileNetV2 for inputs of any size."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypedDict

from mltk_plugin_models._blocks import conv_bn, depthwise_bn

if TYPE_CHECKING:
    import keras


class _Relu6(TypedDict):
    ceiling: float
    momentum: float
    use_bias: bool


# For each group of bottlenecks: (expansion factor, channels, count, stride of the first), table 2 of the paper.
_GROUPS = (
    *((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2)),
    *((6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1)),
)
_RELU6: _Relu6 = {"ceiling": 6.0, "momentum": 0.999, "use_bias": False}


def MobileNetV2(  # noqa: N802 - the name specifications use
    input_shape: tuple[int, int, int],
    alpha: float = 0.35,
    include_top: bool = True,
    pooling: str | None = None,
    classes: int = 1000,
    classifier_activation: str | Callable[..., keras.KerasTensor] | None = "softmax",
    last_block_filters: int | None = None,
    weights: None = None,
) -> keras.Model:
    """Build MobileNetV2: one convolution, seventeen inverted residual bottlenecks, one convolution.

    Sandler et al., "MobileNetV2: Inverted Residuals and Linear Bottlenecks", CVPR 2018 (arXiv:1801.04381). Unlike
    `keras.applications.MobileNetV2` it takes inputs of any size and number of channels, such as spectrograms, and a
    narrower last convolution.

    Args:
        input_shape: Height, width, channels.
        alpha: Width multiplier of all convolutions except the last; greater than 0.
        include_top: Add global pooling and a dense layer.
        pooling: Pooling of the last feature map without `include_top`: 'avg', 'max' or `None`.
        classes: Number of classes.
        classifier_activation: Activation of the dense layer; `None` returns logits.
        last_block_filters: Channels of the last convolution; by default 1280, or more if alpha exceeds 1.
        weights: Must be `None`: there are no pretrained weights.

    Returns:
        The uncompiled model; input (batch, *input_shape), output (batch, classes), or features.

    Raises:
        ValueError: An argument is out of range.
    """
    import keras

    if alpha <= 0:
        raise ValueError(f"alpha must be greater than 0, got {alpha}.")
    if pooling not in (None, "avg", "max"):
        raise ValueError(f"pooling must be 'avg', 'max' or None, got {pooling!r}.")
    if weights is not None:
        raise ValueError(
            "weights must be None: there are no pretrained weights. Load weights into the model instead."
        )

    inputs = keras.Input(input_shape)
    x = conv_bn(inputs, _multiple_of_8(32 * alpha), 3, 2, name="conv", **_RELU6)
    for group, (expansion, channels, count, stride) in enumerate(_GROUPS, start=1):
        for i in range(count):
            name = f"block{group}_{i + 1}"
            x = _bottleneck(x, expansion, _multiple_of_8(int(channels * alpha)), 1 if i else stride, name)
    x = conv_bn(x, last_block_filters or _multiple_of_8(1280 * max(alpha, 1.0)), name="last", **_RELU6)
    if include_top:
        x = keras.layers.GlobalAveragePooling2D()(x)
        x = keras.layers.Dense(classes, activation=classifier_activation)(x)
    elif pooling == "avg":
        x = keras.layers.GlobalAveragePooling2D()(x)
    elif pooling == "max":
        x = keras.layers.GlobalMaxPooling2D()(x)
    return keras.Model(inputs, x, name=f"mobilenetv2_{alpha:.2f}_{input_shape[0]}")


def _bottleneck(
    x: keras.KerasTensor, expansion: int, channels: int, stride: int, name: str
) -> keras.KerasTensor:
    import keras

    inputs = x
    if expansion > 1:
        x = conv_bn(x, expansion * x.shape[-1], name=f"{name}_expand", **_RELU6)
    padding = "same"
    if stride > 1:
        # Matches the window positions of the weights published by the authors.
        x = keras.layers.ZeroPadding2D([(size % 2, 1) for size in x.shape[1:3]])(x)
        padding = "valid"
    x = depthwise_bn(x, strides=stride, padding=padding, name=f"{name}_depth", **_RELU6)
    x = conv_bn(x, channels, relu=False, momentum=0.999, use_bias=False, name=f"{name}_project")
    if stride == 1 and inputs.shape[-1] == channels:
        return keras.layers.Add()([inputs, x])
    return x


def _multiple_of_8(channels: float) -> int:
    """Round to a multiple of 8: at least 8, and at most 10 % below the value."""
    nearest = max(8, int(channels + 4) // 8 * 8)
    return nearest + 8 if nearest < 0.9 * channels else nearest
