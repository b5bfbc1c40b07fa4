"""The parameters that every model carries."""

import hashlib
import re

import pytest

from mltk.errors import MltkError
from mltk.tflite import TfliteModel
from mltk.tflite.default_parameters import add_default_parameters, build_date
from mltk.tflite.parameters import TfliteModelParameters


def test_defaults_come_first_and_the_rest_in_its_order(load, monkeypatch):
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1649875848")
    model = load()
    given = TfliteModelParameters(zeta=1, alpha=[1])
    given.put("typed", 1, "int64")

    result = add_default_parameters(
        model,
        given,
        name="my_model",
        version=2,
        classes=("a", "b"),
        description="Mine",
        runtime_memory_size=71640,
    )

    read = TfliteModelParameters.load_from_tflite_model(TfliteModel(model.flatbuffer_data))
    assert list(read.items()) == list(result.items())
    assert list(read) == [
        *("name", "version", "classes", "hash", "date", "runtime_memory_size", "zeta", "alpha", "typed")
    ]
    assert [read.dtype(key) for key in read][-4:] == ["uint32", "uint8", "int32_list", "int64"]
    assert read["date"] == "2022-04-13T18:50:48.000Z"
    assert model.description == "Mine"
    assert list(given) == ["zeta", "alpha", "typed"]

    read["hash"] = read["date"] = ""
    read.add_to_tflite_model(model)
    assert hashlib.md5(model.flatbuffer_data).hexdigest() == result["hash"]


def test_given_values_win(load):
    model = load()
    given = {"date": "then", "hash": "mine", "runtime_memory_size": 5, "other": True, "version": 9}

    result = add_default_parameters(model, given, name="n", version=1, runtime_memory_size=7, date="now")

    assert result == {"name": "n", "version": 9, "classes": [], **given}
    assert list(result)[:6] == ["name", "version", "classes", "hash", "date", "runtime_memory_size"]


def test_adding_again_gives_the_same_bytes(load):
    model = load()
    add_default_parameters(model, {"a": 1}, name="n", version=1, date="then")
    first = model.flatbuffer_data

    add_default_parameters(model, {"a": 1}, name="n", version=1, date="then")

    assert model.flatbuffer_data == first


def test_the_references_parameters_are_made_again(shared):
    path = shared / "golden" / "params_image_dev.tflite"
    model = TfliteModel.load_flatbuffer_file(path)
    stored = TfliteModelParameters.load_from_tflite_model(model)
    own = TfliteModelParameters({key: stored[key] for key in stored if key.startswith("samplewise_norm")})

    add_default_parameters(
        model,
        own,
        name=stored["name"],
        version=stored["version"],
        classes=stored["classes"],
        date=stored["date"],
        runtime_memory_size=stored["runtime_memory_size"],
    )

    made = TfliteModelParameters.load_from_tflite_model(TfliteModel(model.flatbuffer_data))
    assert list(made) == list(stored)
    # The reference's hash is that of a file whose buffers are not aligned.
    assert {key for key in stored if made[key] != stored[key]} == {"hash"}


def test_the_date_has_milliseconds_and_an_epoch_that_is_no_number_is_refused(monkeypatch):
    monkeypatch.delenv("SOURCE_DATE_EPOCH", raising=False)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", build_date())
    for wrong in ("yesterday", "9" * 30):
        monkeypatch.setenv("SOURCE_DATE_EPOCH", wrong)
        with pytest.raises(MltkError, match="SOURCE_DATE_EPOCH"):
            build_date()
