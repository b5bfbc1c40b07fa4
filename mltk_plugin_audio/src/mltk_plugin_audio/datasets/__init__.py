"""Audio data sets: one embedded, the others downloaded when they are first loaded.

`synthetic_commands` and `speech_commands` are made to be given to `AudioDatasetMixin.dataset`. The others have a
`download`. Downloads go to mltk's own folder (`MLTK_CACHE_DIR`, or `~/.mltk`), and are taken from
`<MLTK_DATASET_MIRROR>/<data set>/<file>` if that variable is set.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from . import (
        background_noise,
        direction_commands,
        hey_gecko,
        mit_ir_survey,
        mlcommons,
        on_off,
        speech_commands,
        synthetic_commands,
        ten_digits,
        utils,
        yes_no,
    )
    from .speech_commands import speech_commands_v2

__all__ = [
    "background_noise",
    "direction_commands",
    "hey_gecko",
    "mit_ir_survey",
    "mlcommons",
    "on_off",
    "speech_commands",
    "speech_commands_v2",
    "synthetic_commands",
    "ten_digits",
    "utils",
    "yes_no",
]


def __getattr__(name: str) -> Any:
    if name == "speech_commands_v2":
        return import_module(f"{__name__}.speech_commands.speech_commands_v2")
    if name in __all__:
        return import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return [*globals(), *__all__]
