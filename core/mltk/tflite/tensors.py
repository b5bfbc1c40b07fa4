"""Tensors of a `.tflite` file."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from functools import cached_property
from typing import Self

import numpy as np
import numpy.typing as npt

from mltk.errors import EvaluationError, FileFormatError, SpecificationError
from mltk.tflite._generated import QuantizationT, TensorT
from mltk.tflite._schema import enum_name, schema
from mltk.tflite.flatbuffer import TfliteFlatbuffer, to_integers, to_text

_DTYPES = {
    "FLOAT32": "float32",
    "FLOAT16": "float16",
    "FLOAT64": "float64",
    "INT8": "int8",
    "INT16": "int16",
    "INT32": "int32",
    "INT64": "int64",
    "UINT8": "uint8",
    "UINT16": "uint16",
    "UINT32": "uint32",
    "UINT64": "uint64",
    "BOOL": "bool",
    "COMPLEX64": "complex64",
    "COMPLEX128": "complex128",
}
_PACKED = {"INT4": (4, "int8"), "UINT4": (4, "uint8"), "INT2": (2, "int8")}
"""Types of which several share a byte, lowest bits first: bits, and the type that holds them unpacked."""


class TfliteShape(tuple[int, ...]):
    """A tensor's dimensions; `str` gives `1x96x96x3`."""

    __slots__ = ()

    def __new__(cls, shape: int | Iterable[int]) -> Self:  # noqa: D102 - the class says it
        dimensions = (shape,) if isinstance(shape, int) else shape
        return super().__new__(cls, (int(d) for d in dimensions))

    def __str__(self) -> str:
        return "x".join(str(d) for d in self)

    @property
    def flat_size(self) -> int:
        """Number of elements."""
        return math.prod(self)


class TfliteQuantization:
    """Mapping of a tensor's integers to real numbers: `real = scale * (integer - zero point)`.

    Assigned values change the model of the tensor.
    """

    def __init__(
        self, fb_quantization: QuantizationT | None = None, changed: Callable[[], object] = lambda: None
    ) -> None:
        scale = None if fb_quantization is None else fb_quantization.scale
        self._scale: list[float] = [] if scale is None else [float(v) for v in scale]
        self._zeropoint = to_integers(None if fb_quantization is None else fb_quantization.zeroPoint)
        self._dimension = -1 if fb_quantization is None else int(fb_quantization.quantizedDimension)
        self._changed = changed
        self._read = self._values

    @property
    def scale(self) -> list[float]:
        """One value, or one per channel; empty if the tensor is not quantized."""
        return self._scale

    @scale.setter
    def scale(self, values: float | Iterable[float]) -> None:
        self._scale = [float(v) for v in np.atleast_1d(np.asarray(values, np.float64))]
        if not all(math.isfinite(v) and v >= 0 for v in self._scale):
            raise SpecificationError(f"A scale must be a finite number of at least 0, not {values}.")
        self._changed()

    @property
    def zeropoint(self) -> list[int]:
        """One value, or one per channel."""
        return self._zeropoint

    @zeropoint.setter
    def zeropoint(self, values: int | Iterable[int]) -> None:
        self._zeropoint = [int(v) for v in np.atleast_1d(np.asarray(values))]
        self._changed()

    @property
    def quantization_dimension(self) -> int:
        """The axis of the channels; -1 if the tensor has no quantization record."""
        return self._dimension

    @quantization_dimension.setter
    def quantization_dimension(self, value: int) -> None:
        self._dimension = int(value)
        self._changed()

    @property
    def _values(self) -> tuple[list[float], list[int], int]:
        return list(self._scale), list(self._zeropoint), self._dimension

    def to_flatbuffer(self, record: QuantizationT | None) -> QuantizationT | None:
        """Write what changed since the last call to a record of the schema, a new one if there is none."""
        if self._values == self._read:
            return record
        self._read = self._values
        written: QuantizationT = record or schema().QuantizationParametersT()
        written.scale = np.asarray(self._scale, np.float32)
        written.zeroPoint = np.asarray(self._zeropoint, np.int64)
        written.quantizedDimension = max(self._dimension, 0)
        return written

    @property
    def n_channels(self) -> int:
        """Number of scales: 0 if the tensor is not quantized, 1 if all of it shares one."""
        return len(self.scale)

    def __str__(self) -> str:
        if self.n_channels > 1:
            return f"{self.n_channels} channels on axis {self.quantization_dimension}"
        return f"scale={self.scale[0]:g} zero point={self._zero()}" if self.scale else "none"

    def quantize(self, values: np.ndarray, dtype: np.dtype) -> np.ndarray:
        """Return the integers for real values, as LiteRT's QUANTIZE operator does.

        The float32 quotient is rounded to the nearest integer with halves away from zero (C's `round`), the
        zero point is added, and what is outside the range of `dtype` is clipped to it.

        Args:
            values: Real numbers, any shape.
            dtype: Integer type of the result.

        Raises:
            EvaluationError: A value is not a number, or the tensor does not have one scale for all of it.
        """
        values = np.asarray(values, np.float32)
        scaled = np.divide(values, self._one_scale(), out=np.empty_like(values))
        # Beyond any integer type, and finite.
        np.clip(scaled, -(2.0**64), 2.0**64, out=scaled)
        whole = np.trunc(scaled, out=np.empty_like(scaled))
        # Not trunc(x + 0.5): that sum is rounded itself and takes the number just below one half up to 1.
        scaled -= whole
        scaled *= 2
        whole += np.trunc(scaled, out=scaled)
        limits = np.iinfo(dtype)
        if limits.bits > 16:
            # For the sum with the zero point and the limits, which float32 holds of shorter integers only.
            whole = whole.astype(np.float64)
        whole += self._zero()
        np.clip(whole, limits.min, limits.max, out=whole)
        # The sum is a number if all of them are.
        if np.isnan(whole.sum()):
            raise EvaluationError(
                "The input holds values that are not a number (NaN); they cannot be quantized."
            )
        integers: np.ndarray = whole.astype(dtype)
        return integers

    def dequantize(self, values: np.ndarray) -> np.ndarray:
        """Return the float32 numbers that integers stand for, as LiteRT's DEQUANTIZE operator does."""
        exact = (np.asarray(values, np.float64) - self._zero()) * np.float64(self._one_scale())
        return exact.astype(np.float32)

    def _one_scale(self) -> np.float32:
        if len(self.scale) != 1:
            raise EvaluationError(f"The tensor has {len(self.scale)} quantization scales; one was expected.")
        return np.float32(self.scale[0])

    def _zero(self) -> int:
        return self.zeropoint[0] if self.zeropoint else 0


