"""The evaluator `autoencoder`: scores the samples of each class by their reconstruction error."""

from __future__ import annotations

import hashlib
import logging
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, cast

import numpy as np

from mltk.core import evaluate_model, update_model_parameters
from mltk.data import BatchIterator, iterate_batches
from mltk.errors import EvaluationError, SpecificationError
from mltk.model import DatasetMixin, MltkModel, MltkModelEvent
from mltk.results import class_ids
from mltk_plugin_autoencoder.dumps import SampleWriter
from mltk_plugin_autoencoder.mixins import DEFAULT_CLASSES, EvaluateAutoEncoderMixin
from mltk_plugin_autoencoder.results import AutoEncoderEvaluationResults
from mltk_plugin_autoencoder.scores import SCORES, Score, as_score

if TYPE_CHECKING:
    from mltk.plugins import EvaluationContext, Predictor
    from mltk_plugin_autoencoder.mixins import AutoEncoderModel

OPTIONS = ("max_false_positive_rate", "scoring_function")
"""Options of `mltk evaluate --option NAME=VALUE`, which override the model's properties."""


def evaluate_autoencoder(
    mltk_model: MltkModel,
    tflite: bool = False,
    weights: str | None = None,
    max_samples_per_class: int = -1,
    classes: Sequence[str] | None = None,
    dump: bool = False,
    verbose: bool | None = None,
    show: bool = False,
    callbacks: Sequence[object] | None = None,
    update_archive: bool = True,
) -> AutoEncoderEvaluationResults:
    """Evaluate a trained autoencoder.

    Args:
        mltk_model: A model that inherits `EvaluateAutoEncoderMixin`.
        tflite: Evaluate the quantized model instead of the Keras model.
        weights: Weights to load into the Keras model first.
        max_samples_per_class: Maximum; -1 for the value in the specification, or all.
        classes: The normal class and the abnormal ones, in place of `eval_classes`.
        dump: Write an image of each sample and its reconstruction, at most 200 per class.
        verbose: Accepted for compatibility.
        show: Show the plots in windows.
        callbacks: Accepted for compatibility.
        update_archive: Put the results into the archive.

    Raises:
        SpecificationError: The model does not inherit the mixin.
        EvaluationError: The data set is not suitable.
    """
    if not isinstance(mltk_model, EvaluateAutoEncoderMixin):
        raise SpecificationError(
            f"The model '{mltk_model.name}' is not an autoencoder: its class must inherit EvaluateAutoEncoderMixin."
        )
    results = evaluate_model(
        mltk_model,
        tflite=tflite,
        weights=weights,
        max_samples_per_class=max_samples_per_class,
        classes=classes,
        dump=dump,
        verbose=verbose,
        show=show,
        callbacks=callbacks,
        update_archive=update_archive,
        evaluators=["autoencoder"],
    )
    return cast("AutoEncoderEvaluationResults", results)


def evaluate(context: EvaluationContext) -> AutoEncoderEvaluationResults:
    """Score all samples and write results and plots."""
    model = cast("AutoEncoderModel | None", context.model)
    classes = _classes(context)
    score = _score(context)
    folder = context.output_dir / "dumps"
    # The operation does not empty this folder, which other evaluators may share.
    shutil.rmtree(folder, ignore_errors=True)
    limit = context.options.get("max_samples_per_class", -1)
    if limit < 0 and model is not None:
        limit = getattr(model, "eval_max_samples_per_class", -1)
    dumps = context.options.get("dump") and score.compares
    if context.options.get("dump") and not dumps:
        context.logger.warning(
            "--dump has no effect: the network of '%s' reconstructs nothing.", context.predictor.name
        )
    writer = SampleWriter(folder, classes) if dumps else None
    scorer = _Scorer(context.predictor, score, classes, limit, writer)
    if model is None or context.options.get("data") is not None:
        _score_labelled(scorer, context)
    else:
        _score_by_class(scorer, model, context.logger)

    rate = context.options.get("max_false_positive_rate", getattr(model, "max_false_positive_rate", 0.05))
    results = AutoEncoderEvaluationResults(
        name=context.predictor.name, classes=list(classes), scoring_function=score.name
    )
    results.calculate(
        all_scores=scorer.all_scores(),
        max_false_positive_rate=EvaluateAutoEncoderMixin.max_false_positive_rate.prepare(rate),
    )
    results.save(context.output_dir)
    results.generate_plots(
        show=context.show,
        output_dir=context.output_dir,
        logger=context.logger,
        on_figure=_make_figure_callback(context),
    )
    if writer is not None:
        context.logger.info("Samples and their reconstructions are in %s", folder)
    _embed_threshold(context, results)
    return results


