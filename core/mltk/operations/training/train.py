"""Train a model from its specification."""

from __future__ import annotations

import contextlib
import importlib.util
import inspect
import json
import platform
import shutil
from collections.abc import Iterator, Sequence
from importlib import metadata
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from mltk.data.loader import BatchIterator, original_errors
from mltk.errors import (
    DatasetError,
    FileFormatError,
    MltkError,
    ModelNotFoundError,
    SpecificationError,
    did_you_mean,
)
from mltk.keras.environment import import_tensorflow, seed_everything
from mltk.keras.old_names import add_shapes_of_layers, name_inner_models, name_learning_rate
from mltk.model.event import MltkModelEvent
from mltk.model.mixins.archive import files_of
from mltk.model.mixins.dataset import DatasetMixin, compute_class_weights
from mltk.model.mixins.train import CHECKPOINT_DEFAULTS, TrainMixin, is_minimized
from mltk.model.model import MltkModel
from mltk.model.operation import operation, sole_writer
from mltk.operations.conversion.quantize import converter_settings, quantize_model
from mltk.operations.summarize import summarize_keras_model
from mltk.results.training import TrainingResults
from mltk.sources.loading import load_mltk_model
from mltk.utils.files import atomic_write
from mltk.utils.logging import get_mltk_logger
from mltk.utils.stopping import in_steps

if TYPE_CHECKING:
    import logging

    import keras

__all__ = ["TrainingResults", "train_model"]

TEST_EPOCHS = 3
UNLIMITED_EPOCHS = 99_999


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
    seed: int | None = None,
    trust: bool = False,
) -> TrainingResults:
    """Train a model, save it, quantize it and pack its archive.

    Args:
        model: Model, name, path of its specification or archive.
        weights: Start from these: a path, a file name in the weights folder, or `'best'`.
        epochs: In place of the specification's.
        resume_epoch: Go on after this epoch (counted from 1); -1 goes on after the last one that is whole. The weights
            at the end are those of a run that was never interrupted.
        verbose: Print a line for each epoch; by default when mltk's logger shows information.
        clean: Empty the log folder first.
        quantize: Also write the `.tflite` files, if the specification has converter settings.
        create_archive: Write `<name>.mltk.zip`.
        show: Show the training history in a window.
        test: A trial run of three epochs with few samples.
        post_process: Given to event handlers: allow uploads and the like.
        seed: In place of the specification's.
        trust: Allow an archive's own specification to run.

    Returns:
        The history, the Keras model and the archive's path.

    Raises:
        SpecificationError: The specification cannot be trained as it is.
        DatasetError: The data set cannot be loaded.
        HandlerError: An event handler failed; all else was done.
        MltkError: Another process trains the model or writes its files, or the loss is no number any more.
    """
    mltk_model = _trainable(model, test=test, trust=trust)
    if create_archive:
        mltk_model.check_archive_file_is_writable(throw_exception=True)
    if seed is not None:
        mltk_model.seed = seed
    quantize = quantize and bool(mltk_model.tflite_converter)
    if quantize:
        # A wrong setting must not be found only after hours of training.
        converter_settings(mltk_model)
    if clean and resume_epoch:
        raise MltkError(
            "A training cannot be resumed (--resume) when its log folder is emptied first (--clean)."
        )
    logger = get_mltk_logger()
    results: TrainingResults | None = None
    with operation(mltk_model), sole_writer(mltk_model, "trains"):
        if resume_epoch == -1:
            resume_epoch = last_state(mltk_model)
            if not resume_epoch:
                logger.warning("There is nothing to resume; starting from the first epoch.")
        if not resume_epoch:
            _begin_run(mltk_model, clean)
        log_file = mltk_model.create_logger("train", parent=logger)
        mltk_model.trigger_event(MltkModelEvent.TRAIN_STARTUP, post_process=post_process, logger=log_file)
        try:
            results = _train(
                mltk_model,
                logger=log_file,
                weights=weights,
                epochs=epochs,
                resume_epoch=resume_epoch,
                verbose=logger.isEnabledFor(20) if verbose is None else verbose,
                create_archive=create_archive,
                show=show,
            )
            if quantize:
                quantize_model(
                    mltk_model,
                    keras_model=results.keras_model,
                    update_archive=create_archive,
                    post_process=post_process,
                )
            _call_on_training_complete(mltk_model, results)
        except Exception as e:
            _name_what_is_kept(mltk_model, e)
            raise
        finally:
            if mltk_model.loaded_subset:
                mltk_model.unload_dataset()
            mltk_model.trigger_event(MltkModelEvent.TRAIN_SHUTDOWN, results=results, logger=log_file)
            for handler in list(log_file.handlers):
                handler.close()
    mltk_model.raise_failures(results)
    return results


