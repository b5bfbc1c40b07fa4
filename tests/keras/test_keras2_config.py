"""What our `.h5` files say of a model is what Keras 2 understands, and Keras 3 still does.

That Keras 2 does read them is tried in plugins/mltk_plugin_migrate/tests/dropin/test_with_reference.py.
"""

import json
import warnings

import h5py
import keras
import numpy as np
import pytest

from mltk.keras.keras2_config import for_keras_2
from mltk.keras.saving import load_keras_model, save_keras_model


def tower(name):
    inputs = keras.Input((8,))
    return keras.Model(inputs, keras.layers.Dense(4)(inputs), name=name)


def shared_tower():
    part, a, b = tower("tower"), keras.Input((8,)), keras.Input((8,))
    return keras.Model([a, b], keras.layers.Dense(1)(keras.layers.Concatenate()([part(a), part(b)])))


def ends_in_a_graph():
    inputs = keras.Input((8,))
    return keras.Model(inputs, tower("tower")(keras.layers.ReLU()(inputs)))


def sequential_within():
    inputs = keras.Input((8,))
    inner = keras.Sequential([keras.Input((8,)), keras.layers.Dense(3)])
    return keras.Model(inputs, keras.layers.Softmax()(inner(inputs)))


def sequence(shape, *layers):
    return keras.Sequential([keras.Input(shape), *layers])


def networks():
    layers = keras.layers
    yield shared_tower()
    yield ends_in_a_graph()
    yield sequential_within()
    yield sequence((12, 4), layers.Bidirectional(layers.GRU(3)), layers.Dense(2))
    yield sequence((12, 4), layers.LSTM(3, return_sequences=True), layers.TimeDistributed(layers.Dense(2)))
    yield sequence(
        (8, 8, 3),
        layers.SeparableConv2D(4, 3),
        layers.DepthwiseConv2D(3),
        layers.BatchNormalization(),
        layers.LeakyReLU(),
        layers.Flatten(),
    )


def test_keras_3_reads_them(tmp_path):
    rng = np.random.default_rng(1)
    for network in networks():
        network.compile("adam", "mse", metrics=["mae"])
        x = [rng.normal(size=(2, *t.shape[1:])).astype("float32") for t in network.inputs]
        x = x if len(x) > 1 else x[0]
        save_keras_model(network, tmp_path / "model.h5")
        with warnings.catch_warnings():
            # Of Keras 2's name for the slope of LeakyReLU.
            warnings.filterwarnings("ignore", message="Argument `alpha` is deprecated")
            again = load_keras_model(tmp_path / "model.h5")
        np.testing.assert_array_equal(again.predict(x, verbose=0), network.predict(x, verbose=0))


@pytest.fixture
def description(tmp_path):
    def write(network):
        network.compile("adam", "mse")
        save_keras_model(network, tmp_path / "model.h5")
        with h5py.File(tmp_path / "model.h5") as file:
            return [json.loads(file.attrs[name]) for name in ("model_config", "training_config")]

    return write


def test_layers_and_optimizer_have_no_arguments_that_keras_2_refuses(description):
    model, training = description(sequence((12, 4), keras.layers.LSTM(3)))
    inputs, lstm = (layer["config"] for layer in model["config"]["layers"])
    assert inputs["batch_input_shape"] == [None, 12, 4]
    assert not {"batch_shape", "optional"} & inputs.keys()
    assert lstm["dtype"] == "float32"
    assert "use_cudnn" not in lstm
    assert "input_axes" not in lstm["kernel_initializer"]["config"]
    assert not {"use_ema", "jit_compile", "weight_decay"} & training["optimizer_config"]["config"].keys()
    assert training["optimizer_config"]["config"]["learning_rate"] == pytest.approx(0.001)


def test_calls_are_told_as_in_keras_2(description):
    model, _ = description(shared_tower())
    nodes = {layer["name"]: layer["inbound_nodes"] for layer in model["config"]["layers"]}
    (concatenated,) = next(v for k, v in nodes.items() if k.startswith("concatenate"))
    # The first call of a model in a graph is the second one: it was called once to be made.
    assert concatenated == [["tower", 1, 0, {}], ["tower", 2, 0, {}]]
    assert len(nodes["tower"]) == 2
    assert len(model["config"]["input_layers"]) == 2
    assert model["config"]["output_layers"][1:] == [0, 0]


def test_layers_of_others_keep_their_arguments():
    policy = {"module": "keras", "class_name": "DTypePolicy", "config": {"name": "float32"}}
    for mine in (
        {"class_name": "Mine", "config": {"optional": 1, "dtype": policy}},
        {"class_name": "Dense", "module": "mine", "config": {"optional": 1, "dtype": policy}},
    ):
        assert for_keras_2(mine) == {**mine, "config": {"optional": 1, "dtype": "float32"}}


def test_equal_models_give_equal_files(tmp_path):
    network = sequence((4,), keras.layers.Dense(2))
    network.compile("adam", "mse")
    for name in ("a", "b"):
        save_keras_model(network, tmp_path / f"{name}.h5")
    assert (tmp_path / "a.h5").read_bytes() == (tmp_path / "b.h5").read_bytes()
