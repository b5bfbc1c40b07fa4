"""Layers (operators) of a `.tflite` file that have named options and tensors."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from mltk.tflite.kernel_parameters import (
    TfliteConvParams,
    TfliteDepthwiseConvParams,
    TfliteFullyConnectedParams,
    TflitePoolParams,
    TfliteTransposeConvParams,
)
from mltk.tflite.layer import TfliteLayer as TfliteLayer
from mltk.tflite.options import (
    TfliteAddLayerOptions,
    TfliteConv2DLayerOptions,
    TfliteDepthwiseConv2DLayerOptions,
    TfliteFullyConnectedLayerOptions,
    TfliteMulLayerOptions,
    TflitePool2DLayerOptions,
    TfliteTransposeConvLayerOptions,
    TfliteUnidirectionalLstmLayerOptions,
    WithActivation,
    WithWindow,
)
from mltk.tflite.tensors import TfliteTensor


class _OneInput(TfliteLayer):
    _input_ranks: ClassVar[tuple[int, ...]] = (-1,)

    @property
    def input_tensor(self) -> TfliteTensor:
        """Input tensor."""
        return self._required(0)

    @property
    def input_data(self) -> np.ndarray:
        """Data of the input tensor."""
        return self.input_tensor.data

    @property
    def output_tensor(self) -> TfliteTensor:
        """Output tensor."""
        return self._outputs[0]

    @property
    def output_data(self) -> np.ndarray:
        """Data of the output tensor."""
        return self.output_tensor.data


class _Activated(TfliteLayer):
    _options: WithActivation

    @property
    def activation(self) -> str:
        """The fused activation, e.g. `Relu`."""
        return self._options.activation_str


class _Windowed(TfliteLayer):
    _options: WithWindow

    @property
    def strides(self) -> tuple[int, int]:
        """Steps of the kernel, height by width."""
        return self._options.stride_height, self._options.stride_width

    @property
    def padding(self) -> str:
        """Padding of the kernel at the border: `Same` or `Valid`."""
        return self._options.padding_str


class _Weighted(_OneInput, _Activated):
    _bias_position: ClassVar[int] = 2

    @property
    def bias_tensor(self) -> TfliteTensor | None:
        """The bias, or `None`."""
        return self._operand(self._bias_position)

    @property
    def bias_data(self) -> np.ndarray | None:
        """The data of the bias, or `None`."""
        return None if self.bias_tensor is None else self.bias_tensor.data

    @property
    def use_bias(self) -> bool:
        """True if there is a bias."""
        return self.bias_tensor is not None


class _Filtered(_Weighted, _Windowed):
    _options: TfliteConv2DLayerOptions | TfliteTransposeConvLayerOptions
    _input_ranks: ClassVar[tuple[int, ...]] = (4, 4)
    _output_rank = 4

    @property
    def filters_tensor(self) -> TfliteTensor:
        """The filters."""
        return self._required(1)

    @property
    def filters_data(self) -> np.ndarray:
        """The data of the filters."""
        return self.filters_tensor.data

    @property
    def filters(self) -> int:
        """Number of filters (output channels)."""
        return self.filters_tensor.shape[0]

    @property
    def kernel_size(self) -> tuple[int, int]:
        """Height and width of the filters."""
        return self.filters_tensor.shape[1], self.filters_tensor.shape[2]


class TfliteConv2dLayer(_Filtered, operators=("conv_2d",)):
    """CONV_2D; the filters are (output channels, height, width, input channels per group)."""

    _options: TfliteConv2DLayerOptions
    _options_class = TfliteConv2DLayerOptions
    _options_name = "Conv2DOptions"

    @property
    def options(self) -> TfliteConv2DLayerOptions:
        """Options of the operator."""
        return self._options

    @property
    def params(self) -> TfliteConvParams:
        """Integers of the int8 kernel."""
        return TfliteConvParams.calculate(self)


class TfliteDepthwiseConv2dLayer(_Filtered, operators=("depthwise_conv_2d",)):
    """DEPTHWISE_CONV_2D; the filters are (1, height, width, output channels)."""

    _options: TfliteDepthwiseConv2DLayerOptions
    _options_class = TfliteDepthwiseConv2DLayerOptions
    _options_name = "DepthwiseConv2DOptions"

    @property
    def filters(self) -> int:
        """Number of output channels."""
        return self.filters_tensor.shape[3]

    @property
    def multiplier(self) -> int:
        """Output channels per input channel."""
        return self._options.multiplier

    @property
    def options(self) -> TfliteDepthwiseConv2DLayerOptions:
        """Options of the operator."""
        return self._options

    @property
    def params(self) -> TfliteDepthwiseConvParams:
        """Integers of the int8 kernel."""
        return TfliteDepthwiseConvParams.calculate(self)


class TfliteTransposeConvLayer(_Filtered, operators=("transpose_conv",)):
    """TRANSPOSE_CONV; the inputs are output shape, filters as in CONV_2D, data, bias."""

    _options: TfliteTransposeConvLayerOptions
    _options_class = TfliteTransposeConvLayerOptions
    _options_name = "TransposeConvOptions"
    _input_ranks = (-1, 4, 4)
    _bias_position = 3

    @property
    def input_tensor(self) -> TfliteTensor:
        """Input tensor."""
        return self._required(2)

    @property
    def options(self) -> TfliteTransposeConvLayerOptions:
        """Options of the operator."""
        return self._options

    @property
    def params(self) -> TfliteTransposeConvParams:
        """Integers of the int8 kernel."""
        return TfliteTransposeConvParams.calculate(self)


class TfliteFullyConnectedLayer(_Weighted, operators=("fully_connected",)):
    """FULLY_CONNECTED; the weights are (units, inputs)."""

    _options: TfliteFullyConnectedLayerOptions
    _options_class = TfliteFullyConnectedLayerOptions
    _options_name = "FullyConnectedOptions"
    _input_ranks = (-1, 2)

    @property
    def weights_tensor(self) -> TfliteTensor:
        """The weights."""
        return self._required(1)

    @property
    def weights_data(self) -> np.ndarray:
        """The data of the weights."""
        return self.weights_tensor.data

    @property
    def accumulator_depth(self) -> int:
        """Number of inputs per unit."""
        return self.weights_tensor.shape[1]

    @property
    def units(self) -> int:
        """Number of units."""
        return self.weights_tensor.shape[0]

    @property
    def options(self) -> TfliteFullyConnectedLayerOptions:
        """Options of the operator."""
        return self._options

    @property
    def params(self) -> TfliteFullyConnectedParams:
        """Integers of the int8 kernel."""
        return TfliteFullyConnectedParams.calculate(self)


class TflitePooling2dLayer(_OneInput, _Activated, _Windowed, operators=("average_pool_2d", "max_pool_2d")):
    """AVERAGE_POOL_2D or MAX_POOL_2D."""

    _options: TflitePool2DLayerOptions
    _options_class = TflitePool2DLayerOptions
    _options_name = "Pool2DOptions"
    _input_ranks = (4,)
    _output_rank = 4

    @property
    def pool_size(self) -> tuple[int, int]:
        """Height and width of the window."""
        return self._options.filter_height, self._options.filter_width

    @property
    def options(self) -> TflitePool2DLayerOptions:
        """Options of the operator."""
        return self._options

    @property
    def params(self) -> TflitePoolParams:
        """Integers of the int8 kernel."""
        return TflitePoolParams.calculate(self)


class _TwoInputs(_OneInput, _Activated):
    _input_ranks = (-1, -1)

    @property
    def input1_tensor(self) -> TfliteTensor:
        """The first operand."""
        return self._required(0)

    @property
    def input1_data(self) -> np.ndarray:
        """The data of the first operand."""
        return self.input1_tensor.data

    @property
    def input2_tensor(self) -> TfliteTensor:
        """The second operand."""
        return self._required(1)

    @property
    def input2_data(self) -> np.ndarray:
        """The data of the second operand."""
        return self.input2_tensor.data


class TfliteAddLayer(_TwoInputs, operators=("add",)):
    """ADD."""

    _options_class = TfliteAddLayerOptions
    _options_name = "AddOptions"


class TfliteMulLayer(_TwoInputs, operators=("mul",)):
    """MUL."""

    _options_class = TfliteMulLayerOptions
    _options_name = "MulOptions"


class TfliteReshapeLayer(_OneInput, operators=("reshape",)):
    """RESHAPE."""

    @property
    def requires_copy(self) -> bool:
        """True if the output is another tensor than the input."""
        return self.input_tensor.index != self.output_tensor.index

    @property
    def n_input_elements(self) -> int:
        """Number of elements of the input."""
        return self.input_tensor.shape.flat_size


class TfliteQuantizeLayer(_OneInput, operators=("quantize",)):
    """QUANTIZE."""


class TfliteDequantizeLayer(_OneInput, operators=("dequantize",)):
    """DEQUANTIZE."""


class TflitePadLayer(_OneInput, operators=("pad", "padv2")):
    """PAD or PADV2."""

    _input_ranks = (-1, 2)

    @property
    def paddings(self) -> np.ndarray:
        """Elements added before and after each axis, (axes, 2)."""
        return self._required(1).data


class _Operand:
    """An optional input of a layer by its position."""

    def __init__(self, position: int) -> None:
        self.position = position

    def __get__(self, layer: TfliteLayer, owner: type[TfliteLayer]) -> TfliteTensor | None:
        return layer._operand(self.position)


class TfliteUnidirectionalLstmLayer(_OneInput, _Activated, operators=("unidirectional_sequence_lstm",)):
    """UNIDIRECTIONAL_SEQUENCE_LSTM; tensors that the layer does not have are `None`."""

    _options: TfliteUnidirectionalLstmLayerOptions
    _options_class = TfliteUnidirectionalLstmLayerOptions
    _options_name = "UnidirectionalSequenceLSTMOptions"
    # The weights of the three gates that every LSTM has.
    _input_ranks = (-1, -1, 2, 2, 2)

    input_to_input_weights_tensor = _Operand(1)
    input_to_forget_weights_tensor = _Operand(2)
    input_to_cell_weights_tensor = _Operand(3)
    input_to_output_weights_tensor = _Operand(4)
    recurrent_to_input_weights_tensor = _Operand(5)
    recurrent_to_forget_weights_tensor = _Operand(6)
    recurrent_to_cell_weights_tensor = _Operand(7)
    recurrent_to_output_weights_tensor = _Operand(8)
    cell_to_input_weights_tensor = _Operand(9)
    cell_to_forget_weights_tensor = _Operand(10)
    cell_to_output_weights_tensor = _Operand(11)
    input_gate_bias_tensor = _Operand(12)
    forget_gate_bias_tensor = _Operand(13)
    cell_gate_bias_tensor = _Operand(14)
    output_gate_bias_tensor = _Operand(15)
    projection_weights_tensor = _Operand(16)
    projection_bias_tensor = _Operand(17)
    output_state_tensor = _Operand(18)
    cell_state_tensor = _Operand(19)
    input_layer_norm_coeff_tensor = _Operand(20)
    forget_layer_norm_coeff_tensor = _Operand(21)
    cell_layer_norm_coeff_tensor = _Operand(22)
    output_layer_norm_coeff_tensor = _Operand(23)

    @property
    def is_time_major(self) -> bool:
        """True if the first axis of the input is the time, false if it is the batch."""
        return bool(self._options.timeMajor)

    @property
    def cell_clip(self) -> float:
        """Limit of the cells' state; 0 is none."""
        return float(self._options.cellClip)

    @property
    def proj_clip(self) -> float:
        """Limit of the projection; 0 is none."""
        return float(self._options.projClip)

    @property
    def n_cells(self) -> int:
        """Number of cells."""
        return self._required(3).shape[0]

    def get_tensor_name_value_tuples(self) -> list[tuple[str, TfliteTensor | None]]:
        """Return `input`, the optional tensors without `_tensor` in their names, and `output`."""
        operands = [
            (name.removesuffix("_tensor"), self._operand(value.position))
            for name, value in vars(TfliteUnidirectionalLstmLayer).items()
            if isinstance(value, _Operand)
        ]
        return [("input", self.input_tensor), *operands, ("output", self.output_tensor)]
