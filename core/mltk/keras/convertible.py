"""Layers in the form that TensorFlow's converter takes best.

This module imports TensorFlow; it is imported when a conversion starts.
"""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import keras  # noqa: TID253 - see above
import tensorflow as tf  # noqa: TID253
from keras import ops  # noqa: TID253

from mltk.keras.private import FUSED_ATTRIBUTE, LSTM_STEPS, flatten_layers, independent_samples


@contextlib.contextmanager
def convertible_layers(keras_model: keras.Model, calibrated: bool, fused: bool = True) -> Iterator[bool]:
    """Let a model's layers be traced, within the block, as the converter can take them.

    An `LSTM` becomes one `UNIDIRECTIONAL_SEQUENCE_LSTM`, as Keras 2 had it, if it has the usual activations, a bias
    and no state from elsewhere, no mask, no dropout within its steps, and a fixed number of steps. Other layers, and
    those with `unroll=True`, become operators step by step, and where nothing is calibrated, a loop.

    A `LayerNormalization` subtracts the mean before it scales. Keras scales both and subtracts then, the mean negated
    by an operator that takes no int8: with a mean of three deviations that has twice the error in int8.

    `UpSampling1D` and `UpSampling2D` (nearest), `RepeatVector` and `TimeDistributed` become operators that TensorFlow
    Lite Micro has, as with Keras 2; Keras 3 makes `TILE`, and slices of tensors of five axes, of them. An `Embedding`
    is one `GATHER`: its inputs are not negative.

    Args:
        keras_model: The model to be converted.
        calibrated: Whether representative samples go through it: calibrating a loop crashes the process.
        fused: Whether an LSTM may become one operator.

    Yields:
        Whether there are recurrent layers.
    """
    layers = flatten_layers(keras_model)
    recurrent = [layer for layer in layers if isinstance(layer, keras.layers.RNN)]
    loops = [layer for layer in recurrent if not layer.unroll]
    others: list[tuple[keras.Layer, str, Callable[..., Any]]] = [
        *((layer, LSTM_STEPS, _FusedLoop(layer)) for layer in loops if fused and _is_plain_lstm(layer)),
        *((layer, "call", partial(_CALLS[type(layer)], layer)) for layer in layers if type(layer) in _CALLS),
    ]
    for layer, name, method in others:
        # Past Keras, which would track an attribute of its layers.
        object.__setattr__(layer, name, method)
    for layer in loops if calibrated else ():
        layer.unroll = True
    try:
        with independent_samples() if recurrent and calibrated else contextlib.nullcontext():
            yield bool(recurrent)
    finally:
        for layer in loops:
            layer.unroll = False
        for layer, name, _ in others:
            object.__delattr__(layer, name)


def _is_plain_lstm(layer: keras.layers.RNN) -> bool:
    return (
        type(layer) is keras.layers.LSTM
        and layer.activation is keras.activations.tanh
        and layer.recurrent_activation is keras.activations.sigmoid
        and layer.use_bias
        and not layer.recurrent_dropout
        and not layer.stateful
        and not layer.return_state
        and layer.compute_dtype == "float32"
    )


def _normalize(layer: keras.layers.LayerNormalization, inputs: Any) -> Any:
    """Compute what the layer does (Ba et al., 2016), in another order."""
    if layer.rms_scaling or layer.compute_dtype != "float32":
        return type(layer).call(layer, inputs)
    distance = inputs - ops.mean(inputs, layer.axis, keepdims=True)
    # Not `square`, which the converter would make a function of the inputs: with one reader only, the distance would
    # be overwritten in place by the product below, and TensorFlow's calibrator take the product's range for its own.
    variance = ops.mean(distance * distance, layer.axis, keepdims=True)
    factor = ops.rsqrt(variance + layer.epsilon)
    shape = [1] * len(inputs.shape)
    for axis in layer.axis if isinstance(layer.axis, list | tuple) else [layer.axis]:
        shape[axis] = inputs.shape[axis]
    if layer.gamma is not None:
        factor = factor * ops.reshape(layer.gamma, shape)
    outputs = distance * factor
    return outputs if layer.beta is None else outputs + ops.reshape(layer.beta, shape)


def _upsample_1d(layer: keras.layers.UpSampling1D, inputs: Any) -> Any:
    if inputs.shape[1] is None:
        return type(layer).call(layer, inputs)
    size = (inputs.shape[1] * layer.size, 1)
    return ops.squeeze(tf.image.resize(ops.expand_dims(inputs, 2), size, method="nearest"), 2)


