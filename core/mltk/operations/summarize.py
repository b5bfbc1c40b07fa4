"""Describe a model as text. No code of a file is run."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from mltk.errors import ArchiveFileNotFoundError, ModelNotFoundError, SpecificationError
from mltk.keras.metrics import keras_model_metrics
from mltk.model.model import MltkModel
from mltk.model.operation import operation
from mltk.operations.quantize import load_tflite_model
from mltk.operations.summaries import summarize_keras_model
from mltk.operations.training.build import build_keras_model
from mltk.sources.source import ModelSource, SourceKind
from mltk.tflite import TfliteModel
from mltk.tflite.summary import describe

if TYPE_CHECKING:
    from pathlib import Path

    import keras

    from mltk.model.full_model import FullModel


def summarize_model(
    model: MltkModel | str | Path,
    tflite: bool = False,
    build: bool = False,
    test: bool = False,
    built_model: keras.Model | TfliteModel | None = None,
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
    if isinstance(built_model, TfliteModel):
        return built_model.summary()
    if built_model is not None:
        return summarize_keras_model(built_model, model if isinstance(model, MltkModel) else None)
    source = ModelSource.of(model, test=test)
    if build and source.kind is not SourceKind.SPECIFICATION:
        raise SpecificationError(
            f"{source} cannot be built: give the name or the .py file of a specification."
        )
    if source.kind is SourceKind.TFLITE or (tflite and not build):
        return source.tflite().summary()
    if source.kind is SourceKind.KERAS:
        return summarize_keras_model(source.keras(trust=None))
    if source.kind is SourceKind.ARCHIVE:
        return _summary_in_archive(source)
    mltk_model = cast("FullModel", source.specification())
    with operation(mltk_model):
        if tflite:
            summary = load_tflite_model(mltk_model, build=True).summary()
        elif build or not mltk_model.archive.path.exists():
            summary = summarize_keras_model(build_keras_model(mltk_model), mltk_model)
        else:
            summary = summarize_keras_model(ModelSource.of(mltk_model).keras(trust=None), mltk_model)
    mltk_model.raise_failures(summary)
    return summary


def describe_model(
    model: MltkModel | str | Path, tflite: bool = False, build: bool = False, test: bool = False
) -> dict[str, object]:
    """Return what a model consists of as values for JSON: its layers with MACs and OPs, and the sums.

    Args:
        model: As for `summarize_model`.
        tflite: Describe the quantized model instead of the Keras model.
        build: Build the Keras model from the specification instead of reading the archive.
        test: Use the trial run's files.

    Raises:
        ModelNotFoundError: There is no such model, or it was not trained yet.
        SpecificationError: The values are not known without running code.
    """
    source = ModelSource.of(model, test=test)
    if source.kind is SourceKind.TFLITE or tflite:
        return describe(source.tflite())
    if source.kind is SourceKind.KERAS:
        return _describe_keras(source.keras(trust=None))
    if source.kind is SourceKind.ARCHIVE:
        raise SpecificationError(f"{source} describes its Keras model as text only; for JSON add --tflite.")
    mltk_model = cast("FullModel", source.specification())
    with operation(mltk_model):
        build = build or not mltk_model.archive.path.exists()
        keras_model = build_keras_model(mltk_model) if build else ModelSource.of(mltk_model).keras(trust=None)
        content = _describe_keras(keras_model)
    mltk_model.raise_failures(content)
    return content


def _describe_keras(keras_model: keras.Model) -> dict[str, object]:
    counted = keras_model_metrics(keras_model)
    return {
        "name": keras_model.name,
        "macs": counted.macs,
        "ops": counted.ops,
        "not_counted": list(counted.not_counted),
        "parameters": keras_model.count_params(),
        "layers": [
            {"name": layer.name, "kind": layer.kind, "macs": layer.macs, "ops": layer.ops}
            for layer in counted.layers
        ],
    }


def _summary_in_archive(source: ModelSource) -> str:
    """Return the summary that training stored in an archive, whose specification is not run."""
    archive = source.archive()
    try:
        return archive.read(f"{source.name}.h5.summary.txt").decode("utf-8", "replace")
    except ArchiveFileNotFoundError:
        raise ModelNotFoundError(
            f"The archive {archive.path} has no summary of the Keras model. For the quantized model use --tflite."
        ) from None
