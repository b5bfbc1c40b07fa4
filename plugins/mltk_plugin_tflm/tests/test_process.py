"""The process that TensorFlow Lite Micro runs in."""

import io
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from mltk.utils.frames import read_frame, write_frame
from mltk_plugin_tflm import process as process_module
from mltk_plugin_tflm.process import TflmError, TflmProcess, generous_arena

ARRAYS = st.lists(
    npst.arrays(
        st.sampled_from(["int8", "uint8", "int32", "float32", "bool"]),
        npst.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4),
    ),
    max_size=3,
)


@given(ARRAYS, st.dictionaries(st.text().filter(lambda key: key != "arrays"), st.integers() | st.text()))
def test_messages_arrive_as_they_were_sent(arrays, header):
    stream = io.BytesIO()
    write_frame(stream, header, arrays)
    stream.seek(0)
    found, received = read_frame(stream)
    assert found == header
    for mine, theirs in zip(arrays, received, strict=True):
        assert (mine.dtype, mine.shape, mine.tobytes()) == (theirs.dtype, theirs.shape, theirs.tobytes())
    assert stream.read() == b""


@given(st.data())
def test_an_incomplete_message_raises_eof_error(data):
    stream = io.BytesIO()
    write_frame(stream, {"do": "load"}, [np.arange(5)])
    whole = stream.getvalue()
    with pytest.raises(EOFError):
        read_frame(io.BytesIO(whole[: data.draw(st.integers(0, len(whole) - 1))]))


@pytest.fixture
def running(load):
    with TflmProcess(load("conv_int8")) as process:
        yield process


def test_a_crash_is_an_answer_and_the_next_attempt_works(running):
    crashed = running.attempt(arena=16)
    assert crashed.problem == "it crashed its process (SIGSEGV)"
    refused = running.attempt(arena=1024)
    assert refused.problem.startswith("Failed to allocate tail memory")
    assert running.attempt().problem is None


def test_output_belongs_to_its_request(running):
    assert "Arena allocation total" in running.attempt(allocations=True).text
    assert running.attempt().text == ""


def test_a_long_inference_is_stopped(load, monkeypatch):
    monkeypatch.setattr(process_module, "_LIMIT_SECONDS", 1)
    model = load("dense_float32")
    for tensor in model.tensors:
        if not tensor.is_constant:
            model.flatbuffer_subgraph.tensors[tensor.index].shape = [200_000, *tensor.shape[1:]]
    model.regenerate_flatbuffer(reload_model=True)
    with TflmProcess(model) as process:
        assert process.attempt(seconds=1e9).problem == "it did not finish within 1 seconds"


def test_a_crash_is_reported_in_one_line(running):
    running._worker.process.kill()
    with pytest.raises(
        TflmError, match=r"cannot run '.*conv_int8\.tflite': it crashed its process .*SIGKILL"
    ):
        running.open()


def test_a_missing_package_is_named(load, monkeypatch, tmp_path):
    (tmp_path / "tflite_micro.py").write_text("raise ImportError('no wheel for this machine')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with pytest.raises(TflmError, match=r"tflite-micro\) cannot be started: .*no wheel for this machine"):
        TflmProcess(load("conv_int8"))


def test_a_rejected_model_has_the_message_of_tflm(load):
    with (
        TflmProcess(load("dense_dynamic_range")) as process,
        pytest.raises(TflmError, match="Input type: FLOAT32 with filter type: INT8 not supported") as error,
    ):
        process.open()
    assert "\n" not in str(error.value)


def test_neither_tensorflow_nor_tflite_micro_is_loaded_here(running):
    running.open()
    running.run([np.zeros((1, 1, 12, 12, 1), np.int8)])
    assert "tflite_micro" not in sys.modules


def test_the_generous_arena_holds_all_tensors_and_has_a_limit(load):
    model = load("conv_int8")
    activations = sum(t.size_bytes for t in model.tensors if not t.is_constant)
    assert generous_arena(model) > activations
    assert generous_arena(model) % 16 == 0
    model.flatbuffer_subgraph.tensors[0].shape = [1, 2**20, 2**15]
    assert generous_arena(model) == 2**31 - 16
