"""MACs and operations of a Keras model."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from mltk.core.model.metrics.types import LayerMetrics, ModelMetrics

if TYPE_CHECKING:
    import keras

_ACTIVATIONS = ("Activation", "ReLU", "LeakyReLU", "PReLU", "ELU", "Softmax")
_MERGES = ("Add", "Subtract", "Multiply", "Average", "Maximum", "Minimum")


def keras_model_metrics(keras_model: keras.Model) -> ModelMetrics:
    """Count the MACs and operations of a Keras model for one sample.

    Models inside the model are counted in place, as often as they are called. Layers that only move data,
    batch normalisation (which conversion folds away), dropout, global pooling and layers that are not known
    count nothing; so do layers of a model that was not built from symbolic tensors.
    """
    return ModelMetrics(tuple(_model_layers(keras_model)))


def _model_layers(keras_model: keras.Model) -> Iterator[LayerMetrics]:
    import keras

    for layer in keras_model.layers:
        for node in _calls(layer, keras_model):
            if isinstance(layer, keras.Model):
                yield from _model_layers(layer)
            else:
                yield _layer_metrics(layer, node)


def _calls(layer: Any, keras_model: Any) -> list[Any]:
    """Return the calls of `layer` within `keras_model`; a shared layer has several."""
    # `layer.input` and `layer.output`, the public way, raise for a layer that is called more than once.
    functional = getattr(keras_model, "_functional", keras_model)
    by_depth = getattr(functional, "_nodes_by_depth", {})
    inside = {id(node) for nodes in by_depth.values() for node in nodes}
    return [node for node in layer._inbound_nodes if id(node) in inside]


def _layer_metrics(layer: Any, node: Any) -> LayerMetrics:
    import keras

    kind = type(layer).__name__
    inputs = [_elements(tensor) for tensor in node.input_tensors]
    size = sum(_elements(tensor) for tensor in node.output_tensors)
    macs = ops = 0
    kinds = {cls.__name__ for cls in type(layer).__mro__}
    if "SeparableConv" in kind:
        macs = _separable_macs(layer, size)
    elif kinds & {"BaseConv", "BaseConvTranspose", "BaseDepthwiseConv", "Dense"}:
        macs = size * _terms(layer, kinds)
    elif kinds & {"BasePooling"}:
        ops = size * (math.prod(layer.pool_size) + ("Average" in kind))
    elif kinds & set(_MERGES):
        ops = size * max(len(inputs) - 1, 1)
    elif kinds & set(_ACTIVATIONS):
        ops = 2 * size
    if macs:
        activation = getattr(layer, "activation", None)
        active = activation is not None and activation is not keras.activations.linear
        ops = 2 * macs + size * bool(layer.use_bias) + 2 * size * active
    return LayerMetrics(layer.name, kind, macs, ops)


def _terms(layer: Any, kinds: set[str]) -> int:
    """Return the number of products in one value of the output."""
    shape = tuple(int(d) for d in layer.kernel.shape)
    if "BaseDepthwiseConv" in kinds:
        return math.prod(shape[:-2])
    if "BaseConvTranspose" in kinds:
        # The kernel of a transposed convolution has its output channels before its input channels.
        return math.prod(shape[:-2]) * shape[-1]
    return math.prod(shape[:-1])


def _separable_macs(layer: Any, size: int) -> int:
    window = tuple(int(d) for d in layer.depthwise_kernel.shape[:-2])
    channels, filters = (int(d) for d in layer.pointwise_kernel.shape[-2:])
    return size // filters * channels * (math.prod(window) + filters)


def _elements(tensor: Any) -> int:
    """Return the number of elements of one sample; axes of unknown length count as 1."""
    return math.prod(d for d in tensor.shape[1:] if d is not None)
