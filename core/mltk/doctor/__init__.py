"""Read a specification without running it, and say what will be different from `silabs-mltk`.

```python
from mltk.doctor import examine

for finding in examine("my_model.py").findings:
    print(finding.line, finding.severity, finding.message)
```

Neither the specification nor TensorFlow is imported. The rules are in one table, `mltk.doctor._rules.RULES`.
"""

from __future__ import annotations

import ast
import re
from pathlib import Path

from mltk.doctor._findings import Finding, Report, Severity
from mltk.errors import FileFormatError, ModelNotFoundError, SpecificationError

__all__ = ["Finding", "Report", "Severity", "examine", "examine_text"]

MAX_BYTES = 4 << 20


def examine(specification: str | Path) -> Report:
    """Examine a specification.

    Args:
        specification: Name on the model search path, path of a script, or of an archive, whose script is read.

    Raises:
        ModelNotFoundError: There is no such file or model.
        ArchiveFileNotFoundError: The archive has no script.
        FileFormatError: The archive is damaged, or the script is too large to be one.
        SpecificationError: The file is of another kind.
    """
    from mltk.model.mixins.archive import original_specification
    from mltk.sources.search import find_model_specification_file, model_not_found, split_test_suffix
    from mltk.sources.source import is_path as is_model_path
    from mltk.utils.model_archive import ARCHIVE_EXTENSION

    path = str(specification)
    if not is_model_path(path):
        name, test = split_test_suffix(path)
        found = find_model_specification_file(name, test=test)
        if found is None:
            raise model_not_found(name)
        path = found
    if not Path(path).is_file():
        raise ModelNotFoundError(f"There is no file {path}.")
    if path.endswith(ARCHIVE_EXTENSION):
        from mltk.utils.model_archive import ModelArchive

        name, _ = split_test_suffix(Path(path).name.removesuffix(ARCHIVE_EXTENSION))
        text = ModelArchive(path).read(f"{name}.py")
        # Without the line that archiving adds, so that the lines are those of the author.
        text = original_specification(text.decode("utf-8", "surrogateescape")).encode(
            "utf-8", "surrogateescape"
        )
        return _checked(text, f"{path}/{name}.py", None)
    if not path.endswith(".py"):
        raise SpecificationError(
            f"{path} is not a model specification: give a .py or a {ARCHIVE_EXTENSION} file."
        )
    return _checked(Path(path).read_bytes(), path, Path(path).parent)


def _checked(text: bytes, path: str, folder: Path | None) -> Report:
    if len(text) > MAX_BYTES:
        raise FileFormatError(f"{path} has {len(text):,} bytes, which is too large for a specification.")
    return examine_text(text, path, folder)


def examine_text(text: bytes, path: str = "model.py", folder: Path | None = None) -> Report:
    """Examine the text of a specification.

    Args:
        text: The script.
        path: What to call it; the last part is the file name.
        folder: Where modules that it imports may lie beside it.

    Returns:
        The findings; a syntax error is one, and the only one.
    """
    from mltk.doctor._rules import RULES
    from mltk.doctor._source import Source

    try:
        source = Source(text, Path(path).name, folder)
        found = [(rule, node, fields) for rule in RULES for node, fields in rule.pattern.find(source)]
    except SyntaxError as e:
        finding = Finding(e.lineno or 1, e.offset or 1, "error", "syntax", f"This is no Python: {e.msg}.")
        return Report(path, (finding,))
    # Bytes that no script has; nesting that neither Python's parser nor its compiler takes.
    except (ValueError, RecursionError, MemoryError) as e:
        what = "it is nested too deeply" if not isinstance(e, ValueError) else str(e)
        return Report(path, (Finding(1, 1, "error", "syntax", f"This is no Python: {what}."),))
    lines = re.split(rb"\r\n|\r|\n", text)
    findings = {
        Finding(
            *_position(node, lines), rule.severity, rule.name, rule.message.format(**fields), rule.heuristic
        )
        for rule, node, fields in found
    }
    return Report(path, tuple(sorted(findings)))


def _position(node: ast.AST, lines: list[bytes]) -> tuple[int, int]:
    """Return line and column of a node, counted from 1; columns in characters, not in bytes."""
    line = getattr(node, "lineno", 1)
    before = lines[line - 1][: getattr(node, "col_offset", 0)]
    return line, len(before.decode("utf-8", "replace")) + 1
