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
    from mltk.core import EvaluateClassifierMixin

    from mltk_plugin_example.calibration import evaluate

    if mltk_model is not None and not isinstance(mltk_model, EvaluateClassifierMixin):
        return None
    summary = "How far the classifier's confidence can be trusted."
    return [Evaluator("example", summary, evaluate, default=mltk_model is not None)]
