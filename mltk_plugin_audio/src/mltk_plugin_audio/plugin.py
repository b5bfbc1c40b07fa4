"""The plugin `audio`: loads the data of models that inherit `AudioDatasetMixin`."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from mltk.plugins import Command, Evaluator, LoadedDataset, Parameter, Subset, hookimpl
from mltk_plugin_audio.streaming.hooks import offered_commands, offered_evaluators

if TYPE_CHECKING:
    from mltk.model.model import MltkModel

mltk_api_version = 1


@hookimpl
def mltk_load_dataset(
    mltk_model: MltkModel, subset: Subset, test: bool, options: Mapping[str, Any]
) -> LoadedDataset | None:
    """Load a folder of recordings."""
    if not _has_audio(mltk_model):
        return None
    from mltk_plugin_audio._loading import load_recordings

    return load_recordings(mltk_model, subset, test, options)


@hookimpl
def mltk_model_parameters(mltk_model: MltkModel) -> Mapping[str, Parameter] | None:
    """Tell the device how spectrograms are made and normalised."""
    if not _has_audio(mltk_model):
        return None
    from mltk_plugin_audio._loading import audio_parameters

    return audio_parameters(mltk_model)


@hookimpl
def mltk_evaluators(mltk_model: MltkModel | None) -> list[Evaluator] | None:
    """Judge models of sound on long recordings; a bare `.tflite` may be one."""
    return offered_evaluators() if mltk_model is None or _has_audio(mltk_model) else None


@hookimpl
def mltk_commands() -> list[Command]:
    """Add the commands on sound."""
    return offered_commands()


def _has_audio(mltk_model: MltkModel) -> bool:
    # A model that inherits the mixin has imported it; importing it for every other model would take time.
    mixins = sys.modules.get("mltk_plugin_audio.mixins")
    return mixins is not None and isinstance(mltk_model, mixins.AudioDatasetMixin)
