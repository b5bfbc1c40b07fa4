"""Choose the profiler of a quantized model."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mltk.errors import SpecificationError, did_you_mean
from mltk.plugins import get_plugin_manager

if TYPE_CHECKING:
    from mltk.plugins.types import Profiler

DEFAULT_PROFILER = "static"


def list_profilers() -> dict[str, Profiler]:
    """Return the profilers of mltk, of the plugins and of the active specification by name."""
    return get_plugin_manager().collect_offers("mltk_profilers")


def choose_profiler(name: str | None) -> Profiler:
    """Return the profiler of this name, or the default one.

    Raises:
        SpecificationError: There is no such profiler.
    """
    offers = list_profilers()
    if name is None:
        name = next((p.name for p in offers.values() if p.default), DEFAULT_PROFILER)
    if name not in offers:
        raise SpecificationError(
            f"There is no profiler named '{name}'.{did_you_mean(name, offers)} "
            f"Those offered: {', '.join(offers) or 'none'}."
        )
    return offers[name]
