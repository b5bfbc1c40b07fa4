"""Types of what Keras passes to callbacks."""

from __future__ import annotations

from typing import Any

Logs = dict[str, Any] | None
"""Metrics by name; Keras' own are floats."""
