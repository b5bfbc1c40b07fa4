"""A `.tflite` file: its layers, tensors, description and metadata."""

from __future__ import annotations

import os
import struct
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from mltk.errors import EvaluationError, FileFormatError, ModelNotFoundError, SpecificationError
from mltk.tflite import _schema
from mltk.tflite._verify import verify
from mltk.tflite.layers import TfliteLayer
from mltk.tflite.tensors import TfliteTensor, _text
from mltk.tflite.types import TfliteOpCode
from mltk.utils.files import atomic_write
from mltk.utils.string_formatting import format_table, format_units

if TYPE_CHECKING:
    from mltk.tflite.interpreter import LiteRtPredictor

__all__ = ["TfliteModel", "TfliteOpCode"]

# 2^40 elements: far beyond any model, and small enough for sums and products of sizes to stay exact
# everywhere.
_MAX_ELEMENTS = 1 << 40
# Far beyond any model too, and what every version of NumPy takes.
_MAX_DIMENSIONS = 32


class TfliteModel:
    """A `.tflite` model in memory.

    Reading needs no TensorFlow. The file is checked whole before anything is taken from it. Changes are made
    to the model in memory; `save` writes them.

    Args:
        flatbuffer_data: The content of the file.
        path: Where it came from, and where `save` writes it by default.

    Raises:
        FileFormatError: The content is damaged, or is not a `.tflite`.
    """

    def __init__(self, flatbuffer_data: bytes, path: str | os.PathLike[str] | None = None) -> None:
        self.path = path
        self._data = bytes(flatbuffer_data)
        self._subgraph = 0
        self._predictor: LiteRtPredictor | None = None
        self._load()

    @classmethod
    def load_flatbuffer_file(cls, path: str | os.PathLike[str]) -> Self:
        """Read a `.tflite` file.

        Raises:
            ModelNotFoundError: There is no such file.
            FileFormatError: The file is damaged, or is not a `.tflite`.
        """
        try:
            return cls(Path(path).read_bytes(), path)
        except FileNotFoundError:
            raise ModelNotFoundError(f"There is no file '{os.fspath(path)}'.") from None
        except OSError as error:
            raise FileFormatError(f"'{os.fspath(path)}' cannot be read: {error.strerror}.") from None

    def _load(self) -> None:
        verify(self._data, _schema.TFLITE, "Model", self.source, _schema.IDENTIFIER)
        try:
            self._model = _schema.schema().ModelT.InitFromPackedBuf(self._data)
        except struct.error:
            # A number at the very end of the buffer that would go on after it.
            raise FileFormatError(f"{self.source} is damaged: it ends too early.") from None
        _check(self._model, self.source)
        self._forget()

    def _forget(self) -> None:
        self._tensors: list[TfliteTensor] | None = None
        self._layers: list[TfliteLayer] | None = None
        self._predictor = None

    @property
    def source(self) -> str:
        """The model's path in quotes, or a word for a model in memory; begins messages about it."""
        return f"'{self.path}'" if self.path else "The .tflite model"

    @property
    def path(self) -> str | None:
        """Path of the file, with forward slashes; `None` for a model that has no file. May be set."""
        return self._path

    @path.setter
    def path(self, value: str | os.PathLike[str] | None) -> None:
        self._path = None if value is None else os.path.normpath(os.fspath(value)).replace("\\", "/")

    @property
    def filename(self) -> str | None:
        """Name of the file without its folder, or `None`."""
        return self.path and Path(self.path).name

    @property
    def name(self) -> str:
        """The model's name: the file's without its endings, or `model`."""
        return (self.filename or "model").split(".")[0]

    @property
    def description(self) -> str:
        """The description in the file. May be set."""
        return _text(self._model.description)

    @description.setter
    def description(self, value: str | None) -> None:
        self._model.description = (value or "").encode()
        self.regenerate_flatbuffer()

    @property
    def flatbuffer_data(self) -> bytes:
        """The content of the file, as it would be saved."""
        return self._data

    @property
    def flatbuffer_size(self) -> int:
        """Bytes of the file."""
        return len(self._data)

    def __len__(self) -> int:
        return self.flatbuffer_size

    @property
    def flatbuffer_model(self) -> Any:
        """The model as the schema's `ModelT`; after a change call `regenerate_flatbuffer`."""
        return self._model

    @property
    def flatbuffer_subgraph(self) -> Any:
        """The selected subgraph in the schema's object interface (`SubGraphT`)."""
        return self._model.subgraphs[self._subgraph]

    def get_flatbuffer_subgraph(self, index: int | None = None) -> Any:
        """Return a subgraph in the schema's object interface; the selected one by default."""
        return self._model.subgraphs[self._subgraph if index is None else index]

    @property
    def n_subgraphs(self) -> int:
        """Number of subgraphs; most models have one."""
        return len(self._model.subgraphs)

    @property
    def selected_model_subgraph(self) -> int:
        """Number of the subgraph that the other members are about. May be set."""
        return self._subgraph

    @selected_model_subgraph.setter
    def selected_model_subgraph(self, value: int) -> None:
        if not 0 <= value < self.n_subgraphs:
            raise SpecificationError(
                f"{self.source} has {self.n_subgraphs} subgraphs; there is no number {value}."
            )
        self._subgraph = value
        self._forget()

    @property
    def tensors(self) -> list[TfliteTensor]:
        """All tensors."""
        if self._tensors is None:
            self._tensors = [
                TfliteTensor(i, self, t) for i, t in enumerate(self.flatbuffer_subgraph.tensors or ())
            ]
        return self._tensors

    @property
    def layers(self) -> list[TfliteLayer]:
        """All layers, in the order of execution."""
        if self._layers is None:
            operators = self.flatbuffer_subgraph.operators or ()
            self._layers = [
                TfliteLayer.from_flatbuffer(i, self, operator) for i, operator in enumerate(operators)
            ]
        return self._layers

    @property
    def inputs(self) -> list[TfliteTensor]:
        """The tensors that the model takes."""
        return [self.tensors[i] for i in _indices(self.flatbuffer_subgraph.inputs)]

    @property
    def n_inputs(self) -> int:
        """Number of tensors that the model takes."""
        return len(self.inputs)

    @property
    def outputs(self) -> list[TfliteTensor]:
        """The tensors that the model gives."""
        return [self.tensors[i] for i in _indices(self.flatbuffer_subgraph.outputs)]

    @property
    def n_outputs(self) -> int:
        """Number of tensors that the model gives."""
        return len(self.outputs)

    def get_tensor(self, index: int) -> TfliteTensor:
        """Return a tensor by its number."""
        return self.tensors[index]

    def get_tensor_data(self, index: int) -> np.ndarray:
        """Return the data of a tensor by its number."""
        return self.tensors[index].data

    def get_input_tensor(self, index: int = 0) -> TfliteTensor:
        """Return a tensor that the model takes."""
        return self.inputs[index]

    def get_input_data(self, index: int = 0) -> np.ndarray:
        """Return the data of a tensor that the model takes."""
        return self.inputs[index].data

    def get_output_tensor(self, index: int = 0) -> TfliteTensor:
        """Return a tensor that the model gives."""
        return self.outputs[index]

    def get_output_data(self, index: int = 0) -> np.ndarray:
        """Return the data of a tensor that the model gives."""
        return self.outputs[index].data

    def get_all_metadata(self) -> dict[str, bytes]:
        """Return all metadata entries by name; of several with one name the first."""
        entries: dict[str, bytes] = {}
        for entry in self._model.metadata or ():
            entries.setdefault(_text(entry.name), self._buffer(entry.buffer))
        return entries

    def get_metadata(self, tag: str) -> bytes | None:
        """Return a metadata entry, or `None` if there is none of that name."""
        return self.get_all_metadata().get(tag)

    def add_metadata(self, tag: str, value: bytes) -> None:
        """Set a metadata entry; one of that name is replaced in its place.

        Raises:
            SpecificationError: The name or the value is empty.
        """
        if not tag or not value:
            raise SpecificationError("A metadata entry needs a name and a value that is not empty.")
        buffer = _schema.schema().BufferT()
        buffer.data = np.frombuffer(value, np.uint8)
        if self._model.metadata is None:
            self._model.metadata = []
        known = [entry for entry in self._model.metadata if _text(entry.name) == tag]
        for entry in known:
            self._model.buffers[entry.buffer] = buffer
        if not known:
            entry = _schema.schema().MetadataT()
            entry.name = tag.encode()
            entry.buffer = len(self._model.buffers)
            self._model.buffers.append(buffer)
            self._model.metadata.append(entry)
        self.regenerate_flatbuffer()

    def remove_metadata(self, tag: str) -> bool:
        """Remove all metadata entries of a name, and their data.

        Returns:
            Whether there was one.
        """
        kept = [entry for entry in self._model.metadata or () if _text(entry.name) != tag]
        removed = [entry for entry in self._model.metadata or () if _text(entry.name) == tag]
        if not removed:
            return False
        self._model.metadata = kept
        for buffer in sorted({entry.buffer for entry in removed}, reverse=True):
            self._remove_buffer(buffer)
        self.regenerate_flatbuffer()
        return True

    def _remove_buffer(self, index: int) -> None:
        """Remove a buffer that nothing refers to any more; buffer 0 stays: it means "no data"."""
        references = [tensor for subgraph in self._model.subgraphs for tensor in subgraph.tensors or ()]
        references += self._model.metadata
        users = [r.buffer for r in references] + _indices(self._model.metadataBuffer)
        if index == 0 or index in users:
            return
        del self._model.buffers[index]
        for reference in references:
            reference.buffer -= reference.buffer > index
        if self._model.metadataBuffer is not None:
            self._model.metadataBuffer = [i - (i > index) for i in _indices(self._model.metadataBuffer)]

    def _buffer(self, index: int) -> bytes:
        data = self._model.buffers[index].data
        return b"" if data is None else np.asarray(data, np.uint8).tobytes()

    def save(self, output_path: str | os.PathLike[str] | None = None, update_path: bool = False) -> str:
        """Write the model to a file, whole or not at all.

        Args:
            output_path: The file; `None` is the model's own `path`.
            update_path: Whether `path` becomes `output_path`.

        Returns:
            The path written.

        Raises:
            SpecificationError: Neither `output_path` nor `path` is set.
        """
        target = output_path or self.path
        if not target:
            raise SpecificationError("The model has no path yet; give save() one.")
        self.regenerate_flatbuffer()
        written = str(atomic_write(target, self._data))
        if update_path:
            self.path = written
        return written

    def regenerate_flatbuffer(self, reload_model: bool = False) -> None:
        """Make `flatbuffer_data` anew from `flatbuffer_model`.

        Args:
            reload_model: Also read the result again, so that new tensors and layers appear.

        Raises:
            FileFormatError: The model has parts that this version does not know and would lose.
        """
        import flatbuffers

        self._refuse_loss()
        builder = flatbuffers.Builder(1024 + len(self._data))
        builder.Finish(self._model.Pack(builder), _schema.IDENTIFIER)
        self._data = bytes(builder.Output())
        self._predictor = None
        if reload_model:
            self._load()

    def _refuse_loss(self) -> None:
        """Raise if the object interface left something out when the model was read."""
        for subgraph in self._model.subgraphs:
            for number, operator in enumerate(subgraph.operators or ()):
                unread = operator.builtinOptionsType and operator.builtinOptions is None
                if unread or (operator.builtinOptions2Type and operator.builtinOptions2 is None):
                    raise FileFormatError(
                        f"{self.source} cannot be changed: operator {number} has options that the installed"
                        " ai-edge-litert does not know, and they would be lost. Update ai-edge-litert."
                    )
        if any(buffer.offset > 1 for buffer in self._model.buffers):
            raise FileFormatError(f"{self.source} cannot be changed: its weights lie outside its flatbuffer.")

    def predict(self, x: np.ndarray | Iterable[Any], y_dtype: Any = None) -> np.ndarray:
        """Run the model on the CPU with LiteRT.

        Input of the type of the model's first input is used as it is; other numbers are real values and are
        quantized if the model takes integers.

        Args:
            x: One sample, a batch (first axis), or an iterable of batches or of tuples `(batch, …)`.
            y_dtype: Type of the result; a floating-point type dequantizes integers. `None` is the model's
                own.

        Returns:
            The first output, without the batch axis if `x` was one sample.

        Raises:
            EvaluationError: The input does not fit the model, or LiteRT cannot run the model.
        """
        if self._predictor is None:
            from mltk.tflite.interpreter import LiteRtPredictor

            self._predictor = LiteRtPredictor(self)
        if not isinstance(x, np.ndarray):
            batches = [batch[0] if isinstance(batch, tuple) else batch for batch in x]
            if not batches:
                raise EvaluationError("There is no input to predict: the iterable is empty.")
            return np.concatenate([self.predict(np.asarray(batch), y_dtype) for batch in batches])
        single = x.ndim == len(self.get_input_tensor().shape) - 1
        output = self._predictor.run([x[np.newaxis] if single else x])[0]
        if y_dtype is not None:
            if np.issubdtype(y_dtype, np.floating):
                output = self.dequantize_output_to_float32(output)
            output = output.astype(y_dtype)
        return output[0] if single else output

    def quantize_to_input_dtype(self, x: np.ndarray, input_index: int = 0) -> np.ndarray:
        """Return real values in the type of a model input (see `TfliteQuantization.quantize`)."""
        return to_tensor_dtype(np.asarray(x), self.get_input_tensor(input_index))

    def dequantize_output_to_float32(self, y: np.ndarray, output_index: int = 0) -> np.ndarray:
        """Return the values of a model output as float32."""
        tensor = self.get_output_tensor(output_index)
        if tensor.quantization.n_channels and np.issubdtype(y.dtype, np.integer):
            return tensor.quantization.dequantize(y)
        return np.asarray(y, np.float32)

    def summary(self) -> str:
        """Return the table of layers, the numbers of operations, the parameters and the size, as text."""
        from mltk.tflite.metrics import tflite_model_metrics
        from mltk.tflite.parameters import TfliteModelParameters, format_value

        rows = [
            [
                str(layer.index),
                layer.opcode_str,
                "\n".join(
                    tensor.shape_dtype_str(include_batch=tensor.is_constant) for tensor in layer.inputs
                ),
                "\n".join(tensor.shape_dtype_str() for tensor in layer.outputs),
                str(layer.options),
            ]
            for layer in self.layers
        ]
        parameters = TfliteModelParameters.load_from_tflite_model(self)
        lines = [
            format_table(["Index", "OpCode", "Input(s)", "Output(s)", "Options"], rows),
            tflite_model_metrics(self).summary(),
            f"Name: {parameters.pop('name', self.name)}",
        ]
        if "version" in parameters:
            lines.append(f"Version: {parameters.pop('version')}")
        lines.append(f"Description: {self.description}")
        if "classes" in parameters:
            lines.append(f"Classes: {format_value(parameters.pop('classes'))}")
        memory = parameters.pop("runtime_memory_size", None)
        if isinstance(memory, int):
            lines.append(f"Runtime memory size (RAM): {format_units(memory)}B")
        lines += parameters.summary().splitlines()
        lines.append(f".tflite file size: {format_units(self.flatbuffer_size)}B")
        return "\n".join(line.rstrip() for line in lines)

    def __str__(self) -> str:
        return f"{self.name} ({self.flatbuffer_size} bytes)"


