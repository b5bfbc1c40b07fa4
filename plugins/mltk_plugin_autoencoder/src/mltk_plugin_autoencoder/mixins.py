"""`EvaluateAutoEncoderMixin`: settings for the evaluation of autoencoders."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mltk.errors import SpecificationError
from mltk.model import Attribute, EvaluateClassifierMixin, MltkModel
from mltk_plugin_autoencoder.scores import SCORES, Score, as_score, score_of_loss

DEFAULT_CLASSES = ("normal", "abnormal")


class _EvalClasses(Attribute):
    """Class names whose default depends on the classes that the model is trained with."""

    def __get__(self, instance: MltkModel | None, owner: type | None = None) -> object:
        if instance is None:
            return self
        stored = instance.attributes.stored
        own = stored.get(MltkModel.classes.key) or ()
        return stored.get(self.key) or list(own if len(own) > 1 else DEFAULT_CLASSES)


def _as_scoring_function(value: object) -> object:
    as_score(value)
    return value


def _as_rate(value: float) -> float:
    if not 0 <= value < 1:
        raise SpecificationError(
            f"my_model.max_false_positive_rate is a share of the normal samples, from 0 to below 1, not {value}."
        )
    return float(value)


class EvaluateAutoEncoderMixin(EvaluateClassifierMixin):
    """Evaluate how well reconstruction errors separate normal from abnormal samples.

    The evaluation loads the data set once for each of `eval_classes`, with `classes=[name]`. A loader may also return
    all samples with their class ids (0 is normal) as `y`.
    """

    default_evaluator = "autoencoder"

    scoring_function = Attribute(
        "eval_autoencoder.scoring_function",
        default=None,
        convert=_as_scoring_function,
        doc="mse, mae, corr, ssim, or `f(original, decoded) -> float`; by default the score of the loss. With "
        "output or output_squared, the network's own output is the score, e.g. that of a classifier of defects.",
    )
    eval_classes = _EvalClasses(
        "eval_autoencoder.classes",
        type=(list, tuple),
        convert=MltkModel.classes.convert,
        doc="The normal class and the abnormal ones; by default `classes`, or normal and abnormal.",
    )
    max_false_positive_rate = Attribute(
        "eval_autoencoder.max_false_positive_rate",
        type=(float, int),
        default=0.05,
        convert=_as_rate,
        doc="Share of the normal samples that may be above the recommended threshold, 0 to below 1.",
    )
    threshold_parameter = Attribute(
        "eval_autoencoder.threshold_parameter",
        type=str,
        default=None,
        doc="Name of the model parameter for the recommended threshold; `None` stores none.",
    )

    def get_scoring_function(self) -> Score:
        """Return the scoring function, which takes a sample and its reconstruction.

        Raises:
            SpecificationError: No scoring function is set, and the loss has no score.
        """
        if self.scoring_function is not None:
            return as_score(self.scoring_function)
        loss = getattr(self, "loss", "mse")
        score = score_of_loss(loss)
        if score is None:
            name = loss if isinstance(loss, str) else getattr(loss, "__name__", type(loss).__name__)
            raise SpecificationError(
                f"There is no score for the loss '{name}' of '{self.name}': set my_model.scoring_function to one of "
                f"{', '.join(SCORES)}, or to a function f(original, decoded) -> float."
            )
        return score


if TYPE_CHECKING:
    from mltk.model import DatasetMixin, TrainMixin

    class AutoEncoderModel(MltkModel, TrainMixin, DatasetMixin, EvaluateAutoEncoderMixin):
        """The type of a full specification of an autoencoder."""
