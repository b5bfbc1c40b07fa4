"""BC-ResNet, a network for keyword spotting that convolves along frequency in two dimensions, along time in one.

Kim, Chang, Lee and Sung, "Broadcasted Residual Learning for Efficient Keyword Spotting", Interspeech 2021
(arXiv:2106.04140). This module imports Keras.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import keras  # noqa: TID253 - the layers below derive from Keras'

_PACKAGE = "mltk_plugin_models"


@keras.saving.register_keras_serializable(_PACKAGE)
class SubSpectralNormalization(keras.layers.Layer):  # type: ignore[misc]
    """Batch normalisation of each of several bands of frequencies by itself.

    Chang, Park, Cho and Kim, "SubSpectral Normalization for Neural Audio Data Processing", ICASSP 2021
    (arXiv:2103.13620).

    Args:
        sub_groups: Number of bands; the number of frequencies is a multiple of it.
        kwargs: As of every Keras layer.

    Input and output have shape (batch, time, frequency, channels).
    """

    def __init__(self, sub_groups: int = 5, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.sub_groups = sub_groups
        self.batch_norm = keras.layers.BatchNormalization(dtype=self.dtype_policy)

    def build(self, input_shape: Sequence[int | None]) -> None:
        """Make the weights.

        Raises:
            ValueError: The number of frequencies is no multiple of that of the bands.
        """
        _, _, frequencies, channels = input_shape
        if frequencies is None or frequencies % self.sub_groups:
            raise ValueError(
                f"{frequencies} frequencies cannot be divided into {self.sub_groups} bands (sub_groups)."
            )
        self.batch_norm.build((None, None, None, self.sub_groups * (channels or 0)))

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        """Return the normalised input."""
        if self.sub_groups == 1:
            return self.batch_norm(inputs, training=training)
        return self._normalize(inputs) if training else self._scale(inputs)

    def _normalize(self, x: Any) -> Any:
        ops, (_, time, frequencies, channels) = keras.ops, x.shape
        bands, width = self.sub_groups, frequencies // self.sub_groups
        time = -1 if time is None else time
        # Each band's channels become channels of their own.
        x = ops.transpose(ops.reshape(x, (-1, time, bands, width, channels)), (0, 1, 3, 2, 4))
        x = self.batch_norm(ops.reshape(x, (-1, time, width, bands * channels)), training=True)
        x = ops.transpose(ops.reshape(x, (-1, time, width, bands, channels)), (0, 1, 3, 2, 4))
        return ops.reshape(x, (-1, time, frequencies, channels))

    def _scale(self, x: Any) -> Any:
        # One multiplication and one addition on the device, instead of two transpositions besides.
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

    def get_config(self) -> dict[str, Any]:
        """Return the arguments that make an equal layer."""
        return {**super().get_config(), "sub_groups": self.sub_groups}


class _Block(keras.layers.Layer):  # type: ignore[misc]
    """What the two kinds of blocks share; arguments as of `NormalBlock`."""

    def __init__(
        self,
        filters: int = 8,
        dilation: int | Sequence[int] = 1,
        stride: int | Sequence[int] = 1,
        padding: str = "same",
        dropout: float = 0.5,
        use_one_step: bool = True,
        sub_groups: int = 5,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if padding != "same":
            raise ValueError(f"padding must be 'same', not {padding!r}: streaming models are not supported.")
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

    def _along_frequency(self, x: Any, training: bool | None) -> Any:
        return self.norm(self.frequency_conv(x), training=training)

    def _along_time(self, x: Any, training: bool | None) -> Any:
        x = self.time_conv(keras.ops.mean(x, axis=2, keepdims=True))
        x = self.conv(keras.ops.silu(self.time_norm(x, training=training)))
        return self.drop(x, training=training)

    def get_config(self) -> dict[str, Any]:
        """Return the arguments that make an equal layer."""
        names = ("filters", "dilation", "stride", "padding", "dropout", "use_one_step", "sub_groups")
        return {**super().get_config(), **{name: getattr(self, name) for name in names}}


@keras.saving.register_keras_serializable(_PACKAGE)
class TransitionBlock(_Block):
    """The block with which the number of channels, or of frequencies, changes; arguments as of `NormalBlock`."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.first_conv = keras.layers.Conv2D(
            self.filters, 1, strides=self.stride, use_bias=False, dtype=self.dtype_policy
        )
        self.first_norm = keras.layers.BatchNormalization(dtype=self.dtype_policy)

    def build(self, input_shape: Sequence[int | None]) -> None:
        """Make the weights."""
        self.first_conv.build(input_shape)
        shape = self.first_conv.compute_output_shape(input_shape)
        self.first_norm.build(shape)
        self._build(shape)

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        """Return the block's output."""
        x = keras.ops.relu(self.first_norm(self.first_conv(inputs), training=training))
        x = self._along_frequency(x, training)
        return keras.ops.relu(self._along_time(x, training) + x)

    def compute_output_shape(self, input_shape: Sequence[int | None]) -> Any:
        """Return the shape of the output."""
        return self.first_conv.compute_output_shape(input_shape)