class TfliteTensor:
    """A tensor of a model."""

    def __init__(self, index: int, model: TfliteFlatbuffer, fb_tensor: TensorT) -> None:
        self._index = index
        self._model = model
        self._fb = fb_tensor

    @property
    def index(self) -> int:
        """Index of the tensor in the subgraph."""
        return self._index

    @property
    def model(self) -> TfliteFlatbuffer:
        """Model of the tensor."""
        return self._model

    @property
    def name(self) -> str:
        """Name of the tensor; may be empty."""
        return to_text(self._fb.name)

    @cached_property
    def shape(self) -> TfliteShape:
        """Dimensions of the tensor; variable ones, such as the batch, are 1."""
        return TfliteShape(() if self._fb.shape is None else self._fb.shape)

    @property
    def type_name(self) -> str:
        """Schema name of the type, e.g. `INT8`."""
        return enum_name("TensorType", self._fb.type)

    @property
    def dtype(self) -> np.dtype:
        """NumPy type of `data`; `object` for types that NumPy does not have."""
        name = self.type_name
        return np.dtype(_PACKED[name][1] if name in _PACKED else _DTYPES.get(name, "object"))

    @property
    def dtype_str(self) -> str:
        """Name of the type, e.g. `int8`, `int4`, `string`."""
        return self.type_name.lower()

    @property
    def is_variable(self) -> bool:
        """True if the tensor keeps its value between inferences."""
        return bool(self._fb.isVariable)

    @property
    def is_constant(self) -> bool:
        """True if the values are in the file."""
        return self._raw is not None

    @cached_property
    def quantization(self) -> TfliteQuantization:
        """Quantization parameters of the tensor."""
        return TfliteQuantization(self._fb.quantization, self._model.regenerate_flatbuffer)

    def write_quantization(self) -> None:
        """Write changed quantization parameters to the schema's object of the tensor."""
        if "quantization" in vars(self):
            self._fb.quantization = self.quantization.to_flatbuffer(self._fb.quantization)

    @property
    def size_bytes(self) -> int:
        """Size of the values in bytes."""
        name = self.type_name
        bits = _PACKED[name][0] if name in _PACKED else self.dtype.itemsize * 8
        return (self.shape.flat_size * bits + 7) // 8

    @property
    def _raw(self) -> np.ndarray | None:
        data = self._model.flatbuffer_model.buffers[self._fb.buffer].data
        return None if data is None or not len(data) else np.asarray(data, np.uint8)

    @property
    def data(self) -> np.ndarray:
        """Values of the tensor, of shape `shape`; read-only zeros if they are not in the file. May be set.

        Values of a type that NumPy does not have, and sparse ones, come as the bytes of the file (uint8, one
        axis). Values that the file holds can be replaced by others of the same shape; `save` writes them.

        Raises:
            FileFormatError: The file holds more or fewer values than the shape says.
            SpecificationError: Values that are set do not fit the tensor, or it has none in the file.
        """
        raw = self._raw
        name = self.type_name
        if raw is None:
            return np.broadcast_to(np.zeros((), self.dtype), self.shape)
        if self._fb.sparsity is not None or self.dtype.hasobject:
            return raw
        if len(raw) != self.size_bytes:
            raise FileFormatError(
                f"{self._model.source} is damaged: tensor {self.index} ({self.name!r},"
                f" {self.shape} {self.dtype_str}) has {len(raw)} bytes of data instead of {self.size_bytes}."
            )
        if name in _PACKED:
            return _unpack_bits(raw, *_PACKED[name])[: self.shape.flat_size].reshape(self.shape)
        return np.frombuffer(raw.tobytes(), self.dtype).reshape(self.shape)

    @data.setter
    def data(self, values: npt.ArrayLike) -> None:
        given = np.asarray(values)
        what = f"the values of tensor {self.index} ({self.name!r}, {self.shape} {self.dtype_str})"
        if self._raw is None or self._fb.sparsity is not None or self.dtype.hasobject:
            raise SpecificationError(f"{self._model.source}: {what} are not in the file as numbers.")
        if given.shape != self.shape:
            raise SpecificationError(
                f"{self._model.source}: {what} cannot be replaced by an array of shape {given.shape}."
            )
        converted = given.astype(self.dtype)
        if self.dtype.kind != "f" and not np.array_equal(converted, given):
            raise SpecificationError(f"{self._model.source}: {what} must be numbers of this type.")
        if self.type_name in _PACKED:
            converted = _pack_bits(converted, _PACKED[self.type_name][0])
            if not np.array_equal(
                _unpack_bits(converted, *_PACKED[self.type_name])[: given.size], given.ravel()
            ):
                raise SpecificationError(f"{self._model.source}: {what} must be numbers of this type.")
        self._model.write_buffer(self._fb, converted.tobytes())

    def shape_dtype_str(self, include_batch: bool = False) -> str:
        """Return e.g. `96x96x3 (int8)`, without the first of several axes unless `include_batch`."""
        shape = self.shape if include_batch or len(self.shape) < 2 else TfliteShape(self.shape[1:])
        return f"{str(shape) or 'scalar'} ({self.dtype_str})"

    def __str__(self) -> str:
        return f"{self.name}, dtype:{self.dtype_str}, shape:{self.shape}"


