"""MobileNet, as in the visual wake words benchmark of MLPerf Tiny."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mltk_plugin_models._blocks import classifier, conv_bn, depthwise_bn, l2

if TYPE_CHECKING:
    import keras

# For each depthwise separable convolution: (channels relative to the first convolution, stride).
_LAYERS = ((2, 1), (4, 2), (4, 1), (8, 2), (8, 1), (16, 2), *5 * ((16, 1),), (32, 2), (32, 1))


def MobileNetV1(  # noqa: N802 - the name specifications use
    input_shape: tuple[int, int, int] = (96, 96, 3), num_classes: int = 2, num_filters: int = 8
) -> keras.Model:
    """Build MobileNet: one convolution and thirteen depthwise separable convolutions.

    Howard et al., "MobileNets: Efficient Convolutional Neural Networks for Mobile Vision Applications", 2017
    (arXiv:1704.04861). As in the paper, kernels other than depthwise kernels have an L2 penalty of 1e-4.

    Args:
        input_shape: Height, width, channels.
        num_classes: Number of classes.
        num_filters: Channels of the first convolution: 32 times the paper's width multiplier (8 means 0.25).

    Returns:
        The uncompiled model; input (batch, *input_shape), output probabilities (batch, num_classes).
    """
    import keras

    settings = {"kernel_initializer": "he_normal", "kernel_regularizer": l2(1e-4)}
    inputs = keras.Input(input_shape)
    x = conv_bn(inputs, num_filters, 3, 2, name="conv", **settings)
    for i, (multiple, stride) in enumerate(_LAYERS, start=1):
        x = depthwise_bn(x, strides=stride, name=f"depth{i}")
        x = conv_bn(x, multiple * num_filters, name=f"point{i}", **settings)
    return keras.Model(inputs, classifier(x, num_classes, x.shape[1:3]), name="mobilenet_v1")
