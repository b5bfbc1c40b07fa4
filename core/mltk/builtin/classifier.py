"""Evaluate a model as a classifier."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from mltk.errors import EvaluationError, MltkError
from mltk.model.event import MltkModelEvent
from mltk.plugins import EvaluationContext, Evaluator, hookimpl, inherits

if TYPE_CHECKING:
    import numpy as np

    from mltk.model.model import MltkModel
    from mltk.results.evaluation import EvaluationResults


@hookimpl(trylast=True)
def mltk_evaluators(mltk_model: MltkModel | None) -> Iterable[Evaluator]:
    """Offer `classifier` for a bare `.tflite` and for models with `EvaluateClassifierMixin`."""
    if mltk_model is not None:
        if not inherits(mltk_model, "mltk.model.mixins.evaluate:EvaluateClassifierMixin"):
            return []
        if getattr(mltk_model, "eval_custom_function", None) is not None:
            # The function replaces this evaluator, which can still be selected by name.
            return [_evaluator(default=False)]
    return [_evaluator(default=getattr(type(mltk_model), "default_evaluator", "classifier") == "classifier")]


def _evaluator(default: bool) -> Evaluator:
    return Evaluator(
        "classifier",
        "accuracies, ROC, precision and recall, confusion matrix",
        _evaluate,
        default=default,
        folder="",
    )


def _evaluate(context: EvaluationContext) -> EvaluationResults:
    import numpy as np

    from mltk.results.classifier import ClassifierEvaluationResults
    from mltk.results.labels import check_labels, limit_per_class

    labels: list[np.ndarray] = []
    predictions: list[np.ndarray] = []
    for x, y in limit_per_class(context.batches(), context.options.get("max_samples_per_class")):
        if y is None:
            raise EvaluationError(
                "The evaluation data have no labels, which a classifier is judged by: they must be (x, y)."
            )
        check_labels(y)
        labels.append(y)
        predictions.append(context.predictor.predict(x))
    if not labels:
        raise EvaluationError(f"There are no data to evaluate '{context.predictor.name}' with.")

    results = ClassifierEvaluationResults(name=context.predictor.name, classes=context.classes)
    scores = np.concatenate(predictions)
    results.calculate(np.concatenate(labels), scores)
    if scores.min() < -0.01 or scores.max() > 1.01:
        context.logger.warning(
            "The scores go from %.3g to %.3g: they are no probabilities, so the ROC curves, with thresholds "
            "from 0 to 1, say little. End the model with softmax or sigmoid.",
            scores.min(),
            scores.max(),
        )

    def tell(name: str, figure: object) -> None:
        if context.model is not None:
            context.model.trigger_event(
                MltkModelEvent.GENERATE_EVALUATE_PLOT,
                tflite=context.predictor.kind != "h5",
                name=name,
                fig=figure,
                logger=context.logger,
            )

    results.save(context.output_dir)
    try:
        results.generate_plots(
            show=context.show, output_dir=context.output_dir, logger=context.logger, on_figure=tell
        )
    except Exception as e:
        # The figures that were calculated are worth more than a picture of them.
        if context.model is None or isinstance(e, MltkError):
            raise
        context.model.record_failure("A plot failed", e)
    return results
