"""Types, bytes and errors of `TfliteModelParameters`."""

import copy
import json
import pickle
import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mltk.errors import FileFormatError, SpecificationError
from mltk.tflite import TfliteModel
from mltk.tflite._dictionary import DTYPES
from mltk.tflite.parameters import TFLITE_METADATA_TAG, TfliteModelParameters

WIRE_NAMES = {
    "bool": "boolean",
    "int8": "i8",
    "uint8": "u8",
    "int16": "i16",
    "uint16": "u16",
    "int32": "i32",
    "uint32": "u32",
    "int64": "i64",
    "uint64": "u64",
    "float": "f32",
    "double": "f64",
}


@pytest.mark.parametrize(
    ("value", "dtype"),
    [
        (True, "bool"),
        (np.bool_(False), "bool"),
        (0, "uint8"),
        (255, "uint8"),
        (256, "uint16"),
        (2**16, "uint32"),
        (2**32, "uint64"),
        (2**64 - 1, "uint64"),
        (-1, "int8"),
        (-128, "int8"),
        (-129, "int16"),
        (-(2**15) - 1, "int32"),
        (-(2**31), "int32"),
        (-(2**31) - 1, "int64"),
        (-(2**32), "int64"),
        (-(2**63), "int64"),
        (np.int64(7), "uint8"),
        (np.uint64(2**63), "uint64"),
        (0.5, "float"),
        (np.float32(0.5), "float"),
        (np.float64(0.5), "float"),
        (0.0, "double"),
        (-0.5, "double"),
        (1e39, "double"),
        (1e-39, "double"),
        ("text", "str"),
        (b"x", "bin"),
        (bytearray(b"x"), "bin"),
        (["a", "b"], "str_list"),
        (("a",), "str_list"),
        ([], "str_list"),
        ([1, -2], "int32_list"),
        ([True], "int32_list"),
        ([0.5, -1.0], "float_list"),
        (np.array([1, 2]), "int32_list"),
        (np.array([0.5]), "float_list"),
    ],
    ids=repr,
)
def test_the_type_of_a_value_is_inferred(value, dtype):
    parameters = TfliteModelParameters(key=value)

    assert parameters.dtype("key") == dtype
    again = TfliteModelParameters.deserialize(parameters.serialize())
    assert again.dtype("key") == dtype
    assert again == parameters


@pytest.mark.parametrize(
    "value",
    [
        None,
        {},
        {1},
        {"a": 1},
        [[1]],
        [1, "a"],
        ["a", 1],
        [1, 2.0],
        [1.0, "x"],
        2**64,
        -(2**63) - 1,
        [2**31],
        [1e39],
        1j,
        object(),
        np.zeros((2, 2)),
        chr(0xD800),
    ],
    # The address of an object is another one in each process.
    ids=lambda value: "object" if type(value) is object else repr(value),
)
def test_a_value_without_a_type_is_refused_at_once_and_the_error_names_the_key(value):
    parameters = TfliteModelParameters(kept=1)

    for assign in (
        lambda: parameters.put("my_key", value),
        lambda: parameters.__setitem__("my_key", value),
        lambda: parameters.update({"my_key": value}),
        lambda: parameters.update(my_key=value),
        lambda: parameters.setdefault("my_key", value),
        lambda: parameters.__ior__({"my_key": value}),
        lambda: TfliteModelParameters({"my_key": value}),
    ):
        with pytest.raises(SpecificationError, match="my_key"):
            assign()
    assert parameters == {"kept": 1}
    assert issubclass(SpecificationError, ValueError)


@pytest.mark.parametrize("key", [1, None, b"x", "", "\ud800"], ids=repr)
def test_a_key_must_be_a_text(key):
    with pytest.raises(SpecificationError):
        TfliteModelParameters()[key] = 1


