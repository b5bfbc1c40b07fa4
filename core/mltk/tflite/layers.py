"""Layers (operators) of a `.tflite` file; common ones have named options and tensors."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from mltk.tflite._generated import OperatorT
from mltk.tflite._schema import enum_name, schema
from mltk.tflite.flatbuffer import to_integers, to_text
from mltk.tflite.options import (
    TfliteAddLayerOptions,
    TfliteConv2DLayerOptions,
    TfliteDepthwiseConv2DLayerOptions,
    TfliteFullyConnectedLayerOptions,
    TfliteLayerOptions,
    TfliteMulLayerOptions,
    TflitePool2DLayerOptions,
    TfliteTransposeConvLayerOptions,
    WithActivation,
    WithWindow,
)
from mltk.tflite.tensors import HasTensors, TfliteTensor, TfliteTensors


class TfliteLayer(HasTensors):
    """An operator of a model.

    An operator without a class below, or with tensors or options of an unexpected form, is a plain `TfliteLayer`.
    """

    _options_class: ClassVar[type[TfliteLayerOptions]] = TfliteLayerOptions
    _options_name: ClassVar[str] = ""
    """Schema name of the options that `_options_class` reads; empty if it reads all."""
    _input_ranks: ClassVar[tuple[int, ...]] = ()
    """Number of axes of each required input; -1 for any number."""
    _output_rank: ClassVar[int] = -1

    @staticmethod
    def from_flatbuffer(index: int, model: TfliteTensors, fb_operation: OperatorT) -> TfliteLayer:
        """Return the layer for an operator of the schema's object interface (`OperatorT`)."""
        fb_opcode = model.flatbuffer_model.operatorCodes[fb_operation.opcodeIndex]
        # Files older than schema version 3a have only the deprecated code, of one byte.
        opcode = max(int(fb_opcode.deprecatedBuiltinCode), int(fb_opcode.builtinCode))
        opcode_str = enum_name("BuiltinOperator", opcode).lower()
        if opcode_str == "custom":
            opcode_str = f"custom:{to_text(fb_opcode.customCode)}"
        arguments = (index, opcode, opcode_str, int(fb_opcode.version), model, fb_operation)
        layer = TfliteLayer(*arguments)
        layer_class = _LAYER_CLASSES.get(opcode_str, TfliteLayer)
        return layer_class(*arguments) if layer_class._fits(layer, fb_operation) else layer

    def __init__(
        self,
        index: int,
        opcode: int,
        opcode_str: str,
        opcode_version: int,
        model: TfliteTensors,
        fb_operation: OperatorT,
    ) -> None:
        self._index = index
        self._opcode = opcode
        self._opcode_str = opcode_str
        self._opcode_version = opcode_version
        self._model = model
        self._operands = [model.get_tensor(i) if i >= 0 else None for i in to_integers(fb_operation.inputs)]
        self._outputs = [model.get_tensor(i) for i in to_integers(fb_operation.outputs) if i >= 0]
        fields, options_type = fb_operation.builtinOptions, int(fb_operation.builtinOptionsType)
        if fields is None and self._options_name:
            # A writer may leave out options that all have their default value.
            fields = getattr(schema(), f"{self._options_name}T")()
            options_type = getattr(schema().BuiltinOptions, self._options_name)
        self._options = self._options_class(fields, options_type)
        self._metadata: dict[str, object] = {}

    @classmethod
    def _fits(cls, layer: TfliteLayer, fb_operation: OperatorT) -> bool:
        options = fb_operation.builtinOptions
        kind = type(options).__name__.removesuffix("T") if options is not None else ""
        # Options newer than the schema have a type and no value.
        if cls._options_name and fb_operation.builtinOptionsType and kind != cls._options_name:
            return False
        if len(layer._operands) < len(cls._input_ranks) or not layer._outputs:
            return False
        for tensor, rank in zip(layer._operands, cls._input_ranks, strict=False):
            if tensor is None or rank not in (-1, len(tensor.shape)):
                return False
        return cls._output_rank in (-1, len(layer._outputs[0].shape))

    @property
    def index(self) -> int:
        """Index of the layer in the model."""
        return self._index

    @property
    def name(self) -> str:
        """Index and operator, e.g. `op0-conv_2d`."""
        return f"op{self._index}-{self._opcode_str}"

    @property
    def opcode(self) -> int:
        """Operator code, one of `TfliteOpCode`."""
        return self._opcode

    @property
    def opcode_str(self) -> str:
        """Name of the operator: `conv_2d`, `custom:MyOp`, or `builtinoperator_999` if it is unknown."""
        return self._opcode_str

    @property
    def opcode_version(self) -> int:
        """Version of the operator."""
        return self._opcode_version

    @property
    def options(self) -> TfliteLayerOptions:
        """Options of the operator."""
        return self._options

    @property
    def model(self) -> TfliteTensors:
        """Model of the layer."""
        return self._model

    @property
    def metadata(self) -> dict[str, object]:
        """Values that a program attaches to the layer; they are not saved."""
        return self._metadata

    @property
    def inputs(self) -> list[TfliteTensor]:
        """Input tensors, without absent optional ones."""
        return [tensor for tensor in self._operands if tensor is not None]

    @property
    def outputs(self) -> list[TfliteTensor]:
        """Output tensors."""
        return list(self._outputs)

    def _operand(self, position: int) -> TfliteTensor | None:
        return self._operands[position] if position < len(self._operands) else None

    def _required(self, position: int) -> TfliteTensor:
        tensor = self._operands[position]
        if tensor is None:  # pragma: no cover - `_fits` excludes this
            raise IndexError(position)
        return tensor

    def __str__(self) -> str:
        return self.name


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


