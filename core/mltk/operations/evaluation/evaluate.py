"""Evaluate a model: the Keras model or the `.tflite`, with one evaluator or several."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mltk.data.loader import BatchIterator
from mltk.errors import EvaluationError, MltkError, SpecificationError, did_you_mean
from mltk.model.event import MltkModelEvent
from mltk.model.mixins.dataset import DatasetMixin
from mltk.model.model import MltkModel
from mltk.model.operation import operation, sole_writer
from mltk.plugins.types import EvaluationContext, Evaluator, Predictor, Runtime
from mltk.sources.loading import load_mltk_model, load_tflite_model, load_tflite_or_keras_model
from mltk.utils.files import cache_dir
from mltk.utils.logging import get_mltk_logger

if TYPE_CHECKING:
    import keras
    import numpy as np

    from mltk.results.evaluation import EvaluationResults

LITERT = "tflite"
"""The built-in runtime."""


def evaluate_model(
    model: MltkModel | str | Path,
    tflite: bool = False,
    weights: str | None = None,
    max_samples_per_class: int = -1,
    classes: Sequence[str] | None = None,
    dump: bool = False,
    show: bool = False,
    verbose: bool | None = None,
    callbacks: Sequence[Any] | None = None,
    update_archive: bool = True,
    test: bool = False,
    post_process: bool = False,
    *,
    evaluators: Sequence[str] | None = None,
    data: str | Path | None = None,
    output: str | Path | None = None,
    options: Mapping[str, Any] | None = None,
    runtime: str | None = None,
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
    if isinstance(model, (str, Path)) and str(model).endswith(".tflite"):
        return _evaluate_file(
            Path(model), data, output, evaluators, settings, options or {}, show, runtime or LITERT
        )
    if tflite:
        runtime = runtime or LITERT

    mltk_model: Any = load_mltk_model(model, test=test, trust=trust)
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
            built = load_tflite_or_keras_model(
                mltk_model, model_type="tflite" if runtime else "h5", weights=weights, trust=trust
            )
            predictor = make_predictor(built, mltk_model.name, runtime)
            with _EvaluationData(mltk_model, data, settings) as batches:
                results = _run(chosen, predictor, batches, mltk_model, show, settings, options or {})
            logger.debug(str(results))
            if update_archive and mltk_model.archive.path.exists():
                archive_results(mltk_model, predictor.kind, chosen)
        finally:
            mltk_model.trigger_event(MltkModelEvent.EVALUATE_SHUTDOWN, results=results, logger=logger)
            for handler in list(logger.handlers):
                handler.close()
    mltk_model.raise_failures(results)
    return results


class KerasPredictor:
    """Runs a Keras model.

    Args:
        keras_model: The model.
        name: Name for files.
    """

    kind = "h5"

    def __init__(self, keras_model: keras.Model, name: str) -> None:
        self.keras_model = keras_model
        self.name = name

    @property
    def input_shape(self) -> tuple[int | None, ...]:
        """Shape of the first input, batch axis included."""
        shape = self.keras_model.input_shape
        return tuple(shape[0] if isinstance(shape, list) else shape)

    def predict(self, batch: np.ndarray) -> np.ndarray:
        """Return the model's output for a batch, as float32."""
        import numpy as np

        return np.asarray(self.keras_model.predict_on_batch(batch), np.float32)


def make_predictor(built_model: Any, name: str, runtime: str | None = None) -> Predictor:
    """Return a predictor over a `keras.Model` or a `TfliteModel`.

    Args:
        built_model: The model.
        name: Its name, for files.
        runtime: Name of what runs a `TfliteModel`; LiteRT by default.

    Raises:
        SpecificationError: There is no such runtime.
        MltkError: The runtime does not do as it should.
    """
    from mltk.tflite import TfliteModel

    if not isinstance(built_model, TfliteModel):
        return KerasPredictor(built_model, name)
    offers = offered_runtimes()
    runtime = runtime or LITERT
    if runtime not in offers:
        raise SpecificationError(
            f"There is no runtime named '{runtime}'.{did_you_mean(runtime, offers)} "
            f"Those offered: {', '.join(offers)}."
        )
    predictor = offers[runtime].open(built_model, name)
    if getattr(predictor, "kind", None) != runtime:
        raise MltkError(f"The predictors of the runtime '{runtime}' must have it as their kind.")
    return predictor


def offered_runtimes() -> dict[str, Runtime]:
    """Return the runtimes of mltk, of the plugins and of the active specification by name."""
    from mltk.plugins import collect_offers

    return collect_offers("mltk_runtimes")


