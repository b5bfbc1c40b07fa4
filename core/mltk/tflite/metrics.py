"""MACs and operations of a `.tflite` model."""

from __future__ import annotations

from mltk.tflite.graph import TfliteGraph
from mltk.tflite.layers import (
    TfliteConv2dLayer,
    TfliteDepthwiseConv2dLayer,
    TfliteFullyConnectedLayer,
    TfliteLayer,
    TflitePooling2dLayer,
    TfliteReshapeLayer,
    TfliteTransposeConvLayer,
)
from mltk.tflite.metric_types import LSTM_OPS_PER_UNIT, LayerMetrics, ModelMetrics

_Weighted = (
    TfliteConv2dLayer | TfliteDepthwiseConv2dLayer | TfliteTransposeConvLayer | TfliteFullyConnectedLayer
)

# Operations per element of the output; operators that only move data have none.
_PER_ELEMENT = {
    "add": 1,
    "sub": 1,
    "mul": 1,
    "div": 1,
    "quantize": 4,
    "dequantize": 2,
    "pad": 6,
    "padv2": 6,
    "mirror_pad": 6,
    **dict.fromkeys(
        ["relu", "relu6", "relu_n1_to_1", "relu_0_to_1", "leaky_relu", "prelu", "elu", "gelu", "hard_swish"],
        2,
    ),
    **dict.fromkeys(["logistic", "tanh", "softmax", "log_softmax"], 2),
    **dict.fromkeys(
        [
            *("concatenation", "split", "split_v", "pack", "unpack", "slice", "strided_slice", "gather"),
            *("expand_dims", "squeeze", "shape", "transpose", "reverse_v2", "tile", "fill", "broadcast_to"),
            *("space_to_depth", "depth_to_space", "space_to_batch_nd", "batch_to_space_nd", "cast"),
            *("call_once", "var_handle", "read_variable", "assign_variable"),
        ],
        0,
    ),
}


def tflite_model_metrics(tflite_model: TfliteGraph) -> ModelMetrics:
    """Count the MACs and operations of one inference of a `.tflite` model's selected graph."""
    return ModelMetrics(tuple(tflite_layer_metrics(layer) for layer in tflite_model.layers))


def tflite_layer_metrics(layer: TfliteLayer) -> LayerMetrics:
    """Count the MACs and operations of one layer.

    A transposed convolution counts as the convolution of its input spread out with zeros. The activation of a
    layer with weights costs nothing: it is the clamp that int8 arithmetic needs anyway. Means and other operators
    that are not in the tables of the documentation are not `known`.
    """
    macs = ops = 0
    known = True
    size = layer.outputs[0].shape.flat_size if layer.outputs else 0
    if isinstance(layer, _Weighted):
        macs = size * _terms(layer)
        ops = 2 * macs + size * layer.use_bias
    elif isinstance(layer, TflitePooling2dLayer):
        window = layer.pool_size[0] * layer.pool_size[1]
        ops = size * (window + (layer.opcode_str == "average_pool_2d"))
    elif layer.opcode_str == "unidirectional_sequence_lstm":
        macs, ops = _lstm(layer, size)
    elif layer.opcode_str == "svdf":
        macs, ops = _svdf(layer, size)
    elif isinstance(layer, TfliteReshapeLayer):
        ops = size * layer.requires_copy
    else:
        known = layer.opcode_str in _PER_ELEMENT
        ops = size * _PER_ELEMENT.get(layer.opcode_str, 0)
    return LayerMetrics(layer.name, layer.opcode_str, macs, ops, known)


def _lstm(layer: TfliteLayer, size: int) -> tuple[int, int]:
    """Return MACs and operations of an LSTM operator, `size` values of which are its output."""
    steps = size // layer.outputs[0].shape[-1]
    # The weights of the gates, for the input and for the state.
    weights = [tensor for tensor in layer.inputs if len(tensor.shape) == 2 and tensor.is_constant]
    macs = steps * sum(tensor.shape.flat_size for tensor in weights)
    return macs, 2 * macs + LSTM_OPS_PER_UNIT * size


def _svdf(layer: TfliteLayer, size: int) -> tuple[int, int]:
    """Return MACs and operations of an SVDF operator: filters over the features, then over their memory in time."""
    batch = layer.outputs[0].shape[0]
    # Weights of the features and of time; the bias has one axis, and the state is no constant.
    weights = [tensor for tensor in layer.inputs if len(tensor.shape) == 2 and tensor.is_constant]
    macs = batch * sum(tensor.shape.flat_size for tensor in weights)
    has_bias = any(len(tensor.shape) == 1 for tensor in layer.inputs)
    return macs, 2 * macs + size * has_bias


def _terms(layer: _Weighted) -> int:
    """Return the number of products in one value of the output."""
    if isinstance(layer, TfliteFullyConnectedLayer):
        return layer.accumulator_depth
    window = layer.kernel_size[0] * layer.kernel_size[1]
    return window if isinstance(layer, TfliteDepthwiseConv2dLayer) else window * layer.filters_tensor.shape[3]
