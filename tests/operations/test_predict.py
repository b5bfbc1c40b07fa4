"""Running any `.tflite` file on arrays, from Python and from the command line."""

from pathlib import Path

import numpy as np
import pytest

from mltk.core import TfliteModel, predict_model
from mltk.errors import DatasetError, EvaluationError, SpecificationError
from mltk.tflite.postprocess import add_signature

DATA = Path(__file__).parents[1] / "tflite" / "data"
CONV, TWO, STREAM = (
    DATA / f"{name}.tflite" for name in ("conv_int8", "two_inputs_float32", "stream_float32")
)


@pytest.fixture
def x():
    return np.random.default_rng(0).normal(size=(5, 12, 12, 1)).astype(np.float32)


@pytest.fixture
def two():
    return np.arange(18, dtype=np.float32).reshape(3, 2, 3), np.arange(9, dtype=np.float32).reshape(3, 3)


def test_the_command_writes_the_output(cli, tmp_path, x):
    np.savez(tmp_path / "x.npz", x=x)
    arguments = ["predict", str(CONV), "--data", str(tmp_path / "x.npz"), "--output", str(tmp_path / "y.npz")]
    result = cli.invoke(arguments)
    assert result.exit_code == 0, result.stderr
    assert "y float32 (5, 3)" in result.stdout
    model = TfliteModel.load_flatbuffer_file(CONV)
    with np.load(tmp_path / "y.npz") as written:
        np.testing.assert_array_equal(written["y"], model.predict(x, y_dtype=np.float32))
    # Other kernels, and the integers of the model.
    assert cli.invoke([*arguments, "--exact"]).exit_code == 0
    np.savez(tmp_path / "x.npz", x=model.quantize_to_input_dtype(x))
    assert cli.invoke([*arguments, "--raw"]).exit_code == 0
    with np.load(tmp_path / "y.npz") as written:
        np.testing.assert_array_equal(written["y"], model.predict(x))


def test_a_trained_model_is_named_or_its_archive_given(trained):
    digits = np.random.default_rng(0).uniform(size=(4, 8, 8, 1)).astype(np.float32)
    mark = trained.work / "tiny_v1.py"
    mark.write_text("raise SystemExit('this must not run')\n" + mark.read_text())
    by_name = predict_model("tiny_v1", {"x": digits})
    by_archive = predict_model(trained.work / "tiny_v1.mltk.zip", {"x": digits})
    np.testing.assert_array_equal(by_name["y"], by_archive["y"])
    assert by_name["y"].shape[0] == 4
    with pytest.raises(SpecificationError, match="is a Keras model"):
        predict_model(trained.cache / "models/tiny_v1/tiny_v1.keras", {"x": digits})


def test_several_inputs_and_outputs_have_names(two):
    x, y = two
    model = TfliteModel.load_flatbuffer_file(TWO)
    add_signature(model, ["picture", "shift"], ["sum", "double"])
    model.regenerate_flatbuffer(reload_model=True)
    for names in (("picture", "shift"), ("x0", "x1"), ("arr_0", "arr_1"), [t.name for t in model.inputs]):
        results = predict_model(model, dict(zip(names, two, strict=True)))
        assert list(results) == ["sum", "double"]
        np.testing.assert_array_equal(results["sum"], x + y[:, np.newaxis])
        np.testing.assert_array_equal(results["double"], 2 * y)
    model.flatbuffer_model.signatureDefs = None
    model.regenerate_flatbuffer()
    assert list(predict_model(model, {"x0": x, "x1": y})) == ["y0", "y1"]


def test_a_streaming_model_gives_the_outputs_of_all_frames():
    frames = np.random.default_rng(0).normal(size=(2, 5, 2, 3)).astype(np.float32)
    assert predict_model(STREAM, {"x": frames})["y"].shape == (2, 5, 2)
    assert predict_model(STREAM, {"x": frames[:, 0]})["y"].shape == (2, 2)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"x": np.zeros(3)}, r"must have the arrays 'x0' and 'x1', or .* It has: 'x' \(3,\)"),
        ({}, "It has: none"),
        ({"x0": np.zeros((2, 2, 3)), "x1": np.zeros((3, 3))}, "different numbers of samples"),
        ({"x0": np.zeros((2, 2, 2)), "x1": np.zeros((2, 3))}, "shape 2x3; got an array of shape 2x2x2"),
        ({"x0": np.full((2, 2, 3), "a"), "x1": np.zeros((2, 3))}, "cannot be converted"),
    ],
)
def test_arrays_that_do_not_fit_are_one_line(tmp_path, cli, arrays, message):
    with pytest.raises((DatasetError, EvaluationError), match=message):
        predict_model(TWO, arrays, output=tmp_path / "y.npz")
    np.savez(tmp_path / "x.npz", **arrays)
    result = cli.invoke(
        ["predict", str(TWO), "--data", str(tmp_path / "x.npz"), "-o", str(tmp_path / "y.npz")]
    )
    assert result.exit_code == 1
    assert len(result.stderr.splitlines()) == 1
    assert not (tmp_path / "y.npz").exists()