def _name_what_is_kept(mltk_model: Any, error: Exception) -> None:
    """Add to an error what the training had made before."""
    keras_file = Path(mltk_model.keras_log_dir_path)
    if keras_file.is_file():
        error.add_note(f"The trained model is kept: {keras_file}.")
    elif not isinstance(error, (SpecificationError, FileFormatError)) and last_state(mltk_model):
        error.add_note(f"All up to epoch {last_state(mltk_model)} is kept: --resume goes on from there.")


def _trainable(model: MltkModel | str | Path, test: bool, trust: bool) -> Any:
    if isinstance(model, (str, Path)) and str(model).endswith((".tflite", ".h5", ".keras")):
        raise SpecificationError(
            f"{model} cannot be trained. Give the name or the .py file of a model specification."
        )
    mltk_model = load_mltk_model(model, test=test, trust=trust)
    for mixin in (TrainMixin, DatasetMixin):
        if not isinstance(mltk_model, mixin):
            raise SpecificationError(
                f"The model '{mltk_model.name}' cannot be trained: its class must inherit {mixin.__name__}."
            )
    return mltk_model


def _train(
    mltk_model: Any,
    logger: logging.Logger,
    weights: str | None,
    epochs: int | None,
    resume_epoch: int,
    verbose: bool,
    create_archive: bool,
    show: bool,
) -> TrainingResults:
    epochs = _number_of_epochs(mltk_model, epochs)
    start_weights = (
        mltk_model.get_weights_path(weights) if weights and not Path(weights).is_file() else weights
    )
    seed_everything(mltk_model.seed, mltk_model.deterministic)
    _check_fit_settings(mltk_model)

    mltk_model.load_dataset("training", test=mltk_model.test_mode_enabled, logger=logger)
    if mltk_model.x is None:
        raise DatasetError(
            f"The data set of '{mltk_model.name}' gave no training data: set my_model.dataset, "
            f"and let its loader return x and y."
        )
    # Loading may draw random numbers; the initial weights must not depend on it.
    seed_everything(mltk_model.seed, mltk_model.deterministic)
    keras_model = build_keras_model(mltk_model, logger=logger)
    if start_weights:
        from mltk.keras.saving import load_weights

        load_weights(keras_model, start_weights)
        logger.info(f"Starting from the weights {start_weights}")

    summary = summarize_keras_model(keras_model, mltk_model)
    log_dir = Path(mltk_model.log_dir)
    atomic_write(log_dir / f"{mltk_model.name}.h5.summary.txt", summary)
    logger.info(summary)
    dataset_summary = mltk_model.summarize_dataset()
    if dataset_summary:
        logger.info(dataset_summary)

    history = _fit(mltk_model, keras_model, epochs, resume_epoch, verbose, logger)
    mltk_model.trigger_event(MltkModelEvent.AFTER_TRAIN, training_history=history, logger=logger)
    fingerprint = mltk_model._dataset_fingerprint
    mltk_model.unload_dataset()
    keras_model = _save_model(mltk_model, keras_model, logger)

    results = TrainingResults(mltk_model, keras_model, history)
    train_dir = Path(mltk_model.create_log_dir("train"))
    event = {"keras_model": keras_model, "results": results, "output_dir": str(train_dir), "logger": logger}
    mltk_model.trigger_event(MltkModelEvent.BEFORE_SAVE_TRAIN_RESULTS, **event)
    try:
        results.save(train_dir)
    except Exception as e:  # noqa: BLE001 - a plot that fails must not cost the model; reported in the end
        mltk_model.record_failure("The history of the training could not be written", e)
    atomic_write(
        train_dir / "provenance.json", json.dumps(provenance(mltk_model, fingerprint), indent=2) + "\n"
    )
    mltk_model.trigger_event(MltkModelEvent.AFTER_SAVE_TRAIN_RESULTS, **event)
    if show:
        results.show()
    if create_archive:
        path = mltk_model.archive_path
        mltk_model.trigger_event(MltkModelEvent.BEFORE_SAVE_TRAIN_ARCHIVE, archive_path=path, logger=logger)
        _write_archive(mltk_model)
        results.model_archive_path = path
        mltk_model.trigger_event(MltkModelEvent.AFTER_SAVE_TRAIN_ARCHIVE, archive_path=path, logger=logger)
    return results


