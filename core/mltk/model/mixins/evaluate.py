"""Evaluation settings of a model."""

from __future__ import annotations

from mltk.model.attributes import Attribute
from mltk.model.base import ModelBase


class EvaluateMixin(ModelBase):
    """Evaluate a model with a function of the specification."""

    eval_steps_per_epoch = Attribute(
        "eval.steps_per_epoch", type=int, default=None, lazy=True, doc="Batches to evaluate; all by default."
    )
    eval_custom_function = Attribute(
        "eval.custom_function",
        default=None,
        doc="`f(mltk_model, built_model, eval_dir, logger, show) -> EvaluationResults | dict`, used instead.",
    )


class EvaluateClassifierMixin(EvaluateMixin):
    """Evaluate a model as a classifier: accuracies, ROC, precision and recall, confusion matrix."""

    default_evaluator = "classifier"
    """The evaluator that runs by default; mixins for models that are not classifiers name another."""

    eval_shuffle = Attribute("eval.shuffle", type=bool, default=False, doc="Shuffle the evaluation data.")
    eval_augment = Attribute("eval.augment", type=bool, default=False, doc="Augment the evaluation data.")
    eval_max_samples_per_class = Attribute(
        "eval.max_samples_per_class", type=int, default=-1, lazy=True, doc="Samples per class; -1 for all."
    )
