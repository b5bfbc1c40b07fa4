"""Profile a `.tflite` model without running it."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial

from mltk.plugins import Profiler, hookimpl, import_on_call


@hookimpl(trylast=True)
def mltk_profilers() -> Iterable[Profiler]:
    """Offer `static`, which runs nothing."""
    profile = partial(import_on_call("mltk.results.profiling:ProfilingModelResults"), method="static")
    return [Profiler("static", "reads the file: operations, MACs, shapes, types, sizes", profile)]
