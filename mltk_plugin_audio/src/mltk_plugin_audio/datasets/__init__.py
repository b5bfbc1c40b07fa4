"""Audio data sets: one is part of this package, the others are downloaded on first use.

`synthetic_commands` and `speech_commands_v2` can be assigned to `dataset` of a model; the others have a function
`download`. Downloads are stored in mltk's cache folder (`MLTK_CACHE_DIR`, or `~/.mltk`). If `MLTK_DATASET_MIRROR` is
set, they come from `<MLTK_DATASET_MIRROR>/<data set>/<file>`.
"""

from mltk_plugin_audio.datasets import (
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
from mltk_plugin_audio.datasets.speech_commands import speech_commands_v2

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
