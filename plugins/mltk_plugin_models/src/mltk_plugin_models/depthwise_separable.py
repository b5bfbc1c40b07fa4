"""The keyword spotting network of MLPerf Tiny: depthwise separable convolutions over a spectrogram."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mltk_plugin_models._blocks import classifier, conv_bn, depthwise_bn, l2

if TYPE_CHECKING:
    import keras


def DepthwiseSeparableConv2D_ARM(  # noqa: N802 - the name specifications use
    input_shape: tuple[int, int, int] = (50, 10, 1),
    num_classes: int = 12,
    filters: int = 64,
    regularizer: float | keras.regularizers.Regularizer | None = 1e-4,
) -> keras.Model:
    """Build the small DS-CNN: one convolution, four depthwise separable convolutions, one dense layer.

    Zhang, Suda, Lai and Chandra, "Hello Edge: Keyword Spotting on Microcontrollers", 2017 (arXiv:1711.07128), in the
    form of the MLPerf Tiny benchmark: Banbury et al., "MLPerf Tiny Benchmark", 2021 (arXiv:2106.07597).

    Args:
        input_shape: Time steps, features, channels.
        num_classes: Number of classes.
        filters: Number of channels of each convolution.
        regularizer: L2 factor or Keras regularizer of the kernels, except depthwise kernels.

    Returns:
        The uncompiled model; input (batch, *input_shape), output probabilities (batch, num_classes).
    """
    import keras

    penalty = l2(regularizer)
    inputs = keras.Input(input_shape)
    x = conv_bn(inputs, filters, (10, 4), 2, kernel_regularizer=penalty, name="conv")
    x = keras.layers.Dropout(0.2)(x)
    for i in range(1, 5):
        x = depthwise_bn(x, name=f"depth{i}")
        x = conv_bn(x, filters, kernel_regularizer=penalty, name=f"point{i}")
    x = keras.layers.Dropout(0.4)(x)
    return keras.Model(inputs, classifier(x, num_classes, x.shape[1:3]), name="ds_cnn")
