"""Set the range of a quantized model's inputs after calibration."""

from __future__ import annotations

import copy

import numpy as np

from mltk.tflite._generated import OperatorT, QuantizationT, TensorT
from mltk.tflite._schema import enum_name, schema
from mltk.tflite.flatbuffer import to_integers, to_text
from mltk.tflite.model import TfliteModel

_DTYPES: dict[str, type[np.signedinteger | np.unsignedinteger]] = {
    "INT8": np.int8,
    "UINT8": np.uint8,
    "INT16": np.int16,
}
# Their bias has the scale of the input times the scale of the weights.
_BIASED = frozenset({"conv_2d", "depthwise_conv_2d", "fully_connected"})
_BIAS = 2
# They compute with any scale of the input.
_FREE = frozenset({"mean", "add", "sub", "mul", "quantize", "dequantize", "softmax"})
# They copy integers: their output has the scale of the input.
_COPYING = frozenset(
    {
        "reshape",
        "squeeze",
        "expand_dims",
        "transpose",
        "pad",
        "slice",
        "strided_slice",
        "max_pool_2d",
        "average_pool_2d",
    }
)


def set_input_range(model: TfliteModel, low: float, high: float) -> None:
    """Quantize the inputs of an integer model for a range, whatever range the samples for calibration had.

    The scales behind the inputs stay those of the samples. Biases that depend on the scale of the input are converted.
    An operator that needs one scale for several tensors gets its old input through a QUANTIZE operator.

    Args:
        model: Changed; `regenerate_flatbuffer` is the caller's.
        low: Minimum of the inputs.
        high: Maximum of the inputs.
    """
    for index in to_integers(model.flatbuffer_subgraph.inputs):
        _InputRange(model, low, high).apply(index)


class _InputRange:
    def __init__(self, model: TfliteModel, low: float, high: float) -> None:
        self.model = model
        self.low, self.high = low, high
        self.tensors = model.flatbuffer_subgraph.tensors or []
        self.operators = model.flatbuffer_subgraph.operators or []
        self.names = {
            id(operator): layer.opcode_str
            for operator, layer in zip(self.operators, model.layers, strict=True)
        }

    def apply(self, index: int) -> None:
        """Set the range of a tensor and of those that copy it."""
        readers = self._find_readers(index)
        quantization = _quantization(self.tensors[index])
        if quantization is None:
            # An input of real numbers is quantized by the first operator.
            for operator in readers:
                if self._name(operator) == "quantize":
                    self.apply(to_integers(operator.outputs)[0])
        elif all(map(self._takes_any_scale, readers)):
            ratio = self._set_range(index, quantization)
            for operator in readers:
                self._follow(operator, ratio)
        else:
            self._insert_quantize(index, readers)
            self._set_range(index, quantization)

    def _find_readers(self, index: int) -> list[OperatorT]:
        return [o for o in self.operators if index in to_integers(o.inputs)]

    def _name(self, operator: OperatorT) -> str:
        return self.names[id(operator)]

    def _takes_any_scale(self, operator: OperatorT) -> bool:
        name = self._name(operator)
        if name in _BIASED:
            bias = _find_bias(operator)
            return bias < 0 or len(self._find_readers(bias)) == 1
        if name in _COPYING:
            return all(map(self._takes_any_scale, self._find_readers(to_integers(operator.outputs)[0])))
        return name in _FREE

    def _set_range(self, index: int, quantization: QuantizationT) -> float:
        """Quantize a tensor for the range; return its new scale divided by the old one."""
        limits = np.iinfo(_DTYPES[enum_name("TensorType", self.tensors[index].type)])
        if limits.bits == 16:  # symmetric
            scale, zero = max(abs(self.low), abs(self.high)) / limits.max, 0.0
        else:
            scale = (self.high - self.low) / (limits.max - limits.min)
            zero = np.clip(np.rint(limits.min - self.low / scale), limits.min, limits.max)
        ratio = scale / float(np.asarray(quantization.scale)[0])
        # Arrays may be shared with other tensors.
        quantization.scale = np.array([scale], np.float32)
        quantization.zeroPoint = np.array([zero], np.int64)
        return ratio

    def _follow(self, operator: OperatorT, ratio: float) -> None:
        name = self._name(operator)
        if name in _COPYING or name == "quantize":
            self.apply(to_integers(operator.outputs)[0])
        elif name in _BIASED and (bias := _find_bias(operator)) >= 0:
            self._convert_bias(self.tensors[bias], ratio)

    def _convert_bias(self, bias: TensorT, ratio: float) -> None:
        """Multiply the scale of a bias; its integers get a buffer of their own, as other tensors may share the old."""
        quantization, buffers = bias.quantization, self.model.flatbuffer_model.buffers
        if quantization is None or buffers is None:
            return
        dtype = np.dtype("<i8" if enum_name("TensorType", bias.type) == "INT64" else "<i4")
        limits = np.iinfo(dtype)
        values = np.asarray(buffers[bias.buffer].data, np.uint8).view(dtype)
        buffer = schema().BufferT()
        buffer.data = np.clip(np.rint(values / ratio), limits.min, limits.max).astype(dtype).view(np.uint8)
        buffers.append(buffer)
        bias.buffer = len(buffers) - 1
        quantization.scale = (np.asarray(quantization.scale) * ratio).astype(np.float32)

    def _insert_quantize(self, index: int, readers: list[OperatorT]) -> None:
        """Put a QUANTIZE operator behind an input, so that its readers keep the scale that they were calibrated for."""
        inner = copy.deepcopy(self.tensors[index])
        inner.name = f"{to_text(inner.name)}_quantized".encode()
        self.tensors.append(inner)
        for operator in readers:
            inputs = np.asarray(operator.inputs)
            operator.inputs = np.where(inputs == index, len(self.tensors) - 1, inputs).astype(np.int32)
        quantize = schema().OperatorT()
        quantize.opcodeIndex = self._find_opcode()
        quantize.inputs = np.array([index], np.int32)
        quantize.outputs = np.array([len(self.tensors) - 1], np.int32)
        producers = [i for i, o in enumerate(self.operators) if index in to_integers(o.outputs)]
        self.operators.insert(producers[0] + 1 if producers else 0, quantize)
        self.names[id(quantize)] = "quantize"

    def _find_opcode(self) -> int:
        number = schema().BuiltinOperator.QUANTIZE
        codes = self.model.flatbuffer_model.operatorCodes
        for i, code in enumerate(codes):
            if max(code.builtinCode, code.deprecatedBuiltinCode) == number:
                return i
        added = schema().OperatorCodeT()
        added.builtinCode = added.deprecatedBuiltinCode = number
        codes.append(added)
        return len(codes) - 1


def _quantization(tensor: TensorT) -> QuantizationT | None:
    """Return the quantization of a tensor of integers; `None` for real numbers."""
    has_range = enum_name("TensorType", tensor.type) in _DTYPES
    scale = tensor.quantization.scale if tensor.quantization is not None else None
    return tensor.quantization if has_range and scale is not None and len(scale) else None


def _find_bias(operator: OperatorT) -> int:
    """Return the index of an operator's bias, or -1."""
    inputs = to_integers(operator.inputs)
    return inputs[_BIAS] if len(inputs) > _BIAS else -1