class HasTensors(ABC):
    """A layer or a model: something with input and output tensors."""

    @property
    @abstractmethod
    def inputs(self) -> list[TfliteTensor]:
        """Input tensors."""

    @property
    @abstractmethod
    def outputs(self) -> list[TfliteTensor]:
        """Output tensors."""

    @property
    def n_inputs(self) -> int:
        """Number of input tensors."""
        return len(self.inputs)

    @property
    def n_outputs(self) -> int:
        """Number of output tensors."""
        return len(self.outputs)

    def get_input_tensor(self, index: int = 0) -> TfliteTensor:
        """Return an input tensor."""
        return self.inputs[index]

    def get_input_data(self, index: int = 0) -> np.ndarray:
        """Return the data of an input tensor."""
        return self.inputs[index].data

    def get_output_tensor(self, index: int = 0) -> TfliteTensor:
        """Return an output tensor."""
        return self.outputs[index]

    def get_output_data(self, index: int = 0) -> np.ndarray:
        """Return the data of an output tensor."""
        return self.outputs[index].data


class TfliteTensors(TfliteFlatbuffer, HasTensors):
    """A `.tflite` model by its tensors."""

    def _forget(self) -> None:
        self._tensors: list[TfliteTensor] | None = None

    def regenerate_flatbuffer(self, reload_model: bool = False) -> None:
        """Write `flatbuffer_data` from `flatbuffer_model` (see `TfliteFlatbuffer.regenerate_flatbuffer`)."""
        for tensor in self._tensors or ():
            tensor.write_quantization()
        super().regenerate_flatbuffer(reload_model)

    @property
    def tensors(self) -> list[TfliteTensor]:
        """All tensors."""
        if self._tensors is None:
            self._tensors = [
                TfliteTensor(i, self, t) for i, t in enumerate(self.flatbuffer_subgraph.tensors or ())
            ]
        return self._tensors

    @property
    def inputs(self) -> list[TfliteTensor]:
        """Input tensors of the model."""
        return [self.tensors[i] for i in to_integers(self.flatbuffer_subgraph.inputs)]

    @property
    def outputs(self) -> list[TfliteTensor]:
        """Output tensors of the model."""
        return [self.tensors[i] for i in to_integers(self.flatbuffer_subgraph.outputs)]

    def get_tensor(self, index: int) -> TfliteTensor:
        """Return a tensor by its number."""
        return self.tensors[index]

    def get_tensor_data(self, index: int) -> np.ndarray:
        """Return the data of a tensor by its number."""
        return self.tensors[index].data

    def quantize_to_input_dtype(self, x: np.ndarray, input_index: int = 0) -> np.ndarray:
        """Return real values in the type of a model input (see `TfliteQuantization.quantize`).

        Values that have this type are returned as they are.
        """
        values, tensor = np.asarray(x), self.get_input_tensor(input_index)
        return to_tensor_dtype(values, tensor, raw=values.dtype == tensor.dtype)

    def dequantize_output_to_float32(self, y: np.ndarray, output_index: int = 0) -> np.ndarray:
        """Return the values of a model output as float32."""
        tensor = self.get_output_tensor(output_index)
        if tensor.quantization.n_channels and np.issubdtype(y.dtype, np.integer):
            return tensor.quantization.dequantize(y)
        return np.asarray(y, np.float32)


