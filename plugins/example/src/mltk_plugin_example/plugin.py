"""Hooks of the plugin. mltk imports this module for every command, so it imports nothing heavy."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mltk.plugins import EvaluationContext, Evaluator, Model, hookimpl

if TYPE_CHECKING:
    from mltk.core import EvaluationResults

mltk_api_version = 1


@hookimpl
def mltk_evaluators(mltk_model: Model | None) -> list[Evaluator]:
    """Offer the evaluator; it runs by default for classifiers."""
    is_classifier = getattr(mltk_model, "default_evaluator", None) == "classifier"
    return [Evaluator("example", "Calibration error of a classifier", _evaluate, default=is_classifier)]


def _evaluate(context: EvaluationContext) -> EvaluationResults:
    from mltk_plugin_example.calibration import evaluate

    return evaluate(context)
