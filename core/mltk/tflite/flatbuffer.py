"""The flatbuffer of a `.tflite` file: reading, checking, changing and saving it."""

from __future__ import annotations

import os
import struct
from collections.abc import Iterable
from pathlib import Path
from typing import Self

import numpy as np

from mltk.errors import FileFormatError, ModelNotFoundError, SpecificationError
from mltk.tflite import _schema
from mltk.tflite._generated import MetadataT, ModelT, SubGraphT, TensorT
from mltk.tflite._verify import verify
from mltk.utils.files import atomic_write

_ENDINGS = (".tflite", ".test", ".float32")
# 2^40 elements: far beyond any model, and small enough for sums and products of sizes to stay exact.
_MAX_ELEMENTS = 1 << 40
# The maximum that every version of NumPy accepts.
_MAX_DIMENSIONS = 32


class TfliteFlatbuffer:
    """The content of a `.tflite` file: subgraphs, buffers, description and metadata (see `TfliteModel`)."""

    def __init__(self, flatbuffer_data: bytes, path: str | os.PathLike[str] | None = None) -> None:
        self.path = path
        self.is_own = False
        """Whether mltk or trusted code made the content: LiteRT then runs it in this process. May be set."""
        self._data = bytes(flatbuffer_data)
        self._subgraph = 0
        self._load()

    @classmethod
    def load_flatbuffer_file(
        cls, path: str | os.PathLike[str], cwd: str | os.PathLike[str] | None = None
    ) -> Self:
        """Read a `.tflite` file.

        Args:
            path: The file.
            cwd: Folder to which a relative path belongs; the working directory by default.

        Raises:
            ModelNotFoundError: The file does not exist.
            FileFormatError: The file is damaged, or is not a `.tflite`.
        """
        path = path if cwd is None else Path(cwd, path)
        try:
            return cls(Path(path).read_bytes(), path)
        except FileNotFoundError:
            raise ModelNotFoundError(f"There is no file '{os.fspath(path)}'.") from None
        except OSError as error:
            raise FileFormatError(f"'{os.fspath(path)}' cannot be read: {error.strerror}.") from None

    def _load(self) -> None:
        verify(self._data, _schema.TFLITE, "Model", self.source, _schema.IDENTIFIER)
        try:
            self._model: ModelT = _schema.schema().ModelT.InitFromPackedBuf(self._data)
        except struct.error:
            # A number at the end of the buffer is cut off.
            raise FileFormatError(f"{self.source} is damaged: it ends too early.") from None
        _check(self._model, self.source)
        self._forget()

    def _forget(self) -> None:
        """Discard derived values after the content was read or changed."""

    def _forget_runner(self) -> None:
        """Discard interpreters of the previous content."""

    @property
    def source(self) -> str:
        """Path of the model in quotes, or a description of a model in memory; begins error messages."""
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
        """The model's name: the file's without `.tflite`, `.test` and `.float32`, or `model`."""
        name = self.filename or "model"
        for ending in _ENDINGS:
            name = name.removesuffix(ending)
        return name

    @property
    def description(self) -> str:
        """The description in the file. May be set."""
        return to_text(self._model.description)

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
    def flatbuffer_model(self) -> ModelT:
        """The model as the schema's `ModelT`; after a change call `regenerate_flatbuffer`."""
        return self._model

    @property
    def flatbuffer_subgraph(self) -> SubGraphT:
        """The selected subgraph in the schema's object interface (`SubGraphT`)."""
        return self._model.subgraphs[self._subgraph]

    def get_flatbuffer_subgraph(self, index: int | None = None) -> SubGraphT:
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
                f"{self.source} has {self.n_subgraphs} subgraphs; the index {value} is out of range."
            )
        self._subgraph = value
        self._forget()

    @property
    def signatures(self) -> list[dict[str, dict[str, int]]]:
        """For each signature of the first subgraph, its `inputs` and `outputs`: indices of tensors by name."""
        return [
            {
                "inputs": {to_text(entry.name): int(entry.tensorIndex) for entry in signature.inputs or ()},
                "outputs": {to_text(entry.name): int(entry.tensorIndex) for entry in signature.outputs or ()},
            }
            for signature in self._model.signatureDefs or ()
            if signature.subgraphIndex == 0
        ]

    def get_all_metadata(self) -> dict[str, bytes]:
        """Return all metadata entries by name; of several with one name the first."""
        entries: dict[str, bytes] = {}
        for entry in self._model.metadata or ():
            entries.setdefault(to_text(entry.name), self._buffer(entry.buffer))
        return entries

    def get_metadata(self, tag: str) -> bytes | None:
        """Return a metadata entry, or `None` if it does not exist."""
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
        known = [entry for entry in self._model.metadata if to_text(entry.name) == tag]
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
            True if there was one.
        """
        kept = [entry for entry in self._model.metadata or () if to_text(entry.name) != tag]
        removed = [entry for entry in self._model.metadata or () if to_text(entry.name) == tag]
        if not removed:
            return False
        self._model.metadata = kept
        for buffer in sorted({entry.buffer for entry in removed}, reverse=True):
            self._remove_buffer(buffer)
        self.regenerate_flatbuffer()
        return True

    def _remove_buffer(self, index: int) -> None:
        """Remove a buffer if nothing refers to it; keep buffer 0, which means "no data"."""
        if index == 0 or self._references(index):
            return
        del self._model.buffers[index]
        for reference in self._buffer_users():
            reference.buffer -= reference.buffer > index
        if self._model.metadataBuffer is not None:
            self._model.metadataBuffer = [i - (i > index) for i in to_integers(self._model.metadataBuffer)]

    def _buffer_users(self) -> list[TensorT | MetadataT]:
        tensors: list[TensorT | MetadataT] = [
            tensor for subgraph in self._model.subgraphs for tensor in subgraph.tensors or ()
        ]
        return [*tensors, *(self._model.metadata or ())]

    def _references(self, buffer: int) -> int:
        """Return how many tensors and metadata entries refer to a buffer."""
        users = [user.buffer for user in self._buffer_users()] + to_integers(self._model.metadataBuffer)
        return users.count(buffer)

    def _buffer(self, index: int) -> bytes:
        data = self._model.buffers[index].data
        return b"" if data is None else np.asarray(data, np.uint8).tobytes()

    def write_buffer(self, tensor: TensorT, data: bytes) -> None:
        """Replace the values of a tensor; other tensors that share its buffer keep theirs."""
        buffer = _schema.schema().BufferT()
        buffer.data = np.frombuffer(data, np.uint8)
        if self._references(tensor.buffer) > 1:
            tensor.buffer = len(self._model.buffers)
            self._model.buffers.append(buffer)
        else:
            self._model.buffers[tensor.buffer] = buffer
        self.regenerate_flatbuffer()

    def save(self, output_path: str | os.PathLike[str] | None = None, update_path: bool = False) -> str:
        """Write the model to a file, whole or not at all.

        Args:
            output_path: The file; `None` is the model's own `path`.
            update_path: Set `path` to `output_path`.

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
        """Write `flatbuffer_data` from `flatbuffer_model`.

        Args:
            reload_model: Read the result again, so that new tensors and layers appear.

        Raises:
            FileFormatError: The model has parts that the installed schema does not know; they would be lost.
        """
        self._refuse_loss()
        self._data = _schema.pack_model(self._model)
        self._forget_runner()
        if reload_model:
            self._load()

    def _refuse_loss(self) -> None:
        """Raise an error if the object interface skipped a part of the model."""
        for subgraph in self._model.subgraphs:
            for number, operator in enumerate(subgraph.operators or ()):
                if _schema.lost_options(operator):
                    raise FileFormatError(
                        f"{self.source} cannot be changed: operator {number} has options that the installed"
                        " ai-edge-litert does not know, and they would be lost. Update ai-edge-litert."
                    )
        if any(buffer.offset > 1 for buffer in self._model.buffers):
            raise FileFormatError(f"{self.source} cannot be changed: its weights lie outside its flatbuffer.")