class TfliteConv2dLayer(_Filtered):
    """CONV_2D; the filters are (output channels, height, width, input channels per group)."""

    _options_class = TfliteConv2DLayerOptions
    _options_name = "Conv2DOptions"


class TfliteDepthwiseConv2dLayer(_Filtered):
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


class TfliteTransposeConvLayer(_Filtered):
    """TRANSPOSE_CONV; the inputs are output shape, filters as in CONV_2D, data, bias."""

    _options_class = TfliteTransposeConvLayerOptions
    _options_name = "TransposeConvOptions"
    _input_ranks = (-1, 4, 4)
    _bias_position = 3

    @property
    def input_tensor(self) -> TfliteTensor:
        """Input tensor."""
        return self._required(2)


class TfliteFullyConnectedLayer(_Weighted):
    """FULLY_CONNECTED; the weights are (units, inputs)."""

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


class TflitePooling2dLayer(_OneInput, _Activated, _Windowed):
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


class TfliteAddLayer(_TwoInputs):
    """ADD."""

    _options_class = TfliteAddLayerOptions
    _options_name = "AddOptions"


class TfliteMulLayer(_TwoInputs):
    """MUL."""

    _options_class = TfliteMulLayerOptions
    _options_name = "MulOptions"


class TfliteReshapeLayer(_OneInput):
    """RESHAPE."""

    @property
    def requires_copy(self) -> bool:
        """True if the output is another tensor than the input."""
        return self.input_tensor.index != self.output_tensor.index

    @property
    def n_input_elements(self) -> int:
        """Number of elements of the input."""
        return self.input_tensor.shape.flat_size


class TfliteQuantizeLayer(_OneInput):
    """QUANTIZE."""


class TfliteDequantizeLayer(_OneInput):
    """DEQUANTIZE."""


class TflitePadLayer(_OneInput):
    """PAD or PADV2."""

    _input_ranks = (-1, 2)

    @property
    def paddings(self) -> np.ndarray:
        """Elements added before and after each axis, (axes, 2)."""
        return self._required(1).data


_LAYER_CLASSES: dict[str, type[TfliteLayer]] = {
    "add": TfliteAddLayer,
    "average_pool_2d": TflitePooling2dLayer,
    "conv_2d": TfliteConv2dLayer,
    "depthwise_conv_2d": TfliteDepthwiseConv2dLayer,
    "dequantize": TfliteDequantizeLayer,
    "fully_connected": TfliteFullyConnectedLayer,
    "max_pool_2d": TflitePooling2dLayer,
    "mul": TfliteMulLayer,
    "pad": TflitePadLayer,
    "padv2": TflitePadLayer,
    "quantize": TfliteQuantizeLayer,
    "reshape": TfliteReshapeLayer,
    "transpose_conv": TfliteTransposeConvLayer,
}
