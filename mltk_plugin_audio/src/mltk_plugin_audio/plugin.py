"""The plugin `audio`: data sets of recordings, their evaluation, and commands for sound."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, TypeGuard

from mltk.plugins import (
    AugmentationStep,
    Command,
    Evaluator,
    LoadedDataset,
    Model,
    Parameter,
    Subset,
    Template,
    hookimpl,
    import_on_call,
    inherits,
)

if TYPE_CHECKING:
    from mltk_plugin_audio.mixins import AudioModel

mltk_api_version = 1

STREAMING_OPTIONS = (
    "recordings",
    "wanted_false_accepts_per_hour",
    "tolerance_ms",
    "max_minutes",
    "gap_ms",
    "snr_db",
    "background",
    "average_window_duration_ms",
    "minimum_count",
    "detection_threshold",
    "suppression_ms",
    "latency_ms",
    "volume_gain",
)
"""Fields of `StreamingOptions`, whose module imports NumPy."""


@hookimpl
def mltk_templates() -> list[Template]:
    """Offer the kinds of specifications that `mltk new` can write for sound."""
    return [
        Template(
            "keyword",
            "Keyword model: words, one folder for each.",
            import_on_call("mltk_plugin_audio.templates:draft_keywords"),
        ),
        Template(
            "sound",
            "Sound events: short sounds, one folder for each kind.",
            import_on_call("mltk_plugin_audio.templates:draft_events"),
        ),
    ]


@hookimpl
def mltk_load_dataset(
    mltk_model: Model, subset: Subset, test: bool, options: Mapping[str, object]
) -> LoadedDataset | None:
    """Load a folder of recordings."""
    if not _is_audio_model(mltk_model):
        return None
    from mltk_plugin_audio._loading import load_recordings

    return load_recordings(mltk_model, subset, test, options)


@hookimpl
def mltk_augmentations(mltk_model: Model, subset: Subset, domain: str) -> list[AugmentationStep] | None:
    """Offer the random transforms of the data generator."""
    if not _is_audio_model(mltk_model):
        return None
    from mltk_plugin_audio._loading import offer_steps

    return offer_steps(mltk_model, subset, domain)


@hookimpl
def mltk_model_parameters(mltk_model: Model) -> Mapping[str, Parameter] | None:
    """Tell the device how to make and normalize spectrograms."""
    if not _is_audio_model(mltk_model):
        return None
    from mltk_plugin_audio._loading import make_parameters

    return make_parameters(mltk_model)


@hookimpl
def mltk_evaluators(mltk_model: Model | None) -> list[Evaluator] | None:
    """Offer the evaluation on long recordings, also for a `.tflite` without a specification."""
    if mltk_model is not None and not _is_audio_model(mltk_model):
        return None
    return [
        Evaluator(
            "streaming",
            "False accepts per hour, false rejects and latency on long recordings.",
            import_on_call("mltk_plugin_audio.streaming.evaluation:evaluate"),
            options=STREAMING_OPTIONS,
            needs_data=False,
        )
    ]


@hookimpl
def mltk_commands() -> list[Command]:
    """Add the commands for sound."""
    package = "mltk_plugin_audio.cli"
    return [
        Command(
            "classify-audio",
            "Show the classes that a model detects in a recording or in the sound of a microphone.",
            f"{package}.classify_audio_cmd:classify_audio_command",
        ),
        Command(
            "view-audio",
            "Show the waveform, spectrogram and augmented variants of recordings.",
            f"{package}.view_audio_cmd:view_audio_command",
        ),
    ]


def _is_audio_model(mltk_model: Model | None) -> TypeGuard[AudioModel]:
    return inherits(mltk_model, "mltk_plugin_audio.mixins:AudioDatasetMixin")
