"""Readers of untrusted JSON and YAML."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mltk.errors import FileFormatError

if TYPE_CHECKING:
    import yaml

MAX_JSON_BYTES = 16 << 20
MAX_YAML_BYTES = 1 << 20
"""PyYAML needs 30 s and 250 MB for this size."""


def parse_json(data: bytes, source: str) -> Any:
    """Parse a JSON document.

    Args:
        data: The document, in UTF-8 (or UTF-16 or UTF-32).
        source: What it is; begins the error message.

    Raises:
        FileFormatError: It is no JSON, nested too deeply or larger than `MAX_JSON_BYTES`.
    """
    _check_size(data, MAX_JSON_BYTES, source)
    try:
        return json.loads(data)
    # ValueError besides the decoder's own: a number of more digits than Python converts, and wrong UTF-8.
    except (ValueError, RecursionError) as e:
        raise FileFormatError(f"{source} cannot be read as JSON: {_reason(e)}.") from e


def parse_yaml(data: bytes, source: str) -> Any:
    """Parse a YAML document. References (`*name`) are rejected, as they can expand exponentially.

    Args:
        data: The document, in UTF-8 (or UTF-16).
        source: What it is; begins the error message.

    Raises:
        FileFormatError: It is no YAML, refers to a part of itself, is nested too deeply or larger than
            `MAX_YAML_BYTES`.
    """
    import yaml

    _check_size(data, MAX_YAML_BYTES, source)
    try:
        return yaml.load(data, _loader())
    # The constructors of dates, numbers and flags raise what comes: ValueError, KeyError, AttributeError, …
    except Exception as e:
        raise FileFormatError(f"{source} cannot be read as YAML: {_reason(e)}.") from e


def read_json_or_yaml(path: str | os.PathLike[str]) -> Any:
    """Read a file: JSON if its name ends in `.json`, otherwise YAML.

    Raises:
        FileFormatError: As `parse_json` and `parse_yaml`.
        OSError: The file cannot be opened.
    """
    parse, limit = (
        (parse_json, MAX_JSON_BYTES) if str(path).endswith(".json") else (parse_yaml, MAX_YAML_BYTES)
    )
    with Path(path).open("rb") as file:
        return parse(file.read(limit + 1), str(path))


def _check_size(data: bytes, limit: int, source: str) -> None:
    if len(data) > limit:
        raise FileFormatError(f"{source} is larger than {limit:,} bytes.")


def _loader() -> type[yaml.SafeLoader]:
    import yaml

    class Loader(yaml.SafeLoader):
        def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
            if self.check_event(yaml.AliasEvent):
                event = self.get_event()  # type: ignore[no-untyped-call]
                raise yaml.composer.ComposerError(
                    None, None, f"the reference *{event.anchor} is not supported", event.start_mark
                )
            return super().compose_node(parent, index)

    return Loader


def _reason(error: Exception) -> str:
    if isinstance(error, RecursionError):
        return "it is nested too deeply"
    return " ".join(str(error).split()).rstrip(".") or type(error).__name__
