"""BC-ResNet, a network for keyword spotting with 2D convolutions over frequency and 1D convolutions over time.

Kim, Chang, Lee and Sung, "Broadcasted Residual Learning for Efficient Keyword Spotting", Interspeech 2021
(arXiv:2106.04140). This module imports Keras.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import keras  # noqa: TID253 - the layers below derive from Keras'

_PACKAGE = "mltk_plugin_models"


@keras.saving.register_keras_serializable(_PACKAGE)
class SubSpectralNormalization(keras.layers.Layer):
    """Batch normalization with separate statistics for each frequency band.

    Chang, Park, Cho and Kim, "SubSpectral Normalization for Neural Audio Data Processing", ICASSP 2021
    (arXiv:2103.13620).

    Args:
        sub_groups: Number of bands; must divide the number of frequencies.
        **kwargs: Arguments of `keras.layers.Layer`.

    Input and output have shape (batch, time, frequency, channels).
    """

    def __init__(self, sub_groups: int = 5, **kwargs: object) -> None:
        super().__init__(**kwargs)
        self.sub_groups = sub_groups
        self.batch_norm = keras.layers.BatchNormalization(dtype=self.dtype_policy)

    def build(self, input_shape: Sequence[int | None]) -> None:
        """Create the weights.

        Raises:
            ValueError: `sub_groups` does not divide the number of frequencies.
        """
        _, _, frequencies, channels = input_shape
        if frequencies is None or frequencies % self.sub_groups:
            raise ValueError(
                f"sub_groups={self.sub_groups} must divide the number of frequencies, {frequencies}."
            )
        self.batch_norm.build((None, None, None, self.sub_groups * (channels or 0)))

    def call(self, inputs: keras.KerasTensor, training: bool | None = None) -> keras.KerasTensor:
        """Normalize the input."""
        if self.sub_groups == 1:
            return self.batch_norm(inputs, training=training)
        return self._normalize(inputs) if training else self._scale(inputs)

    def _normalize(self, x: keras.KerasTensor) -> keras.KerasTensor:
        ops, (_, time, frequencies, channels) = keras.ops, x.shape
        bands, width = self.sub_groups, frequencies // self.sub_groups
        time = -1 if time is None else time
        # Move the bands into the channel axis.
        x = ops.transpose(ops.reshape(x, (-1, time, bands, width, channels)), (0, 1, 3, 2, 4))
        x = self.batch_norm(ops.reshape(x, (-1, time, width, bands * channels)), training=True)
        x = ops.transpose(ops.reshape(x, (-1, time, width, bands, channels)), (0, 1, 3, 2, 4))
        return ops.reshape(x, (-1, time, frequencies, channels))

    def _scale(self, x: keras.KerasTensor) -> keras.KerasTensor:
        # At inference, one multiplication and one addition; no transpositions.
        ops, norm = keras.ops, self.batch_norm
        scale = norm.gamma * ops.rsqrt(norm.moving_variance + norm.epsilon)
        shift = norm.beta - norm.moving_mean * scale
        scale, shift = (
            ops.repeat(
                ops.reshape(ops.cast(value, x.dtype), (self.sub_groups, -1)),
                x.shape[2] // self.sub_groups,
                axis=0,
            )
            for value in (scale, shift)
        )
        return x * scale + shift

    def get_config(self) -> dict[str, object]:
        """Return the configuration of the layer."""
        return {**super().get_config(), "sub_groups": self.sub_groups}


class _Block(keras.layers.Layer):
    """Common base of the blocks. See `NormalBlock` for the arguments."""

    def __init__(
        self,
        filters: int = 8,
        dilation: int | Sequence[int] = 1,
        stride: int | Sequence[int] = 1,
        padding: str = "same",
        dropout: float = 0.5,
        use_one_step: bool = True,
        sub_groups: int = 5,
        **kwargs: object,
    ) -> None:
        super().__init__(**kwargs)
        if padding != "same":
            raise ValueError(f"padding must be 'same', got {padding!r}: streaming models are not supported.")
        self.filters = filters
        self.dilation = _pair(dilation)
        self.stride = _pair(stride)
        self.padding = padding
        self.dropout = dropout
        self.use_one_step = use_one_step
        self.sub_groups = sub_groups
        layers, settings = keras.layers, {"padding": "same", "use_bias": False, "dtype": self.dtype_policy}
        self.frequency_conv = layers.DepthwiseConv2D((1, 3), dilation_rate=(1, self.dilation[1]), **settings)
        self.norm = SubSpectralNormalization(sub_groups, dtype=self.dtype_policy)
        self.time_conv = layers.DepthwiseConv2D((3, 1), dilation_rate=(self.dilation[0], 1), **settings)
        self.time_norm = layers.BatchNormalization(dtype=self.dtype_policy)
        self.conv = layers.Conv2D(filters, 1, **settings)
        self.drop = layers.SpatialDropout2D(dropout, dtype=self.dtype_policy)

    def _build(self, shape: Sequence[int | None]) -> None:
        self.frequency_conv.build(shape)
        self.norm.build(shape)
        average = (*shape[:2], 1, shape[3])
        for layer in (self.time_conv, self.time_norm, self.conv):
            layer.build(average)

    def _along_frequency(self, x: keras.KerasTensor, training: bool | None) -> keras.KerasTensor:
        return self.norm(self.frequency_conv(x), training=training)

    def _along_time(self, x: keras.KerasTensor, training: bool | None) -> keras.KerasTensor:
        x = self.time_conv(keras.ops.mean(x, axis=2, keepdims=True))
        x = self.conv(keras.ops.silu(self.time_norm(x, training=training)))
        return self.drop(x, training=training)

    def get_config(self) -> dict[str, object]:
        """Return the configuration of the layer."""
        names = ("filters", "dilation", "stride", "padding", "dropout", "use_one_step", "sub_groups")
        return {**super().get_config(), **{name: getattr(self, name) for name in names}}


@keras.saving.register_keras_serializable(_PACKAGE)
class TransitionBlock(_Block):
    """A block that changes the number of channels or frequencies. See `NormalBlock` for the arguments."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.first_conv = keras.layers.Conv2D(
            self.filters, 1, strides=self.stride, use_bias=False, dtype=self.dtype_policy
        )
        self.first_norm = keras.layers.BatchNormalization(dtype=self.dtype_policy)

    def build(self, input_shape: Sequence[int | None]) -> None:
        """Create the weights."""
        self.first_conv.build(input_shape)
        shape = self.first_conv.compute_output_shape(input_shape)
        self.first_norm.build(shape)
        self._build(shape)

    def call(self, inputs: keras.KerasTensor, training: bool | None = None) -> keras.KerasTensor:
        """Apply the block."""
        x = keras.ops.relu(self.first_norm(self.first_conv(inputs), training=training))
        x = self._along_frequency(x, training)
        return keras.ops.relu(self._along_time(x, training) + x)

    def compute_output_shape(self, input_shape: Sequence[int | None]) -> Sequence[int | None]:
        """Return the output shape."""
        return tuple(self.first_conv.compute_output_shape(input_shape))


