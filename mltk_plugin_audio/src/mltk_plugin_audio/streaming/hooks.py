"""What this package offers to mltk: the evaluator `streaming` and the commands on sound. Imports nothing heavy."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mltk.plugins import Command, Evaluator

if TYPE_CHECKING:
    from mltk.plugins import EvaluationContext
    from mltk.results.evaluation import EvaluationResults


OPTION_NAMES = (
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
"""The fields of `StreamingOptions`, whose module imports numpy."""


def offered_evaluators() -> list[Evaluator]:
    """Offer the evaluator."""
    return [
        Evaluator(
            "streaming",
            "False accepts per hour, false rejects and latency on long recordings.",
            _evaluate,
            options=OPTION_NAMES,
            needs_data=False,
        )
    ]


def offered_commands() -> list[Command]:
    """Offer the commands."""
    package = "mltk_plugin_audio.cli"
    return [
        Command(
            "classify_audio",
            "Show what a model detects in a recording, or in what a microphone hears.",
            f"{package}.classify_audio_cmd:classify_audio_command",
        ),
        Command(
            "view_audio",
            "Show the waveform, spectrogram and augmented variants of recordings.",
            f"{package}.view_audio_cmd:view_audio_command",
        ),
    ]


def _evaluate(context: EvaluationContext) -> EvaluationResults:
    from mltk_plugin_audio.streaming.evaluation import evaluate

    return evaluate(context)