def _check(model: ModelT, source: str) -> None:
    """Check that all references between the parts of a model are valid.

    Raises:
        FileFormatError: A reference is invalid.
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
            f"metadata {to_text(entry.name)!r} refers to a missing buffer",
        )
    for g, subgraph in enumerate(model.subgraphs):
        tensors = subgraph.tensors or ()
        for t, tensor in enumerate(tensors):
            require(
                0 <= tensor.buffer < n_buffers,
                f"tensor {t} of graph {g} refers to a missing buffer",
            )
            shape = to_integers(tensor.shape)
            require(len(shape) <= _MAX_DIMENSIONS, f"tensor {t} of graph {g} has {len(shape)} dimensions")
            elements = 1
            for dimension in shape:
                require(dimension >= 0, f"tensor {t} of graph {g} has a negative dimension")
                # NumPy computes the size without regard to zeros.
                elements *= max(dimension, 1)
                require(elements <= _MAX_ELEMENTS, f"tensor {t} of graph {g} is too large")
        for i in [*to_integers(subgraph.inputs), *to_integers(subgraph.outputs)]:
            require(0 <= i < len(tensors), f"graph {g} has a missing input or output tensor")
        for o, operator in enumerate(subgraph.operators or ()):
            require(
                0 <= operator.opcodeIndex < n_codes,
                f"operator {o} of graph {g} refers to a missing operator code",
            )
            for i in [
                *to_integers(operator.inputs),
                *to_integers(operator.outputs),
                *to_integers(operator.intermediates),
            ]:
                # -1 is an optional tensor that is absent.
                require(-1 <= i < len(tensors), f"operator {o} of graph {g} refers to a missing tensor")


def to_integers(values: Iterable[int] | None) -> list[int]:
    """Return a vector of the flatbuffer as a list, empty if the field is absent."""
    return [] if values is None else [int(i) for i in values]


def to_text(value: bytes | str | None) -> str:
    """Return a string of the flatbuffer as `str`; bytes that are not UTF-8 are replaced."""
    return value if isinstance(value, str) else (value or b"").decode(errors="replace")
