"""Files that others made: state, processes of their own, inputs of every form, reference kernels."""

import logging
import os
import signal

import numpy as np
import pytest

from mltk.core import evaluate_model
from mltk.errors import EvaluationError
from mltk.tflite import ExactPredictor, LiteRtPredictor, TfliteModel, find_batch_axis
from mltk.tflite._interpreters import InterpreterPool


def _run_litert(path, frames, reference=False):
    """Return what LiteRT itself gives for frames, one after the other, from a new interpreter."""
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    interpreter = Interpreter(
        model_path=str(path),
        experimental_op_resolver_type=OpResolverType.BUILTIN_REF if reference else OpResolverType.AUTO,
    )
    interpreter.allocate_tensors()
    answers = []
    for frame in frames:
        interpreter.set_tensor(interpreter.get_input_details()[0]["index"], frame[np.newaxis])
        interpreter.invoke()
        answers.append(interpreter.get_tensor(interpreter.get_output_details()[0]["index"])[0])
    return np.stack(answers)


@pytest.fixture
def frames():
    return np.random.default_rng(0).normal(size=(6, 5, 2, 3)).astype(np.float32)


@pytest.mark.parametrize("own", [False, True])
@pytest.mark.parametrize("threads", [1, 2])
def test_a_sample_gets_no_state_of_another(model_path, frames, own, threads):
    model = TfliteModel.load_flatbuffer_file(model_path("stream_float32"))
    assert model.is_stateful and model.has_resources
    model.is_own = own
    predictor = LiteRtPredictor(model, num_threads=threads)
    samples = frames[:, 0]
    expected = np.concatenate([_run_litert(model.path, sample[np.newaxis]) for sample in samples])

    for _ in range(2):
        np.testing.assert_allclose(predictor.predict(samples), expected, rtol=1e-6)


def test_the_state_is_kept_across_the_frames_of_a_sample_only(model_path, frames):
    path = model_path("stream_float32")
    predictor = LiteRtPredictor(path, num_threads=2)
    expected = np.stack([_run_litert(path, sequence) for sequence in frames])

    last = predictor.predict(frames)
    np.testing.assert_allclose(last, expected[:, -1], rtol=1e-5, atol=1e-6)
    (every,) = predictor.run([frames], all_frames=True)
    np.testing.assert_allclose(every, expected, rtol=1e-5, atol=1e-6)
    # The frames of all inferences in one axis, as a spectrogram has them.
    np.testing.assert_array_equal(predictor.predict(frames.reshape(6, 10, 3)), last)


def test_sequences_that_do_not_fit_are_told(model_path, frames):
    predictor = LiteRtPredictor(model_path("stream_float32"))
    with pytest.raises(EvaluationError, match=r"takes 2 frames at once, .* multiple of it; got 9"):
        predictor.predict(np.zeros((1, 9, 3), np.float32))
    with pytest.raises(EvaluationError, match="or none"):
        predictor.predict(frames[:, :0])
    # A model without state has no sequences.
    with pytest.raises(EvaluationError, match="shape 20; got an array of shape 2x3x20"):
        LiteRtPredictor(model_path("dense_float32")).predict(np.zeros((2, 3, 20), np.float32))


def test_variable_tensors_are_a_state_too(load):
    model = load("conv_int8")
    assert not model.is_stateful
    model.flatbuffer_subgraph.tensors[3].isVariable = True
    assert model.is_stateful and not model.has_resources
    assert load("lstm_int8").is_stateful


def test_a_crash_of_litert_is_one_line(load):
    predictor = LiteRtPredictor(load("dense_float32"))
    x = np.zeros((2, 20), np.float32)
    assert predictor.predict(x).shape == (2, 2)
    os.kill(predictor._pool._worker.process.pid, signal.SIGABRT)

    for _ in range(2):
        with pytest.raises(
            EvaluationError, match=r"failed on .*: it crashed its process \(SIGABRT\)$"
        ) as error:
            predictor.predict(x)
        assert "\n" not in str(error.value)


