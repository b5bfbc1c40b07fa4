"""Running `.tflite` models with LiteRT."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mltk.errors import EvaluationError, FileFormatError, ModelNotFoundError
from mltk.plugins.types import Predictor
from mltk.tflite import TfliteModel, TfliteQuantization
from mltk.tflite.interpreter import LiteRtPredictor


@pytest.fixture
def x():
    return (3 * np.random.default_rng(0).normal(size=(70, 12, 12, 1))).astype(np.float32)


def _own(path, **options):
    """A predictor in this process, as for models that mltk made."""
    model = TfliteModel.load_flatbuffer_file(path)
    model.is_own = True
    return LiteRtPredictor(model, **options)


def _one_by_one(predictor, x):
    return np.concatenate([predictor.predict(x[i : i + 1]) for i in range(len(x))])


def test_it_is_a_predictor_however_it_is_made(model_path):
    path = model_path("conv_int8")
    for model in (path, str(path), path.read_bytes(), TfliteModel.load_flatbuffer_file(path)):
        predictor = LiteRtPredictor(model, name="given")
        assert isinstance(predictor, Predictor)
        assert (predictor.kind, predictor.name) == ("tflite", "given")
        assert predictor.input_shape == (None, 12, 12, 1)
    assert LiteRtPredictor(path).name == "conv_int8"


@pytest.mark.parametrize("name", ["conv_int8", "conv_int8_float_io"])
@pytest.mark.parametrize("threads", [1, 2])
def test_a_batch_of_an_int8_model_gives_the_bits_of_single_samples(model_path, x, name, threads):
    predictor = _own(model_path(name), num_threads=threads)

    together = predictor.predict(x)

    assert predictor._pool._batchable
    assert together.dtype == np.float32
    assert together.shape == (70, 3)
    assert len(np.unique(together)) > 20
    np.testing.assert_array_equal(together, _one_by_one(LiteRtPredictor(model_path(name)), x))


@pytest.mark.parametrize("name", ["dense_float32", "dense_dynamic_range"])
def test_a_batch_of_a_float_model_differs_only_by_rounding(model_path, name):
    predictor = _own(model_path(name))
    x = np.random.default_rng(0).normal(size=(70, predictor.input_shape[1])).astype(np.float32)

    together = predictor.predict(x)

    assert predictor._pool._batchable
    np.testing.assert_allclose(together, _one_by_one(predictor, x), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", ["fixed_batch_float32", "batch_mean_float32"])
def test_models_that_do_not_treat_samples_alone_in_a_batch_get_one_at_a_time(model_path, name):
    predictor = _own(model_path(name))
    x = np.random.default_rng(0).normal(size=(5, *predictor.input_shape[1:])).astype(np.float32)

    together = predictor.predict(x)

    assert predictor._pool._batchable is False
    np.testing.assert_array_equal(together, _one_by_one(predictor, x))


def test_the_kernels_agree_with_the_reference_kernels_to_a_step(model_path, x):
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    model = TfliteModel.load_flatbuffer_file(model_path("conv_int8"))
    reference = Interpreter(
        model_content=model.flatbuffer_data, experimental_op_resolver_type=OpResolverType.BUILTIN_REF
    )
    reference.allocate_tensors()
    expected = []
    for sample in model.quantize_to_input_dtype(x):
        reference.set_tensor(reference.get_input_details()[0]["index"], sample[np.newaxis])
        reference.invoke()
        expected.append(reference.get_tensor(reference.get_output_details()[0]["index"]))

    steps = np.abs(LiteRtPredictor(model).run([x])[0].astype(int) - np.concatenate(expected))
    assert steps.max() <= 1
    assert steps.mean() < 0.03


def test_quantization_is_that_of_the_quantize_operator(model_path, x):
    # The one model quantizes its float input itself, the other gets what was quantized here.
    inside = LiteRtPredictor(model_path("conv_int8_float_io")).predict(x)

    np.testing.assert_array_equal(LiteRtPredictor(model_path("conv_int8")).predict(x), inside)


class _Fields:
    def __init__(self, scale, zero):
        self.scale, self.zeroPoint, self.quantizedDimension = [scale], [zero], 0


def test_halves_are_rounded_away_from_zero_and_the_rest_is_clipped():
    quantization = TfliteQuantization(_Fields(0.5, -1))
    values = np.array(
        [0.25, 0.75, -0.25, -0.75, np.nextafter(np.float32(0.25), np.float32(0)), 1e30, -np.inf, 63.7]
    )

    assert quantization.quantize(values, np.dtype("int8")).tolist() == [0, 1, -2, -3, -1, 127, -128, 126]
    with pytest.raises(EvaluationError, match="NaN"):
        quantization.quantize(np.array([np.nan]), np.dtype("int8"))


@given(
    st.floats(2.0**-20, 2.0**10, width=32),
    st.integers(-128, 127),
    st.sampled_from(["int8", "uint8", "int16", "int32"]),
)
def test_every_integer_survives_dequantizing_and_quantizing(scale, zero, dtype):
    quantization = TfliteQuantization(_Fields(scale, zero))
    integers = np.arange(-128, 128) if dtype != "uint8" else np.arange(256)

    real = quantization.dequantize(integers.astype(dtype))

    assert real.dtype == np.float32
    np.testing.assert_array_equal(quantization.quantize(real, np.dtype(dtype)), integers)


def test_integers_are_numbers_and_are_quantized_unless_the_caller_says_that_they_are(load, x):
    model = load()
    predictor = LiteRtPredictor(model)
    numbers = np.rint(x).astype(np.int8)
    held = model.quantize_to_input_dtype(numbers.astype(np.float32))
    assert not np.array_equal(held, numbers)

    expected = predictor.predict(numbers.astype(np.float32))

    np.testing.assert_array_equal(predictor.predict(numbers), expected)
    np.testing.assert_array_equal(predictor.run([held], raw=True)[0], predictor.run([numbers])[0])
    np.testing.assert_array_equal(model.predict(held, np.float32), expected)
    np.testing.assert_array_equal(model.predict(numbers.astype(np.int16), np.float32), expected)


def test_predict_takes_a_sample_a_batch_or_batches(load, x):
    model = load()
    raw = model.quantize_to_input_dtype(x)
    assert raw.dtype == np.int8

    batch = model.predict(x)

    assert (batch.dtype, batch.shape) == (np.int8, (70, 3))
    np.testing.assert_array_equal(model.predict(raw), batch)
    np.testing.assert_array_equal(model.predict(x[3]), batch[3])
    np.testing.assert_array_equal(model.predict((x[i : i + 8], None) for i in range(0, 70, 8)), batch)
    np.testing.assert_array_equal(model.predict([x[:30], x[30:]]), batch)
    real = model.predict(x, y_dtype=np.float32)
    np.testing.assert_array_equal(real, model.dequantize_output_to_float32(batch))
    assert np.allclose(real.sum(axis=1), 1, atol=0.02)
    np.testing.assert_array_equal(LiteRtPredictor(model).predict(x), real)
    assert load("dense_float32").predict(np.zeros(20, np.int64)).dtype == np.float32
    assert model.predict(x[:0]).shape == (0, 3)


def test_predict_honours_edits_and_needs_no_file(load, x):
    model = TfliteModel(load().flatbuffer_data)
    before = model.predict(x)
    bias = model.layers[1].bias_tensor
    model.flatbuffer_model.buffers[model.flatbuffer_subgraph.tensors[bias.index].buffer].data = np.full(
        16, 99, np.uint8
    )

    model.regenerate_flatbuffer()

    assert not np.array_equal(model.predict(x), before)


def test_input_that_does_not_fit_is_told(load, model_path):
    model = load()
    for wrong in (np.zeros((2, 12, 12, 3)), np.zeros((2, 12)), np.zeros(())):
        with pytest.raises(EvaluationError, match="12x12x1"):
            model.predict(wrong)
    with pytest.raises(EvaluationError, match="type"):
        model.predict(np.full((1, 12, 12, 1), "a"))
    with pytest.raises(EvaluationError, match="empty"):
        model.predict([])
    with pytest.raises(EvaluationError, match="1 inputs; 2"):
        LiteRtPredictor(model).run([np.zeros(1), np.zeros(1)])


def test_a_model_that_litert_cannot_run_is_told_in_one_line(load, tmp_path):
    model = load("dense_float32")
    model.flatbuffer_model.operatorCodes[0].builtinCode = 32
    model.flatbuffer_model.operatorCodes[0].deprecatedBuiltinCode = 32
    model.flatbuffer_model.operatorCodes[0].customCode = b"MyOperator"
    model.regenerate_flatbuffer()

    with pytest.raises(EvaluationError, match="MyOperator") as caught:
        model.predict(np.zeros(20, np.float32))
    assert len(str(caught.value).splitlines()) == 1
    model = load("dense_float32")
    model.flatbuffer_subgraph.tensors[model.get_input_tensor().index].name = b"\xff"
    model.regenerate_flatbuffer()
    with pytest.raises(EvaluationError, match="LiteRT cannot run"):
        LiteRtPredictor(model)
    with pytest.raises(FileFormatError):
        LiteRtPredictor(b"no model")
    with pytest.raises(ModelNotFoundError):
        LiteRtPredictor(tmp_path / "none.tflite")
