"""The pipeline: rehearse, train, pack the archive, quantize, evaluate."""

from __future__ import annotations

import contextlib
import logging
from pathlib import Path
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
from mltk.operations.rehearsal import rehearse
from mltk.operations.training.outputs import write_archive
from mltk.operations.training.prepare import prepare_training
from mltk.operations.training.session import call_on_training_complete, training_session
from mltk.operations.training.train import run_training
from mltk.plugins import StageContext, get_plugin_manager, order_stages
from mltk.results.classifier import ClassifierEvaluationResults
from mltk.sources.source import ModelSource
from mltk.tflite import TfliteModel
from mltk.tflite.precision import name_precision
from mltk.utils.logging import get_mltk_logger

if TYPE_CHECKING:
    from mltk.model.full_model import FullModel
    from mltk.model.model import MltkModel
    from mltk.operations.training.prepare import Prepared
    from mltk.plugins import ReportContext, Stage
    from mltk.results.evaluation import EvaluationResults
    from mltk.results.training import TrainingResults

BUILT_IN_STAGES = ("rehearse", "train", "archive", "quantize", "evaluate")


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
    rehearsal: bool = False,
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
        rehearsal: First save, load, convert and evaluate the untrained network with one batch, so that what cannot
            work fails before the first epoch; not in a trial run. The result of the training is the same. `mltk train`
            does so by default; from Python, where the classes of a network may have no file, it is a choice.

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
    options = {
        "weights": weights,
        "epochs": epochs,
        "verbose": logger.isEnabledFor(logging.INFO) if verbose is None else verbose,
        "quantize": quantize,
        "create_archive": create_archive,
        "evaluate": evaluate,
        "show": show,
        "test": mltk_model.test_mode_enabled,
        "post_process": post_process,
        # A trial run is a rehearsal itself.
        "rehearsal": rehearsal and not mltk_model.test_mode_enabled,
    }
    # The lock covers the evaluation too: no other process may begin to train in between.
    with operation(mltk_model), sole_writer(mltk_model, "trains"):
        first, last = _stages(mltk_model)
        staged = mltk_model.staged_archive() if create_archive else contextlib.nullcontext()
        with staged:
            with training_session(mltk_model, resume_epoch, clean, post_process) as session:
                options["resume_epoch"] = session.resume_epoch
                context = StageContext(mltk_model, session.logger, Path(mltk_model.log_dir), options)
                for stage in first:
                    _run_stage(stage, context)
                    session.results = context.results
                call_on_training_complete(mltk_model, context.results)
            context.logger = logger
            for stage in last:
                _run_stage(stage, context)
    results = cast("TrainingResults", context.results)
    if results.model_archive_path:
        results.model_archive_path = mltk_model.archive_path
    mltk_model.raise_failures(results)
    return results


def _stages(mltk_model: FullModel) -> tuple[list[Stage], list[Stage]]:
    """Return the stages of the training run, and those from `evaluate` on, which follow it."""
    stages = order_stages(get_plugin_manager().collect_offers("mltk_stages", mltk_model=mltk_model))
    names = [stage.name for stage in stages]
    cut = names.index("evaluate") if "evaluate" in names else len(names)
    return stages[:cut], stages[cut:]


def _run_stage(stage: Stage, context: StageContext) -> None:
    """Run a stage; the files of one that a plugin adds go into the archive."""
    if stage.name in BUILT_IN_STAGES:
        stage.run(context)
        return
    model = cast("FullModel", context.mltk_model)
    context.output_dir = Path(model.create_log_dir(stage.name))
    try:
        stage.run(context)
    except Exception as e:
        e.add_note(f"The stage '{stage.name}' failed; the files of earlier stages are kept.")
        raise
    if context.options["create_archive"] and model.archive.path.exists():
        model.add_archive_dir(stage.name, recursive=True)


def rehearse_stage(context: StageContext) -> None:
    """Prepare the training, and go through what follows it with one batch; the stage `rehearse`."""
    options = context.options
    if options["rehearsal"]:
        prepared = _prepare(context)
        rehearse(
            cast("FullModel", context.mltk_model),
            prepared,
            context.logger,
            quantize=options["quantize"],
            evaluate=options["evaluate"],
        )
        context._prepared = prepared


def _prepare(context: StageContext) -> Prepared:
    options = context.options
    model = cast("FullModel", context.mltk_model)
    return prepare_training(model, context.logger, options["weights"], options["epochs"])