def applicable_evaluators(mltk_model: MltkModel) -> list[str]:
    """Return the names of the evaluators that would run by themselves."""
    from mltk.plugins import collect_offers

    with operation(mltk_model):
        return [
            e.name for e in collect_offers("mltk_evaluators", mltk_model=mltk_model).values() if e.default
        ]


def choose_evaluators(
    mltk_model: MltkModel | None, names: Sequence[str] | None, options: Iterable[str] = ()
) -> list[Evaluator]:
    """Return the evaluators of these names, or those that run by themselves, first the one whose results count.

    Raises:
        SpecificationError: There is no such evaluator for this model, or none of those chosen knows an option.
        EvaluationError: None applies to the model.
    """
    from mltk.plugins import collect_offers

    offers: dict[str, Evaluator] = collect_offers("mltk_evaluators", mltk_model=mltk_model)
    chosen = _named(offers, names) if names else _defaults(offers, mltk_model)
    known = [name for evaluator in chosen for name in evaluator.options]
    for name in options:
        if name not in known:
            which = " or ".join(f"'{evaluator.name}'" for evaluator in chosen)
            owners = [f"--evaluator {e.name}" for e in offers.values() if name in e.options]
            raise SpecificationError(
                f"There is no option '{name}' of the evaluator {which}.{did_you_mean(name, known)} "
                + (
                    f"It belongs to {' or '.join(owners)}."
                    if owners
                    else f"Known: {', '.join(known) or 'none'}."
                )
            )
    return chosen


def _named(offers: Mapping[str, Evaluator], names: Iterable[str]) -> list[Evaluator]:
    for name in names:
        if name not in offers:
            raise SpecificationError(
                f"No evaluator named '{name}' applies to this model.{did_you_mean(name, offers)} "
                f"Those that do: {', '.join(offers) or 'none'}."
            )
    return [offers[name] for name in names]


def _defaults(offers: Mapping[str, Evaluator], mltk_model: MltkModel | None) -> list[Evaluator]:
    # The built-in evaluator first: its results are what the operation returns.
    chosen = sorted((e for e in offers.values() if e.default), key=lambda e: e.folder is None)
    if not chosen:
        which = f"'{mltk_model.name}'" if mltk_model else "a bare .tflite"
        raise EvaluationError(
            f"No evaluator applies to {which}: its class must inherit EvaluateClassifierMixin, "
            f"EvaluateAutoEncoderMixin or EvaluateMixin with eval_custom_function"
            + (f", or choose one with --evaluator: {', '.join(offers)}." if offers else ".")
        )
    return chosen


def _run(
    evaluators: Sequence[Evaluator],
    predictor: Predictor,
    batches: Callable[[], Iterator[tuple[np.ndarray, np.ndarray | None]]],
    mltk_model: Any,
    show: bool,
    settings: Mapping[str, Any],
    options: Mapping[str, Any],
    base: Path | None = None,
) -> EvaluationResults:
    """Run the evaluators one after the other; one that fails after the first does not stop the others."""
    base = base or Path(mltk_model.log_dir) / "eval" / predictor.kind
    classes = settings.get("classes") or (
        mltk_model.classes if mltk_model and "dataset.classes" in mltk_model.attributes.stored else ()
    )
    finished: dict[str, EvaluationResults] = {}
    for evaluator in evaluators:
        folder = _result_folder(base, evaluator)
        if folder == base:
            # Only this evaluator's files: those of others are in folders of their own.
            for path in folder.iterdir() if folder.is_dir() else ():
                if path.is_file():
                    path.unlink()
        elif folder.exists():
            shutil.rmtree(folder)
        folder.mkdir(parents=True, exist_ok=True)
        context = EvaluationContext(
            predictor=predictor,
            batches=batches,
            output_dir=folder,
            logger=get_mltk_logger(),
            model=mltk_model,
            classes=tuple(classes),
            show=show,
            options={**settings, **{k: v for k, v in options.items() if k in evaluator.options}},
        )
        try:
            finished[evaluator.name] = _evaluate(evaluator, context)
        except Exception as e:
            # What the first one found is kept, and the others are still run.
            if not finished or mltk_model is None:
                raise
            mltk_model.record_failure(f"The evaluator '{evaluator.name}' failed", e)
    names = list(finished)
    primary = finished[names[0]]
    primary.others = {name: finished[name] for name in names[1:]}
    return primary


def _evaluate(evaluator: Evaluator, context: EvaluationContext) -> EvaluationResults:
    from mltk.results.evaluation import EvaluationResults

    results = evaluator.evaluate(context)
    if not isinstance(results, EvaluationResults):
        raise EvaluationError(
            f"The evaluator '{evaluator.name}' must return EvaluationResults, not {type(results).__name__}."
        )
    if not (context.output_dir / "eval-results.json").exists():
        results.save(context.output_dir)
    return results


