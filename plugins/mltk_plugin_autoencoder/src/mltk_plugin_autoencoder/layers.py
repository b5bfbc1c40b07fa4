"""Layers that invert another layer with the same weights. This module imports Keras."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import keras  # noqa: TID253 - the classes derive from Keras'

Activation: TypeAlias = str | Callable[[keras.KerasTensor], keras.KerasTensor] | None


@keras.saving.register_keras_serializable("mltk")
class DenseTranspose_tied(keras.layers.Layer):  # noqa: N801 - the reference's name
    """Multiply by the transposed kernel of a dense layer, without own weights or bias.

    Args:
        dense: The layer.
        activation: Applied to the result.
    """

    def __init__(self, dense: keras.layers.Dense, activation: Activation = None, **kwargs: object) -> None:
        kwargs.pop("dense_weights_shape", None)  # In files of the reference.
        super().__init__(**kwargs)
        self.dense = dense
        self.activation = keras.activations.get(activation)

    def build(self, input_shape: Sequence[int | None]) -> None:
        """Check that the input has the shape of the dense layer's output."""
        _check_built(self, self.dense)
        if input_shape[-1] != self.dense.units:
            raise ValueError(
                f"'{self.name}' undoes '{self.dense.name}', so its input must have {self.dense.units} units, "
                f"not {input_shape[-1]}."
            )
        self.built = True

    def call(self, inputs: keras.KerasTensor) -> keras.KerasTensor:
        """Return `(…, inputs of the dense layer)`."""
        return self.activation(keras.ops.matmul(inputs, keras.ops.transpose(self.dense.kernel)))

    def compute_output_shape(self, input_shape: Sequence[int | None]) -> tuple[int | None, ...]:
        """Return the shape of the result."""
        return (*input_shape[:-1], self.dense.kernel.shape[0])

    def get_config(self) -> dict[str, object]:
        """Return the configuration of the layer."""
        return {**super().get_config(), **_config(self.dense, "dense", self.activation)}

    @classmethod
    def from_config(cls, config: dict[str, object]) -> DenseTranspose_tied:
        """Create a layer from its configuration."""
        return cls(**_with_layer(config, "dense"))


@keras.saving.register_keras_serializable("mltk")
class Conv2DTranspose_tied(keras.layers.Layer):  # noqa: N801 - the reference's name
    """Invert the shape of a convolution with the same kernel, without own weights or bias.

    Args:
        layer: The `Conv2D`, channels last, without dilation or groups. It must have been called once, so
            that the size of its input is known.
        activation: Applied to the result.
        layer_input_shape: Shape of the convolution's input with the batch axis, as in saved models.
    """

    def __init__(
        self,
        layer: keras.layers.Conv2D,
        activation: Activation = None,
        layer_input_shape: Sequence[int | None] | None = None,
        **kwargs: object,
    ) -> None:
        kwargs.pop("kernel_shape", None)  # In files of the reference.
        super().__init__(**kwargs)
        if layer.data_format != "channels_last" or layer.groups != 1 or tuple(layer.dilation_rate) != (1, 1):
            raise ValueError(
                f"'{layer.name}' cannot be undone: only convolutions with channels last, without groups and dilation "
                f"can."
            )
        self.layer = layer
        self.activation = keras.activations.get(activation)
        if layer_input_shape is None:
            _check_built(self, layer)
            layer_input_shape = layer.input.shape
        self.layer_input_shape = tuple(layer_input_shape)
        if None in self.layer_input_shape[1:]:
            raise ValueError(
                f"The input of '{layer.name}' must have a fixed size, not {self.layer_input_shape}."
            )

    def build(self, input_shape: Sequence[int | None]) -> None:
        """Check that the input has the shape of the convolution's output."""
        _check_built(self, self.layer)
        wanted = tuple(self.layer.compute_output_shape(self.layer_input_shape))[1:]
        if tuple(input_shape)[1:] != wanted:
            raise ValueError(
                f"'{self.name}' undoes '{self.layer.name}', so its input must have the shape {wanted}, "
                f"not {tuple(input_shape)[1:]}."
            )
        self.built = True

    def call(self, inputs: keras.KerasTensor) -> keras.KerasTensor:
        """Return a batch of the shape of the convolution's input."""
        import tensorflow as tf

        # keras.ops cannot set the output size, which is ambiguous with strides.
        result = tf.nn.conv2d_transpose(
            inputs,
            tf.convert_to_tensor(self.layer.kernel),
            output_shape=(tf.shape(inputs)[0], *self.layer_input_shape[1:]),
            strides=self.layer.strides,
            padding=self.layer.padding.upper(),
        )
        return self.activation(result)

    def compute_output_shape(self, input_shape: Sequence[int | None]) -> tuple[int | None, ...]:
        """Return the shape of the result."""
        return (input_shape[0], *self.layer_input_shape[1:])

    def get_config(self) -> dict[str, object]:
        """Return the configuration of the layer."""
        shape = {"layer_input_shape": self.layer_input_shape}
        return {**super().get_config(), **_config(self.layer, "layer", self.activation), **shape}

    @classmethod
    def from_config(cls, config: dict[str, object]) -> Conv2DTranspose_tied:
        """Create a layer from its configuration."""
        return cls(**_with_layer(config, "layer"))


def _check_built(layer: keras.layers.Layer, other: keras.layers.Layer) -> None:
    if not other.built:
        raise ValueError(f"'{layer.name}' undoes '{other.name}', which must have been called before.")


def _config(layer: keras.layers.Layer, name: str, activation: Activation) -> dict[str, object]:
    return {
        name: keras.saving.serialize_keras_object(layer),
        "activation": keras.activations.serialize(activation),
    }


def _with_layer(config: dict[str, Any], name: str) -> dict[str, Any]:
    layer = config[name]
    return {
        **config,
        name: keras.saving.deserialize_keras_object(layer) if isinstance(layer, dict) else layer,
    }
