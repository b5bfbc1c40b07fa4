import csv
import io
import warnings
from pathlib import Path

import numpy as np
import pytest

from mltk.core import MltkModelEvent, TfliteModel, TfliteModelParameters, load_mltk_model, quantize_model
from mltk.errors import ArchiveFileNotFoundError, DatasetError, SpecificationError
from mltk.operations.conversion.report import quantization_report
from mltk.operations.conversion.settings import converter_settings
from mltk.tflite.precision import name_precision
from mltk.utils.model_archive import ModelArchive

FLOAT32 = {
    "representative_dataset": None,
    "optimizations": [],
    "supported_ops": ["TFLITE_BUILTINS"],
    "inference_input_type": "float32",
    "inference_output_type": "float32",
}
"""Settings of a converter that quantizes nothing."""


def test_result_goes_to_the_log_folder_and_the_archive(trained):
    (trained.cache / "models/tiny_v1/tiny_v1.tflite").unlink()
    path = quantize_model("tiny_v1")
    assert path == str(trained.cache / "models/tiny_v1/tiny_v1.tflite")
    assert ModelArchive(trained.work / "tiny_v1.mltk.zip").read("tiny_v1.tflite") == Path(path).read_bytes()


def test_quantizing_again_gives_the_files_that_training_wrote(trained):
    log_dir = trained.cache / "models/tiny_v1"
    before = {path.name: path.read_bytes() for path in log_dir.glob("*.tflite")}
    assert len(before) == 2

    quantize_model("tiny_v1")

    assert {path.name: path.read_bytes() for path in log_dir.glob("*.tflite")} == before


@pytest.mark.parametrize(("output", "name"), [("out/x.tflite", "x.tflite"), ("out", "tiny_v1.tflite")])
def test_result_may_go_elsewhere_and_leaves_the_archive_alone(trained, output, name):
    before = (trained.work / "tiny_v1.mltk.zip").read_bytes()
    path = quantize_model("tiny_v1", output=output)
    assert Path(path) == Path("out") / name
    assert Path(path).is_file()
    assert (trained.work / "tiny_v1.mltk.zip").read_bytes() == before


def test_result_may_be_an_object(trained):
    assert isinstance(quantize_model("tiny_v1", output="tflite_model"), TfliteModel)


def test_settings_may_be_overridden_by_name_or_enum_and_the_specification_stays_as_it_is(trained):
    import tensorflow as tf

    model = load_mltk_model("tiny_v1")
    before = dict(model.tflite_converter)
    override = {
        "inference_input_type": "uint8",
        "inference_output_type": np.float32,
        "optimizations": [tf.lite.Optimize.DEFAULT],
    }
    result = quantize_model(model, output="tflite_model", tflite_converter_override=override)
    assert (result.inputs[0].dtype, result.outputs[0].dtype) == (np.uint8, np.float32)
    assert model.tflite_converter == before


@pytest.mark.parametrize(
    ("override", "precision"),
    [
        ({}, "int8"),
        ({"inference_input_type": "uint8", "inference_output_type": "uint8"}, "int8"),
        (FLOAT32 | {"optimizations": ["DEFAULT"]}, "dynamic-range"),
        (FLOAT32, "float32"),
        ("float16", "float16"),
    ],
)
def test_the_precision_of_a_tflite_is_named_as_it_is(trained, override, precision):
    import tensorflow as tf

    if override == "float16":
        float16 = tf.lite.TargetSpec(supported_types=[tf.float16])
        override = FLOAT32 | {"optimizations": ["DEFAULT"], "target_spec": float16}
    result = quantize_model("tiny_v1", output="tflite_model", tflite_converter_override=override)
    assert name_precision(result) == precision
    assert f"Precision: {precision}\n" in result.summary()


def test_representative_data_may_be_a_function(trained):
    model = load_mltk_model("tiny_v1")
    calls = []

    def samples():
        for _ in range(20):
            calls.append(1)
            yield [np.random.default_rng(1).random((1, 8, 8, 1), np.float32)]

    model.tflite_converter["representative_dataset"] = samples
    model.tflite_converter["representative_dataset_max_samples"] = 7
    assert quantize_model(model, output="tflite_model").inputs[0].dtype == np.int8
    assert len(calls) == 7