def _check_fit_settings(mltk_model: Any) -> None:
    """Refuse wrong callbacks and arguments of `fit` before the data are loaded, which may take long."""
    import keras

    _callbacks(mltk_model, has_validation=True, has_accuracy=True, logger=None)
    known = list(inspect.signature(keras.Model.fit).parameters)[1:]
    for name in mltk_model.train_kwargs:
        if name not in known:
            raise SpecificationError(
                f"my_model.train_kwargs has '{name}', which keras.Model.fit does not take.{did_you_mean(name, known)}"
            )


def _number_of_epochs(mltk_model: Any, epochs: int | None) -> int:
    if mltk_model.test_mode_enabled:
        return TEST_EPOCHS
    epochs = mltk_model.epochs if epochs is None else epochs
    if epochs == -1:
        import keras

        has_early_stopping = mltk_model.early_stopping or any(
            isinstance(c, keras.callbacks.EarlyStopping) for c in mltk_model.train_callbacks
        )
        if not has_early_stopping:
            raise SpecificationError(
                "epochs is -1 (train until it stops improving), which needs EarlyStopping: "
                "set my_model.early_stopping['monitor'] = 'val_loss', for instance."
            )
        return UNLIMITED_EPOCHS
    if epochs < 1:
        raise SpecificationError(f"The number of epochs must be at least 1, or -1, not {epochs}.")
    return int(epochs)


def build_keras_model(mltk_model: Any, logger: logging.Logger | None = None) -> keras.Model:
    """Build the model with the `mltk_build_model` hook and check that it fits the specification.

    Raises:
        SpecificationError: There is no build function, it fails or gives no compiled model, or the model's output does
            not fit the classes.
    """
    import_tensorflow()
    import keras

    from mltk.plugins import call_first

    mltk_model.trigger_event(MltkModelEvent.BEFORE_BUILD_TRAIN_MODEL, logger=logger)
    if "train.build_model_function" not in mltk_model.attributes.stored and not _builds_itself(mltk_model):
        raise SpecificationError(
            f"The model '{mltk_model.name}' has no build_model_function. "
            f"Set my_model.build_model_function = f, where f(my_model) returns a compiled Keras model."
        )
    add_shapes_of_layers()
    keras_model = call_first("mltk_build_model", mltk_model=mltk_model)
    if not isinstance(keras_model, keras.Model):
        raise SpecificationError(
            f"The build function of '{mltk_model.name}' must return a Keras model, not {type(keras_model).__name__}."
            + (" Is a `return` missing?" if keras_model is None else "")
        )
    if not keras_model.compiled:
        raise SpecificationError(
            f"The build function of '{mltk_model.name}' returned a model that is not compiled: "
            f"call keras_model.compile(…)."
        )
    _check_outputs(mltk_model, keras_model)
    name_inner_models(keras_model)
    name_learning_rate(keras_model.optimizer)
    mltk_model.trigger_event(MltkModelEvent.AFTER_BUILD_TRAIN_MODEL, keras_model=keras_model, logger=logger)
    return keras_model


def _builds_itself(mltk_model: Any) -> bool:
    """Tell whether a plugin or the specification answers `mltk_build_model` beside the built-in answer."""
    from mltk.plugins import get_plugin_manager

    # A wrapper only looks at, or changes, what another one built.
    builders = [i for i in get_plugin_manager().hook.mltk_build_model.get_hookimpls() if not i.wrapper]
    return len(builders) > 1


