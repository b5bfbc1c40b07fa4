"""Where a specification has a name, for messages about names that are wrong."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mltk.model.base import ModelBase


def place_of(mltk_model: ModelBase, name: str) -> str:
    """Return `"file, line N: "` for the last line of a specification with a name as text or as keyword.

    Args:
        mltk_model: The model.
        name: The name, such as the key of a setting or the name of a loss.

    Returns:
        An empty text if the specification does not have it, or there is no file.
    """
    path = Path(mltk_model.model_specification_path or "")
    try:
        tree = ast.parse(path.read_bytes())
    except (OSError, ValueError, SyntaxError):
        return ""
    lines = [
        node.value.lineno if isinstance(node, ast.keyword) else node.lineno
        for node in ast.walk(tree)
        if (isinstance(node, ast.Constant) and node.value == name)
        or (isinstance(node, ast.keyword) and node.arg == name)
    ]
    return f"{path}, line {max(lines)}: " if lines else ""