def test_representative_data_may_have_an_array_for_each_of_several_inputs(trained):
    import keras

    model = load_mltk_model("tiny_v1")
    inputs = [keras.Input((4,)), keras.Input((2,))]
    both = keras.Model(inputs, keras.layers.Add()([keras.layers.Dense(3)(x) for x in inputs]))
    ranges = ((0, 1), (0, 8))
    rng = np.random.default_rng(0)

    def samples():
        for _ in range(20):
            yield [
                rng.uniform(*limits, (1, *x.shape[1:])).astype("f4")
                for limits, x in zip(ranges, inputs, strict=True)
            ]

    model.tflite_converter["representative_dataset"] = samples
    result = quantize_model(model, keras_model=both, output="tflite_model")
    steps = {x.shape[1]: x.quantization.scale[0] for x in result.inputs}
    assert steps == {4: pytest.approx(1 / 255, rel=0.2), 2: pytest.approx(8 / 255, rel=0.2)}


def _quantized(network, x):
    model = load_mltk_model("tiny_v1")
    model.tflite_converter["representative_dataset"] = lambda: ([sample[None]] for sample in x)
    return quantize_model(model, keras_model=network, output="tflite_model")


def test_a_tflite_computes_no_shapes_and_takes_batches_all_the_same(trained):
    import keras

    layers = keras.layers
    network = keras.Sequential(
        [
            *(keras.Input((6, 3)), layers.Dense(4), layers.Reshape((6, 1, 4))),
            *(layers.DepthwiseConv2D((3, 1), dilation_rate=(2, 1), padding="same"), layers.Flatten()),
            layers.Dense(2),
        ]
    )
    x = np.random.default_rng(0).uniform(-1, 1, (20, 6, 3)).astype("f4")
    result = _quantized(network, x)
    assert [layer.opcode_str for layer in result.layers] == [
        *("fully_connected", "reshape", "depthwise_conv_2d", "reshape", "fully_connected")
    ]
    outputs = result.predict(x, y_dtype=np.float32)
    np.testing.assert_allclose(outputs, network.predict(x, verbose=0), atol=0.05)


def test_recurrent_layers_become_int8_step_by_step(trained):
    import keras

    layers = keras.layers
    lstm = layers.LSTM(4, return_sequences=True)
    network = keras.Sequential(
        [keras.Input((5, 3)), lstm, layers.Bidirectional(layers.GRU(2)), layers.Dense(2)]
    )
    x = np.random.default_rng(0).uniform(-1, 1, (20, 5, 3)).astype("f4")
    result = _quantized(network, x)
    assert "while" not in {layer.opcode_str for layer in result.layers}
    assert not lstm.unroll
    outputs = result.predict(x, y_dtype=np.float32)
    np.testing.assert_allclose(outputs, network.predict(x, verbose=0), atol=0.05)


@pytest.mark.parametrize("kind", ["sequences", "last", "backwards", "bidirectional", "nested", "small cells"])
def test_an_lstm_becomes_one_operator(trained, kind):
    import keras

    keras.utils.set_random_seed(3)
    layers = keras.layers
    network = keras.Sequential([keras.Input((7, 5)), layers.LSTM(6, return_sequences=True)])
    if kind == "last":
        network = keras.Sequential([*network.layers, layers.LSTM(3), layers.Dense(2)])
    elif kind == "bidirectional":
        network = keras.Sequential([keras.Input((7, 5)), layers.Bidirectional(layers.LSTM(3))])
    elif kind == "backwards":
        network = keras.Sequential([keras.Input((7, 5)), layers.LSTM(6, go_backwards=True)])
    elif kind == "nested":
        network = keras.Sequential([keras.Input((7, 5)), network, layers.Dense(2)])
    elif kind == "small cells":
        kernel, recurrent, bias = network.get_weights()
        network.set_weights([kernel / 10, recurrent, bias])
    x = np.random.default_rng(0).normal(size=(40, 7, 5)).astype("f4")
    expected = network.predict(x, verbose=0)

    floats = quantize_model("tiny_v1", network, output="tflite_model", tflite_converter_override=FLOAT32)
    np.testing.assert_allclose(floats.predict(x), expected, atol=1e-5)
    result = _quantized(network, x)

    n_lstms = {"last": 2, "bidirectional": 2}.get(kind, 1)
    assert [layer.opcode_str for layer in result.layers].count("unidirectional_sequence_lstm") == n_lstms
    assert len(result.layers) < 8
    spread = expected.max() - expected.min()
    np.testing.assert_allclose(result.predict(x, y_dtype=np.float32), expected, atol=0.04 * spread)
    # Nothing is left in the network.
    np.testing.assert_array_equal(network.predict(x, verbose=0), expected)
    assert not any("inner_loop" in vars(layer) for layer in network._flatten_layers())


