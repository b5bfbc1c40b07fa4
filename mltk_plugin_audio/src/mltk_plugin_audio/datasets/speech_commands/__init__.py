"""Google's Speech Commands."""

from mltk_plugin_audio.datasets.speech_commands import speech_commands_v2

__all__ = [
    "speech_commands_v2",
]
