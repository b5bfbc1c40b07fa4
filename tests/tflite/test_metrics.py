"""MACs and operations, counted by hand."""

import copy

import numpy as np
import pytest

from mltk.keras.metrics import keras_model_metrics
from mltk.tflite.metrics import tflite_model_metrics


def test_operations_of_a_tflite_model(load):
    metrics = tflite_model_metrics(load())
    counts = {layer.name: (layer.macs, layer.ops) for layer in metrics.layers}

    conv = 3 * 3 * 1 * 6 * 6 * 4
    depthwise = 3 * 3 * 6 * 6 * 4
    pointwise = 4 * 6 * 6 * 6
    dense = 54 * 3
    assert {name: count for name, count in counts.items() if any(count)} == {
        "op0-pad": (0, 6 * 14 * 14),
        "op1-conv_2d": (conv, 2 * conv + 144),
        "op2-depthwise_conv_2d": (depthwise, 2 * depthwise + 144),
        "op3-conv_2d": (pointwise, 2 * pointwise + 216),
        "op4-average_pool_2d": (0, 54 * 5),
        "op8-reshape": (0, 54),
        # This converter leaves out a bias of zeros.
        "op9-fully_connected": (dense, 2 * dense),
        "op10-softmax": (0, 2 * 3),
    }
    assert metrics.macs == conv + depthwise + pointwise + dense
    assert metrics.ops == sum(ops for _, ops in counts.values())


@pytest.fixture(scope="module")
def keras():
    import keras

    return keras


def _residual_block(keras, x, filters, strides):
    layers = keras.layers
    y = layers.Conv2D(filters, 3, strides=strides, padding="same")(x)
    y = layers.Activation("relu")(layers.BatchNormalization()(y))
    y = layers.BatchNormalization()(layers.Conv2D(filters, 3, padding="same")(y))
    if strides != 1:
        x = layers.Conv2D(filters, 1, strides=strides, padding="same")(x)
    return layers.Activation("relu")(layers.Add()([x, y]))


def test_the_image_benchmark_network_has_its_published_12_5_million_macs(keras):
    # ResNet for CIFAR-10 of the MLPerf Tiny benchmark.
    layers = keras.layers
    inputs = keras.Input((32, 32, 3))
    x = layers.Activation("relu")(layers.BatchNormalization()(layers.Conv2D(16, 3, padding="same")(inputs)))
    for filters, strides in ((16, 1), (32, 2), (64, 2)):
        x = _residual_block(keras, x, filters, strides)
    x = layers.Flatten()(layers.AveragePooling2D(8)(x))
    model = keras.Model(inputs, layers.Dense(10, activation="softmax")(x))

    stem = 9 * 3 * 16 * 32 * 32
    first = 2 * 9 * 16 * 16 * 32 * 32
    second = (9 * 16 + 9 * 32 + 16) * 32 * 16 * 16
    third = (9 * 32 + 9 * 64 + 32) * 64 * 8 * 8
    metrics = keras_model_metrics(model)
    assert metrics.macs == stem + first + second + third + 640
    assert round(metrics.macs / 1e6, 1) == 12.5


def test_the_keyword_benchmark_network_has_its_published_2_7_million_macs(keras):
    # DS-CNN for keywords of the MLPerf Tiny benchmark.
    layers = keras.layers
    stack = [
        keras.Input((49, 10, 1)),
        layers.Conv2D(64, (10, 4), strides=2, padding="same", activation="relu"),
    ]
    for _ in range(4):
        stack += [
            layers.DepthwiseConv2D(3, padding="same"),
            layers.ReLU(),
            layers.Conv2D(64, 1),
            layers.ReLU(),
        ]
    stack += [layers.AveragePooling2D((25, 5)), layers.Flatten(), layers.Dense(12, activation="softmax")]
    metrics = keras_model_metrics(keras.Sequential(stack))

    assert metrics.macs == 25 * 5 * 64 * (40 + 4 * (9 + 64)) + 64 * 12
    assert round(metrics.macs / 1e6, 1) == 2.7
    by_kind = {layer.kind: layer for layer in metrics.layers}
    assert by_kind["AveragePooling2D"].ops == 64 * (125 + 1)
    assert by_kind["ReLU"].ops == 2 * 25 * 5 * 64
    assert by_kind["Dense"].ops == 2 * 768 + 12


def test_other_keras_layers(keras):
    layers = keras.layers

    def count(layer, shape):
        model = keras.Sequential([keras.Input(shape), layer])
        metrics = keras_model_metrics(model)
        return metrics.macs, metrics.ops

    assert count(layers.Conv1D(8, 3, use_bias=False), (10, 4)) == (3 * 4 * 8 * 8, 2 * 3 * 4 * 8 * 8)
    assert count(layers.Conv2D(8, 3, groups=2, use_bias=False), (5, 5, 4))[0] == 9 * 2 * 8 * 9
    assert count(layers.Conv2DTranspose(6, 3, strides=2, padding="same"), (4, 4, 2)) == (
        (macs := 9 * 2 * 6 * 8 * 8),
        2 * macs + 6 * 64,
    )
    assert count(layers.DepthwiseConv2D(3, depth_multiplier=2), (5, 5, 4))[0] == 9 * 8 * 9
    assert count(layers.SeparableConv2D(6, 3), (5, 5, 4))[0] == 9 * (9 * 4 + 4 * 6)
    assert count(layers.Dense(5), (7, 3)) == (7 * 15, 2 * 7 * 15 + 35)
    assert count(layers.MaxPooling2D(2), (6, 6, 3)) == (0, 27 * 4)
    assert count(layers.Softmax(), (6,)) == (0, 12)
    for layer in (
        layers.Flatten(),
        layers.Dropout(0.5),
        layers.BatchNormalization(),
        layers.ZeroPadding2D(1),
    ):
        assert count(layer, (4, 4, 2)) == (0, 0)


