"""The exceptions that mltk raises for what a user can put right.

The command line turns every `MltkError` into one line on stderr and exit code 1. Any other exception is
a defect and keeps its traceback. A message says what is wrong, where, and what to do.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from mltk.utils.string_formatting import printable


class MltkError(Exception):
    """What the user gave, or the machine's state, does not allow the operation.

    Args:
        message: One or a few whole sentences in one line: what, where, what to do. Control characters, which
            names in a file may contain, are made visible.
        **more: What the other base class of a subclass takes besides.
    """

    def __init__(self, *message: object, **more: Any) -> None:
        super().__init__(*(printable(part) if isinstance(part, str) else part for part in message), **more)


class ModelNotFoundError(MltkError, FileNotFoundError):
    """No model, specification or archive of that name or path."""


class SpecificationError(MltkError, ValueError):
    """A model specification, or a value set in it, is not usable."""


class DatasetError(MltkError, ValueError):
    """A data set, or one of its files, is missing or not usable."""


class FileFormatError(MltkError, ValueError):
    """A file (archive, `.tflite`, parameters, Keras file) is damaged or of another kind."""


class ArchiveFileNotFoundError(MltkError, FileNotFoundError):
    """The model archive, or the wanted member of it, does not exist."""


class ConversionError(MltkError, RuntimeError):
    """The model cannot be converted with these settings."""


class EvaluationError(MltkError, RuntimeError):
    """The evaluation cannot be done on this model or data."""


class TrustError(MltkError, PermissionError):
    """Going on would run code from a file that was not declared trusted."""


class DownloadError(MltkError, OSError):
    """A download failed or does not have the expected checksum."""


def did_you_mean(name: str, known: Iterable[object]) -> str:
    """Return `" Did you mean 'a' or 'b'?"` for up to three near matches, or an empty string.

    Args:
        name: What the user typed.
        known: An iterable of the valid names.
    """
    import difflib

    near = difflib.get_close_matches(name, [str(k) for k in known], n=3, cutoff=0.6)
    if not near:
        return ""
    return " Did you mean " + " or ".join(f"'{n}'" for n in near) + "?"
