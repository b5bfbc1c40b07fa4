"""Dates for reproducible files."""

from __future__ import annotations

import os
from datetime import UTC, datetime

from mltk.errors import MltkError


def source_date() -> datetime:
    """Return the date for files: `SOURCE_DATE_EPOCH` if set, otherwise the current time (UTC)."""
    epoch = os.environ.get("SOURCE_DATE_EPOCH")
    if not epoch:
        return datetime.now(UTC)
    try:
        return datetime.fromtimestamp(int(epoch), UTC)
    except (ValueError, OverflowError, OSError) as e:
        raise MltkError(
            f"SOURCE_DATE_EPOCH must be a whole number of seconds since 1970, not '{epoch}'."
        ) from e