def _check_outputs(mltk_model: Any, keras_model: keras.Model) -> None:
    from mltk.model.mixins.evaluate import EvaluateClassifierMixin

    classes = mltk_model.attributes.stored.get("dataset.classes")
    is_classifier = (
        isinstance(mltk_model, EvaluateClassifierMixin) and mltk_model.default_evaluator == "classifier"
    )
    # A subclassed model has no symbolic outputs to look at.
    outputs = getattr(keras_model, "outputs", None)
    if not classes or not is_classifier or not outputs or len(outputs) != 1:
        return
    units = outputs[0].shape[-1]
    allowed = {len(classes), 1} if len(classes) == 2 else {len(classes)}
    if len(outputs[0].shape) == 2 and units not in allowed:
        raise SpecificationError(
            f"The model '{mltk_model.name}' has {units} outputs but {len(classes)} classes ({', '.join(classes)}). "
            f"Use my_model.n_classes for the units of the last layer."
        )


def _fit(
    mltk_model: Any,
    keras_model: keras.Model,
    epochs: int,
    resume_epoch: int,
    verbose: bool,
    logger: logging.Logger,
) -> SimpleNamespace:
    from mltk.data import tf_data
    from mltk.keras import callbacks as own

    x, y, sample_weight, validation_data = _training_data(mltk_model)
    class_weight = compute_class_weights(mltk_model, mltk_model.y)
    checkpoints = Path(mltk_model.checkpoints_dir)
    has_validation = validation_data is not None or bool(mltk_model.validation_split)
    callbacks = _callbacks(mltk_model, has_validation, _reports_accuracy(keras_model), logger)
    mltk_model.trigger_event(
        MltkModelEvent.POPULATE_TRAIN_CALLBACKS, keras_callbacks=callbacks, logger=logger
    )
    state = own.EpochState(
        checkpoints, list(callbacks), seed=mltk_model.seed, save=mltk_model.checkpoints_enabled
    )
    stopped = False
    if resume_epoch:
        stopped = state.restore(keras_model, resume_epoch)
        logger.info(f"Going on after epoch {resume_epoch}")

    x, steps = tf_data.for_training(x, mltk_model, keras_model, mltk_model.steps_per_epoch, done=resume_epoch)
    validation_steps = mltk_model.validation_steps
    validation_data = tf_data.for_validation(validation_data, mltk_model, keras_model, validation_steps)
    batched = _yields_batches(x)
    iterators = [d for d in (x, validation_data) if isinstance(d, BatchIterator)]
    seeds = own.EpochSeed(mltk_model.seed, datasets=[x] if isinstance(x, BatchIterator) else [])
    progress = own.Progress(resume_epoch) if verbose else None
    fit_kwargs: dict[str, Any] = {
        "x": x.to_keras(steps) if isinstance(x, BatchIterator) else x,
        "y": y,
        "batch_size": None if batched else mltk_model.batch_size,
        "steps_per_epoch": None if isinstance(x, BatchIterator) else steps,
        "validation_split": 0.0 if validation_data is not None else mltk_model.validation_split,
        "validation_data": _for_keras(validation_data, validation_steps),
        "validation_steps": None
        if isinstance(validation_data, BatchIterator) or tf_data.is_tf_dataset(validation_data)
        else validation_steps,
        "validation_batch_size": mltk_model.validation_batch_size,
        "validation_freq": mltk_model.validation_freq,
        "shuffle": False if batched else mltk_model.shuffle,
        "class_weight": class_weight,
        "sample_weight": sample_weight,
        "epochs": epochs,
        "initial_epoch": epochs if stopped else min(resume_epoch, epochs),
        "callbacks": [
            seeds,
            own.FiniteLoss(lambda: _kept_weights(mltk_model, state.epochs)),
            own.Monitors(_monitors(mltk_model)),
            *callbacks,
            state,
            *([progress] if progress else []),
            own.Steps(),
        ],
        "verbose": 0,
    }
    fit_kwargs.update({k: v for k, v in mltk_model.train_kwargs.items() if k != "callbacks"})
    mltk_model.trigger_event(MltkModelEvent.BEFORE_TRAIN, fit_kwargs=fit_kwargs, logger=logger)
    try:
        with (
            in_steps(),
            tf_data.fitting(),
            original_errors(*iterators),
            _shapes_explained(mltk_model, keras_model),
        ):
            history = keras_model.fit(**fit_kwargs)
        if all(name.startswith("val_") for name in state.history):
            raise DatasetError(f"The training data set of '{mltk_model.name}' is empty: it gave no batch.")
    finally:
        if progress:
            progress.close()
        for iterator in iterators:
            iterator.close()
    params = {**history.params, "epochs": fit_kwargs["epochs"]}
    return SimpleNamespace(epoch=state.epochs, history=state.history, params=params)


