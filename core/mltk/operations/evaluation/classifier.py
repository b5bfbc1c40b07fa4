"""Evaluate a model as a classifier: in one call, or with a model and data that are loaded already."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mltk.data.samples import iterate_batches
from mltk.errors import EvaluationError
from mltk.model.operation import operation
from mltk.operations.evaluation.choose import choose_evaluators
from mltk.operations.evaluation.evaluate import evaluate_model
from mltk.operations.evaluation.predictors import make_predictor
from mltk.operations.evaluation.run import archive_results
from mltk.plugins.types import EvaluationContext
from mltk.results.labels import check_labels
from mltk.utils.logging import get_mltk_logger

if TYPE_CHECKING:
    import keras

    from mltk.model.full_model import FullModel
    from mltk.model.model import MltkModel
    from mltk.results.evaluation import EvaluationResults
    from mltk.tflite import TfliteModel


def evaluate_classifier(
    mltk_model: MltkModel,
    tflite: bool = False,
    weights: str | None = None,
    max_samples_per_class: int = -1,
    classes: Sequence[str] | None = None,
    verbose: bool = False,
    show: bool = False,
    update_archive: bool = True,
    **kwargs: Any,
) -> EvaluationResults:
    """Evaluate a model as a classifier; arguments as in `evaluate_model`."""
    return evaluate_model(
        mltk_model,
        tflite=tflite,
        weights=weights,
        max_samples_per_class=max_samples_per_class,
        classes=classes,
        verbose=verbose,
        show=show,
        update_archive=update_archive,
        evaluators=["classifier"],
        **kwargs,
    )


def evaluate_classifier_with_built_model(
    mltk_model: FullModel,
    built_model: keras.Model | TfliteModel,
    verbose: bool = False,
    show: bool = False,
    logger: logging.Logger | None = None,
    update_archive: bool = True,
) -> EvaluationResults:
    """Evaluate this model with the data that are loaded, `my_model.validation_data` or else `my_model.x`.

    Args:
        mltk_model: The specification, whose data set is loaded.
        built_model: What to evaluate.
        verbose: Accepted for compatibility.
        show: Show the plots in windows.
        logger: For messages.
        update_archive: Put the results into the archive, if there is one.
    """
    predictor = make_predictor(built_model, name=mltk_model.name)
    with operation(mltk_model):
        chosen = choose_evaluators(mltk_model, ["classifier"])
        context = EvaluationContext(
            predictor=predictor,
            batches=lambda: iterate_evaluation_data(mltk_model),
            output_dir=Path(mltk_model.create_log_dir(f"eval/{predictor.kind}", delete_existing=True)),
            logger=logger or get_mltk_logger(),
            model=mltk_model,
            classes=tuple(mltk_model.classes),
            show=show,
        )
        results = chosen[0].evaluate(context)
        if update_archive and mltk_model.archive.path.exists():
            archive_results(mltk_model, predictor.kind, chosen)
    return results


def generate_predictions(
    mltk_model: FullModel, built_model: keras.Model | TfliteModel, verbose: bool | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Return the labels of the data that are loaded, and what a model answers to them.

    Args:
        mltk_model: The specification, whose data set is loaded.
        built_model: The model.
        verbose: Accepted for compatibility.

    Returns:
        `(labels, scores)`: the labels as the data have them, and float32 of the model's output shape.
    """
    predictor = make_predictor(built_model, name=mltk_model.name)
    labels: list[np.ndarray] = []
    scores: list[np.ndarray] = []
    for x, y in iterate_evaluation_data(mltk_model):
        if y is not None:
            check_labels(y)
            labels.append(y)
            scores.append(predictor.predict(x))
    if not labels:
        raise EvaluationError(f"The data of '{mltk_model.name}' that are loaded have no samples with labels.")
    return np.concatenate(labels), np.concatenate(scores)


def iterate_evaluation_data(mltk_model: FullModel) -> Iterator[tuple[np.ndarray, np.ndarray | None]]:
    """Return `(x, y)` for each batch of the data that are loaded, `validation_data` or else `x` and `y`."""
    if mltk_model.validation_data is not None:
        return iterate_batches(mltk_model.validation_data, steps=mltk_model.validation_steps)
    if mltk_model.x is None:
        raise EvaluationError(
            f"No data of '{mltk_model.name}' are loaded: call my_model.load_dataset('evaluation')."
        )
    return iterate_batches(
        mltk_model.x,
        mltk_model.y,
        steps=getattr(mltk_model, "eval_steps_per_epoch", None),
        batch_size=getattr(mltk_model, "batch_size", 32),
    )