def _result_folder(base: Path, evaluator: Evaluator) -> Path:
    folder = evaluator.name if evaluator.folder is None else evaluator.folder
    return base / folder if folder else base


class _EvaluationData:
    """Loads the evaluation data when an evaluator first asks for it, and unloads it at the end."""

    def __init__(self, mltk_model: Any, data: str | Path | None, settings: Mapping[str, Any]) -> None:
        self._model = mltk_model
        self._file = data
        self._settings = settings
        self._loaded = False

    def __enter__(self) -> _EvaluationData:
        return self

    def __exit__(self, *exc: object) -> None:
        if self._loaded:
            self._model.unload_dataset()

    def __call__(self) -> Iterator[tuple[np.ndarray, np.ndarray | None]]:
        from mltk.data.samples import iterate_batches, load_arrays

        if self._file is not None:
            x, y = load_arrays(self._file)
            return iterate_batches(x, y)
        model: Any = self._model
        if not self._loaded:
            if not isinstance(self._model, DatasetMixin):
                raise SpecificationError(
                    f"The model '{model.name}' cannot be evaluated: its class must inherit DatasetMixin, "
                    f"or give --data."
                )
            # Set first: what a failing loader opened must be closed as well.
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
    path: Path,
    data: str | Path | None,
    output: str | Path | None,
    evaluators: Sequence[str] | None,
    settings: Mapping[str, Any],
    options: Mapping[str, Any],
    show: bool,
    runtime: str,
) -> EvaluationResults:
    """Evaluate a bare `.tflite`, with arrays from a file; neither TensorFlow nor a specification is loaded."""
    from mltk.data.samples import iterate_batches
    from mltk.tflite.parameters import TfliteModelParameters

    chosen = choose_evaluators(None, evaluators, options)
    no_data = SpecificationError(
        f"{path} alone has no data to be evaluated with: give a .npz file with arrays x and y (--data)."
    )
    if data is None and any(evaluator.needs_data for evaluator in chosen):
        raise no_data
    tflite_model = load_tflite_model(str(path))
    arrays = None if data is None else _fitting_arrays(data, path, tflite_model.inputs[0].shape)

    def batches() -> Iterator[tuple[np.ndarray, np.ndarray | None]]:
        if arrays is None:
            raise no_data
        return iterate_batches(*arrays)

    classes = (
        settings["classes"] or TfliteModelParameters.load_from_tflite_model(tflite_model).get("classes") or ()
    )
    folder = Path(output) if output else folder_of_file(path)
    results = _run(
        chosen,
        make_predictor(tflite_model, path.stem, runtime),
        batches,
        None,
        show,
        {**settings, "classes": classes},
        options,
        base=folder,
    )
    get_mltk_logger().info("The results are in %s", folder)
    return results


def _fitting_arrays(
    data: str | Path, path: Path, input_shape: Sequence[int]
) -> tuple[np.ndarray, np.ndarray | None]:
    from mltk.data.samples import load_arrays

    x, y = load_arrays(data)
    wanted = tuple(n if n > 0 else None for n in input_shape[1:])
    if len(wanted) != x.ndim - 1 or any(w not in (None, n) for w, n in zip(wanted, x.shape[1:], strict=True)):
        raise EvaluationError(
            f"The samples in {data} have the shape {x.shape[1:]}, but {path} takes "
            f"{tuple(w if w else '?' for w in wanted)}."
        )
    return x, y


def folder_of_file(path: Path) -> Path:
    """Return a folder for the results of a bare file that no model, and no other file, has."""
    digest = hashlib.sha256(str(path.resolve()).encode()).hexdigest()[:8]
    return cache_dir() / "evaluations" / f"{path.stem}-{digest}"


def archive_results(mltk_model: Any, kind: str, evaluators: Sequence[Evaluator]) -> None:
    """Put the files of these evaluators, below `eval/<kind>` in the log folder, into the archive."""
    log_dir = Path(mltk_model.log_dir)
    base = log_dir / "eval" / kind
    members: dict[str, bytes | Path] = {}
    stale: list[str] = []
    old = mltk_model.archive.names()
    for evaluator in evaluators:
        folder = _result_folder(base, evaluator)
        prefix = folder.relative_to(log_dir).as_posix() + "/"
        files = folder.iterdir() if folder == base else folder.rglob("*")
        members.update({p.relative_to(log_dir).as_posix(): p for p in files if p.is_file()})
        stale += [
            n for n in old if n.startswith(prefix) and (folder != base or "/" not in n.removeprefix(prefix))
        ]
    mltk_model.archive.update(members, remove=stale)
