"""C arrays: `mltk.utils.bin2header`."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import TextIO

from mltk.utils.files import atomic_write


def bin2header(
    input: str | os.PathLike[str] | bytes | Iterable[float],
    output_path: bool | str | os.PathLike[str] | TextIO | None = None,
    var_name: str = "DATA",
    length_var_name: str = "DATA_LENGTH",
    dtype: str = "const unsigned char",
    attributes: str | None = None,
    prepend_lines: Iterable[str] | None = None,
    fmt_str: str | None = None,
    prepend_header: bool = True,
) -> str:
    """Return a C header with an array.

    Args:
        input: Path of a file, bytes, or numbers.
        output_path: File to write to, too; `True` is `<input>.h`.
        var_name: Name of the array.
        length_var_name: Name of the variable with its number of elements; empty for none.
        dtype: C type of the elements.
        attributes: Text before the name of the array, such as `__attribute__((aligned(4)))`.
        prepend_lines: Lines to begin with.
        fmt_str: Format of an element, e.g. `0x{:02X}`; by default that for bytes, else `{}`.
        prepend_header: Begin with `#pragma once`.
    """
    path = input if isinstance(input, str | os.PathLike) else None
    values = Path(path).read_bytes() if path is not None else input
    form = fmt_str or ("0x{:02X}" if isinstance(values, bytes) else "{}")
    texts = [form.format(value) for value in values]  # type: ignore[union-attr]  # no path any more
    rows = [", ".join(texts[i : i + 16]) for i in range(0, len(texts), 16)]
    lines = ["#pragma once", ""] if prepend_header else []
    lines += [*(prepend_lines or ()), f"{dtype} {attributes or ''} {var_name}[] =".replace("  ", " "), "{"]
    lines += [*(f"  {row}," for row in rows), "};"]
    if length_var_name:
        lines.append(f"const unsigned int {length_var_name} = {len(texts)};")
    text = "\n".join(lines) + "\n"
    if isinstance(output_path, str | os.PathLike) or (output_path is True and path is not None):
        atomic_write(f"{os.fspath(path or '')}.h" if output_path is True else os.fspath(output_path), text)
    elif output_path is not None and not isinstance(output_path, bool):
        output_path.write(text)
    return text
