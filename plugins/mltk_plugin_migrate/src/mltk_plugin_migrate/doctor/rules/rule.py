"""A rule: a pattern to look for and the message about it."""

from __future__ import annotations

from dataclasses import dataclass

from mltk_plugin_migrate.doctor.findings import Severity
from mltk_plugin_migrate.doctor.patterns import Pattern


@dataclass(frozen=True)
class Rule:
    """One thing that is worth saying."""

    name: str
    severity: Severity
    pattern: Pattern
    message: str
    """What is so and what to do; `{fields}` are what the pattern found."""
    heuristic: bool = False
    """Whether it goes by the looks of the code."""