@pytest.mark.parametrize(
    "arguments",
    [
        *({"unroll": True}, {"activation": "relu"}, {"recurrent_dropout": 0.2}, {"use_bias": False}),
        {"return_state": True},
    ],
)
def test_an_lstm_that_the_operator_cannot_be_is_converted_step_by_step(trained, arguments):
    import keras

    layers = keras.layers
    inputs = keras.Input((4, 3))
    outputs = layers.LSTM(3, **arguments)(inputs)
    network = keras.Model(inputs, layers.Add()(outputs) if "return_state" in arguments else outputs)
    x = np.random.default_rng(0).uniform(-1, 1, (20, 4, 3)).astype("f4")
    result = _quantized(network, x)
    assert "unidirectional_sequence_lstm" not in {layer.opcode_str for layer in result.layers}
    np.testing.assert_allclose(
        result.predict(x, y_dtype=np.float32), network.predict(x, verbose=0), atol=0.08
    )


@pytest.mark.parametrize("arguments", [{}, {"axis": [1, 2], "scale": False}, {"axis": 1, "center": False}])
def test_layer_normalization_is_int8_throughout(trained, arguments):
    import keras

    keras.utils.set_random_seed(3)
    layers = keras.layers
    norm = layers.LayerNormalization(**arguments)
    network = keras.Sequential([keras.Input((7, 5)), layers.Dense(4, bias_initializer="ones"), norm])
    norm.set_weights(
        [weight + 0.1 * np.arange(weight.size).reshape(weight.shape) for weight in norm.get_weights()]
    )
    x = np.random.default_rng(0).normal(size=(40, 7, 5)).astype("f4")
    expected = network.predict(x, verbose=0)
    floats = quantize_model("tiny_v1", network, output="tflite_model", tflite_converter_override=FLOAT32)
    np.testing.assert_allclose(floats.predict(x), expected, atol=1e-4)
    result = _quantized(network, x)
    assert not {"neg", "quantize", "dequantize"} & {layer.opcode_str for layer in result.layers}
    error = np.abs(result.predict(x, y_dtype=np.float32) - expected)
    assert error.mean() < 0.02 * np.ptp(expected)
    assert "call" not in vars(norm)


@pytest.mark.parametrize(
    ("layer", "shape", "operators"),
    [
        ("UpSampling2D", (4, 5, 2), ["resize_nearest_neighbor"]),
        ("UpSampling1D", (4, 5), ["reshape", "resize_nearest_neighbor", "reshape"]),
        ("RepeatVector", (5,), ["pack"]),
        ("TimeDistributed", (3, 6, 6, 2), ["reshape", "conv_2d", "reshape"]),
    ],
)
def test_layers_become_operators_that_microcontrollers_have(trained, layer, shape, operators):
    import keras

    inner = {"RepeatVector": 3, "TimeDistributed": keras.layers.Conv2D(2, 3)}
    made = getattr(keras.layers, layer)(inner.get(layer, 2))
    network = keras.Sequential([keras.Input(shape), made])
    x = np.random.default_rng(0).normal(size=(20, *shape)).astype("f4")
    expected = network.predict(x, verbose=0)
    floats = quantize_model("tiny_v1", network, output="tflite_model", tflite_converter_override=FLOAT32)
    np.testing.assert_allclose(floats.predict(x), expected, atol=1e-5)
    result = _quantized(network, x)
    assert [layer.opcode_str for layer in result.layers] == operators
    np.testing.assert_allclose(result.predict(x, y_dtype=np.float32), expected, atol=0.02 * np.ptp(expected))
    assert "call" not in vars(made)


