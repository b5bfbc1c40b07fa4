"""The built-in stages of the training pipeline, and the lines of its summary."""

from __future__ import annotations

from collections.abc import Iterable

from mltk.plugins import ReportContext, ReportSection, Stage, StageContext, hookimpl


@hookimpl(trylast=True)
def mltk_stages() -> Iterable[Stage]:
    """Offer `train`, `archive`, `quantize` and `evaluate`."""
    return [
        Stage("train", "Train the model and write the Keras files.", _train),
        Stage("archive", "Pack the archive of the model.", _archive),
        Stage("quantize", "Convert the model to a .tflite file.", _quantize),
        Stage("evaluate", "Evaluate the Keras model and the .tflite file.", _evaluate),
    ]


@hookimpl(trylast=True)
def mltk_report_sections() -> Iterable[ReportSection]:
    """Offer the lines about the training run, its evaluations and its files."""
    return [ReportSection("summary", lines=_summary_lines)]


def _train(context: StageContext) -> None:
    from mltk.operations.pipeline import train_stage

    train_stage(context)


def _archive(context: StageContext) -> None:
    from mltk.operations.pipeline import archive_stage

    archive_stage(context)


def _quantize(context: StageContext) -> None:
    from mltk.operations.pipeline import quantize_stage

    quantize_stage(context)


def _evaluate(context: StageContext) -> None:
    from mltk.operations.pipeline import evaluate_stage

    evaluate_stage(context)


def _summary_lines(context: ReportContext) -> Iterable[tuple[str, str]]:
    from mltk.operations.pipeline import summary_lines

    return summary_lines(context)
