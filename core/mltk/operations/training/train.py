"""Train a model: load the data, build, fit, and save."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from mltk.errors import DatasetError, SpecificationError, did_you_mean
from mltk.keras.environment import seed_everything
from mltk.keras.saving import load_weights
from mltk.model.event import MltkModelEvent
from mltk.operations.summaries import summarize_keras_model
from mltk.operations.training.build import build_keras_model, build_layers
from mltk.operations.training.callbacks import create_callbacks
from mltk.operations.training.fit import fit_model
from mltk.operations.training.fit_data import first_batch, training_data
from mltk.operations.training.outputs import save_trained_model
from mltk.operations.training.provenance import provenance
from mltk.results.training import TrainingResults
from mltk.utils.files import atomic_write

if TYPE_CHECKING:
    import logging
    from collections.abc import Mapping
    from types import SimpleNamespace

    import keras

    from mltk.model.any_model import AnyModel

TEST_EPOCHS = 3
UNLIMITED_EPOCHS = 99_999


def run_training(
    mltk_model: AnyModel,
    logger: logging.Logger,
    weights: str | None = None,
    epochs: int | None = None,
    resume_epoch: int = 0,
    verbose: bool = False,
    show: bool = False,
) -> TrainingResults:
    """Train a model and write the Keras files and the results of the run into the log folder.

    Args:
        mltk_model: The specification.
        logger: For messages.
        weights: Start from these: a path, a file name in the weights folder, or `'best'`.
        epochs: Number of epochs; that of the specification by default.
        resume_epoch: Resume after this epoch (counted from 1).
        verbose: Print a progress line for each epoch.
        show: Show the training history in a window.
    """
    epochs = _number_of_epochs(mltk_model, epochs)
    if weights and not Path(weights).is_file():
        weights = mltk_model.get_weights_path(weights)
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
    data = training_data(mltk_model)
    batch = first_batch(data, keras_model)
    build_layers(keras_model, batch)
    if weights:
        load_weights(keras_model, weights)
        logger.info(f"Starting from the weights {weights}")
    _write_summaries(mltk_model, keras_model, logger)

    record = provenance(mltk_model)
    history = fit_model(mltk_model, keras_model, data, epochs, resume_epoch, verbose, record, logger)
    shipped = _load_weights_to_ship(mltk_model, keras_model, history, logger)
    mltk_model.trigger_event(MltkModelEvent.AFTER_TRAIN, training_history=history, logger=logger)
    mltk_model.unload_dataset()
    keras_model = save_trained_model(mltk_model, keras_model, logger)
    record["weights"] = {"epoch": shipped, "chosen": mltk_model.ship_weights}
    results = _save_results(mltk_model, keras_model, history, record, logger)
    results.shipped_epoch = shipped
    if show:
        results.show()
    return results


def _load_weights_to_ship(
    mltk_model: AnyModel, keras_model: keras.Model, history: SimpleNamespace, logger: logging.Logger
) -> int:
    """Give the model the weights that `ship_weights` asks for; return their epoch, counted from 1."""
    if mltk_model.ship_weights == "last":
        return int(history.last)
    if history.best is None:
        logger.warning(
            "The last weights are shipped: my_model.ship_weights is 'best', but no best weights were kept. They are if "
            "my_model.checkpoint['monitor'] is a value that the training reports."
        )
        return int(history.last)
    load_weights(keras_model, Path(mltk_model.weights_dir) / history.best["file"], with_optimizer=True)
    return int(history.best["epoch"])


def _write_summaries(mltk_model: AnyModel, keras_model: keras.Model, logger: logging.Logger) -> None:
    summary = summarize_keras_model(keras_model, mltk_model)
    atomic_write(Path(mltk_model.log_dir) / f"{mltk_model.name}.h5.summary.txt", summary)
    logger.info(summary)
    dataset_summary = mltk_model.summarize_dataset()
    if dataset_summary:
        logger.info(dataset_summary)


def _save_results(
    mltk_model: AnyModel,
    keras_model: keras.Model,
    history: SimpleNamespace,
    record: Mapping[str, object],
    logger: logging.Logger,
) -> TrainingResults:
    results = TrainingResults(mltk_model, keras_model, history)
    train_dir = Path(mltk_model.create_log_dir("train"))
    event = {"keras_model": keras_model, "results": results, "output_dir": str(train_dir), "logger": logger}
    mltk_model.trigger_event(MltkModelEvent.BEFORE_SAVE_TRAIN_RESULTS, **event)
    try:
        results.save(train_dir)
    except Exception as e:  # noqa: BLE001 - a failing plot must not cost the model; reported at the end
        mltk_model.record_failure("The training history could not be written", e)
    atomic_write(train_dir / "provenance.json", json.dumps(record, indent=2) + "\n")
    mltk_model.trigger_event(MltkModelEvent.AFTER_SAVE_TRAIN_RESULTS, **event)
    return results


def _check_fit_settings(mltk_model: AnyModel) -> None:
    """Refuse wrong callbacks and arguments of `fit` before loading the data, which may take long."""
    import inspect

    import keras

    create_callbacks(mltk_model, has_validation=True, has_accuracy=True, logger=None)
    known = list(inspect.signature(keras.Model.fit).parameters)[1:]
    for name in mltk_model.train_kwargs:
        if name not in known:
            raise SpecificationError(
                f"my_model.train_kwargs has '{name}', which keras.Model.fit does not take.{did_you_mean(name, known)}"
            )


def _number_of_epochs(mltk_model: AnyModel, epochs: int | None) -> int:
    """Return the number of epochs to train for.

    Raises:
        SpecificationError: It is below 1, or -1 without early stopping.
    """
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
