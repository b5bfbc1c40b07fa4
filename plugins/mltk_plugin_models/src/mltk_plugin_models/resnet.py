"""The image classification network of MLPerf Tiny: a residual network for images of 32 x 32 pixels."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mltk_plugin_models._blocks import classifier, conv_bn, l2

if TYPE_CHECKING:
    import keras


def ResNet10V1(  # noqa: N802 - the name specifications use
    input_shape: tuple[int, int, int] = (32, 32, 3), num_classes: int = 10, num_filters: int = 16
) -> keras.Model:
    """Build a small residual network: one convolution and three residual blocks of two convolutions.

    He, Zhang, Ren and Sun, "Deep Residual Learning for Image Recognition", CVPR 2016 (arXiv:1512.03385), in the form of
    the MLPerf Tiny benchmark (arXiv:2106.07597). The kernels have an L2 penalty of 1e-4.

    Args:
        input_shape: Height, width, channels.
        num_classes: Number of classes.
        num_filters: Channels of the first block; the second has 2, the third 4 times as many.

    Returns:
        The uncompiled model; input (batch, *input_shape), output probabilities (batch, num_classes).
    """
    import keras

    settings = {"kernel_initializer": "he_normal", "kernel_regularizer": l2(1e-4)}
    inputs = keras.Input(input_shape)
    x = conv_bn(inputs, num_filters, 3, name="conv", **settings)
    for block in range(3):
        filters, stride = num_filters * 2**block, 2 if block else 1
        y = conv_bn(x, filters, 3, stride, name=f"block{block + 1}_a", **settings)
        y = conv_bn(y, filters, 3, relu=False, name=f"block{block + 1}_b", **settings)
        if block:
            x = keras.layers.Conv2D(filters, 1, strides=2, padding="same", **settings)(x)
        x = keras.layers.ReLU()(keras.layers.Add()([x, y]))
    window = min(x.shape[1:3])
    x = classifier(x, num_classes, (window, window), kernel_initializer="he_normal")
    return keras.Model(inputs, x, name="resnet10_v1")