def to_tensor_dtype(values: np.ndarray, tensor: TfliteTensor) -> np.ndarray:
    """Return `values` in the type of a tensor: as they are if they have it, else taken as real numbers.

    Raises:
        EvaluationError: They cannot be converted.
    """
    if values.dtype == tensor.dtype:
        return values
    if not (np.issubdtype(values.dtype, np.number) or values.dtype == np.bool_) or tensor.dtype.hasobject:
        raise EvaluationError(
            f"Values of type {values.dtype} cannot be given to '{tensor.name}' ({tensor.dtype_str})."
        )
    if tensor.quantization.n_channels and np.issubdtype(tensor.dtype, np.integer):
        return tensor.quantization.quantize(values, tensor.dtype)
    return values.astype(tensor.dtype)


def _check(model: Any, source: str) -> None:
    """Check that the numbers by which the parts of a model refer to each other exist.

    Raises:
        FileFormatError: One does not.
    """

    def require(condition: bool, what: str) -> None:
        if not condition:
            raise FileFormatError(f"{source} is damaged: {what}.")

    require(bool(model.subgraphs), "it has no graph")
    model.buffers = model.buffers or []
    n_codes = len(model.operatorCodes or ())
    n_buffers = len(model.buffers)
    for entry in model.metadata or ():
        require(
            0 <= entry.buffer < n_buffers,
            f"metadata {_text(entry.name)!r} refers to a buffer that is not there",
        )
    for g, subgraph in enumerate(model.subgraphs):
        tensors = subgraph.tensors or ()
        for t, tensor in enumerate(tensors):
            require(
                0 <= tensor.buffer < n_buffers,
                f"tensor {t} of graph {g} refers to a buffer that is not there",
            )
            shape = _indices(tensor.shape)
            require(len(shape) <= _MAX_DIMENSIONS, f"tensor {t} of graph {g} has {len(shape)} dimensions")
            elements = 1
            for dimension in shape:
                require(dimension >= 0, f"tensor {t} of graph {g} has a negative dimension")
                # NumPy computes the size without regard to zeros.
                elements *= max(dimension, 1)
                require(elements <= _MAX_ELEMENTS, f"tensor {t} of graph {g} is impossibly large")
        for i in [*_indices(subgraph.inputs), *_indices(subgraph.outputs)]:
            require(0 <= i < len(tensors), f"graph {g} takes or gives a tensor that is not there")
        for o, operator in enumerate(subgraph.operators or ()):
            require(
                0 <= operator.opcodeIndex < n_codes, f"operator {o} of graph {g} is of no kind that is there"
            )
            for i in [
                *_indices(operator.inputs),
                *_indices(operator.outputs),
                *_indices(operator.intermediates),
            ]:
                # -1 is an optional tensor that is absent.
                require(
                    -1 <= i < len(tensors), f"operator {o} of graph {g} refers to a tensor that is not there"
                )


def _indices(values: Any) -> list[int]:
    return [] if values is None else [int(i) for i in values]
