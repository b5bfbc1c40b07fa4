"""Describe a model as text. Nothing is executed from a file that is only looked at."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mltk.errors import ArchiveFileNotFoundError, ModelNotFoundError, SpecificationError
from mltk.model.event import MltkModelEvent
from mltk.model.model import MltkModel
from mltk.model.operation import operation
from mltk.sources.loading import (
    find_archive,
    load_mltk_model,
    load_tflite_model,
    load_tflite_or_keras_model,
)
from mltk.utils.model_archive import ARCHIVE_EXTENSION

if TYPE_CHECKING:
    import keras

    from mltk.tflite import TfliteModel


def summarize_model(
    model: MltkModel | str | Path,
    tflite: bool = False,
    build: bool = False,
    test: bool = False,
    built_model: Any = None,
) -> str:
    """Return a text about a model: its layers with shapes, MACs and OPs, its parameters and its size.

    Args:
        model: Model, name, path of a specification, archive, `.tflite`, `.keras` or `.h5` file.
        tflite: Describe the quantized model instead of the Keras model.
        build: Build the model from the specification instead of reading the archive; with `tflite`, train a
            throw-away trial model and convert that.
        test: Use the trial run's files.
        built_model: Describe this `keras.Model` or `TfliteModel` instead.

    Raises:
        ModelNotFoundError: There is no such model, or it was not trained yet.
        FileFormatError: The file is damaged.
    """
    if built_model is not None:
        return _describe(built_model, model if isinstance(model, MltkModel) else None)
    text = str(model)
    if (
        build
        and not isinstance(model, MltkModel)
        and text.endswith((".tflite", ".h5", ".keras", ARCHIVE_EXTENSION))
    ):
        raise SpecificationError(f"{text} cannot be built: give the name or the .py file of a specification.")
    if not isinstance(model, MltkModel):
        if text.endswith(".tflite"):
            return summarize_tflite_model(load_tflite_model(text))
        if text.endswith((".h5", ".keras")):
            return summarize_keras_model(load_tflite_or_keras_model(text))
        if text.endswith(ARCHIVE_EXTENSION):
            return _summarize_archive(text, tflite, test)
    if tflite and not build:
        return summarize_tflite_model(load_tflite_model(model, test=test))
    mltk_model = load_mltk_model(model, test=test)
    with operation(mltk_model):
        if tflite:
            summary = summarize_tflite_model(load_tflite_model(mltk_model, build=True))
        elif build or not mltk_model.archive.path.exists():
            from mltk.operations.training.train import build_keras_model

            summary = summarize_keras_model(build_keras_model(mltk_model), mltk_model)
        else:
            summary = summarize_keras_model(load_tflite_or_keras_model(mltk_model, "h5"), mltk_model)
    mltk_model.raise_failures(summary)
    return summary


def _summarize_archive(path: str, tflite: bool, test: bool) -> str:
    """Describe an archive from what can be read without running its specification."""
    if tflite:
        return summarize_tflite_model(load_tflite_model(path, test=test))
    archive, name, test = find_archive(path, test)
    try:
        return archive.read(f"{name}.h5.summary.txt").decode("utf-8", "replace")
    except ArchiveFileNotFoundError:
        raise ModelNotFoundError(
            f"The archive {path} has no summary of the Keras model. For the quantized model use --tflite."
        ) from None


def _describe(built_model: Any, mltk_model: MltkModel | None) -> str:
    from mltk.tflite import TfliteModel

    if isinstance(built_model, TfliteModel):
        return summarize_tflite_model(built_model)
    return summarize_keras_model(built_model, mltk_model)


def summarize_keras_model(keras_model: keras.Model, mltk_model: MltkModel | None = None) -> str:
    """Return Keras' table of layers, the MACs and OPs, and the specification's own summary.

    Args:
        keras_model: A built model.
        mltk_model: Its specification; events `SUMMARIZE_MODEL` may replace the text.
    """
    from mltk.keras.metrics import keras_model_metrics
    from mltk.keras.models import model_to_save

    keras_model = model_to_save(keras_model)
    lines: list[str] = []
    with _fixed_width():
        keras_model.summary(print_fn=lines.append)
    lines.append(keras_model_metrics(keras_model).summary())
    if mltk_model is None:
        return "\n".join(lines)
    lines.append(mltk_model.summary())
    box = {"value": "\n".join(lines)}
    mltk_model.trigger_event(MltkModelEvent.SUMMARIZE_MODEL, summary=box["value"], summary_dict=box)
    return box["value"]


@contextlib.contextmanager
def _fixed_width() -> Iterator[None]:
    """Make Keras' table as wide as ever, whatever the terminal: it is kept in the archive."""
    before = os.environ.get("COLUMNS")
    os.environ["COLUMNS"] = "100"
    try:
        yield
    finally:
        if before is None:
            del os.environ["COLUMNS"]
        else:
            os.environ["COLUMNS"] = before


def summarize_tflite_model(tflite_model: TfliteModel) -> str:
    """Return the table of layers, totals, parameters and size of a `.tflite` model."""
    return tflite_model.summary()
