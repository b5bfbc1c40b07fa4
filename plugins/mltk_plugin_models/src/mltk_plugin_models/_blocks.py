"""Building blocks of the convolutional networks."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    import keras

T = TypeVar("T")


def conv_bn(
    x: keras.KerasTensor,
    filters: int,
    kernel_size: int | tuple[int, int] = 1,
    strides: int | tuple[int, int] = 1,
    *,
    relu: bool = True,
    ceiling: float | None = None,
    momentum: float = 0.99,
    name: str | None = None,
    **settings: object,
) -> keras.KerasTensor:
    """Apply a convolution, batch normalization and, unless `relu` is false, a ReLU.

    Args:
        x: Tensor of shape (batch, height, width, channels).
        filters: Number of output channels.
        kernel_size: Height and width of the kernel.
        strides: Strides along height and width.
        relu: If true, apply a ReLU.
        ceiling: Maximum of the ReLU; unlimited by default.
        momentum: Momentum of the batch normalization's moving statistics.
        name: Name of the convolution, and prefix of the names of the other layers.
        settings: Further arguments of `keras.layers.Conv2D`.
    """
    import keras

    settings = {"padding": "same", **settings}
    x = keras.layers.Conv2D(filters, kernel_size, strides=strides, name=name, **settings)(x)
    return batch_norm(x, relu=relu, ceiling=ceiling, momentum=momentum, name=name)


def depthwise_bn(
    x: keras.KerasTensor,
    kernel_size: int | tuple[int, int] = 3,
    strides: int | tuple[int, int] = 1,
    *,
    ceiling: float | None = None,
    momentum: float = 0.99,
    name: str | None = None,
    **settings: object,
) -> keras.KerasTensor:
    """Apply a depthwise convolution, batch normalization and a ReLU. See `conv_bn` for the arguments."""
    import keras

    settings = {"padding": "same", **settings}
    x = keras.layers.DepthwiseConv2D(kernel_size, strides=strides, name=name, **settings)(x)
    return batch_norm(x, ceiling=ceiling, momentum=momentum, name=name)


def batch_norm(
    x: keras.KerasTensor,
    *,
    relu: bool = True,
    ceiling: float | None = None,
    momentum: float = 0.99,
    name: str | None = None,
) -> keras.KerasTensor:
    """Apply batch normalization and, unless `relu` is false, a ReLU. See `conv_bn` for the arguments."""
    import keras

    x = keras.layers.BatchNormalization(momentum=momentum, name=name and f"{name}_bn")(x)
    return keras.layers.ReLU(ceiling, name=name and f"{name}_relu")(x) if relu else x


def classifier(
    x: keras.KerasTensor, classes: int, pool_size: tuple[int, int], dropout: float = 0.0, **settings: object
) -> keras.KerasTensor:
    """Apply average pooling, dropout and a softmax layer.

    Args:
        x: Tensor of shape (batch, height, width, channels).
        classes: Number of classes.
        pool_size: Height and width of the pooling window.
        dropout: Dropout rate, 0 to 1.
        settings: Further arguments of `keras.layers.Dense`.

    Returns:
        Probabilities, shape (batch, classes).
    """
    import keras

    # Global pooling would be converted to the operator MEAN instead of AVERAGE_POOL_2D and RESHAPE.
    x = keras.layers.Flatten()(keras.layers.AveragePooling2D(pool_size)(x))
    if dropout:
        x = keras.layers.Dropout(dropout)(x)
    return keras.layers.Dense(classes, activation="softmax", **settings)(x)


def l2(regularizer: float | T) -> keras.regularizers.L2 | T:
    """Convert a number to an L2 regularizer; return any other value unchanged."""
    import keras

    return keras.regularizers.L2(regularizer) if isinstance(regularizer, float) else regularizer
