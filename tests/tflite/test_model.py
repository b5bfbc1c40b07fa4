"""Reading, changing and saving `.tflite` files."""

import hashlib
import re
import subprocess
import sys
import time

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mltk.core import tflite_model as package
from mltk.errors import FileFormatError, ModelNotFoundError, SpecificationError
from mltk.tflite import (
    TfliteActivation,
    TfliteConv2dLayer,
    TfliteConv2DLayerOptions,
    TfliteDepthwiseConv2dLayer,
    TfliteFullyConnectedLayer,
    TfliteLayer,
    TfliteModel,
    TfliteOpCode,
    TflitePadding,
    TflitePooling2dLayer,
)
from mltk.tflite._schema import TFLITE
from mltk.tflite._verify import String, Table, Tables, Union, Vector
from mltk.tflite.parameters import TfliteModelParameters

MODELS = ["conv_int8", "conv_int8_float_io", "dense_float32", "dense_dynamic_range"]


def test_the_specs_import_path_gives_the_same_class():
    from mltk.tflite.model import TfliteModel as Other

    assert Other is TfliteModel
    assert all(getattr(package, name).__doc__ for name in package.__all__)


def test_reading_imports_no_tensorflow(model_path):
    code = (
        "import sys\n"
        "from mltk.tflite import TfliteModel\n"
        "assert not any(m.startswith('ai_edge_litert') for m in sys.modules)\n"
        f"m = TfliteModel.load_flatbuffer_file({str(model_path('conv_int8'))!r})\n"
        "m.summary(); m.add_metadata('a', b'b')\n"
        "import numpy; m.predict(numpy.zeros((12, 12, 1), 'float32'))\n"
        "assert not {'tensorflow', 'keras', 'jax'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_path_is_told_and_may_be_set(load, model_path):
    model = load()
    assert model.path == model_path("conv_int8").as_posix()
    assert (model.filename, model.name) == ("conv_int8.tflite", "conv_int8")
    model.path = r"other\my_model.test.tflite"
    assert model.path == "other/my_model.test.tflite"
    assert model.name == "my_model"
    assert TfliteModel(model.flatbuffer_data).path is None


def test_tensors_say_their_shape_type_quantization_and_data(load):
    model = load()
    (tensor,) = model.inputs

    assert tensor is model.get_input_tensor()
    assert (model.n_inputs, model.n_outputs, model.n_subgraphs) == (1, 1, 1)
    assert tensor.shape == (1, 12, 12, 1)
    assert str(tensor.shape) == "1x12x12x1"
    assert tensor.shape.flat_size == 144
    assert tensor.dtype == np.int8
    assert tensor.dtype_str == "int8"
    assert tensor.shape_dtype_str() == "12x12x1 (int8)"
    assert tensor.shape_dtype_str(include_batch=True) == "1x12x12x1 (int8)"
    assert str(tensor) == f"{tensor.name}, dtype:int8, shape:1x12x12x1"
    assert tensor.quantization.n_channels == 1
    assert not tensor.is_constant
    assert not tensor.is_variable
    assert tensor.data.shape == (1, 12, 12, 1)
    assert tensor.size_bytes == 144

    weights = model.layers[1].filters_tensor
    assert weights.is_constant
    assert weights.data.shape == (4, 3, 3, 1)
    assert weights.data.dtype == np.int8
    assert np.abs(weights.data).max() == 127
    assert weights.quantization.n_channels == 4
    assert weights.quantization.quantization_dimension == 0
    assert weights.quantization.zeropoint == [0, 0, 0, 0]


def test_tensor_data_agree_with_litert(load):
    from ai_edge_litert.interpreter import Interpreter

    for name in MODELS:
        model = load(name)
        interpreter = Interpreter(model_content=model.flatbuffer_data)
        interpreter.allocate_tensors()
        for tensor in model.tensors:
            if tensor.is_constant:
                np.testing.assert_array_equal(tensor.data, interpreter.get_tensor(tensor.index))


def test_layers_have_their_operands_and_options_by_name(load):
    layers = load().layers
    assert [layer.opcode_str for layer in layers[:5]] == [
        *("pad", "conv_2d", "depthwise_conv_2d", "conv_2d", "average_pool_2d")
    ]
    pad, conv, depthwise, _, pool = layers[:5]

    assert isinstance(conv, TfliteConv2dLayer)
    assert isinstance(conv.options, TfliteConv2DLayerOptions)
    assert (conv.index, conv.name, conv.opcode) == (1, "op1-conv_2d", TfliteOpCode.CONV_2D)
    assert (conv.filters, conv.kernel_size, conv.strides) == (4, (3, 3), (2, 2))
    assert (conv.padding, conv.activation, conv.use_bias) == ("Valid", "Relu", True)
    assert conv.options.padding is TflitePadding.VALID
    assert conv.options.activation is TfliteActivation.RELU
    assert conv.options.strideW == conv.options.stride_width == 2
    assert conv.bias_data.shape == (4,)
    assert conv.get_output_tensor().shape == conv.output_tensor.shape == (1, 6, 6, 4)
    assert (conv.n_inputs, conv.n_outputs) == (3, 1)

    assert isinstance(depthwise, TfliteDepthwiseConv2dLayer)
    assert (depthwise.filters, depthwise.multiplier, depthwise.padding) == (4, 1, "Same")
    assert isinstance(pool, TflitePooling2dLayer)
    assert (pool.pool_size, pool.strides) == ((2, 2), (2, 2))
    assert pad.paddings.tolist() == [[0, 0], [1, 1], [1, 1], [0, 0]]
    dense = next(layer for layer in layers if isinstance(layer, TfliteFullyConnectedLayer))
    assert (dense.units, dense.accumulator_depth) == (3, 54)


def test_changed_options_take_effect(load):
    model = load()
    model.layers[1].options.activation = "none"
    model.layers[1].options.strideW = 1
    with pytest.raises(AttributeError, match="nonsense"):
        model.layers[1].options.nonsense = 1

    model.regenerate_flatbuffer(reload_model=True)

    assert model.layers[1].options.activation is TfliteActivation.NONE
    assert model.layers[1].strides == (2, 1)


def test_enumerations_take_numbers_and_names():
    assert TfliteActivation("relu6") is TfliteActivation(3) is TfliteActivation.RELU6
    assert TflitePadding("Same") is TflitePadding.SAME
    assert str(TflitePadding.VALID) == "Valid"
    assert TfliteOpCode.FULLY_CONNECTED == 9
    with pytest.raises(ValueError, match="gelu"):
        TfliteActivation("gelu")
    with pytest.raises(AttributeError):
        TfliteOpCode.NO_SUCH_OPERATOR  # noqa: B018


def test_four_bit_data_are_unpacked(load):
    from ai_edge_litert.schema_py_generated import TensorType

    model = load("dense_float32")
    tensor = model.layers[0].inputs[1]
    fields = model.flatbuffer_subgraph.tensors[tensor.index]
    fields.type = TensorType.INT4
    fields.shape = [1, 3]
    model.flatbuffer_model.buffers[fields.buffer].data = np.array([0xF7, 0x08], np.uint8)
    model.regenerate_flatbuffer(reload_model=True)

    changed = model.get_tensor(tensor.index)
    assert changed.dtype_str == "int4"
    assert changed.data.tolist() == [[7, -1, -8]]


def test_description_and_metadata_survive_saving(load, tmp_path):
    model = load()
    model.description = "Größe"
    model.add_metadata("first", b"1" * 5)
    model.add_metadata("second", b"22")
    model.add_metadata("first", b"one")
    path = tmp_path / "sub" / "new.tflite"

    assert model.save(path) == str(path)

    assert model.path.endswith("conv_int8.tflite")
    again = TfliteModel.load_flatbuffer_file(path)
    assert again.flatbuffer_data == model.flatbuffer_data == path.read_bytes()
    assert again.description == "Größe"
    assert list(again.get_all_metadata())[-2:] == ["first", "second"]
    assert again.get_metadata("first") == b"one"
    assert again.get_metadata("third") is None
    assert len(again.get_all_metadata()["min_runtime_version"]) == 16
    model.save(path, update_path=True)
    assert model.path == path.as_posix()


@pytest.mark.parametrize(
    "order", [["a", "b"], ["b", "a"], ["min_runtime_version", "b", "CONVERSION_METADATA", "a"]]
)
def test_removing_metadata_leaves_everything_else_as_it_was(load, order):
    x = np.random.default_rng(0).normal(size=(8, 12, 12, 1)).astype(np.float32)
    original = load()
    expected = original.predict(x)
    model = load()
    model.add_metadata("a", b"aaaa")
    model.add_metadata("b", b"bb")

    for count, tag in enumerate(order):
        rest = {key: value for key, value in model.get_all_metadata().items() if key != tag}
        assert model.remove_metadata(tag)
        assert not model.remove_metadata(tag)
        model.regenerate_flatbuffer(reload_model=True)
        assert model.get_all_metadata() == rest
        np.testing.assert_array_equal(model.predict(x), expected)
        for before, after in zip(original.tensors, model.tensors, strict=True):
            np.testing.assert_array_equal(before.data, after.data)
        if count == 1 and set(order) == {"a", "b"}:
            assert model.flatbuffer_data == _repacked(original)


def test_buffers_before_those_of_tensors_can_be_removed(load):
    model = load()
    model.add_metadata("a", b"aaaa")
    fields = model.flatbuffer_model
    fields.buffers.insert(1, fields.buffers.pop())
    for reference in [*fields.subgraphs[0].tensors, *fields.metadata]:
        reference.buffer = 1 if reference.buffer == len(fields.buffers) - 1 else reference.buffer + 1
    model.regenerate_flatbuffer(reload_model=True)

    assert model.remove_metadata("a")

    assert model.flatbuffer_data == _repacked(load())


def _repacked(model):
    model.regenerate_flatbuffer()
    return model.flatbuffer_data


def test_empty_metadata_and_a_missing_path_are_refused(load):
    model = load()
    for tag, value in (("", b"x"), ("x", b"")):
        with pytest.raises(SpecificationError):
            model.add_metadata(tag, value)
    model.path = None
    with pytest.raises(SpecificationError, match="no path"):
        model.save()
    with pytest.raises(SpecificationError, match="1 subgraphs"):
        model.selected_model_subgraph = 1


def test_a_missing_file_is_told(tmp_path):
    with pytest.raises(ModelNotFoundError, match=r"none\.tflite"):
        TfliteModel.load_flatbuffer_file(tmp_path / "none.tflite")
    with pytest.raises(FileFormatError):
        TfliteModel.load_flatbuffer_file(tmp_path)


def _pack_unaligned(content):
    """Return a file as the reference packs it: data of buffers begin anywhere."""
    import flatbuffers

    builder = flatbuffers.Builder(1024)
    builder.Finish(TfliteModel(content).flatbuffer_model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


@pytest.mark.parametrize("name", ["alltypes", "image"])
def test_packing_again_differs_from_what_the_reference_wrote_by_alignment_only(shared, name):
    path = shared / "golden" / f"params_{name}_dev.tflite"
    model = TfliteModel.load_flatbuffer_file(path)

    model.regenerate_flatbuffer()

    assert _pack_unaligned(model.flatbuffer_data) == path.read_bytes()


def test_the_references_hash_is_that_of_the_file_with_empty_hash_and_date(shared):
    model = TfliteModel.load_flatbuffer_file(shared / "golden" / "params_image_dev.tflite")
    parameters = TfliteModelParameters.load_from_tflite_model(model)
    expected = parameters["hash"]

    parameters["hash"] = parameters["date"] = ""
    parameters.add_to_tflite_model(model)

    assert hashlib.md5(_pack_unaligned(model.flatbuffer_data)).hexdigest() == expected


def test_the_summary_shows_layers_counts_and_parameters(load):
    model = load("dense_float32")
    model.description = "A test"
    TfliteModelParameters(name="dense", version=3, classes=["a", "b"], threshold=0.5).add_to_tflite_model(
        model
    )

    assert model.summary().splitlines() == [
        "+-------+-----------------+----------------+-------------+-----------------+",
        "| Index | OpCode          | Input(s)       | Output(s)   | Options         |",
        "+-------+-----------------+----------------+-------------+-----------------+",
        "| 0     | fully_connected | 20 (float32)   | 8 (float32) | Activation:Relu |",
        "|       |                 | 8x20 (float32) |             |                 |",
        "| 1     | fully_connected | 8 (float32)    | 2 (float32) | Activation:None |",
        "|       |                 | 2x8 (float32)  |             |                 |",
        "+-------+-----------------+----------------+-------------+-----------------+",
        "Total MACs: 176",
        "Total OPs: 352",
        "Name: dense",
        "Version: 3",
        "Description: A test",
        "Classes: a, b",
        "threshold: 0.5",
        "Precision: float32",
        f".tflite file size: {model.flatbuffer_size / 1000:g} kB",
    ]


def test_operators_that_are_not_known_have_a_name(load):
    model = load("dense_float32")
    codes = model.flatbuffer_model.operatorCodes
    codes[0].builtinCode = 4000
    model.regenerate_flatbuffer(reload_model=True)
    assert model.layers[0].opcode_str == "builtinoperator_4000"
    assert type(model.layers[0]) is TfliteLayer

    model.flatbuffer_model.operatorCodes[0].builtinCode = 32
    model.flatbuffer_model.operatorCodes[0].deprecatedBuiltinCode = 32
    model.flatbuffer_model.operatorCodes[0].customCode = b"MyOperator"
    model.regenerate_flatbuffer(reload_model=True)
    assert model.layers[0].opcode_str == "custom:MyOperator"
    assert "custom:MyOperator" in model.summary()


def test_options_of_a_newer_schema_are_tolerated_and_not_lost(load):
    model = load("dense_float32")
    operator = model.flatbuffer_subgraph.operators[0]
    operator.builtinOptionsType = 200
    model.regenerate_flatbuffer(reload_model=True)
    assert "BuiltinOptions_200" in model.summary()
    before = model.flatbuffer_data

    with pytest.raises(FileFormatError, match="operator 0 has options"):
        model.add_metadata("a", b"b")
    assert model.flatbuffer_data == before


def test_an_operator_whose_tensors_are_not_as_they_should_be_is_a_plain_layer(load):
    model = load()
    operator = model.flatbuffer_subgraph.operators[1]
    operator.inputs = operator.inputs[:1]
    model.regenerate_flatbuffer(reload_model=True)

    assert type(model.layers[1]) is TfliteLayer
    assert "conv_2d" in model.summary()


def _spoil(data, places):
    spoilt = bytearray(data)
    for place, value in places:
        spoilt[place % len(spoilt)] ^= value
    return bytes(spoilt)


def _read_or_refuse(data):
    started = time.monotonic()
    try:
        model = TfliteModel(data)
        model.summary()
        for tensor in model.tensors:
            assert tensor.data.size == tensor.shape.flat_size or tensor.data.ndim == 1
        model.regenerate_flatbuffer(reload_model=True)
    except FileFormatError as error:
        assert len(str(error).splitlines()) == 1
    assert time.monotonic() - started < 20


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_damaged_file_is_read_or_refused_in_one_line(model_path, data):
    content = model_path(data.draw(st.sampled_from(MODELS))).read_bytes()
    places = st.tuples(st.integers(0, len(content) - 1), st.integers(1, 255))
    _read_or_refuse(_spoil(content, data.draw(st.lists(places, min_size=1, max_size=6))))


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_wild_offsets_are_refused_in_one_line(model_path, data):
    content = bytearray(model_path(data.draw(st.sampled_from(MODELS))).read_bytes())
    for _ in range(data.draw(st.integers(1, 3))):
        place = 4 * data.draw(st.integers(0, len(content) // 4 - 1))
        wild = data.draw(st.sampled_from([0, 1, 4, 2**31 - 1, 2**31, 2**32 - 1, len(content), 0x10000000]))
        content[place : place + 4] = wild.to_bytes(4, "little")
    _read_or_refuse(bytes(content))


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_file_of_the_reference_that_is_damaged_is_read_or_refused(shared, data):
    content = (shared / "golden" / "params_alltypes_dev.tflite").read_bytes()
    places = st.tuples(st.integers(0, len(content) - 1), st.integers(1, 255))
    _read_or_refuse(_spoil(content, data.draw(st.lists(places, min_size=1, max_size=6))))


def test_a_truncated_file_is_refused(model_path):
    content = model_path("conv_int8").read_bytes()
    for size in [*range(64), *range(64, len(content) - 64, 97)]:
        with pytest.raises(FileFormatError):
            TfliteModel(content[:size])


@pytest.mark.parametrize(
    "content", [b"", b"TFL3", b"PK\3\4" + bytes(100), b"\x1c\0\0\0TFL2" + bytes(100)], ids=repr
)
def test_another_kind_of_file_is_refused(content, tmp_path):
    path = tmp_path / "x.tflite"
    path.write_bytes(content)
    with pytest.raises(FileFormatError, match=re.escape(f"'{path}' has the wrong format")):
        TfliteModel.load_flatbuffer_file(path)


def test_parts_that_refer_to_each_other_again_and_again_are_refused_soon(load):
    # A vector of subgraphs that are all the same one, with a vector of operators that are all the same one.
    model = load("dense_float32")
    fields = model.flatbuffer_model
    fields.subgraphs *= 200
    fields.subgraphs[0].operators *= 500
    model.regenerate_flatbuffer()
    content = bytearray(model.flatbuffer_data)
    root = int.from_bytes(content[:4], "little")
    layout = root - int.from_bytes(content[root : root + 4], "little", signed=True)
    place = root + int.from_bytes(content[layout + 8 : layout + 10], "little")
    vector = place + int.from_bytes(content[place : place + 4], "little")
    assert int.from_bytes(content[vector : vector + 4], "little") == 200
    first = vector + 4 + int.from_bytes(content[vector + 4 : vector + 8], "little")
    del content[first + 40_000 :]
    for element in range(vector + 4, vector + 804, 4):
        content[element : element + 4] = (first - element).to_bytes(4, "little")

    started = time.monotonic()
    with pytest.raises(FileFormatError):
        TfliteModel(bytes(content))
    assert time.monotonic() - started < 10


def test_the_table_of_references_is_that_of_the_generated_schema():
    from pathlib import Path

    from ai_edge_litert import schema_py_generated as schema

    found = {}
    unions = {}
    source = Path(schema.__file__).read_text()
    for name, body in re.findall(
        r"^class (\w+)\(object\):\n    __slots__ = \['_tab'\]\n(.*?)(?=^\w)", source, re.S | re.M
    ):
        for method, text in re.findall(r"    def (\w+)\(self(?:, j)?\):\n(.*?)(?=\n    # |\Z)", body, re.S):
            offset = re.search(r"_tab\.Offset\((\d+)\)", text)
            if not offset or method.endswith(("AsNumpy", "Length", "IsNone")):
                continue
            slot = (int(offset[1]) - 4) // 2
            vector = ".Vector(" in text
            table = re.search(r"obj = (\w+)\(\)", text)
            number = re.search(r"Get\(flatbuffers\.number_types\.(\w+)Flags", text)
            if ".Union(" in text:
                found.setdefault(name, {})[slot] = "union"
            elif ".String(" in text:
                found.setdefault(name, {})[slot] = String()
            elif ".Indirect(" in text:
                found.setdefault(name, {})[slot] = (Tables if vector else Table)(table[1])
            elif vector:
                width = {"Bool": 1, "Uint8": 1, "Uint16": 2}.get(number[1]) or int(
                    re.sub(r"\D", "", number[1])
                ) // 8
                found.setdefault(name, {})[slot] = Vector(width)

    ours = {
        name: {slot: "union" if isinstance(field, Union) else field for slot, field in fields.items()}
        for name, fields in TFLITE.items()
    }
    # A schema newer than the table may add to it; what the table says must hold.
    assert {name: found.get(name) for name in ours} == ours
    assert found.keys() <= ours.keys()

    for union, field in [
        (schema.BuiltinOptions, TFLITE["Operator"][4]),
        (schema.BuiltinOptions2, TFLITE["Operator"][12]),
        (schema.QuantizationDetails, TFLITE["QuantizationParameters"][5]),
        (schema.SparseIndexVector, TFLITE["DimensionMetadata"][3]),
    ]:
        unions = {code: name for name, code in vars(union).items() if name in found}
        assert field.members == unions


def _data_positions(content):
    """Return where in a file the data of its buffers begin."""
    from ai_edge_litert import schema_py_generated as schema

    model = schema.Model.GetRootAs(content, 0)
    buffers = [model.Buffers(i) for i in range(model.BuffersLength())]
    return [buffer._tab.Vector(buffer._tab.Offset(4)) for buffer in buffers if buffer.DataLength()]


@pytest.mark.parametrize("extra", [1, 5, 16, 33])
def test_data_of_buffers_stays_aligned_to_16_bytes(load, extra):
    model = load()
    model.add_metadata("odd", b"x" * extra)
    model.description = "d" * extra
    positions = _data_positions(model.flatbuffer_data)
    assert len(positions) > 5
    assert not [position for position in positions if position % 16]
    assert TfliteModel(model.flatbuffer_data).get_metadata("odd") == b"x" * extra


def test_an_operator_may_name_the_type_of_options_and_leave_them_out(load):
    model = load()
    operators = model.flatbuffer_subgraph.operators
    number = next(i for i, layer in enumerate(model.layers) if layer.opcode_str == "softmax")
    kind = operators[number].builtinOptionsType
    operators[number].builtinOptions = None
    model.regenerate_flatbuffer(reload_model=True)
    written = TfliteModel(model.flatbuffer_data)
    written.add_metadata("a", b"b")
    again = TfliteModel(written.flatbuffer_data).flatbuffer_subgraph.operators[number]
    assert (again.builtinOptionsType, again.builtinOptions) == (kind, None)
    # Options of a type that the schema does not know would be lost.
    model.flatbuffer_subgraph.operators[number].builtinOptionsType = 250
    with pytest.raises(FileFormatError, match=rf"operator {number} has options that"):
        model.regenerate_flatbuffer()


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("mobilenet_v1_0.25_128.tflite", "mobilenet_v1_0.25_128"),
        ("tiny_v1.test.tflite", "tiny_v1"),
        ("tiny_v1.float32.tflite", "tiny_v1"),
        ("no_ending", "no_ending"),
    ],
)
def test_only_known_endings_are_left_out_of_the_name(load, file, name):
    model = load()
    model.path = file
    assert model.name == name
