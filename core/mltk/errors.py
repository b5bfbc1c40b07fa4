"""Exceptions for errors that a user can fix.

The command line turns every `MltkError` into one line on stderr and exit code 1. Every other exception
is a defect and keeps its traceback. A message says what is wrong, where, and what to do.
"""

from __future__ import annotations

from collections.abc import Iterable

from mltk.utils.string_formatting import printable


class MltkError(Exception):
    """An operation is impossible because of its input or the state of the machine.

    Args:
        message: Sentences in one line: what, where, what to do. Control characters, which names in a file may
            contain, are escaped.
        **more: Arguments of the other base class of a subclass.
    """

    def __init__(self, *message: object, **more: object) -> None:
        super().__init__(*(printable(part) if isinstance(part, str) else part for part in message), **more)


class ModelNotFoundError(MltkError, FileNotFoundError):
    """A model, specification or archive was not found."""


class SpecificationError(MltkError, ValueError):
    """A model specification, or a value in it, is invalid."""


class DatasetError(MltkError, ValueError):
    """A data set, or a file of it, is missing or invalid."""


class FileFormatError(MltkError, ValueError, RuntimeError):
    """A file (archive, `.tflite`, parameters, Keras file) is damaged or has another format."""


class ArchiveFileNotFoundError(MltkError, FileNotFoundError):
    """The model archive, or the requested file in it, does not exist."""


class ConversionError(MltkError, RuntimeError):
    """The model cannot be converted with these settings."""


class EvaluationError(MltkError, RuntimeError):
    """The evaluation is not possible with this model or data."""


class TrustError(MltkError, PermissionError):
    """The operation would run code from a file that is not trusted."""


class DownloadError(MltkError, OSError):
    """A download failed or does not have the expected checksum."""


class PluginNotInstalledError(MltkError, ModuleNotFoundError):
    """A public name belongs to a plugin that is not installed; `name` is the import name of the plugin."""


class PluginBlockedError(PluginNotInstalledError):
    """A public name belongs to a plugin that is installed and blocked."""


class ReferenceNameError(MltkError, ModuleNotFoundError):
    """A public name of silabs-mltk is not part of mltk; the message says why, or what to use."""


def did_you_mean(name: str, known: Iterable[object]) -> str:
    """Return `" Did you mean 'a' or 'b'?"` for up to three near matches, or an empty string.

    Args:
        name: The name that the user typed.
        known: The valid names.
    """
    import difflib

    near = difflib.get_close_matches(name, [str(k) for k in known], n=3, cutoff=0.6)
    if not near:
        return ""
    return " Did you mean " + " or ".join(f"'{n}'" for n in near) + "?"