def to_tensor_dtype(values: np.ndarray, tensor: TfliteTensor, raw: bool = False) -> np.ndarray:
    """Return real numbers in the type of a tensor, quantized if the tensor is.

    Args:
        values: Numbers of any type. That they are integers does not mean that they are quantized: a pixel of type
            uint8 is a number from 0 to 255, whatever the scale of the tensor.
        tensor: The tensor.
        raw: The values are those that the tensor holds, and are not quantized.

    Raises:
        EvaluationError: They cannot be converted.
    """
    if not (np.issubdtype(values.dtype, np.number) or values.dtype == np.bool_) or tensor.dtype.hasobject:
        raise EvaluationError(
            f"Values of type {values.dtype} cannot be converted for '{tensor.name}' ({tensor.dtype_str})."
        )
    if not raw and tensor.quantization.n_channels and np.issubdtype(tensor.dtype, np.integer):
        return tensor.quantization.quantize(values, tensor.dtype)
    return values.astype(tensor.dtype, copy=False)


def _unpack_bits(raw: np.ndarray, bits: int, dtype: str) -> np.ndarray:
    shifts = np.arange(0, 8, bits, dtype=np.uint8)
    fields = (raw[:, None] >> shifts).ravel() << (8 - bits)
    # The field is in the highest bits now; shifting a signed number down repeats its sign.
    return (fields.astype(np.uint8).view(dtype) >> (8 - bits)).astype(dtype)


def _pack_bits(values: np.ndarray, bits: int) -> np.ndarray:
    per_byte = 8 // bits
    fields = values.ravel().view(np.uint8) & ((1 << bits) - 1)
    padded = np.pad(fields, (0, -len(fields) % per_byte)).reshape(-1, per_byte)
    shifts = np.arange(0, 8, bits, dtype=np.uint8)
    packed: np.ndarray = np.bitwise_or.reduce(padded << shifts, axis=1).astype(np.uint8)
    return packed
