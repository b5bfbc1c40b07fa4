"""MACs and operations of a Keras model."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from mltk.keras.private import flatten_layers, get_calls, is_graph
from mltk.tflite.metric_types import LSTM_OPS_PER_UNIT, LayerMetrics, ModelMetrics

if TYPE_CHECKING:
    import keras

# Names of layers, and of the operations that `keras.ops` leaves in a model.
_ACTIVATIONS = frozenset(
    [
        "Activation",
        "ELU",
        "LeakyReLU",
        "PReLU",
        "ReLU",
        "Softmax",
        *("Elu", "Gelu", "HardSigmoid", "HardSilu", "Relu", "Relu6", "Sigmoid", "Silu", "Tanh"),
    ]
)
_MERGES = frozenset(["Add", "Average", "Divide", "Maximum", "Minimum", "Multiply", "Subtract", "TrueDivide"])
_FREE = frozenset(
    [
        # Conversion folds it into the layer before.
        "BatchNormalization",
        *("ActivityRegularization", "AlphaDropout", "Dropout", "GaussianDropout", "GaussianNoise"),
        *("SpatialDropout1D", "SpatialDropout2D", "SpatialDropout3D", "Identity", "InputLayer", "Masking"),
        *(
            "Cast",
            "Concatenate",
            "ExpandDims",
            "Flatten",
            "GetItem",
            "Pad",
            "Permute",
            "RepeatVector",
            "Reshape",
            "Split",
        ),
        *("Squeeze", "Stack", "Transpose", "Cropping1D", "Cropping2D", "Cropping3D"),
        *("UpSampling1D", "UpSampling2D", "UpSampling3D", "ZeroPadding1D", "ZeroPadding2D", "ZeroPadding3D"),
    ]
)
_WEIGHTED = frozenset(("BaseConv", "BaseConvTranspose", "BaseDepthwiseConv", "BaseSeparableConv", "Dense"))


def keras_model_metrics(keras_model: keras.Model) -> ModelMetrics:
    """Count the MACs and operations of a Keras model for one sample.

    Models inside the model, and layers made of layers, are counted by what is in them, as often as they are called.
    Layers that only move data, batch normalisation (which conversion folds away), dropout, and an activation that is
    an argument of a layer count nothing. Global pooling, recurrent layers but `LSTM`, and others that are not in the
    tables of the documentation are not `known`; nor is a model that was not built from symbolic tensors.
    """
    return ModelMetrics(tuple(_model_layers(keras_model)))


def _model_layers(keras_model: keras.Model) -> Iterator[LayerMetrics]:
    calls = get_calls(keras_model)
    if calls is not None:
        for call in calls:
            yield from _operation_metrics(call.operation, call.node)
    elif keras_model.built:
        yield LayerMetrics(keras_model.name, type(keras_model).__name__, known=False)


def _operation_metrics(operation: keras.Operation, node: keras.Node) -> Iterator[LayerMetrics]:
    """Count one call of a layer, or of an operation of `keras.ops`, in a model."""
    if is_graph(operation):
        yield from _model_layers(operation)
        return
    counts = _counts(operation, node)
    if counts is None:
        opened = _opened(operation, node)
        if opened is not None:
            yield from _model_layers(opened)
            return
    macs, ops = counts or (0, 0)
    yield LayerMetrics(operation.name, type(operation).__name__, macs, ops, known=counts is not None)


def _counts(layer: keras.Layer, node: keras.Node) -> tuple[int, int] | None:
    """Return MACs and operations; `None` for what is not known."""
    kinds = {cls.__name__ for cls in type(layer).__mro__}
    size = sum(_elements(tensor) for tensor in node.output_tensors)
    if kinds & _WEIGHTED:
        macs = _separable_macs(layer, size) if "BaseSeparableConv" in kinds else size * _terms(layer, kinds)
        return macs, 2 * macs + size * bool(layer.use_bias)
    if "LSTM" in kinds and layer.use_bias:
        steps = math.prod(d for d in node.input_tensors[0].shape[1:-1] if d is not None)
        weights = (layer.cell.kernel, layer.cell.recurrent_kernel)
        macs = steps * sum(math.prod(weight.shape) for weight in weights)
        return macs, 2 * macs + LSTM_OPS_PER_UNIT * steps * layer.units
    if "BasePooling" in kinds:
        return 0, size * (math.prod(layer.pool_size) + ("Average" in type(layer).__name__))
    if kinds & _MERGES:
        return 0, size * max(len(node.input_tensors) - 1, 1)
    if kinds & _ACTIVATIONS:
        return 0, 2 * size
    return (0, 0) if kinds & _FREE else None


def _opened(layer: keras.Layer, node: keras.Node) -> keras.Model | None:
    """Return a model of what a layer made of layers does in one call; `None` if it cannot be looked into."""
    import keras

    if not flatten_layers(layer, include_self=False):
        return None
    inputs: list[Any] = []

    def symbol(value: Any) -> Any:
        if not isinstance(value, keras.KerasTensor):
            return value
        inputs.append(keras.Input(batch_shape=value.shape, dtype=value.dtype))
        return inputs[-1]

    args, kwargs = keras.tree.map_structure(symbol, (node.arguments.args, node.arguments.kwargs))
    try:
        return keras.Model(inputs, layer.call(*args, **kwargs))
    except Exception:  # noqa: BLE001 - any code may be in it, also such as takes no symbolic tensors
        return None


def _terms(layer: keras.Layer, kinds: set[str]) -> int:
    """Return the number of products in one value of the output."""
    shape = tuple(int(d) for d in layer.kernel.shape)
    if "BaseDepthwiseConv" in kinds:
        return math.prod(shape[:-2])
    if "BaseConvTranspose" in kinds:
        # The kernel of a transposed convolution has its output channels before its input channels.
        return math.prod(shape[:-2]) * shape[-1]
    return math.prod(shape[:-1])


def _separable_macs(layer: keras.Layer, size: int) -> int:
    window = tuple(int(d) for d in layer.depthwise_kernel.shape[:-2])
    channels, filters = (int(d) for d in layer.pointwise_kernel.shape[-2:])
    return size // filters * channels * (math.prod(window) + filters)


def _elements(tensor: keras.KerasTensor) -> int:
    """Return the number of elements of one sample; axes of unknown length count as 1."""
    return math.prod(d for d in tensor.shape[1:] if d is not None)
