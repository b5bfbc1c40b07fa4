"""Types of the generated TFLite schema classes, as far as mltk uses them.

The classes are in `ai_edge_litert.schema_py_generated`, which has no type hints and is slow to import.
"""

from __future__ import annotations

from collections.abc import MutableSequence, Sequence
from typing import TYPE_CHECKING, Protocol

import numpy as np

if TYPE_CHECKING:
    import flatbuffers

Integers = np.ndarray | Sequence[int] | None
"""A vector of integers; `None` if the field is absent."""
Text = bytes | str | None
"""A string; `None` if the field is absent."""


class BufferT(Protocol):
    """Data of a tensor or of a metadata entry."""

    data: np.ndarray | Sequence[int] | None
    offset: int


class MetadataT(Protocol):
    """A metadata entry."""

    name: Text
    buffer: int


class OperatorCodeT(Protocol):
    """An operator that the model uses."""

    deprecatedBuiltinCode: int  # noqa: N815 - the schema's name
    builtinCode: int  # noqa: N815
    customCode: Text  # noqa: N815
    version: int


class QuantizationT(Protocol):
    """Quantization parameters of a tensor; of a calibrated model also its minimum and maximum."""

    min: np.ndarray | None
    max: np.ndarray | None
    scale: np.ndarray | None
    zeroPoint: np.ndarray | None  # noqa: N815
    quantizedDimension: int  # noqa: N815


class TensorT(Protocol):
    """A tensor."""

    name: Text
    shape: Integers
    shapeSignature: Integers  # noqa: N815
    type: int
    buffer: int
    quantization: QuantizationT | None
    isVariable: bool  # noqa: N815
    sparsity: object


class OperatorT(Protocol):
    """An operator of a subgraph."""

    opcodeIndex: int  # noqa: N815
    inputs: Integers
    outputs: Integers
    intermediates: Integers
    builtinOptions: object  # noqa: N815
    builtinOptionsType: int  # noqa: N815
    builtinOptions2: object  # noqa: N815
    builtinOptions2Type: int  # noqa: N815


class SubGraphT(Protocol):
    """A graph of tensors and operators; absent vectors are `None` in an empty graph."""

    tensors: MutableSequence[TensorT]
    operators: MutableSequence[OperatorT]
    inputs: Integers
    outputs: Integers


class TensorMapT(Protocol):
    """The name of an input or output."""

    name: Text
    tensorIndex: int  # noqa: N815


class SignatureDefT(Protocol):
    """The names of a subgraph's inputs and outputs."""

    inputs: Sequence[TensorMapT] | None
    outputs: Sequence[TensorMapT] | None
    signatureKey: Text  # noqa: N815
    subgraphIndex: int  # noqa: N815


class ModelT(Protocol):
    """The root of a `.tflite` file."""

    description: Text
    operatorCodes: MutableSequence[OperatorCodeT]  # noqa: N815
    subgraphs: Sequence[SubGraphT]
    buffers: MutableSequence[BufferT]
    metadata: MutableSequence[MetadataT] | None
    metadataBuffer: Integers  # noqa: N815
    signatureDefs: Sequence[SignatureDefT] | None  # noqa: N815

    def Pack(self, builder: flatbuffers.Builder) -> int:  # noqa: N802 - the schema's name
        """Write the model and return its offset."""
