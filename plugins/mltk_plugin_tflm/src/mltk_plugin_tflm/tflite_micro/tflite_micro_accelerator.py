"""Accelerators of silabs-mltk, which are programs for hardware of Silicon Labs and not part of mltk."""

from __future__ import annotations

from mltk_plugin_tflm.process import TflmError


class TfliteMicroAccelerator:
    """Base of accelerators; for type annotations, since there is none."""

    name = ""

    def __init__(self, *_: object) -> None:
        raise refuse("TfliteMicroAccelerator")


def refuse(name: object) -> TflmError:
    """Return the error for an accelerator that is asked for."""
    return TflmError(
        f"There is no accelerator '{name}': those of silabs-mltk simulate hardware of Silicon Labs. The reference "
        f"kernels run without one; plugins may offer profilers and compilers for hardware (mltk profile --list)."
    )
