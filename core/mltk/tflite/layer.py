"""A layer (operator) of a `.tflite` file."""

from __future__ import annotations

from typing import ClassVar

from mltk.tflite._generated import OperatorT
from mltk.tflite._schema import enum_name, schema
from mltk.tflite.flatbuffer import to_integers, to_text
from mltk.tflite.options import TfliteLayerOptions
from mltk.tflite.tensors import HasTensors, TfliteTensor, TfliteTensors


class TfliteLayer(HasTensors):
    """An operator of a model.

    An operator without a class of its own, or with tensors or options of an unexpected form, is a plain `TfliteLayer`.
    """

    _options_class: ClassVar[type[TfliteLayerOptions]] = TfliteLayerOptions
    _options_name: ClassVar[str] = ""
    """Schema name of the options that `_options_class` reads; empty if it reads all."""
    _input_ranks: ClassVar[tuple[int, ...]] = ()
    """Number of axes of each required input; -1 for any number."""
    _output_rank: ClassVar[int] = -1
    _classes: ClassVar[dict[str, type[TfliteLayer]]] = {}
    """Class of each operator that has one."""

    def __init_subclass__(cls, operators: tuple[str, ...] = (), **more: object) -> None:
        super().__init_subclass__(**more)
        TfliteLayer._classes.update(dict.fromkeys(operators, cls))

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
        layer_class = TfliteLayer._classes.get(opcode_str, TfliteLayer)
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
