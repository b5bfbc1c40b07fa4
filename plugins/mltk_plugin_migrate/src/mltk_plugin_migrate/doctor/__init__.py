"""Check a specification written for silabs-mltk without running it.

```python
from mltk_plugin_migrate.doctor import examine

for finding in examine("my_model.py").findings:
    print(finding.line, finding.severity, finding.message)
```

Neither the specification nor TensorFlow is imported. The rules are in `mltk_plugin_migrate.doctor.rules`.
"""

from __future__ import annotations

import ast
import re
from pathlib import Path

from mltk.errors import FileFormatError, ModelNotFoundError, SpecificationError
from mltk.model.mixins.archive import original_specification
from mltk.sources.search import find_model_specification_file, model_not_found, split_test_suffix
from mltk.sources.source import is_path as is_model_path
from mltk.utils.model_archive import ARCHIVE_EXTENSION, ModelArchive
from mltk_plugin_migrate.doctor.findings import Finding, Report, Severity
from mltk_plugin_migrate.doctor.rules import RULES
from mltk_plugin_migrate.doctor.source import Source

__all__ = ["Finding", "Report", "Severity", "examine", "examine_text"]

MAX_BYTES = 4 << 20


def examine(specification: str | Path) -> Report:
    """Check a specification.

    Args:
        specification: Model name on the search path, path of a script, or path of an archive that contains the script.

    Raises:
        ModelNotFoundError: The file or model does not exist.
        ArchiveFileNotFoundError: The archive contains no script.
        FileFormatError: The archive is damaged, or the script is too large.
        SpecificationError: The file has another type.
    """
    path = str(specification)
    if not is_model_path(path):
        path = _find(path)
    if not Path(path).is_file():
        raise ModelNotFoundError(f"There is no file {path}.")
    if path.endswith(ARCHIVE_EXTENSION):
        name, _ = split_test_suffix(Path(path).name.removesuffix(ARCHIVE_EXTENSION))
        archived = ModelArchive(path).read(f"{name}.py").decode("utf-8", "surrogateescape")
        # Without the line that archiving adds: findings have the line numbers of the author's file.
        text = original_specification(archived).encode("utf-8", "surrogateescape")
        return _examine_bytes(text, f"{path}/{name}.py", None)
    if not path.endswith(".py"):
        raise SpecificationError(
            f"{path} is not a model specification: give a .py or a {ARCHIVE_EXTENSION} file."
        )
    return _examine_bytes(Path(path).read_bytes(), path, Path(path).parent)


def _find(model: str) -> str:
    name, test = split_test_suffix(model)
    found = find_model_specification_file(name, test=test)
    if found is None:
        raise model_not_found(name)
    return found


def _examine_bytes(text: bytes, path: str, folder: Path | None) -> Report:
    if len(text) > MAX_BYTES:
        raise FileFormatError(f"{path} has {len(text):,} bytes, which is too large for a specification.")
    return examine_text(text, path, folder)


def examine_text(text: bytes, path: str = "model.py", folder: Path | None = None) -> Report:
    """Check the text of a specification.

    Args:
        text: The script.
        path: Path for the report; the last part is the file name.
        folder: Folder with modules that the script may import.

    Returns:
        The findings. A syntax error is the only finding of its script.
    """
    try:
        source = Source(text, Path(path).name, folder)
        found = [(rule, node, fields) for rule in RULES for node, fields in rule.pattern.find(source)]
    except SyntaxError as e:
        finding = Finding(e.lineno or 1, e.offset or 1, "error", "syntax", f"Invalid Python: {e.msg}.")
        return Report(path, (finding,))
    # Bytes that are invalid in scripts; nesting that is too deep for Python's parser or compiler.
    except (ValueError, RecursionError, MemoryError) as e:
        reason = str(e) if isinstance(e, ValueError) else "it is nested too deeply"
        return Report(path, (Finding(1, 1, "error", "syntax", f"Invalid Python: {reason}."),))
    lines = re.split(rb"\r\n|\r|\n", text)
    findings = {
        Finding(
            *_position(node, lines), rule.severity, rule.name, rule.message.format(**fields), rule.heuristic
        )
        for rule, node, fields in found
    }
    return Report(path, tuple(sorted(findings)))


def _position(node: ast.AST, lines: list[bytes]) -> tuple[int, int]:
    """Return line and column of a node, both from 1; columns count characters, not bytes."""
    line = getattr(node, "lineno", 1)
    before = lines[line - 1][: getattr(node, "col_offset", 0)]
    return line, len(before.decode("utf-8", "replace")) + 1
