"""What mltk expects of names of Keras and TensorFlow that are not public: a test for each, named after it."""

import ast
import io
import threading
from pathlib import Path

import h5py
import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers
from tensorflow.lite.python.optimize.calibrator import Calibrator

import mltk
from mltk.keras import private
from mltk.keras.convertible import convertible_layers
from mltk.keras.saving import _legacy_file, _WeightsInMemory
from mltk.tflite import TfliteModel


@pytest.fixture(scope="module")
def network():
    inner = keras.Sequential([keras.Input((4,)), layers.Dropout(0.5), layers.Dense(4, name="inner_dense")])
    inputs = keras.Input((4,))
    shared = layers.Dense(4, name="shared")
    outputs = layers.Dense(1)(keras.ops.relu(shared(inner(shared(inputs)))))
    network = keras.Model(inputs, outputs)
    network.compile("sgd", "mse", metrics=[keras.metrics.R2Score(), "mae"])
    return network


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(0)
    return rng.random((16, 4), np.float32), rng.random((16, 1), np.float32)


def test_flatten_layers_goes_into_inner_models(network):
    found = private.flatten_layers(network)
    assert found[0] is network
    assert "inner_dense" in [layer.name for layer in found]
    assert private.flatten_layers(keras.ops.relu(keras.Input((1,)))) == []


def test_seed_generators_are_those_that_dropout_draws_from(network):
    (generator,) = private.get_seed_generators(network)
    x = np.ones((2, 4), np.float32)
    outputs = []
    for seed in (1, 1, 2):
        generator.state.assign(np.array([seed, seed], np.uint32))
        outputs.append(np.asarray(network(x, training=True)))
    np.testing.assert_array_equal(outputs[0], outputs[1])
    assert not np.array_equal(outputs[0], outputs[2])


def test_functional_and_nodes_by_depth_and_inbound_nodes_are_the_calls_of_a_graph(network):
    names = [call.operation.name for call in private.get_calls(network)]
    assert names.count("shared") == 2
    assert [private.is_graph(layer) for layer in network.layers].count(True) == 1
    (inner,) = [layer for layer in network.layers if private.is_graph(layer)]
    assert [call.operation.name for call in private.get_calls(inner)][-1] == "inner_dense"
    call = private.get_calls(inner)[-1]
    assert call.node.input_tensors[0].shape == call.node.output_tensors[0].shape == (None, 4)
    assert call.node.arguments.args == (call.node.input_tensors[0],)
    assert private.get_calls(keras.Sequential([layers.Dense(1)])) is None


@pytest.mark.parametrize(
    ("name", "direction"),
    [
        ("loss", "min"),
        ("accuracy", "max"),
        ("acc", "max"),
        ("mae", "min"),
        ("mean_absolute_error", "min"),
        ("CosineSimilarity", "max"),
        ("R2Score", "max"),
        ("AUC", "max"),
        ("my_own", None),
    ],
)
def test_direction_of_metrics(name, direction):
    assert private.get_metric_direction(name) == direction


def test_callback_state_is_all_that_callbacks_change(network, data, tmp_path):
    """Attributes that training changes are either kept or made anew when a training begins."""
    callbacks = [
        keras.callbacks.EarlyStopping("loss", patience=9, restore_best_weights=True),
        keras.callbacks.ReduceLROnPlateau("loss", cooldown=2, patience=0, min_delta=9.0),
        keras.callbacks.ModelCheckpoint(str(tmp_path / "x.weights.h5"), "loss", 0, True, True, save_freq=3),
        keras.callbacks.LearningRateScheduler(lambda epoch, rate: rate),
    ]
    before = [dict(vars(callback)) for callback in callbacks]
    network.fit(*data, batch_size=8, epochs=5, verbose=0, callbacks=callbacks)
    changed = {
        name
        for callback, old in zip(callbacks, before, strict=True)
        for name, value in vars(callback).items()
        if name not in old or not (old[name] is value or old[name] == value)
    }
    made_anew = {"_model", "_params", "params", "monitor_op", "min_delta", "best_weights", "_current_epoch"}
    # It tells whether an epoch has begun since the last batch; a resumed training begins with one.
    assert changed - made_anew - {"_last_batch_seen"} <= set(private.CALLBACK_STATE)
    assert {"best", "best_epoch", "cooldown_counter", "_batches_seen_since_last_saving"} <= changed


