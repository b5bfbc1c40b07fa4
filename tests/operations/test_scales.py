"""Scales and operators of int8 networks: no tensor is as coarse as another one makes it, none stays in float32."""

import numpy as np
import pytest

from mltk.core import MltkModel, TrainMixin, quantize_model
from mltk.tflite.runner import GraphRunner


class _Model(MltkModel, TrainMixin):
    """A model with a converter's settings."""


@pytest.fixture
def convert():
    """Returns a function that makes an int8 `.tflite` of a network, calibrated with arrays for its inputs."""
    model = _Model()

    def convert(network, *arrays):
        model.tflite_converter.update(inference_input_type="int8", inference_output_type="int8")
        model.tflite_converter["representative_dataset"] = lambda: (
            [array[i : i + 1] for array in arrays] for i in range(len(arrays[0]))
        )
        return quantize_model(model, keras_model=network, output="tflite_model")

    return convert


def _noise_db(tflite, network, *arrays):
    """Return the signal-to-noise ratio of each output, in the order of the Keras model's."""
    import keras

    exact = keras.tree.flatten(network(list(arrays) if len(arrays) > 1 else arrays[0]))
    result = []
    for tensor, y, integers in zip(tflite.outputs, exact, GraphRunner(tflite).run(arrays), strict=True):
        error = np.asarray(y) - tensor.quantization.dequantize(integers)
        result.append(10 * np.log10(np.square(y).sum() / np.square(error).sum()))
    return result


def _operators(tflite):
    return [layer.opcode_str for layer in tflite.layers]


def _two_ranges(join):
    """Return a network of a convolution that a joining operator reads with a 30 times larger tensor."""
    import keras

    inputs = keras.Input((8, 8, 3))
    small = keras.layers.Conv2D(4, 3, padding="same")(inputs)
    joined = join(small, keras.layers.Rescaling(30.0)(small))
    return keras.Model(inputs, [joined, keras.layers.Conv2D(2, 3)(small)])


def _joins():
    import keras
    from keras import ops

    layers = keras.layers
    return {
        "concatenation": lambda x, y: layers.Concatenate()([x, y]),
        "maximum": lambda x, y: layers.Maximum()([x, y]),
        "minimum": lambda x, y: layers.Minimum()([x, y]),
        "pack": lambda x, y: ops.stack([x, y], axis=1),
        "select": lambda x, y: ops.where(x > 0, x, y),
        # What is pooled has the scale of what is read.
        "max_pool_2d": lambda x, y: layers.Concatenate()(
            [layers.MaxPooling2D()(x), layers.MaxPooling2D()(y)]
        ),
        # The inner concatenation has the scale of the outer.
        "concatenation twice": lambda x, y: layers.Concatenate()([layers.Concatenate()([x, x]), y]),
    }


@pytest.mark.parametrize(
    "name",
    ["concatenation", "maximum", "minimum", "pack", "select", "max_pool_2d", "concatenation twice"],
)
def test_an_operator_that_needs_one_scale_does_not_force_it_on_other_readers(convert, name):
    network = _two_ranges(_joins()[name])
    x = np.random.default_rng(1).normal(size=(40, 8, 8, 3)).astype(np.float32)

    result = convert(network, x)

    assert name.split()[0] in _operators(result)
    assert min(_noise_db(result, network, x)) > 30
    assert "quantize" in _operators(result)
    assert not any(tensor.dtype.kind == "f" for layer in result.layers for tensor in layer.outputs)


def test_nothing_is_requantized_where_nobody_else_reads_or_the_ranges_are_alike(convert):
    import keras

    layers = keras.layers
    inputs = keras.Input((8, 8, 3))
    one, other = (layers.Conv2D(4, 3, padding="same")(inputs) for _ in range(2))
    alone = keras.Model(inputs, layers.Concatenate()([one, layers.Rescaling(30.0)(other)]))
    same = layers.Conv2D(4, 3, padding="same", kernel_initializer="he_normal")(inputs)
    alike = keras.Model(inputs, [layers.Concatenate()([same, same]), layers.Conv2D(2, 3)(same)])
    x = np.random.default_rng(1).normal(size=(20, 8, 8, 3)).astype(np.float32)

    for network in (alone, alike):
        assert "quantize" not in _operators(convert(network, x))


def test_several_operators_that_need_different_scales_leave_no_real_numbers(convert):
    import keras

    layers = keras.layers
    inputs = keras.Input((8,))
    a, b = layers.Dense(6)(inputs), layers.Dense(6)(inputs)
    network = keras.Model(inputs, [layers.Maximum()([a, b]), layers.Dot(1)([a, b]), layers.Minimum()([a, b])])
    x = np.random.default_rng(1).normal(size=(60, 8)).astype(np.float32)

    result = convert(network, x)

    assert "dequantize" not in _operators(result)
    assert min(_noise_db(result, network, x)) > 30


def test_a_negative_and_a_square_are_products_of_integers(convert):
    import keras
    from keras import ops

    inputs = keras.Input((8,))
    network = keras.Model(inputs, [ops.maximum(inputs, -inputs), ops.square(keras.layers.Dense(4)(inputs))])
    x = np.random.default_rng(1).normal(size=(60, 8)).astype(np.float32)

    result = convert(network, x)

    assert {tensor.dtype.name for layer in result.layers for tensor in layer.outputs} == {"int8"}
    assert min(_noise_db(result, network, x)) > 30


def test_an_embedding_is_one_operator(convert):
    import keras

    inputs = keras.Input((12,), dtype="int32")
    embedded = keras.layers.Embedding(50, 8)(inputs)
    network = keras.Model(inputs, keras.layers.GlobalAveragePooling1D()(embedded))
    x = np.random.default_rng(1).integers(0, 50, (30, 12)).astype(np.int32)

    result = convert(network, x)

    assert _operators(result) == ["gather", "mean"]
    assert _noise_db(result, network, x)[0] > 30


@pytest.mark.parametrize("recurrent", [False, True])
@pytest.mark.parametrize("named", [False, True])
def test_outputs_keep_their_order_and_the_keys_of_dicts_are_the_names_of_the_signature(
    convert, recurrent, named
):
    import keras
    from ai_edge_litert.interpreter import Interpreter

    layers = keras.layers
    sequence, features = keras.Input((6, 3), name="motion"), keras.Input((4,), name="also")
    x = layers.LSTM(5)(sequence) if recurrent else layers.Flatten()(sequence)
    ends = [layers.Dense(2)(x), layers.Dense(3)(layers.Concatenate()([x, features]))]
    network = keras.Model(
        {"motion": sequence, "also": features} if named else [sequence, features],
        {"words": ends[0], "angle": ends[1]} if named else ends,
    )
    rng = np.random.default_rng(1)
    arrays = [rng.normal(size=(20, *tensor.shape[1:])).astype(np.float32) for tensor in network.inputs]

    result = convert(network, *arrays)

    names = Interpreter(model_content=result.flatbuffer_data).get_signature_list()["serving_default"]
    if named:
        assert names == {"inputs": ["also", "motion"], "outputs": ["angle", "words"]}
        assert [tensor.shape[-1] for tensor in result.outputs] == [3, 2]
    else:
        assert names["outputs"] == ["output_0", "output_1"]
        assert [tensor.shape[-1] for tensor in result.outputs] == [2, 3]
    assert [tensor.shape[-1] for tensor in result.inputs] == [tensor.shape[-1] for tensor in network.inputs]