def _kept_weights(mltk_model: Any, epochs: Sequence[int]) -> str | None:
    """Return the path of the best weights of a run, if any of its epochs was whole."""
    try:
        return str(mltk_model.get_weights_path("best")) if epochs else None
    except ModelNotFoundError:
        return None


@contextlib.contextmanager
def _shapes_explained(mltk_model: Any, keras_model: keras.Model) -> Iterator[None]:
    """Turn what Keras says of data that do not fit the network into one line."""
    try:
        yield
    except KeyError as e:
        if "callback filepath" not in str(e):
            raise
        raise SpecificationError(
            f"my_model.checkpoint has a save_freq within the epoch, where there is no value of "
            f"{mltk_model.checkpoint.get('monitor')} yet. Use save_freq='epoch'."
        ) from e
    except ValueError as e:
        text = " ".join(str(e).split())
        if "shape" not in text.lower() and "None values" not in text:
            raise
        raise SpecificationError(
            f"The data do not fit the model '{mltk_model.name}', whose input is {keras_model.input_shape} and "
            f"output {keras_model.output_shape}: {text[:300]}"
        ) from e


def _training_data(mltk_model: Any) -> tuple[Any, Any, Any, Any]:
    """Return x, y, sample_weight and validation data; arrays become seeded batch iterators."""
    from mltk.data.arrays import array_iterator

    x = mltk_model.prepare_training_data(mltk_model.x)
    y, sample_weight = mltk_model.y, mltk_model.sample_weight
    validation_data = mltk_model.validation_data
    if not _is_array(x) or not (y is None or _is_array(y)):
        return x, y, sample_weight, validation_data
    batch_size = mltk_model.batch_size
    if validation_data is None and mltk_model.validation_split:
        # Keras' rule: the last fraction, before any shuffling.
        cut = int(len(x) * (1 - mltk_model.validation_split))
        if not 0 < cut < len(x):
            raise DatasetError(
                f"validation_split={mltk_model.validation_split} leaves nothing of {len(x)} samples."
            )
        weights = None if sample_weight is None else sample_weight[cut:]
        validation_data = array_iterator(
            x[cut:], None if y is None else y[cut:], weights, batch_size=batch_size, seed=None
        )
        x, y = x[:cut], None if y is None else y[:cut]
        sample_weight = None if sample_weight is None else sample_weight[:cut]
    seed = mltk_model.seed if mltk_model.shuffle else None
    return array_iterator(x, y, sample_weight, batch_size=batch_size, seed=seed), None, None, validation_data


def _is_array(value: Any) -> bool:
    import numpy as np

    return isinstance(value, np.ndarray)


def _yields_batches(x: Any) -> bool:
    import tensorflow as tf

    return not (_is_array(x) or isinstance(x, (list, dict, tuple)) or tf.is_tensor(x))


def _for_keras(data: Any, steps: int | None) -> Any:
    return data.to_keras(steps) if isinstance(data, BatchIterator) else data


