"""`.h5` files as Keras 2 wrote them, which archives of the reference hold."""

import json

import h5py
import numpy as np
import pytest

from mltk.errors import FileFormatError
from mltk.keras.saving import load_keras_model, save_keras_model


def layer(name, class_name="Dense", calls=(), **config):
    """Describe a layer in Keras 2's words; each call names a layer, and which of its calls gave the input."""
    nodes = [[[source, number, 0, {}]] for source, number in calls]
    return {
        "class_name": class_name,
        "name": name,
        "config": {"name": name, **config},
        "inbound_nodes": nodes,
    }


def model(layers, outputs, name="model", class_name="Functional"):
    config = {"name": name, "layers": layers}
    if class_name == "Functional":
        config |= {"input_layers": [["input", 0, 0]], "output_layers": outputs}
    return {"class_name": class_name, "config": config}


def write(path, config, weights, **training):
    with h5py.File(path, "w") as file:
        file.attrs["keras_version"] = "2.8.0"
        file.attrs["backend"] = "tensorflow"
        file.attrs["model_config"] = json.dumps(config)
        if training:
            file.attrs["training_config"] = json.dumps(training)
        group = file.create_group("model_weights")
        group.attrs["layer_names"] = [name.encode() for name in weights]
        for name, arrays in weights.items():
            part = group.create_group(name)
            part.attrs["weight_names"] = [key.encode() for key in arrays]
            for key, value in arrays.items():
                part[key] = value
    return path


@pytest.fixture
def nested(tmp_path):
    """y = 2 (3 x), twice through `half`: x -> half -> half -> out."""
    dense = {"units": 1, "activation": "linear", "use_bias": False}
    source = layer("input", "InputLayer", batch_input_shape=[None, 1], dtype="float32")
    half = layer("half", "Sequential", [("input", 0), ("half", 1)])
    half["config"]["layers"] = [
        {"class_name": "InputLayer", "config": {"batch_input_shape": [None, 1], "name": "half_input"}},
        {"class_name": "Dense", "config": {"name": "triple", **dense}},
    ]
    out = layer("out", calls=[("half", 2)], **dense)
    weights = {
        "half": {"triple/kernel:0": np.array([[3.0]], np.float32)},
        "out": {"out/kernel:0": np.array([[2.0]], np.float32)},
    }
    config = model([source, half, out], [["out", 0, 0]])
    return lambda **training: write(tmp_path / "nested.h5", config, weights, **training)


def test_models_within_a_model_are_found_though_keras_2_counted_their_calls_from_1(nested):
    path = nested()
    before = path.read_bytes()
    assert load_keras_model(path).predict_on_batch(np.ones((1, 1))) == [[18.0]]
    assert path.read_bytes() == before


def test_a_loss_that_keras_3_does_not_know_by_its_name_does_not_keep_a_model_from_being_used(nested):
    path = nested(loss="my_loss", metrics=[], optimizer_config={"class_name": "Adam", "config": {}})
    keras_model = load_keras_model(path)
    assert keras_model.predict_on_batch(np.ones((1, 1))) == [[18.0]]
    assert not keras_model.compiled


def test_depthwise_convolutions_with_groups_are_read(tmp_path):
    depthwise = layer("depthwise", "DepthwiseConv2D", kernel_size=[1, 1], use_bias=False, groups=1)
    source = layer("input", "InputLayer", batch_input_shape=[None, 2, 2, 1], dtype="float32")
    config = model([source, depthwise], None, class_name="Sequential")
    kernel = {"depthwise/depthwise_kernel:0": np.full((1, 1, 1, 1), 5, np.float32)}
    path = write(tmp_path / "depthwise.h5", config, {"depthwise": kernel})
    assert np.all(load_keras_model(path).predict_on_batch(np.ones((1, 2, 2, 1))) == 5)


def test_a_graph_that_keras_3_wrote_is_read(tmp_path):
    import keras

    inputs = keras.Input((4,))
    inner = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])
    network = keras.Model(inputs, keras.layers.Dense(3)(inner(inputs)))
    save_keras_model(network, tmp_path / "graph.h5")
    x = np.ones((1, 4), np.float32)
    assert np.array_equal(load_keras_model(tmp_path / "graph.h5")(x), network(x))


def test_a_damaged_file_is_one_line(tmp_path):
    path = tmp_path / "damaged.h5"
    path.write_bytes(b"\x89HDF\r\n\x1a\n" + b"\0" * 100)
    with pytest.raises(FileFormatError, match=r"damaged\.h5 cannot be read as a Keras model"):
        load_keras_model(path)
    with h5py.File(path, "w") as file:
        file.attrs["model_config"] = "{not json"
    with pytest.raises(FileFormatError, match=r"damaged\.h5 cannot be read as a Keras model"):
        load_keras_model(path)
