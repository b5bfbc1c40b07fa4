"""Memory that TensorFlow Lite Micro reports for a model."""

from __future__ import annotations

import logging
import re
from dataclasses import replace
from typing import TYPE_CHECKING

from mltk.results.profiling import MemoryPart, RuntimeMemory
from mltk_plugin_tflm.process import ALIGNMENT, TflmError, TflmProcess, generous_arena
from mltk_plugin_tflm.support import check, explain, random_inputs

if TYPE_CHECKING:
    from mltk.tflite import TfliteModel

_log = logging.getLogger("mltk.tflm")

_SIZE = re.compile(r"\[RecordingMicroAllocator\] Arena allocation (total|head|tail) (\d+) bytes")
_PART = re.compile(
    r"\[RecordingMicroAllocator\] '(?P<name>[^\n]+)' used (?P<used>\d+) bytes with alignment overhead"
    r" \(requested (?P<requested>\d+) bytes for (?P<count>\d+) [^\n]*\)"
)


def runtime_memory_size(model: TfliteModel) -> int | None:
    """Return the size in bytes of a model in the tensor arena of TFLM; warn and return `None` if TFLM cannot run it."""
    try:
        with TflmProcess(model) as process:
            check(model, process)
            return _record(model, process).total
    except TflmError as error:
        _log.warning("The parameter 'runtime_memory_size' is omitted. %s", error)
        return None


def measure_memory(model: TfliteModel, process: TflmProcess) -> RuntimeMemory:
    """Run a model in the recording interpreter of TFLM, then search the smallest arena that it runs in.

    Args:
        model: The model.
        process: Process that has loaded the model.

    Returns:
        Memory on this computer; `total` is the "Arena allocation total" of TFLM in an arena whose size is a multiple
        of 16 bytes. Pointers are half as long on 32-bit targets.

    Raises:
        TflmError: TFLM cannot run the model.
    """
    recorded = _record(model, process)
    return replace(recorded, smallest_arena=_smallest_arena(model, process, recorded.total))


def _record(model: TfliteModel, process: TflmProcess) -> RuntimeMemory:
    attempt = process.attempt(inputs=random_inputs(model), allocations=True)
    if attempt.problem is not None:
        raise explain(model, process, attempt.problem)
    return parse_allocations(attempt.text)


def parse_allocations(text: str) -> RuntimeMemory:
    """Parse the output of the recording allocator; ignore other lines.

    Raises:
        TflmError: The total is missing.
    """
    sizes = {name: int(size) for name, size in _SIZE.findall(text)}
    if "total" not in sizes:
        raise TflmError("TensorFlow Lite Micro did not report its memory.")
    parts = tuple(
        MemoryPart(found["name"], int(found["used"]), int(found["requested"]), int(found["count"]))
        for found in _PART.finditer(text)
    )
    return RuntimeMemory(sizes["total"], sizes.get("head"), sizes.get("tail"), parts=parts)


def _smallest_arena(model: TfliteModel, process: TflmProcess, used: int) -> int:
    """Search the smallest arena, a multiple of 16 bytes, for a model that uses `used` bytes of it."""
    inputs, enough = random_inputs(model), generous_arena(model)

    def works(arena: int) -> bool:
        return process.attempt(arena=arena, inputs=inputs).problem is None

    # Planning needs little additional memory, so the result is close to `used`.
    low = _align(used) - ALIGNMENT
    step = ALIGNMENT
    while low + step < enough and not works(low + step):
        low += step
        step *= 2
    high = min(low + step, _align(enough))
    while high - low > ALIGNMENT:
        middle = low + (high - low) // 2 // ALIGNMENT * ALIGNMENT
        if works(middle):
            high = middle
        else:
            low = middle
    return high


def _align(size: int) -> int:
    return -(-size // ALIGNMENT) * ALIGNMENT