def test_direction_chosen_by_keras_is_monitor_op(network, data, tmp_path):
    callback = keras.callbacks.ModelCheckpoint(str(tmp_path / "x.weights.h5"), "r2_score", 0, True, True)
    network.fit(*data, batch_size=8, verbose=0, callbacks=[callback])
    assert callback.monitor_op(2.0, 1.0)
    assert not callback.monitor_op(1.0, 2.0)


@pytest.mark.parametrize("precision", ["float32", "mixed_float16"])
def test_all_reduce_sum_gradients_is_what_keeps_trained_graphs_in_memory(data, precision):
    from tensorflow.python.framework.ops import gradient_registry

    def train(skip):
        keras.utils.set_random_seed(1)
        network = keras.Sequential([keras.Input((4,)), layers.Dense(3, dtype=precision), layers.Dense(1)])
        optimizer = keras.optimizers.Adam()
        if precision != "float32":
            optimizer = keras.optimizers.LossScaleOptimizer(optimizer)
        network.compile(optimizer, "mse")
        if skip:
            private.skip_all_reduce(network)
        before = len(gradient_registry.list())
        network.fit(*data, epochs=2, verbose=0)
        return network.get_weights(), len(gradient_registry.list()) - before

    usual, skipped = train(skip=False), train(skip=True)
    assert usual[1] > 0
    assert skipped[1] == 0
    for a, b in zip(usual[0], skipped[0], strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.filterwarnings("ignore:Statistics for quantized inputs")
def test_experimental_disable_per_channel_quantization_for_dense_layers_makes_one_scale():
    inputs = keras.Input((8,), batch_size=1)
    model = keras.Model(inputs, layers.Dense(3, kernel_initializer="random_normal")(inputs))
    counts = []
    for per_channel in (False, True):
        converter = tf.lite.TFLiteConverter.from_keras_model(model)
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.representative_dataset = lambda: iter([[np.ones((1, 8), np.float32)]])
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        private.set_dense_per_channel(converter, per_channel)
        model_file = TfliteModel(bytes(converter.convert()))
        counts.append(max(t.quantization.n_channels for t in model_file.tensors if t.is_constant))
    assert counts == [1, 3]


def test_attributes_of_the_converter_are_its_settings():
    names = private.get_converter_settings()
    assert {"optimizations", "representative_dataset", "inference_input_type", "allow_custom_ops"} <= names


def test_inner_loop_and_api_implements_make_one_operator_of_an_lstm():
    inputs = keras.Input((5, 3), batch_size=1)
    model = keras.Model(inputs, layers.LSTM(4)(inputs))
    layer = model.layers[-1]
    with convertible_layers(model, calibrated=False):
        assert private.LSTM_STEPS in vars(layer)
        converter = tf.lite.TFLiteConverter.from_keras_model(model)
        content = bytes(converter.convert())
    assert private.LSTM_STEPS not in vars(layer)
    assert "unidirectional_sequence_lstm" in [layer.opcode_str for layer in TfliteModel(content).layers]


def test_feed_tensors_and_calibrator_prepare_are_called_for_each_sample():
    inputs = keras.Input((2,), batch_size=1)
    content = tf.lite.TFLiteConverter.from_keras_model(keras.Model(inputs, layers.Dense(1)(inputs))).convert()
    prepared = []

    class Watched:
        def __init__(self, wrapped):
            self._wrapped = wrapped

        def __getattr__(self, name):
            return getattr(self._wrapped, name)

        def Prepare(self, *args):
            prepared.append(args)
            return self._wrapped.Prepare(*args)

    usual = Calibrator._feed_tensors
    calibrator = Calibrator(content)
    calibrator._calibrator = Watched(calibrator._calibrator)
    with private.independent_samples():
        assert Calibrator._feed_tensors is not usual
        samples = [[np.ones((1, 2), np.float32)]] * 3
        calibrator._feed_tensors(lambda: iter(samples), True)
    assert Calibrator._feed_tensors is usual
    assert ([[1, 2]],) in prepared
    assert len(prepared) >= 3


def test_calibrator_is_replaced_by_one_thread_at_a_time():
    usual = Calibrator._feed_tensors
    inside = []

    def replace():
        with private.independent_samples():
            inside.append(len(inside))

    with private.independent_samples():
        # The same thread may do so again, as a handler of an event that converts another model does.
        with private.independent_samples():
            pass
        thread = threading.Thread(target=replace)
        thread.start()
        thread.join(0.2)
        assert not inside
    thread.join()
    assert inside == [0]
    assert Calibrator._feed_tensors is usual


def test_keras_history_has_names_of_inputs_that_are_the_same_after_loading(tmp_path):
    inputs = [keras.Input((4,)), keras.Input((2,), name="second")]
    model = keras.Model(inputs, layers.Concatenate()(inputs))
    model.save(tmp_path / "m.keras")
    names = private.get_input_names(keras.saving.load_model(tmp_path / "m.keras"))
    assert names == private.get_input_names(model) == [model.layers[0].name, "second"]


@pytest.mark.filterwarnings("ignore:Statistics for quantized inputs")
def test_calibrate_gives_the_ranges_of_a_model_that_may_then_be_changed():
    model = keras.Sequential([keras.Input((4,)), layers.Dense(3)])
    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = lambda: ([np.full((1, 4), x, np.float32)] for x in (-2, 6))
    calls = []

    def widen(content, name):
        calls.append(name)
        calibrated = TfliteModel(content)
        quantization = calibrated.flatbuffer_subgraph.tensors[calibrated.inputs[0].index].quantization
        assert quantization.min[0] <= -2
        quantization.max = [quantization.max[0] + 1]
        calibrated.regenerate_flatbuffer()
        return calibrated.flatbuffer_data

    with (
        private.edit_calibrated(lambda content: widen(content, "outer")),
        private.edit_calibrated(lambda content: widen(content, "inner")),
    ):
        result = TfliteModel(converter.convert())

    assert calls == ["outer", "inner"]
    (quantize,) = [layer for layer in result.layers if layer.opcode_str == "quantize"]
    assert quantize.outputs[0].quantization.scale[0] == pytest.approx((8 + 2) / 255, rel=1e-3)
    converter.convert()
    assert calls == ["outer", "inner"]


def test_keras_takes_files_in_memory_by_the_ending_of_their_text(network, data):
    """Keras looks at `str(file)` where it expects a path."""
    weights = _WeightsInMemory()
    network.save_weights(weights, overwrite=True)
    with h5py.File(io.BytesIO(weights.getvalue())) as file:
        assert "layers" in file
    content = io.BytesIO()
    with _legacy_file()(content, "w") as file:
        network.save(file)
        assert "model_config" in file.attrs


def test_generators_of_keras_have_validation_split():
    """`mltk.data` reads it, as the floor below cannot import `mltk.keras.private`."""
    generator = tf.keras.preprocessing.image.ImageDataGenerator(validation_split=0.25)
    assert generator._validation_split == 0.25


def test_no_other_module_uses_names_that_are_not_public():
    """An attribute `_x` of another object than `self` must be defined somewhere in mltk."""
    core = Path(mltk.__file__).parent
    trees = {path: ast.parse(path.read_text(encoding="utf-8")) for path in core.rglob("*.py")}
    own = {node.name for tree in trees.values() for node in ast.walk(tree) if hasattr(node, "name")}
    own |= {
        node.id
        for tree in trees.values()
        for node in ast.walk(tree)
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
    }
    own |= {
        node.attr
        for path, tree in trees.items()
        if path.name != "private.py"
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store)
        if isinstance(node.value, ast.Name) and node.value.id in ("self", "cls")
    }
    # Python's own, and the one of the test above.
    allowed = {"_Hash", "_getframe", "_exit", "_run_exitfuncs", "_replace", "_validation_split"}
    found = []
    for path, tree in trees.items():
        for node in ast.walk(tree):
            name = getattr(node, "attr", None)
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") in ("getattr", "hasattr"):
                name = getattr(node.args[1], "value", None)
            if isinstance(node, ast.ImportFrom) and "tensorflow." in (node.module or ""):
                name = f"_{node.module}"
            if not isinstance(name, str) or not name.startswith("_") or name.startswith("__"):
                continue
            if path.name != "private.py" and name not in own | allowed:
                found.append(f"{path.relative_to(core)}:{node.lineno} {name}")
    assert not found