class _Scorer:
    """Collect the scores of the samples of each class."""

    def __init__(
        self,
        predictor: Predictor,
        score: Score,
        classes: Sequence[str],
        limit: int,
        writer: SampleWriter | None,
    ) -> None:
        self.classes = classes
        self._predictor = predictor
        self._score = score
        self._limit = limit
        self._writer = writer
        self._scores: list[list[np.ndarray]] = [[] for _ in classes]
        self._counts = [0] * len(classes)
        self._digests = [hashlib.sha256() for _ in classes]

    def add(self, index: int, x: np.ndarray) -> None:
        """Score a batch of samples of one class."""
        if self._limit >= 0:
            x = x[: max(0, self._limit - self._counts[index])]
        if not len(x):
            return
        _check_shape(x, self._predictor)
        decoded = self._predictor.predict(x)
        if not self._score.compares:
            self._keep(index, x, self._score.batch(x, decoded))
            return
        if decoded.size != x.size:
            raise EvaluationError(
                f"'{self._predictor.name}' is not an autoencoder: its output has the shape {decoded.shape[1:]} for "
                f"samples of shape {x.shape[1:]}."
            )
        decoded = decoded.reshape(x.shape)
        scores = self._score.batch(x, decoded)
        if self._writer is not None:
            self._writer.write(index, self._counts[index], x, decoded, scores)
        self._keep(index, x, scores)

    def _keep(self, index: int, x: np.ndarray, scores: np.ndarray) -> None:
        self._scores[index].append(scores)
        self._counts[index] += len(x)
        self._digests[index].update(np.ascontiguousarray(x).data)

    def check_new(self, index: int) -> None:
        """Raise an error if the samples of a class equal those of an earlier class."""
        for other in range(index):
            if (
                self._counts[index]
                and self._counts[other] == self._counts[index]
                and self._digests[other].digest() == self._digests[index].digest()
            ):
                raise EvaluationError(
                    f"The data set gave the same samples for the classes '{self.classes[other]}' and "
                    f"'{self.classes[index]}': let its loader return only the samples of the classes in its argument "
                    f"'classes', or return class ids (0 is normal) as y."
                )

    def all_scores(self) -> list[np.ndarray]:
        """Return the scores of each class, float64 `(n,)`."""
        return [np.concatenate(parts) if parts else np.empty(0) for parts in self._scores]


def _score_labelled(scorer: _Scorer, context: EvaluationContext) -> None:
    for x, y in context.batches():
        if y is None:
            raise EvaluationError(
                "The data have no labels: give class ids as y, 0 for normal and 1 and above for abnormal samples."
            )
        _add_labelled(scorer, x, class_ids(y))


def _add_labelled(scorer: _Scorer, x: np.ndarray, ids: np.ndarray) -> None:
    count = len(scorer.classes)
    if len(ids) != len(x):
        raise EvaluationError(f"There are {len(ids):,} labels for {len(x):,} samples.")
    if len(ids) and not 0 <= ids.min() <= ids.max() < count:
        wrong = ids.min() if ids.min() < 0 else ids.max()
        raise EvaluationError(
            f"A label is class {wrong}, but there are only the classes 0 to {count - 1}: "
            f"{', '.join(scorer.classes)}. Name them all in my_model.eval_classes or with --classes."
        )
    for index in range(count):
        scorer.add(index, x[ids == index])


def _score_by_class(scorer: _Scorer, model: AutoEncoderModel, logger: logging.Logger) -> None:
    """Load the samples of each class in turn, unless the first load gives all of them with labels."""
    if not isinstance(model, DatasetMixin):
        raise SpecificationError(
            f"The model '{model.name}' cannot be evaluated: its class must inherit DatasetMixin, or give --data."
        )
    for index, label in enumerate(scorer.classes):
        labelled = False
        with _load_class(model, scorer.classes, label, logger) as batches:
            for x, y in batches:
                ids = _labels(x, y) if index == 0 else None
                if ids is None:
                    scorer.add(index, x)
                else:
                    _add_labelled(scorer, x, ids)
                    labelled = labelled or bool(ids.any())
        if labelled:
            return
        scorer.check_new(index)


