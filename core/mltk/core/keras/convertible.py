"""Layers in the form that TensorFlow's converter takes best.

This module imports TensorFlow; it is imported when a conversion starts.
"""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import Any

import keras  # noqa: TID253 - see above
import tensorflow as tf  # noqa: TID253
from tensorflow.lite.python.optimize.calibrator import Calibrator  # noqa: TID253

FUSED_ATTRIBUTE = "api_implements"
"""Attribute of the functions of TensorFlow that the converter turns into one operator."""


@contextlib.contextmanager
def convertible_layers(keras_model: keras.Model, calibrated: bool) -> Iterator[bool]:
    """Let a model's layers be traced, within the block, as the converter can take them.

    An `LSTM` becomes one `UNIDIRECTIONAL_SEQUENCE_LSTM`, as Keras 2 had it, if it has the usual activations, a bias
    and no state from elsewhere, no mask, no dropout within its steps, and a fixed number of steps. Other layers, and
    those with `unroll=True`, become operators step by step, and where nothing is calibrated, a loop.

    A `LayerNormalization` subtracts the mean before it scales. Keras scales both and subtracts then, the mean negated
    by an operator that takes no int8: with a mean of three deviations that has twice the error in int8.

    Args:
        keras_model: The model to be converted.
        calibrated: Whether representative samples go through it: calibrating a loop crashes the process.

    Yields:
        Whether there are recurrent layers.
    """
    layers = list(keras_model._flatten_layers())
    recurrent = [layer for layer in layers if isinstance(layer, keras.layers.RNN)]
    loops = [layer for layer in recurrent if not layer.unroll]
    others: list[tuple[keras.Layer, str, Callable[..., Any]]] = [
        *((layer, "inner_loop", _FusedLoop(layer)) for layer in loops if _is_plain_lstm(layer)),
        *((layer, "call", partial(_normalize, layer)) for layer in layers if _is_plain_normalization(layer)),
    ]
    for layer, name, method in others:
        # Past Keras, which would track an attribute of its layers.
        object.__setattr__(layer, name, method)
    for layer in loops if calibrated else ():
        layer.unroll = True
    try:
        with _independent_samples() if recurrent and calibrated else contextlib.nullcontext():
            yield bool(recurrent)
    finally:
        for layer in loops:
            layer.unroll = False
        for layer, name, _ in others:
            object.__delattr__(layer, name)


@contextlib.contextmanager
def _independent_samples() -> Iterator[None]:
    """Let each sample of a calibration begin with empty states.

    TensorFlow's calibrator never resets the states that operators keep, so that the ranges would be those of one
    long sequence of all samples. It has no setting for that.
    """
    usual = Calibrator._feed_tensors

    def feed(self: Any, samples: Callable[[], Iterable[Any]], resize_input: bool) -> None:
        def prepared() -> Iterator[Any]:
            for sample in samples():
                if isinstance(sample, list):
                    # After the first time this makes no new memory, and empties the states.
                    self._calibrator.Prepare([list(array.shape) for array in sample])
                yield sample

        usual(self, prepared, resize_input)

    Calibrator._feed_tensors = feed
    try:
        yield
    finally:
        Calibrator._feed_tensors = usual


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


def _is_plain_normalization(layer: keras.Layer) -> bool:
    return (
        type(layer) is keras.layers.LayerNormalization
        and not layer.rms_scaling
        and layer.compute_dtype == "float32"
    )


def _normalize(layer: keras.layers.LayerNormalization, inputs: Any) -> Any:
    """Compute what the layer does (Ba et al., 2016), in another order."""
    ops = keras.ops
    distance = inputs - ops.mean(inputs, layer.axis, keepdims=True)
    variance = ops.mean(ops.square(distance), layer.axis, keepdims=True)
    outputs = distance * ops.rsqrt(variance + layer.epsilon)
    shape = [1] * len(inputs.shape)
    for axis in layer.axis if isinstance(layer.axis, list | tuple) else [layer.axis]:
        shape[axis] = inputs.shape[axis]
    if layer.gamma is not None:
        outputs = outputs * ops.reshape(layer.gamma, shape)
    return outputs if layer.beta is None else outputs + ops.reshape(layer.beta, shape)


class _FusedLoop:
    """The steps of an `LSTM` as a function that the converter knows by its attribute and its arguments.

    The converter (TensorFlow's `ConvertKerasLSTMLayer`) takes input, hidden state, cell state, kernel, recurrent
    kernel and bias, and replaces the first two of five results: last output, outputs, hidden state, cell state, and
    one that tells which device ran it.
    """

    def __init__(self, layer: keras.layers.LSTM) -> None:
        self._cell = layer.cell
        self._backwards = layer.go_backwards
        self._usual = layer.inner_loop

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
    outputs = []
    for step in tf.unstack(inputs, axis=1):
        gates = tf.matmul(step, kernel) + tf.matmul(hidden, recurrent_kernel) + bias
        i, f, c, o = tf.split(gates, 4, axis=1)
        carry = tf.sigmoid(f) * carry + tf.sigmoid(i) * tf.tanh(c)
        hidden = tf.sigmoid(o) * tf.tanh(carry)
        outputs.append(hidden)
    return hidden, tf.stack(outputs, axis=1), hidden, carry, tf.constant(0.0)


def _lstm_backwards(inputs: Any, *others: Any) -> Any:
    return _lstm(tf.reverse(inputs, [1]), *others)
