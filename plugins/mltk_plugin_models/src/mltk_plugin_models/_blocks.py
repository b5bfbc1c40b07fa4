"""The pieces that the convolutional networks are made of."""

from __future__ import annotations

from typing import Any


def conv_bn(
    x: Any,
    filters: int,
    kernel_size: int | tuple[int, int] = 1,
    strides: int | tuple[int, int] = 1,
    *,
    relu: bool = True,
    ceiling: float | None = None,
    momentum: float = 0.99,
    name: str | None = None,
    **settings: Any,
) -> Any:
    """Convolve, normalise over the batch, and cut off below 0 if `relu`, above `ceiling` if given.

    Args:
        x: Tensor of shape (batch, height, width, channels).
        filters: Channels of the result.
        kernel_size: Height and width of the window.
        strides: Steps of the window.
        relu: Whether to cut off.
        ceiling: Where to cut off above.
        momentum: Of the normalisation's running statistics.
        name: Of the convolution, and the beginning of the others' names, which summaries and the `.tflite` show.
        settings: Further arguments of `keras.layers.Conv2D`.
    """
    import keras

    settings = {"padding": "same", **settings}
    x = keras.layers.Conv2D(filters, kernel_size, strides=strides, name=name, **settings)(x)
    return batch_norm(x, relu=relu, ceiling=ceiling, momentum=momentum, name=name)


def depthwise_bn(
    x: Any,
    kernel_size: int | tuple[int, int] = 3,
    strides: int | tuple[int, int] = 1,
    *,
    ceiling: float | None = None,
    momentum: float = 0.99,
    name: str | None = None,
    **settings: Any,
) -> Any:
    """Convolve each channel by itself, normalise over the batch, and cut off below 0; arguments as of `conv_bn`."""
    import keras

    settings = {"padding": "same", **settings}
    x = keras.layers.DepthwiseConv2D(kernel_size, strides=strides, name=name, **settings)(x)
    return batch_norm(x, ceiling=ceiling, momentum=momentum, name=name)


def batch_norm(
    x: Any,
    *,
    relu: bool = True,
    ceiling: float | None = None,
    momentum: float = 0.99,
    name: str | None = None,
) -> Any:
    """Normalise over the batch, and cut off below 0 if `relu`; arguments as of `conv_bn`."""
    import keras

    x = keras.layers.BatchNormalization(momentum=momentum, name=name and f"{name}_bn")(x)
    return keras.layers.ReLU(ceiling, name=name and f"{name}_relu")(x) if relu else x


def classifier(
    x: Any, classes: int, pool_size: tuple[int, int], dropout: float = 0.0, **settings: Any
) -> Any:
    """Average windows of the map, and classify what results.

    Args:
        x: Tensor of shape (batch, height, width, channels).
        classes: Number of classes.
        pool_size: Height and width of a window.
        dropout: Share of the averages that is dropped in training, 0 to 1.
        settings: Further arguments of `keras.layers.Dense`.

    Returns:
        Probabilities, shape (batch, classes).
    """
    import keras

    # Not global pooling, which in a .tflite is the operator MEAN instead of AVERAGE_POOL_2D and RESHAPE.
    x = keras.layers.Flatten()(keras.layers.AveragePooling2D(pool_size)(x))
    if dropout:
        x = keras.layers.Dropout(dropout)(x)
    return keras.layers.Dense(classes, activation="softmax", **settings)(x)


def l2(regularizer: Any) -> Any:
    """Return the regularizer for a factor of the L2 penalty; other values as they are."""
    import keras

    return keras.regularizers.L2(regularizer) if isinstance(regularizer, float) else regularizer
