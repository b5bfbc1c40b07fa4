"""The TFLite schema: the generated reader, and where its tables refer to something.

The table below is checked against the generated reader by a test.
"""

from __future__ import annotations

from functools import cache
from types import ModuleType

from mltk.tflite._generated import ModelT, OperatorT
from mltk.tflite._verify import Field, String, Table, Tables, Union, Vector

IDENTIFIER = b"TFL3"
_ALIGNMENT = 16


@cache
def schema() -> ModuleType:
    """Return the module of generated classes, importing it on first use (about 0.1 s)."""
    from ai_edge_litert import schema_py_generated

    module: ModuleType = schema_py_generated
    return module


def pack_model(model: ModelT) -> bytes:
    """Return a model in the schema's object interface as the content of a file.

    The data of buffers begin at multiples of 16 bytes, as the schema demands and devices rely on; the generated
    packer leaves that out.
    """
    import flatbuffers

    class Builder(flatbuffers.Builder):
        def StartVector(self, elemSize: int, numElems: int, alignment: int) -> object:  # noqa: N802, N803 - overridden
            return super().StartVector(elemSize, numElems, _ALIGNMENT if elemSize == 1 else alignment)

    builder = Builder(1024)
    builder.Finish(model.Pack(builder), IDENTIFIER)
    return bytes(builder.Output())


def lost_options(operator: OperatorT) -> bool:
    """Return whether the object interface skipped the options of an operator, because it does not know their type."""
    known, known_2 = vars(schema().BuiltinOptions).values(), vars(schema().BuiltinOptions2).values()
    # A writer may name the type of the options and leave them out.
    return (operator.builtinOptions is None and operator.builtinOptionsType not in known) or (
        operator.builtinOptions2 is None and operator.builtinOptions2Type not in known_2
    )


def enum_name(enum: str, value: int) -> str:
    """Return the name of a member of a schema enum, or `<enum>_<value>` for one that is not known."""
    for name, number in vars(getattr(schema(), enum)).items():
        if number == value and not name.startswith("_"):
            return str(name)
    return f"{enum}_{value}"


def _vectors(width: int, *slots: int) -> dict[int, Field]:
    return dict.fromkeys(slots, Vector(width))


_BUILTIN_OPTIONS = {
    3: "ConcatEmbeddingsOptions",
    8: "FullyConnectedOptions",
    17: "ReshapeOptions",
    30: "SqueezeOptions",
    111: "VarHandleOptions",
    115: "BucketizeOptions",
}
_BUILTIN_OPTIONS_2 = {
    2: "StablehloBroadcastInDimOptions",
    3: "StablehloSliceOptions",
    4: "StablehloConvolutionOptions",
    5: "StablehloCustomCallOptions",
    6: "StablehloReduceOptions",
    7: "StablehloScatterOptions",
    9: "StablehloDynamicSliceOptions",
    10: "StablehloPadOptions",
    12: "StablehloDotGeneralOptions",
    13: "StablehloReduceWindowOptions",
    16: "StablehloGatherOptions",
    17: "StablehloTransposeOptions",
    21: "StableHLOCompositeOptions",
    23: "StablehloCaseOptions",
}
_QUANTIZATION_DETAILS = {1: "CustomQuantization", 2: "BlockwiseQuantization", 3: "MultiAxisQuantization"}
_SPARSE_INDEX = {1: "Int32Vector", 2: "Uint16Vector", 3: "Uint8Vector"}

TFLITE: dict[str, dict[int, Field]] = {
    "Model": {
        1: Tables("OperatorCode"),
        2: Tables("SubGraph"),
        3: String(),
        4: Tables("Buffer"),
        5: Vector(4),
        6: Tables("Metadata"),
        7: Tables("SignatureDef"),
        8: Tables("ExternalBufferGroup"),
        9: Tables("ExternalBuffer"),
    },
    "OperatorCode": {1: String()},
    "Buffer": {0: Vector(1)},
    "Metadata": {0: String()},
    "SignatureDef": {0: Tables("TensorMap"), 1: Tables("TensorMap"), 2: String()},
    "TensorMap": {0: String()},
    "ExternalBufferGroup": {0: String()},
    "ExternalBuffer": {4: String()},
    "SubGraph": {0: Tables("Tensor"), **_vectors(4, 1, 2), 3: Tables("Operator"), 4: String()},
    "Tensor": {
        **_vectors(4, 0, 7),
        3: String(),
        4: Table("QuantizationParameters"),
        6: Table("SparsityParameters"),
        9: Tables("VariantSubType"),
    },
    "VariantSubType": _vectors(4, 0),
    "QuantizationParameters": {**_vectors(4, 0, 1, 2), 3: Vector(8), 5: Union(4, _QUANTIZATION_DETAILS)},
    "CustomQuantization": _vectors(1, 0),
    "BlockwiseQuantization": _vectors(4, 3),
    "MultiAxisQuantization": _vectors(4, 3),
    "SparsityParameters": {**_vectors(4, 0, 1), 2: Tables("DimensionMetadata")},
    "DimensionMetadata": {3: Union(2, _SPARSE_INDEX), 5: Union(4, _SPARSE_INDEX)},
    "Int32Vector": _vectors(4, 0),
    "Uint16Vector": _vectors(2, 0),
    "Uint8Vector": _vectors(1, 0),
    "Operator": {
        **_vectors(4, 1, 2, 8),
        4: Union(3, _BUILTIN_OPTIONS),
        **_vectors(1, 5, 7),
        12: Union(11, _BUILTIN_OPTIONS_2),
    },
    "ConcatEmbeddingsOptions": _vectors(4, 1, 2),
    "FullyConnectedOptions": _vectors(1, 5),
    "ReshapeOptions": _vectors(4, 0),
    "SqueezeOptions": _vectors(4, 0),
    "VarHandleOptions": {0: String(), 1: String()},
    "BucketizeOptions": _vectors(4, 0),
    "StablehloBroadcastInDimOptions": _vectors(8, 0),
    "StablehloSliceOptions": _vectors(8, 0, 1, 2),
    "StablehloConvolutionOptions": {
        **_vectors(8, 0, 1, 2, 3, 7, 10, 13),
        **_vectors(1, 4),
        **_vectors(4, 16),
    },
    "StablehloCustomCallOptions": {0: String(), 2: String(), 4: Vector(4), 5: Vector(1)},
    "StablehloReduceOptions": _vectors(8, 0),
    "StablehloScatterOptions": _vectors(8, 1, 2, 3),
    "StablehloDynamicSliceOptions": _vectors(8, 0),
    "StablehloPadOptions": _vectors(8, 0, 1, 2),
    "StablehloDotGeneralOptions": {**_vectors(8, 0, 1, 2, 3), **_vectors(4, 4)},
    "StablehloReduceWindowOptions": _vectors(8, 0, 1, 2, 3, 4),
    "StablehloGatherOptions": _vectors(8, 0, 1, 2, 4),
    "StablehloTransposeOptions": _vectors(8, 0),
    "StableHLOCompositeOptions": {0: String(), 2: Vector(1)},
    "StablehloCaseOptions": _vectors(4, 0),
}