def test_with_activations_of_int16_an_lstm_is_converted_step_by_step(trained):
    import keras

    network = keras.Sequential([keras.Input((4, 3)), keras.layers.LSTM(3)])
    x = np.random.default_rng(0).uniform(-1, 1, (20, 4, 3)).astype("f4")
    override = {
        "representative_dataset": lambda: ([sample[np.newaxis]] for sample in x),
        "supported_ops": ["EXPERIMENTAL_TFLITE_BUILTINS_ACTIVATIONS_INT16_WEIGHTS_INT8"],
        "inference_input_type": "float32",
        "inference_output_type": "float32",
    }
    result = quantize_model("tiny_v1", network, output="tflite_model", tflite_converter_override=override)
    assert "unidirectional_sequence_lstm" not in {layer.opcode_str for layer in result.layers}
    np.testing.assert_allclose(result.predict(x), network.predict(x, verbose=0), atol=0.02)


def test_the_report_knows_an_lstm_as_one_operator(trained):
    import keras

    keras.utils.set_random_seed(3)
    network = keras.Sequential([keras.Input((4, 3)), keras.layers.LSTM(3)])
    x = np.random.default_rng(0).uniform(-1, 1, (20, 4, 3)).astype("f4")
    settings = converter_settings(load_mltk_model("tiny_v1"))
    report = quantization_report(network, settings, lambda: ([sample[np.newaxis]] for sample in x))
    rows = {row["op_name"]: row for row in csv.DictReader(io.StringIO(report.decode()))}
    # TensorFlow's debugger never empties the states, so that errors go from sample to sample.
    assert 0.1 < float(rows["UNIDIRECTIONAL_SEQUENCE_LSTM"]["rmse/scale"]) < 3


def test_without_representative_data_only_the_weights_are_quantized(trained):
    override = {
        "representative_dataset": None,
        "supported_ops": ["TFLITE_BUILTINS"],
        "inference_input_type": None,
        "inference_output_type": None,
    }
    result = quantize_model("tiny_v1", output="tflite_model", tflite_converter_override=override)
    assert result.inputs[0].dtype == np.float32


def test_report_ranks_the_tensors(trained):
    quantize_model("tiny_v1", tflite_converter_override={"generate_quantization_report": True})
    report = ModelArchive(trained.work / "tiny_v1.mltk.zip").read("quantization_report.csv").decode()
    rows = list(csv.DictReader(io.StringIO(report)))
    ratios = [float(row["rmse/scale"]) for row in rows]
    assert len(rows) >= 3
    assert ratios == sorted(ratios, reverse=True)
    assert 0 <= ratios[-1] < ratios[0] < 5


def test_trial_model_is_built_for_build_and_nothing_else_is_touched(write_spec, private_home):
    write_spec()
    model = TfliteModel.load_flatbuffer_file(quantize_model("tiny_v1", build=True))
    assert TfliteModelParameters.load_from_tflite_model(model)["name"] == "tiny_v1"
    assert not list(private_home.glob("*.mltk.zip"))


def test_trial_run_calls_on_training_complete(load_spec):
    model = load_spec("tiny_v1")
    seen = []
    model.on_training_complete = seen.append
    quantize_model(model, build=True)
    assert len(seen) == 1


def test_handler_may_replace_the_flatbuffer(trained):
    model = load_mltk_model("tiny_v1")
    replacement = Path(trained.cache / "models/tiny_v1/tiny_v1.float32.tflite").read_bytes()

    def replace(tflite_flatbuffer_dict, **kwargs):
        tflite_flatbuffer_dict["value"] = replacement

    model.add_event_handler(MltkModelEvent.AFTER_QUANTIZE, replace)
    assert quantize_model(model, output="tflite_model").inputs[0].dtype == np.float32


def test_metadata_entries_and_forced_parameter_types_are_written(trained):
    from mltk.model.mixins.parameters import TfliteModelMetadataEntry

    model = load_mltk_model("tiny_v1")
    model.add_tflite_metadata_entry(
        TfliteModelMetadataEntry("MY_TAG", lambda: b"hello", summary_callback=lambda: "five")
    )
    model.set_model_parameter("count", 3, dtype="int32")
    result = quantize_model(model, output="tflite_model")
    assert result.get_metadata("MY_TAG") == b"hello"
    assert TfliteModelParameters.load_from_tflite_model(result).dtype("count") == "int32"
    assert model.get_tflite_metadata_summary() == "MY_TAG: five"