@keras.saving.register_keras_serializable(_PACKAGE)
class NormalBlock(_Block):
    """A residual block: the input, a convolution along frequency, and a convolution of its mean along time, summed.

    Args:
        filters: Number of output channels.
        dilation: Dilation along time and frequency.
        stride: Strides along time and frequency.
        padding: Must be 'same'.
        dropout: Dropout rate of channels, 0 to 1.
        use_one_step: Ignored; only used by streaming models.
        sub_groups: Number of frequency bands with separate normalization; 1 for batch normalization.
        **kwargs: Arguments of `keras.layers.Layer`.

    Input and output have shape (batch, time, frequency, channels).

    Raises:
        ValueError: `padding` is not 'same'.
    """

    def build(self, input_shape: Sequence[int | None]) -> None:
        """Create the weights.

        Raises:
            ValueError: The output shape would differ from the input shape.
        """
        if tuple(self.stride) != (1, 1) or input_shape[-1] != self.filters:
            raise ValueError(
                f"NormalBlock requires stride 1 and filters={input_shape[-1]} (its input channels), "
                f"got stride {self.stride} and filters={self.filters}. Use TransitionBlock instead."
            )
        self._build(input_shape)

    def call(self, inputs: keras.KerasTensor, training: bool | None = None) -> keras.KerasTensor:
        """Apply the block."""
        x = self._along_frequency(inputs, training)
        return keras.ops.relu(self._along_time(x, training) + inputs + x)

    def compute_output_shape(self, input_shape: Sequence[int | None]) -> Sequence[int | None]:
        """Return the output shape."""
        return input_shape


