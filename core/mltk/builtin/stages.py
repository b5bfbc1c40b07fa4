"""The built-in stages of the training pipeline, and the lines of its summary."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import Any

from mltk.plugins import ReportSection, Stage, hookimpl


@hookimpl(trylast=True)
def mltk_stages() -> Iterable[Stage]:
    """Offer `train`, `archive`, `quantize` and `evaluate`."""
    return [
        Stage("train", "Train the model and write the Keras files.", partial(_call, "train_stage")),
        Stage("archive", "Pack the archive of the model.", partial(_call, "archive_stage")),
        Stage("quantize", "Convert the model to a .tflite file.", partial(_call, "quantize_stage")),
        Stage("evaluate", "Evaluate the Keras model and the .tflite file.", partial(_call, "evaluate_stage")),
    ]


@hookimpl(trylast=True)
def mltk_report_sections() -> Iterable[ReportSection]:
    """Offer the lines about the training run, its evaluations and its files."""
    return [ReportSection("summary", lines=partial(_call, "summary_lines"))]


def _call(function: str, context: object) -> Any:
    """Call a function of the pipeline, which is imported on first use."""
    from mltk.operations import pipeline

    return getattr(pipeline, function)(context)
