"""What the doctor finds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Severity = Literal["error", "differs", "hint"]
"""`error`: it will not run; `differs`: it runs, with other results; `hint`: there is a better way."""


@dataclass(frozen=True, order=True)
class Finding:
    """One remark on a specification."""

    line: int
    """Counted from 1."""
    column: int
    """Counted from 1, in characters of the line."""
    severity: Severity
    rule: str
    """Name of the rule, for instance `keras-fit-workers`."""
    message: str
    """What is so, and what to do."""
    heuristic: bool = False
    """Concluded from the looks of the code: it may be wrong."""


@dataclass(frozen=True)
class Report:
    """All that was found in one specification."""

    path: str
    """The file; of one in an archive, `archive.mltk.zip/name.py`."""
    findings: tuple[Finding, ...]
    """In the order of the lines."""

    @property
    def runs(self) -> bool:
        """Whether nothing was found that would keep the specification from running."""
        return self.count("error") == 0

    def count(self, severity: Severity) -> int:
        """Return the number of findings of a severity."""
        return sum(finding.severity == severity for finding in self.findings)
