"""Values and quantization of tensors are set, run and saved."""

import numpy as np
import pytest

from mltk.core import TfliteModel, TfliteModelParameters, TfliteUnidirectionalLstmLayer
from mltk.errors import SpecificationError
from mltk.tflite._schema import schema


def reload(model, tmp_path):
    return TfliteModel.load_flatbuffer_file(model.save(tmp_path / "changed.tflite"))


def test_weights_are_set_run_and_saved(load, tmp_path):
    model = load("dense_float32")
    layer = model.layers[0]
    x = np.ones((1, *model.inputs[0].shape[1:]), np.float32)
    before = model.predict(x)
    weights = np.zeros_like(layer.weights_data)
    layer.weights_tensor.data = weights
    assert np.array_equal(model.layers[0].weights_data, weights)
    assert not np.array_equal(model.predict(x), before)
    assert np.array_equal(reload(model, tmp_path).layers[0].weights_data, weights)


def test_tensors_that_shared_their_values_do_not_share_them_after_a_change(load, tmp_path):
    model = load()
    first, second = (layer.filters_tensor for layer in model.layers if layer.opcode_str == "conv_2d")
    shared = model.flatbuffer_subgraph.tensors[second.index].buffer
    model.flatbuffer_subgraph.tensors[first.index].buffer = shared
    first._fb.shape = second._fb.shape
    vars(first).pop("shape", None)
    kept = second.data.copy()
    first.data = np.full_like(kept, 5)
    changed = reload(model, tmp_path)
    assert (changed.tensors[first.index].data == 5).all()
    assert np.array_equal(changed.tensors[second.index].data, kept)


def test_values_of_four_bits_are_packed(load, tmp_path):
    model = load("dense_float32")
    tensor = model.layers[0].weights_tensor
    values = np.resize(np.arange(-8, 8, dtype=np.int8), tensor.shape)
    tensor._fb.type = schema().TensorType.INT4
    tensor.data = values
    assert np.array_equal(reload(model, tmp_path).tensors[tensor.index].data, values)
    with pytest.raises(SpecificationError, match="must be numbers of this type"):
        tensor.data = values + 1


@pytest.mark.parametrize(
    ("of", "values", "message"),
    [
        ("weights", np.zeros((1, 2), np.int8), r"cannot be replaced by an array of shape \(1, 2\)"),
        ("weights", 200, "must be numbers of this type"),
        ("input", 0, "not in the file as numbers"),
    ],
)
def test_values_that_do_not_fit_are_refused(load, of, values, message):
    layer = load().layers[1]
    tensor = layer.filters_tensor if of == "weights" else layer.input_tensor
    with pytest.raises(SpecificationError, match=message):
        tensor.data = np.full(tensor.shape, values) if isinstance(values, int) else values


def test_quantization_is_set_and_saved(load, tmp_path):
    model = load()
    quantization = model.inputs[0].quantization
    zero = quantization.zeropoint[0]
    quantization.scale = 0.25
    quantization.zeropoint = [zero + 1]
    read = reload(model, tmp_path).inputs[0].quantization
    assert (read.scale, read.zeropoint) == ([0.25], [zero + 1])
    # In place, too.
    quantization.scale[0] = 0.5
    assert reload(model, tmp_path).inputs[0].quantization.scale == [0.5]
    with pytest.raises(SpecificationError, match="finite number"):
        quantization.scale = [float("nan")]


def test_file_without_changes_is_saved_as_it_was(load, tmp_path):
    model = load()
    model.regenerate_flatbuffer()
    before = model.flatbuffer_data
    assert all(tensor.quantization is not None for tensor in model.tensors)
    model.regenerate_flatbuffer()
    assert model.flatbuffer_data == before


def test_lstm_has_its_tensors_by_name(load):
    (layer,) = (layer for layer in load("lstm_int8").layers if "lstm" in layer.opcode_str)
    assert isinstance(layer, TfliteUnidirectionalLstmLayer)
    tensors = dict(layer.get_tensor_name_value_tuples())
    assert len(tensors) == 25
    assert tensors["input"] is layer.input_tensor
    assert layer.recurrent_to_cell_weights_tensor.shape == (layer.n_cells, layer.n_cells)
    assert layer.cell_state_tensor.is_variable
    assert layer.projection_weights_tensor is None
    assert not layer.is_time_major
    assert layer.activation == "Tanh"
    assert str(layer.options).startswith("Time major:False activation:Tanh")


def test_damaged_file_is_a_runtime_error():
    with pytest.raises(RuntimeError, match="wrong format"):
        TfliteModel(b"\x12\x34\x56\x78")


def test_parameters_take_the_keywords_of_silabs_mltk(model_path, tmp_path):
    path = model_path("dense_float32")
    parameters = TfliteModelParameters({"a": 1})
    target = tmp_path / "with.tflite"
    parameters.add_to_tflite_file(tflite_path=path, output=target, tag="MINE")
    assert TfliteModelParameters.load_from_tflite_file(tflite_path=target, tag="MINE") == {"a": 1}
    content = parameters.add_to_tflite_flatbuffer(tflite_flatbuffer=path.read_bytes())
    assert TfliteModelParameters.load_from_tflite_flatbuffer(tflite_flatbuffer=content) == {"a": 1}
    assert TfliteModel.load_flatbuffer_file("with.tflite", cwd=tmp_path).name == "with"
