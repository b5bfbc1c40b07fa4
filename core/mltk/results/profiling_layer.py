"""Results of profiling one layer, and the memory of a runtime."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Any, Self

from mltk.results.profiling_fields import COLUMNS, is_unknown, read_value, with_unit
from mltk.tflite import TfliteLayer
from mltk.tflite.metrics import tflite_layer_metrics
from mltk.tflite.tensors import HasTensors


@dataclass(frozen=True)
class MemoryPart:
    """One use of a runtime's memory."""

    name: str
    """As the runtime calls it."""
    used: int
    """Bytes, with what alignment costs."""
    requested: int | None = None
    """Bytes without that."""
    count: int | None = None
    """Number of allocations."""


@dataclass(frozen=True)
class RuntimeMemory:
    """Memory in bytes that a runtime needs for a model, besides the model itself."""

    total: int
    """Memory in use while the model runs."""
    head: int | None = None
    """Part that each inference reuses: activations and scratch buffers."""
    tail: int | None = None
    """Persistent part: structures of the runtime and of its kernels."""
    smallest_arena: int | None = None
    """Smallest arena that the model starts in; more than `total` if planning needs more than running."""
    parts: tuple[MemoryPart, ...] = ()
    """Parts by kind, as the runtime reports them; they may not add up to `total`."""


class WithTensorTexts:
    """Texts about the inputs and outputs of a layer or a model, several separated by commas."""

    @property
    def _tensors(self) -> HasTensors:
        raise NotImplementedError

    @property
    def input_shape_str(self) -> str:
        """Shapes of the inputs, with the batch axis and a layer's weights: `1x8x8x1,8x3x3x1,8`."""
        return ",".join(str(tensor.shape) or "scalar" for tensor in self._tensors.inputs)

    @property
    def input_dtype_str(self) -> str:
        """Types of the inputs: `int8,int8,int32`."""
        return ",".join(tensor.dtype_str for tensor in self._tensors.inputs)

    @property
    def input_quantization_str(self) -> str:
        """Quantization of the inputs."""
        return ",".join(str(tensor.quantization) for tensor in self._tensors.inputs)

    @property
    def output_shape_str(self) -> str:
        """Shapes of the outputs."""
        return ",".join(str(tensor.shape) or "scalar" for tensor in self._tensors.outputs)

    @property
    def output_dtype_str(self) -> str:
        """Types of the outputs."""
        return ",".join(tensor.dtype_str for tensor in self._tensors.outputs)

    @property
    def output_quantization_str(self) -> str:
        """Quantization of the outputs."""
        return ",".join(str(tensor.quantization) for tensor in self._tensors.outputs)


@dataclass(frozen=True)
class ProfilingLayerResult(WithTensorTexts):
    """Values of one layer; of cycles, time and energy, 0 is not measured, of the others `None`."""

    tflite_layer: TfliteLayer
    ops: int | None = None
    """Arithmetic operations of one inference; a MAC counts as two."""
    macs: int | None = None
    """Multiply-accumulates of one inference."""
    accelerator_cycles: float = 0
    cpu_cycles: float = 0
    time: float = 0
    """Seconds of one inference on the target."""
    host_time: float | None = None
    """Seconds on the host; they only show which layers are slow."""
    energy: float = 0
    """Joules of one inference."""
    supported: bool | None = None
    """True if the accelerator, or the runtime, can run the layer."""
    error_msg: str | None = None
    """Reason why the layer is not supported."""

    @classmethod
    def from_layer(cls, tflite_layer: TfliteLayer, **measured: Any) -> Self:
        """Return a result with counted operations and MACs, and measured values.

        Args:
            tflite_layer: The layer. An unknown operator has 0 operations.
            **measured: Further fields; `ops` and `macs` replace the counted ones.
        """
        counted = tflite_layer_metrics(tflite_layer)
        return cls(tflite_layer, **{"ops": counted.ops, "macs": counted.macs, **measured})

    @property
    def _tensors(self) -> TfliteLayer:
        return self.tflite_layer

    @property
    def index(self) -> int:
        """The layer's number in the model."""
        return self.tflite_layer.index

    @property
    def name(self) -> str:
        """Number and operator, e.g. `op0-conv_2d`."""
        return self.tflite_layer.name

    @property
    def is_counted(self) -> bool:
        """False if operations of this kind cannot be counted, so that `ops` and `macs` are 0."""
        return tflite_layer_metrics(self.tflite_layer).known or bool(self.ops)

    @property
    def opcode(self) -> int:
        """The operator, one of `TfliteOpCode`."""
        return self.tflite_layer.opcode

    @property
    def is_unsupported(self) -> bool:
        """True if the layer is known not to be supported."""
        return self.supported is False

    @property
    def is_accelerated(self) -> bool:
        """True if an accelerator computes the layer."""
        return self.accelerator_cycles > 0

    @property
    def opcode_str(self) -> str:
        """The operator, e.g. `conv_2d`."""
        return self.tflite_layer.opcode_str

    @property
    def options_str(self) -> str:
        """The operator's options."""
        return str(self.tflite_layer.options)

    @property
    def weights_size(self) -> int:
        """Bytes of the inputs whose values are in the file."""
        return sum_weights([self.tflite_layer])

    def to_dict(self) -> dict[str, object]:
        """Return all values by name."""
        return {field.name: read_value(self, field) for field in COLUMNS}

    def get_summary(
        self,
        include_labels: bool = False,
        format_units: bool = False,
        excluded_columns: Collection[str] = (),
        full_summary: bool = False,
    ) -> dict[str, object]:
        """Return the measured values by name.

        Args:
            include_labels: Give each value as a pair `(label, value)`.
            format_units: Give numbers as text with an SI letter.
            excluded_columns: Names to leave out.
            full_summary: Also types, quantization and the size of the weights.
        """
        shown = [
            (field, read_value(self, field))
            for field in COLUMNS
            if field.name not in excluded_columns and (full_summary or not field.full_only)
        ]
        values = {f: with_unit(f, v) if format_units else v for f, v in shown if not is_unknown(v, f)}
        return {f.name: (f.column, value) if include_labels else value for f, value in values.items()}


def sum_weights(layers: Iterable[TfliteLayer]) -> int:
    """Return the bytes of the inputs whose values are in the file, each tensor once."""
    constant = {t.index: t for layer in layers for t in layer.inputs if t.is_constant}
    return sum(tensor.size_bytes for tensor in constant.values())
