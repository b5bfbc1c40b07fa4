"""The frame of a training run: events, log file, and what is kept when it fails."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mltk.errors import FileFormatError, SpecificationError
from mltk.keras.environment import use_threads
from mltk.keras.run_files import last_whole_epoch, previous_whole_epoch, read_epoch
from mltk.model.event import MltkModelEvent
from mltk.operations.training.outputs import begin_new_run
from mltk.operations.training.provenance import specification_hash
from mltk.utils.logging import get_mltk_logger

if TYPE_CHECKING:
    import logging
    from collections.abc import Iterator

    from mltk.model.full_model import FullModel
    from mltk.model.mixins.train import TrainMixin
    from mltk.results.training import TrainingResults


@dataclass
class TrainingSession:
    """A running training run."""

    logger: logging.Logger
    """Also writes to the log file of the run."""
    resume_epoch: int
    """The epoch (counted from 1) after which the run resumes; 0 if it starts from the beginning."""
    results: TrainingResults | None = None
    """Set by the operation when the model is trained."""


@contextlib.contextmanager
def training_session(
    mltk_model: FullModel,
    resume_epoch: int = 0,
    clean: bool | None = False,
    post_process: bool = False,
) -> Iterator[TrainingSession]:
    """Begin a training run; end it, with its events and log, when the block ends.

    Args:
        mltk_model: The specification.
        resume_epoch: Resume after this epoch; -1 for the last complete one.
        clean: Empty the log folder first; `None` keeps everything.
        post_process: Passed to event handlers.
    """
    logger = get_mltk_logger()
    if resume_epoch == -1:
        resume_epoch = _last_epoch(mltk_model, logger)
    if resume_epoch:
        _use_threads_of_run(mltk_model, resume_epoch)
    else:
        begin_new_run(mltk_model, clean)
    log_file = mltk_model.create_logger("train", parent=logger)
    session = TrainingSession(log_file, resume_epoch)
    mltk_model.trigger_event(MltkModelEvent.TRAIN_STARTUP, post_process=post_process, logger=log_file)
    try:
        yield session
    except Exception as e:
        _note_kept_files(mltk_model, e)
        raise
    finally:
        if mltk_model.loaded_subset:
            mltk_model.unload_dataset()
        mltk_model.trigger_event(MltkModelEvent.TRAIN_SHUTDOWN, results=session.results, logger=log_file)
        for handler in list(log_file.handlers):
            handler.close()


def last_state(mltk_model: TrainMixin) -> int:
    """Return the last epoch (counted from 1) that training can be resumed after; 0 if there is none."""
    return last_whole_epoch(Path(mltk_model.checkpoints_dir))


def _last_epoch(mltk_model: FullModel, logger: logging.Logger) -> int:
    """Return the epoch to resume after: of the last run or, if it ended before its first epoch, of the one before."""
    folder = Path(mltk_model.checkpoints_dir)
    if epoch := last_whole_epoch(folder):
        return epoch
    epoch = previous_whole_epoch(folder)
    if not epoch:
        logger.warning("There is nothing to resume; starting from the first epoch.")
        return 0
    before = read_epoch(folder, epoch)["conditions"]
    now = {"seed": mltk_model.seed, "specification": specification_hash(mltk_model)}
    if any(before.get(name) != value for name, value in now.items()):
        logger.warning(
            f"The last training run has no complete epoch, and the run before it had another seed or specification; "
            f"starting from the first epoch. To go on with that run: --seed {before.get('seed')} --resume-epoch {epoch}"
        )
        return 0
    logger.info("The last training run has no complete epoch; going on with the run before it.")
    return epoch


def _use_threads_of_run(mltk_model: TrainMixin, epoch: int) -> None:
    """Use as many threads as the run did, on which the bits of its results depend."""
    threads = read_epoch(Path(mltk_model.checkpoints_dir), epoch)["conditions"].get("threads")
    if isinstance(threads, int):
        use_threads(threads)


def _note_kept_files(mltk_model: FullModel, error: Exception) -> None:
    """Add to an error what the run wrote before it."""
    keras_file = Path(mltk_model.keras_log_dir_path)
    if keras_file.is_file():
        error.add_note(f"The trained model is kept: {keras_file}.")
    elif not isinstance(error, (SpecificationError, FileFormatError)) and (epoch := last_state(mltk_model)):
        error.add_note(f"All up to epoch {epoch} is kept: --resume goes on from there.")


def call_on_training_complete(mltk_model: FullModel, results: TrainingResults | None) -> None:
    """Call the function of the specification that follows training; record its failure."""
    if not mltk_model.on_training_complete:
        return
    try:
        mltk_model.on_training_complete(results)
    except Exception as e:  # noqa: BLE001 - the specification's own code; reported at the end
        mltk_model.record_failure("my_model.on_training_complete failed", e)
