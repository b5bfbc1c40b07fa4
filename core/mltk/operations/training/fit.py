"""Call Keras' `fit` with the data, callbacks and settings of a specification."""

from __future__ import annotations

import contextlib
import re
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING

import numpy as np

from mltk.data import tf_data
from mltk.data.loader import BatchIterator, original_errors
from mltk.errors import DatasetError, ModelNotFoundError, SpecificationError
from mltk.model.event import MltkModelEvent
from mltk.model.mixins.dataset import compute_class_weights
from mltk.operations.training.callbacks import create_callbacks, monitored_values
from mltk.utils.stopping import in_steps

if TYPE_CHECKING:
    import logging
    from collections.abc import Iterator, Mapping, Sequence

    import keras

    from mltk.model.full_model import FullModel
    from mltk.operations.training.fit_data import FitData


def fit_model(
    mltk_model: FullModel,
    keras_model: keras.Model,
    data: FitData,
    epochs: int,
    resume_epoch: int,
    verbose: bool,
    conditions: Mapping[str, object],
    logger: logging.Logger,
) -> SimpleNamespace:
    """Train a compiled model with the loaded data set.

    Args:
        mltk_model: The specification.
        keras_model: The model.
        data: From `training_data`.
        epochs: Number of epochs.
        resume_epoch: Restore the state after this epoch (counted from 1) first; 0 to start from the beginning.
        verbose: Print a progress line for each epoch.
        conditions: What the result depends on, for `--resume`.
        logger: For messages.

    Returns:
        `epoch`, `history` and `params`, as in a Keras history; in `last`, the epoch (counted from 1) whose weights the
        model has, and in `best` the record of the best epoch, if its weights were kept.

    Raises:
        DatasetError: The data set is empty or broken.
        SpecificationError: The data do not fit the model.
    """
    # These classes derive from Keras' own.
    from mltk.keras import callbacks as own
    from mltk.keras.advice import Advice
    from mltk.keras.checkpoints import EpochState

    has_validation = data.validation is not None or bool(mltk_model.validation_split)
    callbacks = create_callbacks(mltk_model, has_validation, _reports_accuracy(keras_model), logger)
    n_own = len(mltk_model.train_callbacks) + len(mltk_model.train_kwargs.get("callbacks", ()))
    mltk_model.trigger_event(
        MltkModelEvent.POPULATE_TRAIN_CALLBACKS, keras_callbacks=callbacks, logger=logger
    )
    keeping = {"save": mltk_model.checkpoints_enabled, "to_keep": mltk_model.checkpoints_to_keep}
    state = EpochState(Path(mltk_model.checkpoints_dir), list(callbacks), conditions, **keeping)
    stopped = resume_epoch > 0 and state.restore(keras_model, resume_epoch, logger)
    if resume_epoch:
        logger.info(f"Resuming after epoch {resume_epoch}")
    data, steps = _batched(mltk_model, keras_model, data, resume_epoch)
    iterators = [d for d in (data.x, data.validation) if isinstance(d, BatchIterator)]
    progress = own.Progress(resume_epoch) if verbose else None
    fit_kwargs = {
        **_data_arguments(mltk_model, data, steps),
        "class_weight": compute_class_weights(mltk_model, mltk_model.y),
        "epochs": epochs,
        "initial_epoch": epochs if stopped else min(resume_epoch, epochs),
        "callbacks": [
            own.EpochSeed(mltk_model.seed, datasets=[data.x] if isinstance(data.x, BatchIterator) else []),
            own.FiniteLoss(lambda: _kept_weights(mltk_model, state.epochs)),
            Advice(logger, epochs, mltk_model.class_counts.get("training") or {}),
            *callbacks[:n_own],
            # After callbacks that may report values, before those that monitor them.
            own.Monitors(monitored_values(mltk_model), callbacks),
            *callbacks[n_own:],
            state,
            *([progress] if progress else []),
            own.Steps(),
        ],
        "verbose": 0,
        **{k: v for k, v in mltk_model.train_kwargs.items() if k != "callbacks"},
    }
    if data.advice:
        logger.warning(data.advice)
    mltk_model.trigger_event(MltkModelEvent.BEFORE_TRAIN, fit_kwargs=fit_kwargs, logger=logger)
    try:
        history = _fit(mltk_model, keras_model, fit_kwargs, iterators)
        if all(name.startswith("val_") for name in state.history):
            raise DatasetError(f"The training data set of '{mltk_model.name}' is empty: it gave no batch.")
    finally:
        if progress:
            progress.close()
        for iterator in iterators:
            iterator.close()
    return SimpleNamespace(
        epoch=state.epochs,
        history=state.history,
        params={**history.params, "epochs": fit_kwargs["epochs"]},
        last=_find_restored_epoch(callbacks) or len(state.epochs),
        best=state.best,
    )