@keras.saving.register_keras_serializable(_PACKAGE)
class NormalBlock(_Block):
    """A convolution along frequency, plus one along time of the average over all frequencies, plus the input.

    Args:
        filters: Channels of the result.
        dilation: Of the convolutions: along time and along frequency.
        stride: Steps along time and frequency.
        padding: Must be 'same'.
        dropout: Share of the channels that is dropped in training, 0 to 1.
        use_one_step: Without effect; streaming models use it.
        sub_groups: Bands that are normalised by themselves; 1 is batch normalisation.
        kwargs: As of every Keras layer.

    Input and output have shape (batch, time, frequency, channels).

    Raises:
        ValueError: `padding` is not 'same'.
    """

    def build(self, input_shape: Sequence[int | None]) -> None:
        """Make the weights.

        Raises:
            ValueError: The output would have another shape than the input.
        """
        if tuple(self.stride) != (1, 1) or input_shape[-1] != self.filters:
            raise ValueError(
                f"NormalBlock needs a stride of 1 and as many filters as its input has channels, {input_shape[-1]}; "
                f"TransitionBlock changes them."
            )
        self._build(input_shape)

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        """Return the block's output."""
        x = self._along_frequency(inputs, training)
        return keras.ops.relu(self._along_time(x, training) + inputs + x)

    def compute_output_shape(self, input_shape: Sequence[int | None]) -> Any:
        """Return the shape of the output."""
        return input_shape


def BCResNet(  # noqa: N802 - the name specifications use
    input_shape: Sequence[int] | Any,
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
    """Build a BC-ResNet; without other arguments, the paper's BC-ResNet-1 with batch normalisation throughout.

    Args:
        input_shape: Time steps, frequencies, channels; or a tensor to begin with.
        label_count: Number of classes.
        first_filters: Channels of the first convolution.
        last_filters: Channels before the classifier.
        blocks_n: Of each stage: normal blocks after the transition block.
        filters: Of each stage: channels.
        dilations: Of each stage: dilation along time and frequency.
        strides: Of each stage: steps of the transition block along time and frequency.
        dropouts: Of each stage: share of the channels that is dropped in training, 0 to 1.
        pools: Of each stage: time steps that are pooled after it.
        paddings: Must be 'same'.
        max_pool: Pool with maxima, not averages.
        return_softmax: Give probabilities, not logits.
        sub_groups: Bands of frequencies that are normalised by themselves (5 in the paper).

    Returns:
        The model, not compiled; input (batch, time, frequency, channels), output (batch, label_count).

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
    x: Any,
    *,
    first_filters: int,
    last_filters: int,
    stages: Mapping[str, Sequence[Any]],
    max_pool: bool,
    **settings: Any,
) -> Any:
    """Apply a BC-ResNet without its classifier to a tensor.

    Args:
        x: Tensor of shape (batch, time, frequency, channels).
        first_filters: As of `BCResNet`.
        last_filters: As of `BCResNet`.
        stages: By name, the arguments of `BCResNet` that have one value for each stage.
        max_pool: As of `BCResNet`.
        settings: Further arguments of all blocks.

    Returns:
        Features, shape (batch, last_filters).

    Raises:
        ValueError: As of `BCResNet`.
    """
    if len({len(values) for values in stages.values()}) > 1:
        raise ValueError(f"{', '.join(stages)} must have one value for each stage, all of them.")
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
