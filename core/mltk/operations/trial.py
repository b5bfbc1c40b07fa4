"""Train a temporary model for a trial run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mltk.model.operation import operation, sole_writer
from mltk.operations.training.prepare import prepare_training
from mltk.operations.training.session import call_on_training_complete, training_session
from mltk.operations.training.train import run_training

if TYPE_CHECKING:
    import keras

    from mltk.model.full_model import FullModel


def train_trial_model(mltk_model: FullModel) -> keras.Model:
    """Train a model for a few steps, without converting it or writing its archive, and return the Keras model.

    Args:
        mltk_model: The specification, in test mode.
    """
    with operation(mltk_model), sole_writer(mltk_model, "trains"), training_session(mltk_model) as session:
        session.results = run_training(
            mltk_model, session.logger, prepare_training(mltk_model, session.logger)
        )
        call_on_training_complete(mltk_model, session.results)
    mltk_model.raise_failures(session.results)
    return session.results.keras_model
