"""Networks that reconstruct their input from a few values."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import keras


def FullyConnectedAutoEncoder(  # noqa: N802 - the reference's name
    input_shape: Sequence[int] = (5, 128, 1), dense_units: int = 128, latent_units: int = 8
) -> keras.Model:
    """Return the fully connected autoencoder of the benchmark MLPerf Tiny, not compiled.

    Four dense layers on each side of the latent one, each with batch normalization and ReLU, and a linear output:
    Purohit et al. and Koizumi et al., baseline of DCASE 2020, task 2 (anomalous sounds of machines).

    Args:
        input_shape: Shape of a sample.
        dense_units: Width of the dense layers.
        latent_units: Width of the latent layer.
    """
    import keras

    layers = keras.layers
    inputs = keras.Input(tuple(input_shape))
    x = layers.Flatten()(inputs)
    for units in (*[dense_units] * 4, latent_units, *[dense_units] * 4):
        x = layers.Dense(units)(x)
        x = layers.BatchNormalization()(x)
        x = layers.Activation("relu")(x)
    x = layers.Dense(math.prod(input_shape))(x)
    return keras.Model(inputs, layers.Reshape(tuple(input_shape))(x))


def ConvolutionalAutoEncoder(  # noqa: N802 - named as the other networks are
    input_shape: Sequence[int] = (32, 32, 1),
    filters: Sequence[int] = (16, 32, 64),
    latent_units: int | None = None,
    output_activation: str | None = None,
) -> keras.Model:
    """Return a convolutional autoencoder for images and spectrograms, not compiled.

    Each stage of the encoder halves height and width with a convolution of stride 2; the decoder undoes it with
    transposed convolutions. There is no batch normalization: it makes training on few normal samples worse.

    Args:
        input_shape: `(height, width, channels)`.
        filters: Channels of the stages, at least one.
        latent_units: Width of a dense latent layer; `None` uses the output of the last stage.
        output_activation: Activation of the last layer: `sigmoid` for 0 to 1, `tanh` for -1 to 1, `None` for any range.
    """
    import keras

    layers = keras.layers
    inputs = x = keras.Input(tuple(input_shape))
    shapes = []
    for count in filters:
        shapes.append(x.shape[1:])
        x = layers.Conv2D(count, 3, strides=2, padding="same", activation="relu")(x)
    if latent_units is not None:
        narrowest = x.shape[1:]
        x = layers.Dense(latent_units)(layers.Flatten()(x))
        x = layers.Dense(math.prod(narrowest), activation="relu")(x)
        x = layers.Reshape(narrowest)(x)
    for height, width, channels in reversed(shapes[1:]):
        x = layers.Conv2DTranspose(channels, 3, strides=2, padding="same", activation="relu")(x)
        x = _crop(x, height, width)
    x = layers.Conv2DTranspose(input_shape[2], 3, strides=2, padding="same", activation=output_activation)(x)
    return keras.Model(inputs, _crop(x, *input_shape[:2]))


def _crop(x: keras.KerasTensor, height: int, width: int) -> keras.KerasTensor:
    """Crop the extra row and column of an odd size after halving and doubling."""
    import keras

    rows, columns = x.shape[1] - height, x.shape[2] - width
    return keras.layers.Cropping2D(((0, rows), (0, columns)))(x) if rows or columns else x