def train_stage(context: StageContext) -> None:
    """Train the model; the stage `train`."""
    options = context.options
    prepared = cast("Prepared | None", context._prepared)
    # Its memory is free again when the training has ended.
    context._prepared = None
    context.results = run_training(
        cast("FullModel", context.mltk_model),
        logger=context.logger,
        prepared=prepared or _prepare(context),
        resume_epoch=options["resume_epoch"],
        verbose=options["verbose"],
        show=options["show"],
    )


def archive_stage(context: StageContext) -> None:
    """Write the model archive; the stage `archive`."""
    if context.options["create_archive"] and context.results:
        model = cast("FullModel", context.mltk_model)
        context.results.model_archive_path = write_archive(model, context.logger)


def quantize_stage(context: StageContext) -> None:
    """Convert the trained model; the stage `quantize`."""
    if context.options["quantize"] and context.results:
        quantize_model(
            cast("FullModel", context.mltk_model),
            keras_model=context.results.keras_model,
            update_archive=context.options["create_archive"],
            post_process=context.options["post_process"],
        )


def evaluate_stage(context: StageContext) -> None:
    """Evaluate the Keras model and, if there is one, the `.tflite`; the stage `evaluate`.

    A failing evaluation does not end the pipeline: the trained model is kept, and the failure is reported at the end.
    """
    model = cast("FullModel", context.mltk_model)
    if not context.options["evaluate"] or not context.results or not applicable_evaluators(model):
        return
    # An evaluation raises the failures that are recorded, so those of other steps are set aside.
    failures = model.take_failures()
    for tflite in (False, True) if context.options["quantize"] else (False,):
        found: EvaluationResults | None = None
        try:
            found = evaluate_model(
                model,
                tflite=tflite,
                show=context.options["show"],
                update_archive=context.options["create_archive"],
                post_process=context.options["post_process"],
                baselines=not tflite and not context.options["test"],
                # This process has just written the Keras file.
                trust=True,
            )
        except Exception as e:  # noqa: BLE001 - reported at the end
            get_mltk_logger().debug("Traceback:", exc_info=e)
            what = str(e) if isinstance(e, MltkError) else f"{type(e).__name__}: {e}"
            if isinstance(e, HandlerError):
                what = " ".join(e.failures)
                found = cast("EvaluationResults", e.results)
            failures.append(f"{_precision(model) if tflite else 'Float'} evaluation: {what}")
        if found is not None:
            context.results.evaluations["tflite" if tflite else "h5"] = found
    model.add_failures(failures)


def summary_lines(context: ReportContext) -> list[tuple[str, str]]:
    """Return the labels and texts of the summary at the end of `mltk train`."""
    model = cast("FullModel", context.mltk_model)
    lines = [("Model", model.name), ("Training", str(context.training))]
    if context.training and context.training.shipped_epoch:
        lines.append(("Weights", context.training.describe_weights()))
    labels = {"h5": "Float"} | ({"tflite": _precision(model)} if "tflite" in context.evaluations else {})
    lines += [
        (labels.get(kind, kind), found.generate_headline()) for kind, found in context.evaluations.items()
    ]
    first = context.evaluations.get("h5")
    if isinstance(first, ClassifierEvaluationResults):
        lines.append(("Baselines", first.describe_baselines()))
    tflite = Path(model.tflite_log_dir_path)
    if model.tflite_converter and tflite.is_file():
        lines.append(("TFLite", f"{tflite.stat().st_size / 1000:,.1f} kB  {tflite}"))
    archive = Path(model.archive_path)
    if archive.is_file():
        lines.append(("Archive", f"{archive.stat().st_size / 1000:,.1f} kB  {archive}"))
    return [*lines, ("Logs", model.log_dir)]


def _precision(model: FullModel) -> str:
    """Return how the numbers of the model's `.tflite` are called in messages."""
    path = Path(model.tflite_log_dir_path)
    return name_precision(TfliteModel.load_flatbuffer_file(path)) if path.is_file() else ".tflite"


def _load_trainable(model: MltkModel | str | Path, test: bool, trust: bool) -> FullModel:
    mltk_model = ModelSource.of(model, test=test).specification(trust=trust, purpose="trained")
    for mixin in (TrainMixin, DatasetMixin):
        if not isinstance(mltk_model, mixin):
            raise SpecificationError(
                f"The model '{mltk_model.name}' cannot be trained: its class must inherit {mixin.__name__}."
            )
    return cast("FullModel", mltk_model)