def test_spec_that_converts_by_itself_is_asked_first_and_only_for_its_own_run(trained, write_spec):
    float32 = trained.cache / "models/tiny_v1/tiny_v1.float32.tflite"
    with (trained.work / "tiny_v1.py").open("a") as spec:
        spec.write(
            "\nfrom pathlib import Path\nfrom mltk.plugins import hookimpl\n"
            "@hookimpl\n"
            "def mltk_convert_model(mltk_model, keras_model, settings, representative_dataset):\n"
            f"    return Path({str(float32)!r}).read_bytes()\n"
        )
    assert quantize_model("tiny_v1", output="tflite_model").inputs[0].dtype == np.float32
    (trained.work / "other_v1.py").write_text(
        (trained.work / "tiny_v1.py").read_text().split("from pathlib")[0]
    )
    (trained.work / "other_v1.mltk.zip").write_bytes(b"")
    ModelArchive(trained.work / "other_v1.mltk.zip").path.unlink()
    ModelArchive(trained.work / "other_v1.mltk.zip").update(
        {"other_v1.keras": trained.cache / "models/tiny_v1/tiny_v1.keras"}
    )
    assert quantize_model("other_v1", output="tflite_model").inputs[0].dtype == np.int8


def test_untrained_model_says_what_to_do(write_spec):
    write_spec()
    with pytest.raises(ArchiveFileNotFoundError, match="mltk train tiny_v1"):
        quantize_model("tiny_v1")


def test_wrong_representative_data_is_one_line(trained):
    model = load_mltk_model("tiny_v1")
    model.tflite_converter["representative_dataset"] = lambda: iter(())
    with pytest.raises(DatasetError, match="has no sample"):
        quantize_model(model, output="x.tflite")
    model.tflite_converter["representative_dataset"] = lambda: iter([[np.zeros((1, 3, 3, 1), np.float32)]])
    with pytest.raises(DatasetError, match=r"have the shape \(1, 3, 3, 1\), but .* takes \(None, 8, 8, 1\)"):
        quantize_model(model, output="x.tflite")
    assert not Path("x.tflite").exists()


def test_weights_of_another_model_are_refused(trained):
    with pytest.raises(FileNotFoundError, match="no weights file 'missing'"):
        quantize_model("tiny_v1", weights="missing")


def test_model_that_cannot_be_trained_cannot_be_quantized(write_spec):
    path = write_spec("bare_v1", "from mltk.core import MltkModel\nmy_model = MltkModel()\n")
    with pytest.raises(SpecificationError, match="must inherit TrainMixin"):
        quantize_model(path)


def test_the_old_converter_is_asked_for_in_vain(trained, caplog):
    model = load_mltk_model("tiny_v1")
    override = {"experimental_new_converter": False, "experimental_new_quantizer": False}
    result = quantize_model(model, output="tflite_model", tflite_converter_override=override)
    assert result.inputs[0].dtype == np.int8
    assert "experimental_new_converter'] = False is ignored" in caplog.text


def test_representative_data_may_come_in_batches(trained):
    model = load_mltk_model("tiny_v1")
    x = np.random.default_rng(1).random((10, 8, 8, 1), np.float32)
    one_by_one = {"representative_dataset": lambda: ([x[i : i + 1]] for i in range(7))}
    batches = {
        "representative_dataset": lambda: ([x[i : i + 5]] for i in (0, 5)),
        "representative_dataset_max_samples": 7,
    }
    first, second = (
        quantize_model(model, output="tflite_model", tflite_converter_override=o)
        for o in (one_by_one, batches)
    )
    assert first.inputs[0].quantization.scale == second.inputs[0].quantization.scale
    assert [str(t) for t in first.tensors] == [str(t) for t in second.tensors]


def test_the_path_of_a_loaded_tflite_is_a_file(trained):
    from mltk.core import load_tflite_model

    model = load_mltk_model("tiny_v1")
    log_file = trained.cache / "models/tiny_v1/tiny_v1.tflite"
    assert load_tflite_model(model).path == str(log_file)
    archived = ModelArchive(trained.work / "tiny_v1.mltk.zip").read("tiny_v1.tflite")
    log_file.write_bytes(b"of another training")
    loaded = load_tflite_model(model)
    assert loaded.flatbuffer_data == archived == Path(loaded.path).read_bytes()


def _sequential(*layers):
    import keras

    return keras.Sequential([keras.Input((12, 4)), *layers])


def _networks():
    from keras import layers

    yield _sequential(layers.Conv1D(8, 3, dilation_rate=2), layers.Flatten(), layers.Dense(3))
    yield _sequential(layers.BatchNormalization(), layers.ReLU(), layers.GRU(5, unroll=True))