def _callbacks(
    mltk_model: Any, has_validation: bool, has_accuracy: bool, logger: logging.Logger | None
) -> list[keras.callbacks.Callback]:
    import keras

    from mltk.keras.callbacks import ModelCheckpoint

    callbacks = [*mltk_model.train_callbacks, *mltk_model.train_kwargs.get("callbacks", ())]
    for callback in callbacks:
        if not isinstance(callback, keras.callbacks.Callback):
            raise SpecificationError(
                f"my_model.train_callbacks holds {callback!r}, which is no Keras callback."
            )

    def add(
        name: str, cls: type, settings: dict[str, Any], defaults: dict[str, Any], base: type | None = None
    ) -> None:
        if not settings or any(isinstance(c, base or cls) for c in mltk_model.train_callbacks):
            return
        # Keras 2 had it; the reference's default holds it.
        settings = {k: v for k, v in settings.items() if not (k == "options" and v is None)}
        known = list(inspect.signature(base or cls).parameters)
        for key in settings:
            if key not in known:
                raise SpecificationError(
                    f"my_model.{name} has '{key}', which the Keras callback does not take."
                    f"{did_you_mean(key, known)} It takes: {', '.join(k for k in known if k != 'kwargs')}."
                )
        try:
            callbacks.append(cls(**{**defaults, **settings}))
        except (TypeError, ValueError) as e:
            raise SpecificationError(f"my_model.{name} is not right: {e}") from e

    if mltk_model.tensorboard and importlib.util.find_spec("tensorboard") is None:
        raise SpecificationError("my_model.tensorboard needs a package: pip install tensorboard")
    add(
        "tensorboard",
        keras.callbacks.TensorBoard,
        mltk_model.tensorboard,
        {"log_dir": str(Path(mltk_model.log_dir) / "train" / "tensorboard")},
    )
    checkpoint = dict(mltk_model.checkpoint or {})
    missing = checkpoint == CHECKPOINT_DEFAULTS and not has_accuracy
    if checkpoint and (missing or (not has_validation and str(checkpoint.get("monitor")).startswith("val_"))):
        if logger:
            logger.info(f"No best weights are kept: the training does not report {checkpoint['monitor']}.")
        checkpoint = {}
    add(
        "checkpoint",
        ModelCheckpoint,
        _with_mode(checkpoint),
        {"filepath": str(Path(mltk_model.weights_dir) / mltk_model.weights_file_format)},
        base=keras.callbacks.ModelCheckpoint,
    )
    schedule = (mltk_model.lr_schedule or {}).get("schedule")
    if schedule is not None and not _takes(schedule, 2) and not _takes(schedule, 1):
        raise SpecificationError(
            "my_model.lr_schedule must be a function f(epoch, lr) that returns the learning rate."
        )
    add("lr_schedule", keras.callbacks.LearningRateScheduler, mltk_model.lr_schedule, {})
    add("early_stopping", keras.callbacks.EarlyStopping, _with_mode(mltk_model.early_stopping), {})
    if mltk_model.lr_schedule and mltk_model.reduce_lr_on_plateau:
        if logger:
            logger.warning("lr_schedule is set, so reduce_lr_on_plateau is not used.")
    else:
        plateau = _with_mode(mltk_model.reduce_lr_on_plateau)
        add("reduce_lr_on_plateau", keras.callbacks.ReduceLROnPlateau, plateau, {})
    return callbacks


def _monitors(mltk_model: Any) -> dict[str, str]:
    """Return what the callback properties watch, by property."""
    names = ("checkpoint", "early_stopping", "reduce_lr_on_plateau")
    settings = {name: getattr(mltk_model, name) or {} for name in names}
    if settings["checkpoint"] == CHECKPOINT_DEFAULTS:
        del settings["checkpoint"]
    return {name: str(s["monitor"]) for name, s in settings.items() if "monitor" in s}


def _with_mode(settings: dict[str, Any] | None) -> dict[str, Any]:
    """Say whether less or more is better where the settings do not: Keras refuses names that it does not know."""
    if not settings or settings.get("mode", "auto") != "auto" or "monitor" not in settings:
        return settings or {}
    return {**settings, "mode": "min" if is_minimized(str(settings["monitor"])) else "max"}


def _takes(function: Any, n: int) -> bool:
    try:
        inspect.signature(function).bind(*range(n))
    except (TypeError, ValueError):
        return False
    return True


def _reports_accuracy(keras_model: keras.Model) -> bool:
    """Tell whether a compiled model reports `accuracy`."""
    metrics = (keras_model.get_compile_config() or {}).get("metrics") or []
    names = [
        m if isinstance(m, str) else m.get("config", {}).get("name")
        for m in metrics
        if isinstance(m, (str, dict))
    ]
    return "accuracy" in names


