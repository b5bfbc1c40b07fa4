"""The built-in stages of the training pipeline, and the lines of its summary."""

from __future__ import annotations

from collections.abc import Iterable

from mltk.plugins import ReportSection, Stage, hookimpl, import_on_call


@hookimpl(trylast=True)
def mltk_stages() -> Iterable[Stage]:
    """Offer `rehearse`, `train`, `archive`, `quantize` and `evaluate`."""
    rehearse = Stage(
        "rehearse",
        "Save, load, convert and evaluate the untrained network with one batch.",
        import_on_call("mltk.operations.pipeline:rehearse_stage"),
        # The stages of plugins that precede the training precede this one too: it loads the data.
        before="train",
    )
    return [
        rehearse,
        *(
            Stage(name, summary, import_on_call(f"mltk.operations.pipeline:{name}_stage"))
            for name, summary in (
                ("train", "Train the model and write the Keras files."),
                ("archive", "Pack the archive of the model."),
                ("quantize", "Convert the model to a .tflite file."),
                ("evaluate", "Evaluate the Keras model and the .tflite file."),
            )
        ),
    ]


@hookimpl(trylast=True)
def mltk_report_sections() -> Iterable[ReportSection]:
    """Offer the lines about the training run, its evaluations and its files."""
    return [ReportSection("summary", lines=import_on_call("mltk.operations.pipeline:summary_lines"))]