@contextmanager
def _load_class(
    model: AutoEncoderModel, classes: Sequence[str], label: str, logger: logging.Logger
) -> Iterator[Iterator[tuple[np.ndarray, np.ndarray | None]]]:
    """Load the evaluation samples of one class, which need not be one of the model's classes."""
    stored = model.attributes.stored
    own = stored.get(MltkModel.classes.key)
    model.classes = list(dict.fromkeys([*(own or ()), *classes]))
    try:
        model.load_dataset(
            "evaluation",
            test=model.test_mode_enabled,
            max_samples_per_class=-1,
            classes=[label],
            logger=logger,
        )
        if model.x is None:
            raise EvaluationError(
                f"The data set of '{model.name}' gave no evaluation data for the class '{label}': let its loader "
                f"return the samples of the classes in its argument 'classes'."
            )
        if isinstance(model.x, BatchIterator):
            model.x.reset()
        yield iterate_batches(
            model.x,
            model.y,
            steps=model.eval_steps_per_epoch,
            batch_size=getattr(model, "batch_size", 32),
        )
    finally:
        model.unload_dataset()
        model.classes = own


def _labels(x: np.ndarray, y: np.ndarray | None) -> np.ndarray | None:
    """Return class ids, or `None` if `y` is the input to reconstruct."""
    if y is None or y.shape == x.shape or y.size != len(x):
        return None
    return class_ids(y)


def _check_shape(x: np.ndarray, predictor: Predictor) -> None:
    wanted = predictor.input_shape[1:]
    if len(wanted) != x.ndim - 1 or any(w not in (None, n) for w, n in zip(wanted, x.shape[1:], strict=True)):
        shown = tuple("any" if w is None else w for w in wanted)
        raise EvaluationError(
            f"The evaluation samples have the shape {x.shape[1:]}, but '{predictor.name}' takes {shown}."
        )


def _classes(context: EvaluationContext) -> tuple[str, ...]:
    given: Sequence[str] | None = context.options.get("classes")
    if context.model is None:
        # A .tflite file has class names in its parameters; only one if it was trained with normal samples.
        named = tuple(given or context.classes)
        return named if len(named) > 1 else DEFAULT_CLASSES
    model = cast("AutoEncoderModel", context.model)
    classes = tuple(given or cast("Sequence[str]", model.eval_classes))
    if len(set(classes)) < 2:
        raise EvaluationError(
            f"An autoencoder needs normal and abnormal samples: name at least two classes, the normal one "
            f"first (my_model.eval_classes, or --classes), not only {', '.join(classes)}."
        )
    return classes


def _score(context: EvaluationContext) -> Score:
    chosen = context.options.get("scoring_function")
    if chosen is not None:
        return as_score(chosen)
    return (
        SCORES["mse"]
        if context.model is None
        else cast("AutoEncoderModel", context.model).get_scoring_function()
    )


def _make_figure_callback(context: EvaluationContext) -> Callable[[str, object], None]:
    def trigger(name: str, figure: object) -> None:
        if context.model is not None:
            context.model.trigger_event(
                MltkModelEvent.GENERATE_EVALUATE_PLOT,
                tflite=context.predictor.kind == "tflite",
                name=name,
                fig=figure,
                logger=context.logger,
            )

    return trigger


def _embed_threshold(context: EvaluationContext, results: AutoEncoderEvaluationResults) -> None:
    """Store the threshold in the `.tflite`, if the specification names a parameter and all data was used."""
    model = cast("AutoEncoderModel | None", context.model)
    if model is None or context.predictor.kind != "tflite" or model.threshold_parameter is None:
        return
    options = context.options
    partial = options.get("classes") or options.get("max_samples_per_class", -1) >= 0
    if partial or options.get("data") is not None or not options.get("update_archive", True):
        context.logger.info(
            "The threshold is not put into the .tflite: for that, evaluate with all data of the specification, and "
            "with the archive."
        )
        return
    was_set = model.threshold_parameter in model.model_parameters
    update_model_parameters(model, {model.threshold_parameter: results.recommended_threshold})
    if not was_set:
        # It belongs to this `.tflite`: another training of the model must not embed it.
        model.model_parameters.pop(model.threshold_parameter, None)
    context.logger.info(
        "Put %s = %.6g into the .tflite", model.threshold_parameter, results.recommended_threshold
    )