@pytest.mark.parametrize(
    ("value", "dtype"),
    [
        (256, "uint8"),
        (-1, "uint8"),
        (1e39, "float"),
        (10**400, "double"),
        ("1", "int8"),
        (1, "str"),
        (1, "bool"),
        ("x", "bin"),
        (1, "int32_list"),
        (["a"], "int32_list"),
        ([1.5], "int32_list"),
        (1, "int"),
    ],
    ids=repr,
)
def test_a_value_that_does_not_fit_its_forced_type_is_refused(value, dtype):
    with pytest.raises(SpecificationError, match="'key"):
        TfliteModelParameters().put("key", value, dtype)


def test_a_forced_type_lasts_until_the_key_is_set_anew():
    parameters = TfliteModelParameters()
    parameters.put("a", 1, "int32")
    parameters.put("b", 1, "float")
    assert [parameters.dtype("a"), parameters.dtype("b")] == ["int32", "float"]

    again = TfliteModelParameters.deserialize(parameters.serialize())
    assert [again.dtype("a"), again.dtype("b")] == ["int32", "float"]
    assert again.serialize() == parameters.serialize()

    again["a"] = 1
    assert again.dtype("a") == "uint8"


@pytest.mark.parametrize(
    "clone", [copy.copy, copy.deepcopy, TfliteModelParameters.copy, TfliteModelParameters]
)
def test_copies_keep_the_types(clone):
    parameters = TfliteModelParameters(a=[1])
    parameters.put("b", 1, "int64")

    assert clone(parameters).serialize() == parameters.serialize()
    assert pickle.loads(pickle.dumps(parameters)).serialize() == parameters.serialize()


def test_a_list_that_was_spoilt_after_it_was_set_is_found_when_serializing():
    parameters = TfliteModelParameters(classes=["a"])
    parameters["classes"].append(3)

    with pytest.raises(SpecificationError, match="classes"):
        parameters.serialize()


def test_a_small_dictionary_has_the_bytes_worked_out_by_hand():
    # Objects stand in the file in the reverse of the order in which they are written; offsets are relative.
    numbers = [
        ("<I", 12),  # 0: the root table is at 12
        ("<4H", 8, 12, 11, 4),  # 4: layout of 8 bytes: table of 12; version at 11, entries at 4
        ("<iI3xB", 8, 8, 1),  # 12: table: layout 8 before; entries 8 after 16; version 1
        ("<II", 1, 16),  # 24: one entry, 16 after 28
        # 34, after filling: layout of 10 bytes: table of 18 with its filling; key at 12, type 7, value 8
        ("<2x5H", 10, 18, 12, 7, 8),
        ("<i3xBII", 10, 5, 16, 20),  # 44: table: type 5 (u16); value 16 after 52, key 20 after 56
        ("<2x3H", 6, 8, 6),  # 62, after filling: layout of 6 bytes: table of 8, value at 6
        ("<i2xH", 6, 300),  # 68: table of the value
        ("<I4s", 1, b"n"),  # 76: the key, of one byte, with a zero after it
    ]
    expected = b"".join(struct.pack(*line) for line in numbers)

    assert TfliteModelParameters(n=300).serialize() == expected


@pytest.mark.parametrize("name", ["alltypes", "image"])
def test_the_references_parameters_are_read_with_their_types_and_written_to_the_same_bytes(shared, name):
    path = shared / "golden" / f"params_{name}_dev.tflite"
    expected = json.loads(path.with_suffix(".json").read_text())

    parameters = TfliteModelParameters.load_from_tflite_file(path)

    assert list(parameters) == list(expected)
    for key, entry in expected.items():
        value = parameters[key].hex() if entry["type"] == "bin" else parameters[key]
        assert value == entry["value"], key
        assert WIRE_NAMES.get(parameters.dtype(key), parameters.dtype(key)) == entry["type"]
    assert parameters.serialize() == TfliteModel.load_flatbuffer_file(path).get_metadata(TFLITE_METADATA_TAG)


def test_inference_gives_the_types_that_the_reference_inferred(shared):
    expected = json.loads((shared / "golden" / "params_alltypes_dev.json").read_text())
    inferred = {key: entry for key, entry in expected.items() if key.startswith(("auto.", "text", "list."))}
    assert len(inferred) > 15

    parameters = TfliteModelParameters({key: entry["value"] for key, entry in inferred.items()})

    types = {key: WIRE_NAMES.get(parameters.dtype(key), parameters.dtype(key)) for key in parameters}
    assert types == {key: entry["type"] for key, entry in inferred.items()}


