"""The memory of a model is TensorFlow Lite Micro's own figure."""

import logging
import re
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mltk.results.profiling import MemoryPart
from mltk_plugin_tflm.arena import measure_memory, parse_allocations, runtime_memory_size
from mltk_plugin_tflm.process import TflmError, TflmProcess
from mltk_plugin_tflm.submodel import cut

PRINTED = """\
[RecordingMicroAllocator] Arena allocation total 72176 bytes\r
[RecordingMicroAllocator] Arena allocation head 69120 bytes\r
[RecordingMicroAllocator] Arena allocation tail 3056 bytes\r
[RecordingMicroAllocator] 'TfLiteEvalTensor data' used 480 bytes with alignment overhead (requested 472 bytes for 20 allocations)\r
[RecordingMicroAllocator] 'NodeAndRegistration struct' used 640 bytes with alignment overhead (requested 640 bytes for 10 NodeAndRegistration structs)\r
"""  # noqa: E501 - as it is printed

DIRECT = """
import sys
from tflite_micro import runtime
interpreter = runtime.Interpreter.from_file(sys.argv[1], arena_size=1 << 20)
interpreter.invoke()
interpreter.print_allocations()
"""


def direct_total(path):
    """What tflite-micro says when it is used by itself."""
    done = subprocess.run([sys.executable, "-c", DIRECT, path], capture_output=True, text=True, check=True)
    return int(re.search(r"Arena allocation total (\d+) bytes", done.stderr)[1])


@pytest.mark.parametrize("name", ["conv_int8", "conv_int8_float_io", "dense_float32"])
def test_the_total_equals_what_tflite_micro_prints(load, name):
    model = load(name)
    assert runtime_memory_size(model) == direct_total(model.path)


def test_the_reference_models_memory_is_what_tflite_micro_prints(load, shared):
    from mltk.tflite import TfliteModel

    model = TfliteModel.load_flatbuffer_file(shared / "golden" / "params_image_dev.tflite")
    with TflmProcess(model) as process:
        memory = measure_memory(model, process)
    assert memory.total == direct_total(model.path) == memory.smallest_arena
    assert memory.head + memory.tail == memory.total


def test_the_smallest_arena_works_and_a_smaller_one_does_not(load):
    model = load("conv_int8")
    with TflmProcess(model) as process:
        memory = measure_memory(model, process)
        assert memory.smallest_arena > memory.total
        assert process.attempt(arena=memory.smallest_arena).problem is None
        assert process.attempt(arena=memory.smallest_arena - 16).problem is not None
    assert "TfLiteEvalTensor data" in [part.name for part in memory.parts]
    assert 0 < sum(part.used for part in memory.parts) <= memory.tail


def test_metadata_do_not_change_the_memory(load):
    model = load("conv_int8")
    bare = cut(model, model.layers, model.outputs)
    model.add_metadata("SL_PARAMSv1", bytes(5000))
    assert runtime_memory_size(model) == runtime_memory_size(bare)


def test_an_unsupported_model_has_no_memory_and_one_warning(unknown_operators, caplog):
    with caplog.at_level(logging.WARNING, "mltk.tflm"):
        assert runtime_memory_size(unknown_operators(4)) is None
    (record,) = caplog.records
    assert "'runtime_memory_size' is omitted" in record.getMessage()
    assert "op4-segment_sum" in record.getMessage()


def test_the_allocator_output_is_parsed():
    memory = parse_allocations(PRINTED)
    assert (memory.total, memory.head, memory.tail) == (72176, 69120, 3056)
    assert memory.parts == (
        MemoryPart("TfLiteEvalTensor data", 480, 472, 20),
        MemoryPart("NodeAndRegistration struct", 640, 640, 10),
    )


@given(st.lists(st.sampled_from([*PRINTED.splitlines(), "a word of a kernel", "", "[Recording"])))
def test_other_and_missing_lines_are_ignored(lines):
    text = "\n".join(lines)
    if "total 72176" not in text:
        with pytest.raises(TflmError, match="did not report"):
            parse_allocations(text)
        return
    memory = parse_allocations(text)
    assert memory.total == 72176
    assert memory.head in (None, 69120)
    assert len(memory.parts) == text.count("requested")