def test_networks_are_converted_as_tensorflow_converts_keras_models(trained):
    """All that is left out is the way through files."""
    import keras
    import tensorflow as tf

    x = np.random.default_rng(1).normal(size=(20, 12, 4)).astype(np.float32)
    for network in _networks():
        samples = [[x[i : i + 1]] for i in range(20)]
        model = load_mltk_model("tiny_v1")
        model.tflite_converter["representative_dataset"] = lambda samples=samples: iter(samples)
        ours = quantize_model(model, network, output="tflite_model")

        inputs = keras.Input(batch_shape=(1, 12, 4))
        converter = tf.lite.TFLiteConverter.from_keras_model(keras.Model(inputs, network(inputs)))
        converter._experimental_disable_per_channel_quantization_for_dense_layers = True
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        converter.inference_input_type = converter.inference_output_type = tf.int8
        converter.representative_dataset = lambda samples=samples: iter(samples)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            theirs = TfliteModel(converter.convert())

        if not any(isinstance(layer, keras.layers.RNN) for layer in network.layers):
            assert [layer.opcode_str for layer in ours.layers] == [
                layer.opcode_str for layer in theirs.layers
            ]
        np.testing.assert_array_equal(ours.predict(x), theirs.predict(x))


def test_inputs_with_names_keep_them_and_their_order(trained):
    import keras
    from ai_edge_litert.interpreter import Interpreter

    a, b = keras.Input((4,), name="a"), keras.Input((4,), name="b")
    network = keras.Model({"b": b, "a": a}, keras.layers.Subtract()([a, b]))
    x, y = np.random.default_rng(1).normal(size=(2, 1, 4)).astype(np.float32)
    model = load_mltk_model("tiny_v1")
    result = quantize_model(model, network, output="tflite_model", tflite_converter_override=FLOAT32)
    run = Interpreter(model_content=result.flatbuffer_data).get_signature_runner("serving_default")
    np.testing.assert_allclose(run(a=x, b=y)["output_0"], x - y, rtol=1e-6)


def test_a_network_that_keeps_a_state_is_converted_with_it(trained):
    import keras

    class Sum(keras.layers.Layer):
        """Adds up what it has been given so far."""

        def build(self, input_shape):
            self.sum = self.add_weight(shape=(1, 4), initializer="zeros", trainable=False)

        def call(self, x):
            self.sum.assign_add(x)
            return self.sum + 0.0

    inputs = keras.Input(batch_shape=(1, 4))
    override = {**FLOAT32, "experimental_enable_resource_variables": True}
    network = keras.Model(inputs, Sum()(inputs))
    model = load_mltk_model("tiny_v1")
    result = quantize_model(model, network, output="tflite_model", tflite_converter_override=override)
    assert "assign_variable" in [layer.opcode_str for layer in result.layers]


@pytest.mark.parametrize("unroll", [False, True])
def test_recurrent_networks_give_the_same_bytes_each_time(trained, unroll):
    import keras

    network = _sequential(keras.layers.LSTM(5, unroll=unroll), keras.layers.Dense(3))
    x = np.random.default_rng(1).normal(size=(8, 1, 12, 4)).astype(np.float32)
    model = load_mltk_model("tiny_v1")
    model.tflite_converter["representative_dataset"] = lambda: ([sample] for sample in x)
    results = [quantize_model(model, network, output="tflite_model") for _ in range(5)]
    assert not any("quantize" in layer.opcode_str for layer in results[0].layers)
    for result in results[1:]:
        assert [str(t) for t in result.tensors] == [str(t) for t in results[0].tensors]
        assert all(
            np.array_equal(a.data, b.data) for a, b in zip(result.tensors, results[0].tensors, strict=True)
        )


@pytest.mark.parametrize("per_channel", [None, False, True])
def test_dense_layers_have_one_scale_unless_asked_otherwise(trained, per_channel):
    override = {} if per_channel is None else {"dense_per_channel": per_channel}
    result = quantize_model("tiny_v1", output="tflite_model", tflite_converter_override=override)
    (dense,) = [layer for layer in result.layers if layer.opcode_str == "fully_connected"]
    assert dense.inputs[1].quantization.n_channels == (dense.inputs[1].shape[0] if per_channel else 1)