def test_inner_models_count_as_often_as_they_are_called(keras):
    layers = keras.layers
    tower = keras.Sequential([keras.Input((8,)), layers.Dense(4), keras.Sequential([layers.Dense(2)])])
    left, right = keras.Input((8,)), keras.Input((8,))
    shared = layers.Dense(3, use_bias=False)
    outputs = layers.Multiply()([shared(tower(left)), shared(tower(right))])

    metrics = keras_model_metrics(keras.Model([left, right], outputs))

    assert metrics.macs == 2 * (8 * 4 + 4 * 2 + 2 * 3)
    assert next(layer for layer in metrics.layers if layer.kind == "Multiply").ops == 3


def test_layers_made_of_layers_count_what_is_in_them(keras):
    layers = keras.layers

    class Gate(layers.Layer):
        def __init__(self):
            super().__init__()
            self.dense = layers.Dense(3, use_bias=False)

        def call(self, x, training=False):
            return keras.ops.sigmoid(self.dense(x)) * x

    metrics = keras_model_metrics(keras.Sequential([keras.Input((3,)), Gate(), layers.Dense(2)]))

    assert metrics.macs == 9 + 6
    assert metrics.ops == 2 * 9 + 2 * 3 + 3 + (2 * 6 + 2)
    assert metrics.not_counted == ()


def test_operations_between_layers_count_too(keras):
    inputs = keras.Input((4, 4, 2))
    x = keras.ops.relu(inputs + 1.0) + inputs
    assert keras_model_metrics(keras.Model(inputs, x)).ops == 32 + 2 * 32 + 32


def test_layers_of_unknown_cost_are_named(keras):
    layers = keras.layers
    stack = [keras.Input((5, 3)), layers.GRU(4, return_sequences=True), layers.GRU(2), layers.Dense(2)]
    metrics = keras_model_metrics(keras.Sequential(stack))
    assert metrics.macs == 4
    assert metrics.not_counted == ("GRU",)
    assert metrics.summary() == "Total MACs: 4\nTotal OPs: 10\nNot counted: GRU"


def test_an_lstm_counts_its_steps(keras):
    steps, features, units = 5, 3, 4
    stack = [keras.Input((steps, features)), keras.layers.LSTM(units)]
    metrics = keras_model_metrics(keras.Sequential(stack))
    assert metrics.macs == steps * 4 * units * (features + units)
    assert metrics.ops == 2 * metrics.macs + 18 * steps * units


def test_unknown_operators_of_a_tflite_model_are_named(load):
    metrics = tflite_model_metrics(load("batch_mean_float32"))
    assert metrics.not_counted == ("mean",)


def test_a_model_without_symbolic_tensors_counts_nothing(keras):
    class Plain(keras.Model):
        def __init__(self):
            super().__init__()
            self.dense = keras.layers.Dense(2)

        def call(self, x):
            return self.dense(x)

    model = Plain()
    model(keras.ops.zeros((1, 3)))
    assert keras_model_metrics(model).not_counted == ("Plain",)
    assert keras_model_metrics(keras.Sequential([keras.layers.Dense(2)])).layers == ()


def test_the_lstm_operator_counts_as_the_layer(load):
    metrics = tflite_model_metrics(load("lstm_int8"))
    lstm = metrics.layers[0]
    assert (lstm.kind, lstm.known) == ("unidirectional_sequence_lstm", True)
    assert lstm.macs == 7 * 4 * 8 * (5 + 8)
    assert lstm.ops == 2 * lstm.macs + 18 * 7 * 8


@pytest.fixture
def svdf(load):
    """A model of an SVDF operator with 8 filters over 20 features and 5 steps of time."""
    model = load("dense_float32")
    graph = model.flatbuffer_subgraph
    graph.operators = graph.operators[:1]
    (operator,) = graph.operators
    time, state = copy.copy(graph.tensors[operator.inputs[1]]), copy.copy(graph.tensors[operator.inputs[0]])
    time.shape, time.buffer = np.array([8, 5], np.int32), len(model.flatbuffer_model.buffers)
    state.shape, state.isVariable = np.array([1, 40], np.int32), True
    values = copy.copy(model.flatbuffer_model.buffers[0])
    values.data = np.zeros(160, np.uint8)
    model.flatbuffer_model.buffers.append(values)
    graph.tensors += [time, state]
    count = len(graph.tensors)
    operator.inputs = [*operator.inputs[:2], count - 2, -1, count - 1]
    operator.builtinOptions, operator.builtinOptionsType = None, 0
    code = model.flatbuffer_model.operatorCodes[operator.opcodeIndex]
    code.builtinCode = code.deprecatedBuiltinCode = 27
    graph.outputs = list(operator.outputs)
    model.regenerate_flatbuffer(reload_model=True)
    return model


def test_svdf_counts_its_filters_over_features_and_over_time(svdf):
    (layer,) = tflite_model_metrics(svdf).layers
    assert (layer.kind, layer.macs, layer.ops) == ("svdf", 8 * 20 + 8 * 5, 2 * (8 * 20 + 8 * 5))
