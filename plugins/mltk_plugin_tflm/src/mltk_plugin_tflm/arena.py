"""How much memory TensorFlow Lite Micro needs for a model, by its own account."""

from __future__ import annotations

import logging
import re
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from mltk.results.profiling import MemoryPart, RuntimeMemory
from mltk_plugin_tflm.process import ALIGNMENT, TflmError, TflmProcess, generous_arena
from mltk_plugin_tflm.support import check, random_values

if TYPE_CHECKING:
    from mltk.tflite import TfliteModel

_log = logging.getLogger("mltk.tflm")

_SIZE = re.compile(r"\[RecordingMicroAllocator\] Arena allocation (total|head|tail) (\d+) bytes")
_PART = re.compile(
    r"\[RecordingMicroAllocator\] '(?P<name>[^\n]+)' used (?P<used>\d+) bytes with alignment overhead"
    r" \(requested (?P<requested>\d+) bytes for (?P<count>\d+) [^\n]*\)"
)


def runtime_memory_size(model: TfliteModel) -> int | None:
    """Return the bytes that a model holds of TFLM's tensor arena; `None`, with a warning, if TFLM does not run it."""
    try:
        with TflmProcess(model) as process:
            check(model, process)
            return _recorded(model, process).total
    except TflmError as error:
        _log.warning("The parameter 'runtime_memory_size' is left out. %s", error)
        return None


def measure_memory(model: TfliteModel, process: TflmProcess) -> RuntimeMemory:
    """Run a model once in TFLM's recording interpreter, then look for the smallest arena that it runs in.

    Args:
        model: The model.
        process: Where to run it; has the model loaded.

    Returns:
        `total` is TFLM's own figure ("Arena allocation total"), in an arena whose size is a multiple of 16 bytes.
        It belongs to this computer: structures hold pointers, which are half as long on a 32-bit target.

    Raises:
        TflmError: TFLM cannot run the model.
    """
    recorded = _recorded(model, process)
    return replace(recorded, smallest_arena=_smallest_arena(model, process, recorded.total))


def _recorded(model: TfliteModel, process: TflmProcess) -> RuntimeMemory:
    attempt = process.attempt(inputs=_inputs(model), allocations=True)
    if attempt.problem is not None:
        raise process.error(attempt.problem)
    return parse_allocations(attempt.text)


def parse_allocations(text: str) -> RuntimeMemory:
    """Return what the recording allocator printed; other lines among its own are passed over.

    Raises:
        TflmError: The total is not there.
    """
    sizes = {name: int(size) for name, size in _SIZE.findall(text)}
    if "total" not in sizes:
        raise TflmError("TensorFlow Lite Micro did not say how much memory it used.")
    parts = tuple(
        MemoryPart(found["name"], int(found["used"]), int(found["requested"]), int(found["count"]))
        for found in _PART.finditer(text)
    )
    return RuntimeMemory(sizes["total"], sizes.get("head"), sizes.get("tail"), parts=parts)


def _smallest_arena(model: TfliteModel, process: TflmProcess, used: int) -> int:
    """Return the smallest arena, a multiple of 16 bytes, in which a model runs that holds `used` bytes of it."""
    inputs, enough = _inputs(model), generous_arena(model)

    def works(arena: int) -> bool:
        return process.attempt(arena=arena, inputs=inputs).problem is None

    # Planning takes memory too, but nothing of the size of a tensor: what is needed is near to what is used.
    low = _aligned(used) - ALIGNMENT
    step = ALIGNMENT
    while low + step < enough and not works(low + step):
        low += step
        step *= 2
    high = min(low + step, _aligned(enough))
    while high - low > ALIGNMENT:
        middle = low + (high - low) // 2 // ALIGNMENT * ALIGNMENT
        if works(middle):
            high = middle
        else:
            low = middle
    return high


def _inputs(model: TfliteModel) -> list[np.ndarray]:
    return [random_values(tensor) for tensor in model.inputs]


def _aligned(size: int) -> int:
    return -(-size // ALIGNMENT) * ALIGNMENT
