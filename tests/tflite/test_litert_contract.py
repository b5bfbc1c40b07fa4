"""Names of LiteRT and flatbuffers outside their documentation that `mltk.tflite` depends on."""

import inspect

import pytest


@pytest.mark.parametrize(
    "name",
    [
        *("ModelT", "BufferT", "MetadataT", "OperatorT", "SubGraphT", "TensorMapT", "SignatureDefT"),
        *("BuiltinOperator", "BuiltinOptions", "TensorType"),
    ],
)
def test_the_generated_schema_has_the_class(name):
    from ai_edge_litert import schema_py_generated

    assert inspect.isclass(getattr(schema_py_generated, name, None)), (
        f"ai_edge_litert.schema_py_generated.{name}"
    )


@pytest.mark.parametrize("name", ["InitFromPackedBuf", "Pack"])
def test_the_generated_model_is_read_and_written_by(name):
    from ai_edge_litert.schema_py_generated import ModelT

    assert callable(getattr(ModelT, name, None)), f"ai_edge_litert.schema_py_generated.ModelT.{name}"


def test_the_interpreter_runs_without_default_delegates():
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    assert "experimental_op_resolver_type" in inspect.signature(Interpreter.__init__).parameters, (
        "ai_edge_litert.interpreter.Interpreter(experimental_op_resolver_type=)"
    )
    assert hasattr(OpResolverType, "BUILTIN_WITHOUT_DEFAULT_DELEGATES"), (
        "ai_edge_litert.interpreter.OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES"
    )


def test_a_table_of_flatbuffers_gives_the_position_of_a_field():
    from flatbuffers.table import Table

    # A vtable of one field at offset 4, then the table, which begins with the distance to its vtable.
    data = bytes([6, 0, 8, 0, 4, 0, 6, 0, 0, 0, 42, 0, 0, 0])
    table = Table(data, 6)
    assert table.Pos == 6, "flatbuffers.table.Table.Pos"
    assert table.Offset(4) == 4, "flatbuffers.table.Table.Offset"