def _upsample_2d(layer: keras.layers.UpSampling2D, inputs: Any) -> Any:
    size = inputs.shape[1:3]
    if layer.interpolation != "nearest" or layer.data_format != "channels_last" or None in size:
        return type(layer).call(layer, inputs)
    return tf.image.resize(inputs, (size[0] * layer.size[0], size[1] * layer.size[1]), method="nearest")


def _look_up(layer: keras.layers.Embedding, inputs: Any) -> Any:
    """Look up rows of the table by their numbers; Keras would first count negative ones from the end."""
    if not isinstance(inputs, tf.Tensor) or inputs.dtype not in (tf.int32, tf.int64):
        inputs = ops.cast(inputs, "int32")
    return ops.cast(tf.gather(layer.embeddings, inputs), layer.compute_dtype)


def _repeat(layer: keras.layers.RepeatVector, inputs: Any) -> Any:
    return ops.stack([inputs] * layer.n, axis=1)


def _all_steps(
    layer: keras.layers.TimeDistributed, inputs: Any, training: bool | None = None, mask: Any = None
) -> Any:
    """Let the layer inside have all steps as one batch."""
    if mask is not None or None in inputs.shape[1:]:
        return type(layer).call(layer, inputs, training=training, mask=mask)
    # Without what only a training needs.
    outputs = layer.layer(ops.reshape(inputs, (-1, *inputs.shape[2:])))
    if keras.tree.is_nested(outputs) or None in outputs.shape[1:]:
        return type(layer).call(layer, inputs, training=training)
    return ops.reshape(outputs, (-1, inputs.shape[1], *outputs.shape[1:]))


_CALLS: dict[type[keras.Layer], Callable[..., Any]] = {
    keras.layers.Embedding: _look_up,
    keras.layers.LayerNormalization: _normalize,
    keras.layers.RepeatVector: _repeat,
    keras.layers.TimeDistributed: _all_steps,
    keras.layers.UpSampling1D: _upsample_1d,
    keras.layers.UpSampling2D: _upsample_2d,
}
"""What layers call instead of their own `call`."""


class _FusedLoop:
    """The steps of an `LSTM` as a function that the converter knows by its attribute and its arguments.

    The converter (TensorFlow's `ConvertKerasLSTMLayer`) takes input, hidden state, cell state, kernel, recurrent
    kernel and bias, and replaces the first two of five results: last output, outputs, hidden state, cell state, and
    one that tells which device ran it.
    """

    def __init__(self, layer: keras.layers.LSTM) -> None:
        self._cell = layer.cell
        self._backwards = layer.go_backwards
        self._usual = getattr(layer, LSTM_STEPS)

    def __call__(
        self, sequences: Any, initial_state: Sequence[Any], mask: Any, training: bool = False
    ) -> Any:
        if (
            mask is not None
            or tf.executing_eagerly()
            or sequences.shape[1] is None
            or not all(_is_zero(state) for state in initial_state)
        ):
            return self._usual(sequences, initial_state, mask, training=training)
        attributes = {
            FUSED_ATTRIBUTE: f"lstm_{uuid.uuid4()}",
            "time_major": False,
            "go_backwards": self._backwards,
        }
        steps = _lstm_backwards if self._backwards else _lstm
        function = tf.function(steps, autograph=False, experimental_attributes=attributes)
        weights = (self._cell.kernel, self._cell.recurrent_kernel, self._cell.bias)
        last, outputs, hidden, carry, _ = function(
            sequences, *initial_state, *(tf.convert_to_tensor(weight) for weight in weights)
        )
        return last, outputs, [hidden, carry]


def _is_zero(state: Any) -> bool:
    value = tf.get_static_value(state)
    return value is not None and not value.any()


def _lstm(inputs: Any, hidden: Any, carry: Any, kernel: Any, recurrent_kernel: Any, bias: Any) -> Any:
    """Compute what the operator computes, which the converter replaces and other users of the graph may run."""

    def step(state: Any, features: Any) -> Any:
        hidden, carry = state
        gates = tf.matmul(features, kernel) + tf.matmul(hidden, recurrent_kernel) + bias
        i, f, c, o = tf.split(gates, 4, axis=1)
        carry = tf.sigmoid(f) * carry + tf.sigmoid(i) * tf.tanh(c)
        return tf.sigmoid(o) * tf.tanh(carry), carry

    hiddens, carries = tf.scan(step, tf.transpose(inputs, [1, 0, 2]), (hidden, carry))
    return hiddens[-1], tf.transpose(hiddens, [1, 0, 2]), hiddens[-1], carries[-1], tf.constant(0.0)


def _lstm_backwards(inputs: Any, *others: Any) -> Any:
    return _lstm(tf.reverse(inputs, [1]), *others)