def _save_model(mltk_model: Any, keras_model: keras.Model, logger: logging.Logger) -> keras.Model:
    import keras

    from mltk.keras.models import model_to_save
    from mltk.keras.saving import save_keras_model

    if mltk_model.on_save_keras_model:
        saved = mltk_model.on_save_keras_model(mltk_model=mltk_model, keras_model=keras_model, logger=logger)
        if not isinstance(saved, keras.Model):
            raise SpecificationError(
                f"my_model.on_save_keras_model must return the Keras model to save, not {type(saved).__name__}."
            )
        keras_model = saved
    keras_model = model_to_save(keras_model)
    box = {"value": keras_model}
    event: dict[str, Any] = {"keras_model": keras_model, "keras_model_dict": box, "logger": logger}
    mltk_model.trigger_event(MltkModelEvent.BEFORE_SAVE_TRAIN_MODEL, **event)
    keras_model = box["value"]
    save_keras_model(keras_model, mltk_model.keras_log_dir_path)
    save_keras_model(keras_model, mltk_model.h5_log_dir_path)
    event["keras_model"] = keras_model
    mltk_model.trigger_event(MltkModelEvent.AFTER_SAVE_TRAIN_MODEL, **event)
    return box["value"]


def last_state(mltk_model: Any) -> int:
    """Return the last epoch (counted from 1) after which the running or last training can be resumed; 0 for none."""
    from mltk.keras.callbacks import last_whole_epoch

    return last_whole_epoch(Path(mltk_model.checkpoints_dir))


def _write_archive(mltk_model: Any) -> None:
    """Write a new archive with what the training made; the old one stays until the new one is whole."""
    log_dir = Path(mltk_model.log_dir)
    members = {path.name: path for path in own_files(mltk_model) if ".tflite" not in path.suffixes}
    for folder, recursive in (("train", False), ("dataset", True)):
        if (log_dir / folder).is_dir():
            members.update({f"{folder}/{name}": path for name, path in files_of(log_dir / folder, recursive)})
    mltk_model.archive.update({**members, **mltk_model.specification_member()}, remove=[""])


def own_files(mltk_model: Any) -> list[Path]:
    """Return the files that mltk, or a specification following its naming, wrote into the root of the log folder."""
    log_dir = Path(mltk_model.log_dir)
    others = {Path(mltk_model.model_specification_path), Path(mltk_model.archive_path)}
    names = [*log_dir.glob(f"{mltk_model.name}.*"), log_dir / "quantization_report.csv"]
    return [
        path for path in names if path.is_file() and path.resolve() not in others and path.suffix != ".zip"
    ]


def _begin_run(mltk_model: Any, clean: bool | None) -> None:
    """Make what older runs left old: what this one replaces, and what goes now."""
    from mltk.keras.callbacks import begin_run

    def begin() -> None:
        folders = () if clean is None else (mltk_model.checkpoints_dir, mltk_model.weights_dir)
        stale = [path for folder in folders for path in Path(folder).iterdir()]
        begin_run(Path(mltk_model.checkpoints_dir), stale)

    begin()
    if clean:
        for folder in ("train", "eval", "dataset"):
            shutil.rmtree(Path(mltk_model.log_dir) / folder, ignore_errors=True)
        begin()
    if clean is not None:
        _remove_loose_files(mltk_model)


def _remove_loose_files(mltk_model: Any) -> None:
    """Remove what an older run left in the root of the log folder and in `train/`; sub-folders stay."""
    train = Path(mltk_model.log_dir) / "train"
    for path in [*own_files(mltk_model), *(p for _, p in (files_of(train, False) if train.is_dir() else ()))]:
        path.unlink()


def provenance(mltk_model: Any, fingerprint: str | None) -> dict[str, Any]:
    """Return what a result depends on: seed, versions of Python, libraries and plugins, fingerprint of the data."""
    from mltk import __version__
    from mltk.plugins import get_plugin_manager

    def version(name: str) -> str | None:
        try:
            return metadata.version(name)
        except metadata.PackageNotFoundError:
            return None

    return {
        "model": mltk_model.name,
        "seed": mltk_model.seed,
        "mltk": __version__,
        "python": platform.python_version(),
        "libraries": {name: version(name) for name in ("tensorflow", "keras", "numpy")},
        "plugins": {
            r.name: f"{r.distribution} {r.version}"
            for r in get_plugin_manager().records()
            if r.status == "active" and not r.builtin
        },
        "dataset_fingerprint": fingerprint,
    }


def _call_on_training_complete(mltk_model: Any, results: TrainingResults) -> None:
    if not mltk_model.on_training_complete:
        return
    try:
        mltk_model.on_training_complete(results)
    except Exception as e:  # noqa: BLE001 - the specification's own code; reported when the operation is done
        mltk_model.record_failure("my_model.on_training_complete failed", e)