def BCResNet(  # noqa: N802 - the name specifications use
    input_shape: Sequence[int] | keras.KerasTensor,
    label_count: int,
    first_filters: int = 16,
    last_filters: int = 32,
    blocks_n: Sequence[int] = (2, 2, 4, 4),
    filters: Sequence[int] = (8, 12, 16, 20),
    dilations: Sequence[int | Sequence[int]] = ((1, 1), (2, 1), (4, 1), (8, 1)),
    strides: Sequence[int | Sequence[int]] = ((1, 1), (1, 2), (1, 2), (1, 1)),
    dropouts: Sequence[float] = (0.1, 0.1, 0.1, 0.1),
    pools: Sequence[int] = (1, 1, 1, 1),
    paddings: str = "same",
    max_pool: bool = False,
    return_softmax: bool = True,
    sub_groups: int = 1,
) -> keras.Model:
    """Build a BC-ResNet; the defaults are BC-ResNet-1 of the paper with batch normalization.

    Args:
        input_shape: Time steps, frequencies, channels; or an input tensor.
        label_count: Number of classes.
        first_filters: Channels of the first convolution.
        last_filters: Channels before the classifier.
        blocks_n: Normal blocks after the transition block, per stage.
        filters: Channels, per stage.
        dilations: Dilation along time and frequency, per stage.
        strides: Strides of the transition block along time and frequency, per stage.
        dropouts: Dropout rate of channels, 0 to 1, per stage.
        pools: Pooling size along time after the stage, per stage.
        paddings: Must be 'same'.
        max_pool: Use maximum pooling instead of average pooling.
        return_softmax: Return probabilities instead of logits.
        sub_groups: Number of frequency bands with separate normalization (5 in the paper).

    Returns:
        The uncompiled model; input (batch, time, frequency, channels), output (batch, label_count).

    Raises:
        ValueError: The lists differ in length, or `paddings` is not 'same'.
    """
    inputs = keras.Input(input_shape) if isinstance(input_shape, (list, tuple)) else input_shape
    x = bc_resnet(
        inputs,
        first_filters=first_filters,
        last_filters=last_filters,
        stages={
            "blocks_n": blocks_n,
            "filters": filters,
            "dilations": dilations,
            "strides": strides,
            "dropouts": dropouts,
            "pools": pools,
        },
        max_pool=max_pool,
        padding=paddings,
        sub_groups=sub_groups,
    )
    x = keras.layers.Dense(label_count, use_bias=False)(x)
    return keras.Model(inputs, keras.layers.Softmax()(x) if return_softmax else x)


def bc_resnet(
    x: keras.KerasTensor,
    *,
    first_filters: int,
    last_filters: int,
    stages: Mapping[str, Sequence[object]],
    max_pool: bool,
    **settings: Any,
) -> keras.KerasTensor:
    """Apply the layers of a BC-ResNet before the classifier.

    Args:
        x: Tensor of shape (batch, time, frequency, channels).
        first_filters: See `BCResNet`.
        last_filters: See `BCResNet`.
        stages: Arguments of `BCResNet` with one value per stage, by name.
        max_pool: See `BCResNet`.
        **settings: Further arguments of all blocks.

    Returns:
        Features, shape (batch, last_filters).

    Raises:
        ValueError: See `BCResNet`.
    """
    if len({len(values) for values in stages.values()}) > 1:
        raise ValueError(f"{', '.join(stages)} must have the same length: one value per stage.")
    layers = keras.layers
    x = layers.Conv2D(first_filters, 5, strides=(1, 2), padding="same")(x)
    names = ("blocks_n", "filters", "dilations", "strides", "dropouts", "pools")
    for count, filters, dilation, stride, dropout, pool in zip(*(stages[n] for n in names), strict=True):
        x = TransitionBlock(filters, dilation, stride, dropout=dropout, **settings)(x)
        for _ in range(count):
            x = NormalBlock(filters, dilation, dropout=dropout, **settings)(x)
        if pool > 1:
            x = (layers.MaxPooling2D if max_pool else layers.AveragePooling2D)((pool, 1))(x)
    x = layers.DepthwiseConv2D(5, padding="same")(x)
    x = layers.AveragePooling2D((1, x.shape[2]))(x)
    x = layers.Conv2D(last_filters, 1, use_bias=False)(x)
    return layers.GlobalAveragePooling2D()(x)


def _pair(value: int | Sequence[int]) -> tuple[int, int]:
    return (value, value) if isinstance(value, int) else (value[0], value[1])
