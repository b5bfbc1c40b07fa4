"""Evaluate a model: the Keras model or the `.tflite`, with one or several evaluators."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from mltk.data.loader import BatchIterator
from mltk.data.samples import iterate_batches, load_arrays
from mltk.errors import EvaluationError, MltkError, SpecificationError
from mltk.model.event import MltkModelEvent
from mltk.model.mixins.dataset import DatasetMixin
from mltk.model.operation import operation, sole_writer
from mltk.operations.evaluation.baselines import measure_nearest_neighbor
from mltk.operations.evaluation.choose import choose_evaluators
from mltk.operations.evaluation.predictors import LITERT, make_predictor
from mltk.operations.evaluation.run import archive_results, folder_of_file, result_folder, run_evaluators
from mltk.results.classifier import ClassifierEvaluationResults
from mltk.sources.source import ModelSource, SourceKind
from mltk.tflite.interpreter import ExactPredictor, LiteRtPredictor
from mltk.tflite.parameters import TfliteModelParameters
from mltk.utils.logging import get_mltk_logger

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    import keras
    import numpy as np

    from mltk.model.full_model import FullModel
    from mltk.model.model import MltkModel
    from mltk.plugins import DataPart, Predictor
    from mltk.results.evaluation import EvaluationResults
    from mltk.tflite import TfliteModel


def evaluate_model(
    model: MltkModel | str | Path,
    tflite: bool = False,
    weights: str | None = None,
    max_samples_per_class: int = -1,
    classes: Sequence[str] | None = None,
    dump: bool = False,
    show: bool = False,
    verbose: bool | None = None,
    callbacks: Sequence[object] | None = None,
    update_archive: bool = True,
    test: bool = False,
    post_process: bool = False,
    *,
    evaluators: Sequence[str] | None = None,
    data: str | Path | None = None,
    output: str | Path | None = None,
    options: Mapping[str, object] | None = None,
    runtime: str | None = None,
    baselines: bool = False,
    trust: bool = False,
) -> EvaluationResults:
    """Evaluate a trained model with its evaluation data.

    Args:
        model: Model, name, path of a specification or archive; or a `.tflite` file, together with `data` unless the
            evaluators bring their own.
        tflite: Evaluate the quantized model instead of the Keras model; `runtime="tflite"` for short.
        weights: Weights to load into the Keras model first.
        max_samples_per_class: Limit; -1 takes all, or what the specification says.
        classes: Class names for evaluators that take a choice.
        dump: Let evaluators that can write every sample do so.
        show: Show the plots in windows.
        verbose: Accepted for compatibility.
        callbacks: Given to the evaluators.
        update_archive: Put the results into the archive.
        test: Use the trial run's files.
        post_process: Given to event handlers.
        evaluators: Names of the evaluators to run; by default those that apply by themselves.
        data: A `.npz` file with arrays `x` and `y`, in place of the specification's evaluation data.
        output: Folder for the results of a bare `.tflite`; by default one below mltk's cache.
        options: Options of the evaluators, by name.
        runtime: Name of what runs the quantized model: `tflite` for LiteRT, or what a plugin offers. A bare `.tflite`
            is run by LiteRT by default.
        baselines: Also measure what the nearest neighbor in the training data answers; for classifiers.
        trust: Allow an archive's own specification to run.

    Returns:
        The results of the first evaluator; its attribute `others` has those of further ones by name.

    Raises:
        EvaluationError: No evaluator applies, or the data do not allow the evaluation.
        SpecificationError: There is no such evaluator or runtime, none has an option of that name, or the
            specification does not describe an evaluation.
        HandlerError: An event handler failed; all else was done.
    """
    settings: dict[str, Any] = {
        "max_samples_per_class": max_samples_per_class,
        "classes": list(classes) if classes else None,
        "dump": dump,
        "callbacks": callbacks,
        "data": data,
        "update_archive": update_archive,
    }
    source = ModelSource.of(model, test=test)
    if source.kind is SourceKind.TFLITE:
        return _evaluate_file(source, output, evaluators, settings, options or {}, show, runtime or LITERT)
    if tflite:
        runtime = runtime or LITERT
    mltk_model = cast("FullModel", source.specification(trust=trust, purpose="evaluated"))
    if output is not None:
        raise SpecificationError(
            f"The results of '{mltk_model.name}' go to its log folder; an output folder is for .tflite files."
        )
    if max_samples_per_class == 0:
        raise SpecificationError("The number of samples per class must be at least 1, or -1 for all.")
    results: EvaluationResults | None = None
    with operation(mltk_model), sole_writer(mltk_model, "evaluates"):
        logger = mltk_model.create_logger("eval", parent=get_mltk_logger())
        mltk_model.trigger_event(
            MltkModelEvent.EVALUATE_STARTUP,
            tflite=runtime is not None,
            max_samples_per_class=max_samples_per_class,
            post_process=post_process,
            logger=logger,
        )
        try:
            chosen = choose_evaluators(mltk_model, evaluators, options or {})
            if update_archive:
                mltk_model.check_archive_file_is_writable(throw_exception=True)
            predictor = make_predictor(
                _built_model(mltk_model, runtime, weights, trust), mltk_model.name, runtime
            )
            with _EvaluationData(mltk_model, data, settings) as batches:
                results = run_evaluators(
                    chosen, predictor, batches, mltk_model, show, settings, options or {}
                )
                _describe_data(results, mltk_model, batches, baselines)
                results.save(result_folder(Path(mltk_model.log_dir) / "eval" / predictor.kind, chosen[0]))
            _tell_kernels(predictor)
            logger.debug(str(results))
            if update_archive and mltk_model.archive.path.exists():
                archive_results(mltk_model, predictor.kind, chosen)
        finally:
            mltk_model.trigger_event(MltkModelEvent.EVALUATE_SHUTDOWN, results=results, logger=logger)
            for handler in list(logger.handlers):
                handler.close()
    mltk_model.raise_failures(results)
    return results


def _built_model(
    mltk_model: MltkModel, runtime: str | None, weights: str | None, trust: bool
) -> keras.Model | TfliteModel:
    """Return the quantized model for a runtime, else the Keras model."""
    source = ModelSource.of(mltk_model)
    if runtime is None:
        return source.keras(weights=weights, trust=trust)
    if weights:
        raise SpecificationError("Weights cannot be loaded into a .tflite model.")
    return source.tflite()


def _describe_data(
    results: EvaluationResults, mltk_model: FullModel, batches: _EvaluationData, baselines: bool
) -> None:
    """Add to the results what the data are and what simple answers reach on them; warn if the model is no better."""
    part = batches.part
    if part is not None:
        results["data_part"] = part
    if not isinstance(results, ClassifierEvaluationResults):
        return
    if baselines and part != "training" and batches.is_loaded:
        try:
            nearest = measure_nearest_neighbor(mltk_model, batches())
        except MltkError as e:
            get_mltk_logger().debug("The nearest neighbor was not measured: %s", e)
            nearest = None
        results["nearest_neighbor_accuracy"] = nearest
    if results.overall_accuracy <= results["largest_class_accuracy"] and len(results.classes) > 1:
        get_mltk_logger().warning(
            f"'{results.name}' is no better than always answering '{results['largest_class']}' "
            f"({results['largest_class_accuracy']:.2%} of the samples): it has learned nothing that helps. Look at the "
            f"learning rate, the labels and the scale of the inputs."
        )


class _EvaluationData:
    """Batches of the evaluation data, which are loaded on first use and unloaded at the end of the block."""

    def __init__(self, mltk_model: FullModel, data: str | Path | None, settings: Mapping[str, Any]) -> None:
        self._model = mltk_model
        self._file = data
        self._settings = settings
        self._loaded = False

    def __enter__(self) -> _EvaluationData:
        return self

    def __exit__(self, *exc: object) -> None:
        if self._loaded:
            self._model.unload_dataset()

    @property
    def is_loaded(self) -> bool:
        """Whether the data are those of the specification, and were loaded."""
        return self._loaded

    @property
    def part(self) -> DataPart | None:
        """What the data of the specification are, if their plugin says so."""
        return None if self._file is not None else getattr(self._model, "evaluation_part", None)

    def __call__(self) -> Iterator[tuple[np.ndarray, np.ndarray | None]]:
        if self._file is not None:
            x, y = load_arrays(self._file)
            return iterate_batches(x, y)
        model = self._model
        if not self._loaded:
            if not isinstance(self._model, DatasetMixin):
                raise SpecificationError(
                    f"The model '{model.name}' cannot be evaluated: its class must inherit DatasetMixin, "
                    f"or give --data."
                )
            # Set this first, so that the resources of a failing loader are released too.
            self._loaded = True
            model.load_dataset(
                "evaluation",
                test=model.test_mode_enabled,
                max_samples_per_class=self._settings["max_samples_per_class"],
                classes=self._settings["classes"],
            )
        if model.x is None:
            raise EvaluationError(
                f"The data set of '{model.name}' gave no evaluation data: let its loader return data for 'evaluation'."
            )
        if isinstance(model.x, BatchIterator):
            model.x.reset()
        return iterate_batches(
            model.x,
            model.y,
            steps=getattr(model, "eval_steps_per_epoch", None),
            batch_size=getattr(model, "batch_size", 32),
        )


def _evaluate_file(
    source: ModelSource,
    output: str | Path | None,
    evaluators: Sequence[str] | None,
    settings: Mapping[str, Any],
    options: Mapping[str, object],
    show: bool,
    runtime: str,
) -> EvaluationResults:
    """Evaluate a bare `.tflite` with arrays from a file, without TensorFlow and without a specification."""
    data: str | Path | None = settings["data"]
    chosen = choose_evaluators(None, evaluators, options)
    no_data = SpecificationError(
        f"{source} alone has no data to be evaluated with: give a .npz file with arrays x and y (--data)."
    )
    if data is None and any(evaluator.needs_data for evaluator in chosen):
        raise no_data
    tflite_model = source.tflite()
    arrays = None if data is None else load_arrays(data)
    predictor = make_predictor(tflite_model, source.name, runtime)

    def batches() -> Iterator[tuple[np.ndarray, np.ndarray | None]]:
        if arrays is None:
            raise no_data
        return iterate_batches(*arrays)

    classes = (
        settings["classes"] or TfliteModelParameters.load_from_tflite_model(tflite_model).get("classes") or ()
    )
    folder = Path(output) if output else folder_of_file(source.path or Path(source.name))
    results = run_evaluators(
        chosen,
        predictor,
        batches,
        None,
        show,
        {**settings, "classes": classes},
        options,
        base=folder,
    )
    _tell_kernels(predictor)
    get_mltk_logger().info("The results are in %s", folder)
    return results


def _tell_kernels(predictor: Predictor) -> None:
    """Say which kernels of LiteRT ran the model, and how far they may be from those of a device."""
    if not isinstance(predictor, LiteRtPredictor):
        return
    logger = get_mltk_logger()
    if isinstance(predictor, ExactPredictor):
        logger.info("LiteRT used its reference kernels, which those of TensorFlow Lite Micro follow.")
        return
    try:
        difference = predictor.compare_kernels()
    except EvaluationError as error:
        logger.warning("LiteRT used its optimized kernels; how they differ is not known. %s", error)
        return
    if difference is not None:
        advice = " --exact uses these, as a device does." if difference.differing else ""
        logger.info("LiteRT used its optimized kernels. %s%s", difference, advice)
