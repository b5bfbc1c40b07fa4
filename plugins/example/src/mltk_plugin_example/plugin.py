"""What mltk loads: the hooks of this plugin. Nothing heavy is imported before a hook is called."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mltk.plugins import Evaluator, hookimpl

if TYPE_CHECKING:
    from mltk.core import MltkModel

mltk_api_version = 1


@hookimpl
def mltk_evaluators(mltk_model: MltkModel | None) -> list[Evaluator] | None:
    """Offer the evaluator for classifiers, and for a bare `.tflite` where the user asks for it."""
    from mltk_plugin_example.calibration import evaluate

    # Models whose outputs are no classes name another evaluator, or none.
    if mltk_model is not None and getattr(mltk_model, "default_evaluator", None) != "classifier":
        return None
    summary = "How far the classifier's confidence can be trusted."
    return [Evaluator("example", summary, evaluate, default=mltk_model is not None)]