VALUES = st.one_of(
    st.booleans(),
    st.integers(-(2**63), 2**64 - 1),
    st.floats(width=32, allow_nan=False),
    st.text(),
    st.binary(),
    st.lists(st.text()),
    st.lists(st.integers(-(2**31), 2**31 - 1)),
    st.lists(st.floats(width=32, allow_nan=False)),
)
DICTIONARIES = st.dictionaries(st.text(min_size=1), VALUES)


@given(DICTIONARIES)
def test_what_is_written_is_read_back(values):
    parameters = TfliteModelParameters(values)
    data = parameters.serialize()

    again = TfliteModelParameters.deserialize(data)

    assert again == values
    assert list(again) == list(values)
    assert again.serialize() == data


@settings(max_examples=400)
@given(DICTIONARIES, st.data())
def test_a_damaged_dictionary_is_read_or_refused_in_one_line(values, data):
    spoilt = bytearray(TfliteModelParameters(values).serialize())
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(spoilt) - 1))
        spoilt[place : place + data.draw(st.sampled_from([1, 4]))] = data.draw(st.binary(max_size=4))
        if not spoilt:
            break
    _read_or_refuse(bytes(spoilt))


@given(st.binary(max_size=200))
def test_arbitrary_bytes_are_read_or_refused_in_one_line(data):
    _read_or_refuse(data)


def _read_or_refuse(data):
    try:
        TfliteModelParameters.deserialize(data).summary()
    except FileFormatError as error:
        assert len(str(error).splitlines()) == 1


@pytest.mark.parametrize(("offset", "version"), [(23, 2), (23, 0)])
def test_an_unknown_version_is_refused(offset, version):
    data = bytearray(TfliteModelParameters(n=300).serialize())
    assert data[offset] == 1
    data[offset] = version

    with pytest.raises(FileFormatError, match=f"version {version}"):
        TfliteModelParameters.deserialize(bytes(data))


def test_an_unknown_type_is_refused_by_the_name_of_its_key():
    data = bytearray(TfliteModelParameters(n=300).serialize())
    assert data[51] == 5
    data[51] = 17

    with pytest.raises(FileFormatError, match="'n' has the unknown type 17"):
        TfliteModelParameters.deserialize(bytes(data))


def test_a_model_without_parameters_gives_an_empty_dictionary(model_path):
    assert TfliteModelParameters.load_from_tflite_file(model_path("conv_int8")) == {}


def test_parameters_are_put_into_a_file_and_read_from_it(model_path, tmp_path):
    parameters = TfliteModelParameters(threshold=0.5, labels=["a"])
    parameters.put("rate", 1, "int64")
    output = tmp_path / "new.tflite"

    parameters.add_to_tflite_file(model_path("conv_int8"), output)

    again = TfliteModelParameters.load_from_tflite_file(output)
    assert again == parameters
    assert again.dtype("rate") == "int64"
    data = TfliteModelParameters(threshold=1).add_to_tflite_flatbuffer(output.read_bytes())
    assert TfliteModelParameters.load_from_tflite_flatbuffer(data) == {"threshold": 1}


def test_the_summary_has_a_short_line_per_parameter():
    read = TfliteModelParameters.deserialize(
        TfliteModelParameters(a=0.1, b=["x", "y"], c=bytes(100)).serialize()
    )

    assert read.summary() == "a: 0.1\nb: x, y\nc: 00000000000000000000000000000000… (100 bytes)"


def test_the_types_have_the_names_of_the_reference():
    assert (
        *(
            "bool",
            "int8",
            "uint8",
            "int16",
            "uint16",
            "int32",
            "uint32",
            "int64",
            "uint64",
            "float",
            "double",
        ),
        *("str", "str_list", "int32_list", "float_list", "bin"),
    ) == DTYPES
