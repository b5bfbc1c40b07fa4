"""The compiler `c-array`: the `.tflite` as an array in C, for firmware that has no file system."""

from __future__ import annotations

import re

from mltk.errors import SpecificationError
from mltk.tflite import TfliteModel

_HEADER = """\
// Written by mltk from {name}. Include it in one source file only.
#pragma once

#if defined(__cplusplus)
#define MLTK_ALIGN_16 alignas(16)
#elif defined(__STDC_VERSION__) && __STDC_VERSION__ >= 201112L
#define MLTK_ALIGN_16 _Alignas(16)
#else
#define MLTK_ALIGN_16 __attribute__((aligned(16)))
#endif

static const unsigned int {variable}_size = {size};
MLTK_ALIGN_16 static const unsigned char {variable}[{size}] = {{
{rows}
}};

#undef MLTK_ALIGN_16
"""
_PER_ROW = 16


def write_array(tflite_model: TfliteModel, variable: str = "model") -> bytes:
    """Return a header for C and C++ with the model as an array, aligned to 16 bytes as TFLM requires.

    Args:
        tflite_model: The model.
        variable: Name of the array; its size in bytes is `<variable>_size`.

    Raises:
        SpecificationError: `variable` is not a name in C.
    """
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", str(variable), re.ASCII):
        raise SpecificationError(
            f"'{variable}' is not the name of a variable in C. Use letters, digits and '_', a letter first."
        )
    data = tflite_model.flatbuffer_data
    rows = (data[start : start + _PER_ROW] for start in range(0, len(data), _PER_ROW))
    text = _HEADER.format(
        # The name may contain what would end a comment's line.
        name=re.sub(r"[^A-Za-z0-9_. -]", "_", tflite_model.name),
        variable=variable,
        size=len(data),
        rows="\n".join("  " + ", ".join(f"0x{byte:02x}" for byte in row) + "," for row in rows),
    )
    return text.encode("ascii")
