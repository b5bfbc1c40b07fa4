"""`layer.params`: a layer that is computed with them in integers gives what LiteRT's reference kernels give."""

import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter, OpResolverType

from mltk.core import TflitePadding
from mltk.errors import SpecificationError


def run_with_all_tensors(model, x):
    interpreter = Interpreter(
        model_content=model.flatbuffer_data,
        experimental_op_resolver_type=OpResolverType.BUILTIN_REF,
        experimental_preserve_all_tensors=True,
    )
    interpreter.allocate_tensors()
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], x)
    interpreter.invoke()
    return interpreter.get_tensor


def finish(accumulators, params):
    """Scale accumulators (…, channels) to the output: a rounding product with 31 bits, then a rounding shift."""
    scaled = np.empty_like(accumulators)
    for c, (multiplier, shift) in enumerate(
        zip(params.per_channel_output_multiplier, params.per_channel_output_shift, strict=True)
    ):
        # One rounding, as LiteRT does: the sum with one half, then the bits above.
        total = 31 - shift
        scaled[..., c] = (accumulators[..., c] * multiplier + (1 << (total - 1))) >> total
    shifted = scaled + params.output_offset
    return np.clip(shifted, params.quantized_activation_min, params.quantized_activation_max)


def windows(x, params, kernel):
    """Return the padded input under the kernel at each place: (rows, columns, kernel rows and columns, channels)."""
    rows, columns = (
        [(p, k + s)]
        for p, k, s in zip((params.padding.height, params.padding.width), kernel, x.shape[1:3], strict=True)
    )
    padded = np.pad(x[0].astype(np.int64) + params.input_offset, (*rows, *columns, (0, 0)))
    view = np.lib.stride_tricks.sliding_window_view(padded, kernel, (0, 1))
    return np.moveaxis(view[:: params.stride_height, :: params.stride_width], 2, -1)


@pytest.fixture
def traced(load):
    model = load()
    x = np.random.default_rng(0).integers(-128, 128, model.inputs[0].shape).astype(np.int8)
    return model, run_with_all_tensors(model, x)


def layers_of(model, opcode):
    return [layer for layer in model.layers if layer.opcode_str == opcode]


def test_convolution_with_the_integers_is_that_of_the_kernel(traced):
    model, value = traced
    for layer in layers_of(model, "conv_2d"):
        params, out = layer.params, value(layer.output_tensor.index)[0]
        view = windows(value(layer.input_tensor.index), params, layer.kernel_size)[
            : out.shape[0], : out.shape[1]
        ]
        sums = np.einsum("hwijc,oijc->hwo", view, layer.filters_data.astype(np.int64))
        # LiteRT rounds twice in some builds, by one step at most.
        assert np.abs(finish(sums + layer.bias_data, params) - out).max() <= 1


def test_depthwise_convolution_with_the_integers_is_that_of_the_kernel(traced):
    model, value = traced
    for layer in layers_of(model, "depthwise_conv_2d"):
        params, out = layer.params, value(layer.output_tensor.index)[0]
        assert params.depth_multiplier == layer.multiplier == 1
        view = windows(value(layer.input_tensor.index), params, layer.kernel_size)[
            : out.shape[0], : out.shape[1]
        ]
        sums = np.einsum("hwijc,ijc->hwc", view, layer.filters_data[0].astype(np.int64))
        assert np.abs(finish(sums + layer.bias_data, params) - out).max() <= 1


def test_dense_layer_with_the_integers_is_that_of_the_kernel(traced):
    model, value = traced
    (layer,) = layers_of(model, "fully_connected")
    params, out = layer.params, value(layer.output_tensor.index)
    x = value(layer.input_tensor.index).astype(np.int64) + params.input_offset
    sums = x @ (layer.weights_data.astype(np.int64) + params.weights_offset).T
    sums += layer.bias_data if layer.use_bias else 0
    assert np.abs(finish(sums, params) - out).max() <= 1
    if len(layer.weights_tensor.quantization.scale) == 1:
        assert params.output_multiplier in range(
            params.per_channel_output_multiplier[0] - 512, params.per_channel_output_multiplier[0] + 512
        )
        assert params.output_shift == params.per_channel_output_shift[0]


def test_pool_has_its_window_and_range(load):
    (layer,) = layers_of(load(), "average_pool_2d")
    params = layer.params
    assert (params.stride_height, params.stride_width) == layer.strides
    assert params.padding == TflitePadding(layer.padding)
    assert -128 <= params.quantized_activation_min < params.quantized_activation_max == 127


def test_layer_in_float_has_no_integers_of_a_kernel(load):
    layer = layers_of(load("dense_float32"), "fully_connected")[0]
    with pytest.raises(SpecificationError, match="fully_connected has no integers of a kernel"):
        _ = layer.params