def _fit(
    mltk_model: FullModel,
    keras_model: keras.Model,
    fit_kwargs: Mapping[str, object],
    iterators: Sequence[BatchIterator],
) -> keras.callbacks.History:
    with (
        in_steps(),
        tf_data.fitting(),
        original_errors(*iterators),
        _explain_shape_errors(mltk_model, keras_model),
    ):
        return keras_model.fit(**fit_kwargs)


def _find_restored_epoch(callbacks: Sequence[keras.callbacks.Callback]) -> int | None:
    """Return the epoch (counted from 1) whose weights a callback such as EarlyStopping restored."""
    restored = [
        c.best_epoch + 1 for c in callbacks if getattr(c, "restore_best_weights", False) and c.best_weights
    ]
    return restored[-1] if restored else None


def _batched(
    mltk_model: FullModel, keras_model: keras.Model, data: FitData, resume_epoch: int
) -> tuple[FitData, int | None]:
    """Return the data with `tf.data` sets prepared for `fit`, and the steps per epoch."""
    x, steps = tf_data.for_training(
        data.x, mltk_model, keras_model, mltk_model.steps_per_epoch, done=resume_epoch
    )
    validation = tf_data.for_validation(data.validation, mltk_model, keras_model, mltk_model.validation_steps)
    return data._replace(x=x, validation=validation), steps


def _data_arguments(mltk_model: FullModel, data: FitData, steps: int | None) -> dict[str, object]:
    """Return the arguments of `fit` that describe the data."""
    is_iterator = isinstance(data.x, BatchIterator)
    is_batched = _yields_batches(data.x)
    validation = data.validation
    validation_steps = mltk_model.validation_steps
    has_own_steps = isinstance(validation, BatchIterator) or tf_data.is_tf_dataset(validation)
    return {
        "x": data.x.to_keras(steps) if is_iterator else data.x,
        "y": data.y,
        "sample_weight": data.sample_weight,
        "batch_size": None if is_batched else mltk_model.batch_size,
        "steps_per_epoch": None if is_iterator else steps,
        "shuffle": False if is_batched else mltk_model.shuffle,
        "validation_split": 0.0 if validation is not None else mltk_model.validation_split,
        "validation_data": validation.to_keras(validation_steps)
        if isinstance(validation, BatchIterator)
        else validation,
        "validation_steps": None if has_own_steps else validation_steps,
        "validation_batch_size": mltk_model.validation_batch_size,
        "validation_freq": mltk_model.validation_freq,
    }


def _kept_weights(mltk_model: FullModel, epochs: Sequence[int]) -> str | None:
    """Return the path of the best weights of a run, if at least one epoch was completed."""
    try:
        return str(mltk_model.get_weights_path("best")) if epochs else None
    except ModelNotFoundError:
        return None


@contextlib.contextmanager
def _explain_shape_errors(mltk_model: FullModel, keras_model: keras.Model) -> Iterator[None]:
    """Turn Keras' errors about data that do not fit the model into one line."""
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
        # Keras writes bold text, and repeats all arguments.
        text = re.split(r"\s*Arguments received", re.sub(r"\x1b\[[0-9;]*m", "", " ".join(str(e).split())))[0]
        if "shape" not in text.lower() and "None values" not in text:
            raise
        raise SpecificationError(
            f"The data do not fit the model '{mltk_model.name}'{_shapes(keras_model)}: {text[:300]}"
        ) from e


def _shapes(keras_model: keras.Model) -> str:
    # A subclassed model has no symbolic tensors.
    if not getattr(keras_model, "inputs", None):
        return ""
    return f", whose input is {keras_model.input_shape} and output {keras_model.output_shape}"


def _yields_batches(x: object) -> bool:
    import tensorflow as tf

    return not (isinstance(x, (np.ndarray, list, dict, tuple)) or tf.is_tensor(x))


def _reports_accuracy(keras_model: keras.Model) -> bool:
    """Return whether a compiled model reports `accuracy`; one of several outputs has its name before it."""
    metrics = (keras_model.get_compile_config() or {}).get("metrics")
    # A subclassed model has no symbolic outputs.
    several = len(getattr(keras_model, "outputs", None) or ()) > 1
    return not several and "accuracy" in _names_of_metrics(metrics)


def _names_of_metrics(metrics: object) -> list[str]:
    """Return the names of the metrics in what Keras writes into a file about `compile`."""
    if isinstance(metrics, str):
        return [metrics]
    if isinstance(metrics, (list, tuple)):
        return [name for one in metrics for name in _names_of_metrics(one)]
    if not isinstance(metrics, dict):
        return []
    if "class_name" not in metrics:
        return _names_of_metrics(list(metrics.values()))
    config = metrics["config"]
    # Of a function, the configuration is its name.
    return [config if isinstance(config, str) else str(config.get("name"))]
