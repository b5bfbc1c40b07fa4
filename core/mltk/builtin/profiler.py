"""Profile a `.tflite` model without running it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from mltk.plugins import Profiler, hookimpl

if TYPE_CHECKING:
    from mltk.results.profiling import ProfilingModelResults
    from mltk.tflite import TfliteModel


@hookimpl(trylast=True)
def mltk_profilers() -> Iterable[Profiler]:
    """Offer `static`, which runs nothing."""
    return [Profiler("static", "reads the file: operations, MACs, shapes, types, sizes", _profile)]


def _profile(tflite_model: TfliteModel) -> ProfilingModelResults:
    from mltk.results.profiling import ProfilingModelResults

    return ProfilingModelResults(tflite_model, method="static")
