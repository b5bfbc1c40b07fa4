"""The pipeline: train, pack the archive, quantize, evaluate."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from mltk.errors import MltkError, SpecificationError
from mltk.model.mixins.dataset import DatasetMixin
from mltk.model.mixins.train import TrainMixin
from mltk.model.model import HandlerError
from mltk.model.operation import operation, sole_writer
from mltk.operations.conversion.settings import converter_settings
from mltk.operations.evaluation.choose import applicable_evaluators
from mltk.operations.evaluation.evaluate import evaluate_model
from mltk.operations.quantize import quantize_model
from mltk.operations.training.outputs import write_archive
from mltk.operations.training.session import training_session
from mltk.operations.training.train import run_training
from mltk.sources.source import ModelSource
from mltk.utils.logging import get_mltk_logger

if TYPE_CHECKING:
    from pathlib import Path

    from mltk.model.any_model import AnyModel
    from mltk.model.model import MltkModel
    from mltk.results.evaluation import EvaluationResults
    from mltk.results.training import TrainingResults


def train_model(
    model: MltkModel | str | Path,
    weights: str | None = None,
    epochs: int | None = None,
    resume_epoch: int = 0,
    verbose: bool | None = None,
    clean: bool | None = False,
    quantize: bool = True,
    create_archive: bool = True,
    show: bool = False,
    test: bool = False,
    post_process: bool = False,
    *,
    evaluate: bool = False,
    seed: int | None = None,
    trust: bool = False,
) -> TrainingResults:
    """Train a model, pack its archive, quantize it and, on request, evaluate it.

    Args:
        model: Model, name, path of its specification or archive.
        weights: Start from these: a path, a file name in the weights folder, or `'best'`.
        epochs: Number of epochs; that of the specification by default.
        resume_epoch: Resume after this epoch (counted from 1); -1 resumes after the last complete one. The final
            weights equal those of an uninterrupted run.
        verbose: Print a line for each epoch; by default if mltk's logger shows information.
        clean: Empty the log folder first.
        quantize: Also write the `.tflite` files, if the specification has converter settings.
        create_archive: Write `<name>.mltk.zip`.
        show: Show plots in windows.
        test: Make a trial run of three epochs with few samples.
        post_process: Passed to event handlers: allow uploads and the like.
        evaluate: Evaluate the Keras model and the `.tflite`, as `mltk train` does; the results are in
            `evaluations`.
        seed: Seed; that of the specification by default.
        trust: Allow the specification in an archive to run.

    Returns:
        The history, the Keras model, the path of the archive, and the evaluations.

    Raises:
        SpecificationError: The specification cannot be trained as it is.
        DatasetError: The data set cannot be loaded.
        HandlerError: An event handler or an evaluation failed; everything else was done, and `results` has it.
        MltkError: Another process writes the files of the model, or the loss became NaN or infinite.
    """
    mltk_model = _load_trainable(model, test=test, trust=trust)
    if create_archive:
        mltk_model.check_archive_file_is_writable(throw_exception=True)
    if seed is not None:
        mltk_model.seed = seed
    quantize = quantize and bool(mltk_model.tflite_converter)
    if quantize:
        # Find a wrong setting now, not after hours of training.
        converter_settings(mltk_model)
    if clean and resume_epoch:
        raise MltkError(
            "A training cannot be resumed (--resume) when its log folder is emptied first (--clean)."
        )
    logger = get_mltk_logger()
    # Also while evaluating: no other process may begin to train in between.
    with operation(mltk_model), sole_writer(mltk_model, "trains"):
        with training_session(mltk_model, resume_epoch, clean, post_process) as session:
            results = session.results = run_training(
                mltk_model,
                logger=session.logger,
                weights=weights,
                epochs=epochs,
                resume_epoch=session.resume_epoch,
                verbose=logger.isEnabledFor(20) if verbose is None else verbose,
                show=show,
            )
            if create_archive:
                results.model_archive_path = write_archive(mltk_model, session.logger)
            if quantize:
                quantize_model(
                    mltk_model,
                    keras_model=results.keras_model,
                    update_archive=create_archive,
                    post_process=post_process,
                )
            _call_on_training_complete(mltk_model, results)
        failures = mltk_model.take_failures()
        if evaluate:
            failures += _evaluate(mltk_model, results, quantize, create_archive, show, post_process)
    if failures:
        raise HandlerError.of(failures, results)
    return results


def _load_trainable(model: MltkModel | str | Path, test: bool, trust: bool) -> AnyModel:
    mltk_model = ModelSource.of(model, test=test).specification(trust=trust, purpose="trained")
    for mixin in (TrainMixin, DatasetMixin):
        if not isinstance(mltk_model, mixin):
            raise SpecificationError(
                f"The model '{mltk_model.name}' cannot be trained: its class must inherit {mixin.__name__}."
            )
    return cast("AnyModel", mltk_model)


def _call_on_training_complete(mltk_model: AnyModel, results: TrainingResults) -> None:
    if not mltk_model.on_training_complete:
        return
    try:
        mltk_model.on_training_complete(results)
    except Exception as e:  # noqa: BLE001 - the specification's own code; reported at the end
        mltk_model.record_failure("my_model.on_training_complete failed", e)


def _evaluate(
    mltk_model: AnyModel,
    results: TrainingResults,
    quantized: bool,
    update_archive: bool,
    show: bool,
    post_process: bool,
) -> list[str]:
    """Evaluate the Keras model and, if there is one, the `.tflite`; return what failed."""
    failures = []
    for tflite in (False, True) if quantized else (False,):
        if not applicable_evaluators(mltk_model):
            break
        kind = "tflite" if tflite else "h5"
        try:
            results.evaluations[kind] = evaluate_model(
                mltk_model,
                tflite=tflite,
                show=show,
                update_archive=update_archive,
                post_process=post_process,
                # This process has just written the Keras file.
                trust=True,
            )
        except Exception as e:  # noqa: BLE001 - the trained model is kept; the failure is reported at the end
            get_mltk_logger().debug("Traceback:", exc_info=e)
            what = str(e) if isinstance(e, MltkError) else f"{type(e).__name__}: {e}"
            failures.append(f"{'int8' if tflite else 'Float'} evaluation: {what}")
            if isinstance(e, HandlerError) and e.results is not None:
                results.evaluations[kind] = cast("EvaluationResults", e.results)
    return failures
