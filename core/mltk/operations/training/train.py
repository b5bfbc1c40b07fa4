"""Train a model: fit and save."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from mltk.keras.environment import seed_everything
from mltk.keras.saving import load_weights
from mltk.model.event import MltkModelEvent
from mltk.operations.training.fit import fit_model
from mltk.operations.training.outputs import save_trained_model
from mltk.operations.training.provenance import provenance
from mltk.results.training import TrainingResults
from mltk.utils.files import atomic_write

if TYPE_CHECKING:
    import logging
    from collections.abc import Mapping
    from types import SimpleNamespace

    import keras

    from mltk.model.full_model import FullModel
    from mltk.operations.training.prepare import Prepared


def run_training(
    mltk_model: FullModel,
    logger: logging.Logger,
    prepared: Prepared,
    resume_epoch: int = 0,
    verbose: bool = False,
    show: bool = False,
) -> TrainingResults:
    """Train a model and write the Keras files and the results of the run into the log folder.

    Args:
        mltk_model: The specification.
        logger: For messages.
        prepared: From `prepare_training`.
        resume_epoch: Resume after this epoch (counted from 1).
        verbose: Print a progress line for each epoch.
        show: Show the training history in a window.
    """
    # What was drawn since the network was built, by a rehearsal or another stage, must not change the training.
    seed_everything(mltk_model.seed, mltk_model.deterministic)
    keras_model = prepared.keras_model
    record = provenance(mltk_model)
    history = fit_model(
        mltk_model, keras_model, prepared.data, prepared.epochs, resume_epoch, verbose, record, logger
    )
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
    mltk_model: FullModel, keras_model: keras.Model, history: SimpleNamespace, logger: logging.Logger
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


def _save_results(
    mltk_model: FullModel,
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