def test_what_mltk_made_runs_in_this_process(load):
    model = load("dense_float32")
    model.is_own = True
    predictor = LiteRtPredictor(model)
    assert isinstance(predictor._pool, InterpreterPool)
    x = np.random.default_rng(0).normal(size=(40, 20)).astype(np.float32)
    np.testing.assert_array_equal(predictor.predict(x), LiteRtPredictor(load("dense_float32")).predict(x))


def test_scalars_and_inputs_without_a_batch_axis_take_one_value_a_sample(model_path):
    scalar = LiteRtPredictor(model_path("scalar_float32"))
    np.testing.assert_array_equal(scalar.predict(np.array([1, 2, 5], np.float32)), [3, 5, 11])
    x, y = np.arange(18, dtype=np.float32).reshape(3, 2, 3), np.arange(9, dtype=np.float32).reshape(3, 3)
    added, doubled = LiteRtPredictor(model_path("two_inputs_float32")).run([x, y])
    np.testing.assert_array_equal(added, x + y[:, np.newaxis])
    np.testing.assert_array_equal(doubled, 2 * y)


@pytest.mark.parametrize(
    ("shapes", "expected"),
    [
        ([(1, 3)], (1, [True])),
        ([(2, 3), (2,)], (2, [True, True])),
        ([(1, 3), (3,)], (1, [True, False])),
        ([()], (1, [False])),
        ([(4,), (1, 5)], (1, [False, True])),
    ],
)
def test_the_batch_axis_is_the_first_one_that_all_inputs_share(shapes, expected):
    assert find_batch_axis(shapes) == expected


def test_a_model_for_two_samples_at_once_takes_any_number(load):
    model = load("dense_float32")
    for tensor in model.tensors:
        if not tensor.is_constant:
            model.flatbuffer_subgraph.tensors[tensor.index].shape = [2, *tensor.shape[1:]]
    model.regenerate_flatbuffer(reload_model=True)
    x = np.random.default_rng(0).normal(size=(5, 20)).astype(np.float32)
    expected = LiteRtPredictor(load("dense_float32")).predict(x)
    np.testing.assert_allclose(LiteRtPredictor(model).predict(x), expected, rtol=1e-5)


def test_exact_is_what_the_reference_kernels_give_and_the_difference_is_told(model_path):
    path = model_path("conv_int8")
    model = TfliteModel.load_flatbuffer_file(path)
    x = (3 * np.random.default_rng(0).normal(size=(40, 12, 12, 1))).astype(np.float32)
    expected = _run_litert(path, model.quantize_to_input_dtype(x), reference=True)

    exact = ExactPredictor(path)
    np.testing.assert_array_equal(exact.run([x])[0], expected)
    assert exact.kind == "exact"

    optimized = LiteRtPredictor(path)
    assert optimized.compare_kernels() is None
    optimized.predict(x)
    difference = optimized.compare_kernels()
    steps = np.abs(optimized.run([x[:8]])[0].astype(int) - expected[:8])
    assert (difference.samples, difference.values) == (8, 24)
    assert (difference.differing, difference.largest) == (np.count_nonzero(steps), steps.max())
    assert ("by at most" in str(difference)) == bool(steps.any())
    exact.predict(x)
    assert str(exact.compare_kernels()) == "On 8 samples they gave what the reference kernels give."


@pytest.mark.parametrize(
    ("runtime", "said"), [("tflite", "its optimized kernels. On 8 samples"), ("exact", "reference kernels")]
)
def test_evaluate_says_which_kernels_it_used(model_path, tmp_path, monkeypatch, caplog, runtime, said):
    monkeypatch.setattr(logging.getLogger("mltk"), "propagate", True)
    rng = np.random.default_rng(0)
    np.savez(tmp_path / "data.npz", x=rng.normal(size=(20, 12, 12, 1)), y=rng.integers(0, 3, 20))
    with caplog.at_level(logging.INFO, "mltk"):
        evaluate_model(
            model_path("conv_int8"), data=tmp_path / "data.npz", output=tmp_path / "out", runtime=runtime
        )
    assert said in caplog.text
