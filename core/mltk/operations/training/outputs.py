"""Files of a training run: the Keras model, the archive, and the provenance of the results."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from mltk.errors import SpecificationError
from mltk.keras.run_files import begin_run
from mltk.keras.saving import save_keras_model
from mltk.model.event import MltkModelEvent
from mltk.model.mixins.archive import files_of

if TYPE_CHECKING:
    import logging

    import keras

    from mltk.model.full_model import FullModel


def save_trained_model(
    mltk_model: FullModel, keras_model: keras.Model, logger: logging.Logger
) -> keras.Model:
    """Write the `.keras` and `.h5` files, and return the model that was saved.

    Raises:
        SpecificationError: `on_save_keras_model` does not return a Keras model.
    """
    import keras

    from mltk.keras.models import model_to_save

    if mltk_model.on_save_keras_model:
        saved = mltk_model.on_save_keras_model(mltk_model=mltk_model, keras_model=keras_model, logger=logger)
        if not isinstance(saved, keras.Model):
            raise SpecificationError(
                f"my_model.on_save_keras_model must return the Keras model to save, not {type(saved).__name__}."
            )
        keras_model = saved
    keras_model = model_to_save(keras_model)
    box = {"value": keras_model}
    event = {"keras_model": keras_model, "keras_model_dict": box}
    mltk_model.trigger_event(MltkModelEvent.BEFORE_SAVE_TRAIN_MODEL, logger=logger, **event)
    keras_model = box["value"]
    save_keras_model(keras_model, mltk_model.keras_log_dir_path)
    save_keras_model(keras_model, mltk_model.h5_log_dir_path)
    event["keras_model"] = keras_model
    mltk_model.trigger_event(MltkModelEvent.AFTER_SAVE_TRAIN_MODEL, logger=logger, **event)
    return box["value"]


def write_archive(mltk_model: FullModel, logger: logging.Logger) -> str:
    """Write a new archive with the files of the run and return its path; the old one stays until it is complete."""
    path = mltk_model.archive_path
    mltk_model.trigger_event(MltkModelEvent.BEFORE_SAVE_TRAIN_ARCHIVE, archive_path=path, logger=logger)
    log_dir = Path(mltk_model.log_dir)
    members = {file.name: file for file in own_files(mltk_model) if ".tflite" not in file.suffixes}
    for folder, recursive in (("train", False), ("dataset", True)):
        if (log_dir / folder).is_dir():
            members.update({f"{folder}/{name}": file for name, file in files_of(log_dir / folder, recursive)})
    mltk_model.archive.update({**members, **mltk_model.specification_member()}, remove=[""])
    mltk_model.trigger_event(MltkModelEvent.AFTER_SAVE_TRAIN_ARCHIVE, archive_path=path, logger=logger)
    return path


def own_files(mltk_model: FullModel) -> list[Path]:
    """Return the files in the root of the log folder that mltk, or a specification in its naming scheme, wrote."""
    log_dir = Path(mltk_model.log_dir)
    others = {Path(mltk_model.model_specification_path), Path(mltk_model.archive_path)}
    names = [*log_dir.glob(f"{mltk_model.name}.*"), log_dir / "quantization_report.csv"]
    return [
        path for path in names if path.is_file() and path.resolve() not in others and path.suffix != ".zip"
    ]


def begin_new_run(mltk_model: FullModel, clean: bool | None) -> None:
    """Mark the state of earlier runs as old and remove what the new run replaces.

    Args:
        mltk_model: The specification.
        clean: Empty the log folder; `None` keeps everything.
    """

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
        train = Path(mltk_model.log_dir) / "train"
        loose = [path for _, path in files_of(train, False)] if train.is_dir() else []
        for path in [*own_files(mltk_model), *loose]:
            path.unlink()
