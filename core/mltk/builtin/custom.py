"""Evaluate a model with the function of its specification."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from mltk.errors import EvaluationError
from mltk.plugins import EvaluationContext, Evaluator, hookimpl

if TYPE_CHECKING:
    from mltk.model.model import MltkModel
    from mltk.results.evaluation import EvaluationResults


@hookimpl(trylast=True)
def mltk_evaluators(mltk_model: MltkModel | None) -> Iterable[Evaluator]:
    """Offer `custom` where `my_model.eval_custom_function` is set."""
    if getattr(mltk_model, "eval_custom_function", None) is None:
        return []
    return [
        Evaluator("custom", "the specification's eval_custom_function", _evaluate, default=True, folder="")
    ]


def _evaluate(context: EvaluationContext) -> EvaluationResults:
    from mltk.model.mixins.dataset import DatasetMixin
    from mltk.results.evaluation import EvaluationResults

    predictor = context.predictor
    if predictor.kind not in ("h5", "tflite"):
        raise EvaluationError(
            f"my_model.eval_custom_function is given the model itself, which the runtime '{predictor.kind}' would not "
            f"run. Evaluate without it, or choose another evaluator with --evaluator."
        )
    model: Any = context.model
    if isinstance(model, DatasetMixin):
        # The function may use `my_model.x` and `my_model.y`, or need no data.
        with contextlib.suppress(EvaluationError):
            context.batches()
    results = model.eval_custom_function(
        model,
        built_model=getattr(predictor, "keras_model", None) or getattr(predictor, "tflite_model", None),
        eval_dir=str(context.output_dir),
        show=context.show,
        logger=context.logger,
    )
    if isinstance(results, EvaluationResults):
        return results
    if not isinstance(results, dict):
        raise EvaluationError(
            f"my_model.eval_custom_function must return EvaluationResults or a dict, not {type(results).__name__}."
        )
    return EvaluationResults(**{"name": predictor.name, **results})
