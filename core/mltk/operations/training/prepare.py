"""Prepare a training: check its settings, load the data, build the network."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from mltk.errors import DatasetError, SpecificationError, did_you_mean
from mltk.keras.environment import seed_everything
from mltk.keras.saving import load_weights
from mltk.operations.summaries import summarize_keras_model
from mltk.operations.training.build import build_keras_model, build_layers
from mltk.operations.training.callbacks import create_callbacks
from mltk.operations.training.checks import check_data
from mltk.operations.training.fit_data import FirstBatch, FitData, first_batch, training_data
from mltk.operations.training.names import check_compiled_names, check_names
from mltk.utils.files import atomic_write

if TYPE_CHECKING:
    import logging

    import keras

    from mltk.model.full_model import FullModel

TEST_EPOCHS = 3
UNLIMITED_EPOCHS = 99_999


class Prepared(NamedTuple):
    """What a training needs besides its specification, whose data are loaded."""

    keras_model: keras.Model
    data: FitData
    batch: FirstBatch | None
    """A batch of the data, to look at; `None` if it is not known how one looks."""
    epochs: int


def prepare_training(
    mltk_model: FullModel, logger: logging.Logger, weights: str | None = None, epochs: int | None = None
) -> Prepared:
    """Check the settings of a training, load its data, and build its network.

    Args:
        mltk_model: The specification.
        logger: For messages.
        weights: Start from these: a path, a file name in the weights folder, or `'best'`.
        epochs: Number of epochs; that of the specification by default.

    Raises:
        SpecificationError: A setting is wrong, or the network does not fit the specification.
        DatasetError: The data set is empty or broken.
    """
    epochs = _number_of_epochs(mltk_model, epochs)
    if weights and not Path(weights).is_file():
        weights = mltk_model.get_weights_path(weights)
    seed_everything(mltk_model.seed, mltk_model.deterministic)
    _check_fit_settings(mltk_model)
    check_names(mltk_model)

    mltk_model.load_dataset("training", test=mltk_model.test_mode_enabled, logger=logger)
    if mltk_model.x is None:
        raise DatasetError(
            f"The data set of '{mltk_model.name}' gave no training data: set my_model.dataset, "
            f"and let its loader return x and y."
        )
    # Loading may draw random numbers; the initial weights must not depend on it.
    seed_everything(mltk_model.seed, mltk_model.deterministic)
    keras_model = build_keras_model(mltk_model, logger=logger)
    check_compiled_names(mltk_model, keras_model)
    data = training_data(mltk_model)
    batch = first_batch(data, keras_model)
    build_layers(keras_model, batch)
    check_data(mltk_model, keras_model, data, batch, logger)
    if weights:
        load_weights(keras_model, weights)
        logger.info(f"Starting from the weights {weights}")
    _write_summaries(mltk_model, keras_model, logger)
    return Prepared(keras_model, data, batch, epochs)


def _write_summaries(mltk_model: FullModel, keras_model: keras.Model, logger: logging.Logger) -> None:
    summary = summarize_keras_model(keras_model, mltk_model)
    atomic_write(Path(mltk_model.log_dir) / f"{mltk_model.name}.h5.summary.txt", summary)
    logger.info(summary)
    dataset_summary = mltk_model.summarize_dataset()
    if dataset_summary:
        logger.info(dataset_summary)


def _check_fit_settings(mltk_model: FullModel) -> None:
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


def _number_of_epochs(mltk_model: FullModel, epochs: int | None) -> int:
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
