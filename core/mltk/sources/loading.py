"""Load model specifications and trained models, with the functions of silabs-mltk."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from mltk.errors import SpecificationError
from mltk.model.model import MltkModel
from mltk.model.operation import (
    get_active_model,
    pop_active_model,
    push_active_model,
    trigger_model_event,
)
from mltk.sources.search import find_model_specification_file, list_mltk_models
from mltk.sources.source import ModelSource, SourceKind

if TYPE_CHECKING:
    import logging

    import keras

    from mltk.tflite import TfliteModel

__all__ = [
    "find_model_specification_file",
    "get_active_model",
    "list_mltk_models",
    "load_mltk_model",
    "load_mltk_model_with_path",
    "load_tflite_or_keras_model",
    "pop_active_model",
    "push_active_model",
    "trigger_model_event",
]


def load_mltk_model(
    model: str | Path | MltkModel,
    test: bool = False,
    print_not_found_err: bool = False,
    logger: logging.Logger | None = None,
    reload: bool = True,
    trust: bool = False,
) -> MltkModel:
    """Load a model specification.

    Args:
        model: Name (with `-test` for the trial run), path of a `.py` or `.mltk.zip` file, or a model, which is
            returned.
        test: Put the model into test mode.
        print_not_found_err: Accepted for compatibility; the error always has near matches.
        logger: Passed to event handlers.
        reload: Run the script again if it was loaded before.
        trust: Allow the specification in an archive to run.

    Raises:
        ModelNotFoundError: There is no such model.
        SpecificationError: The script fails, or does not create exactly one model.
        TrustError: The specification is in an archive and `trust` is not set.
    """
    source = ModelSource.of(model, test=test)
    if source.is_model_file:
        raise SpecificationError(f"{model} is not a model specification: give a .py or a .mltk.zip file.")
    return source.specification(trust=trust, reload=reload, logger=logger)


def load_mltk_model_with_path(
    model_path: str | Path,
    test: bool = False,
    logger: logging.Logger | None = None,
    reload: bool = True,
    trust: bool = False,
) -> MltkModel:
    """Load a model specification from a file; arguments and errors as in `load_mltk_model`."""
    path = Path(model_path).resolve()
    return load_mltk_model(path, test=test, logger=logger, reload=reload, trust=trust)


def load_tflite_or_keras_model(
    model: MltkModel | str | Path,
    model_type: str | None = None,
    weights: str | None = None,
    logger: logging.Logger | None = None,
    trust: bool = False,
) -> keras.Model | TfliteModel:
    """Load a trained model.

    Args:
        model: `MltkModel`, or path of a `.tflite`, `.keras` or `.h5` file.
        model_type: `'h5'` (also `'keras'`) or `'tflite'`; by default `h5` for an `MltkModel`, else by the file's
            ending.
        weights: Weights to load into the Keras model afterwards: a path, a name in `weights_dir`, or `'best'`.
        logger: Accepted for compatibility.
        trust: Allow code in the Keras file (Lambda layers) to run.

    Returns:
        A `keras.Model` or a `TfliteModel`.

    Raises:
        SpecificationError: `model_type` is unknown, or weights were given for a `.tflite`.
    """
    source = ModelSource.of(model)
    model_type = model_type or ("tflite" if source.kind is SourceKind.TFLITE else "h5")
    if model_type not in ("h5", "keras", "tflite"):
        raise SpecificationError(f"There is no model type '{model_type}'. Use 'h5' or 'tflite'.")
    if model_type != "tflite":
        return source.keras(weights=weights, trust=trust)
    if weights:
        raise SpecificationError("Weights cannot be loaded into a .tflite model.")
    return source.tflite()
