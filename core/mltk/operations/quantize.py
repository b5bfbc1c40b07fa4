"""Quantize a model: load it, convert it, and write the `.tflite`."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any, Literal, cast, overload

from mltk.errors import SpecificationError
from mltk.model.event import MltkModelEvent
from mltk.model.mixins.train import TrainMixin
from mltk.model.operation import get_active_model, operation, sole_writer
from mltk.operations.conversion.quantize import IN_MEMORY, convert_model
from mltk.operations.conversion.settings import converter_settings
from mltk.operations.trial import train_trial_model
from mltk.sources.source import ModelSource
from mltk.utils.logging import get_mltk_logger

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    import keras

    from mltk.model.full_model import FullModel
    from mltk.model.model import MltkModel
    from mltk.tflite import TfliteModel


def quantize_model(
    model: MltkModel | str | Path,
    keras_model: keras.Model | None = None,
    output: str | None = None,
    weights: str | None = None,
    build: bool = False,
    update_archive: bool | None = None,
    tflite_converter_override: Mapping[str, Any] | None = None,
    post_process: bool = False,
    *,
    test: bool = False,
    trust: bool = False,
    explain: Callable[[str], None] | None = None,
) -> str | TfliteModel:
    """Convert a model with the settings `my_model.tflite_converter`.

    Args:
        model: Model, name, path of its specification or archive.
        keras_model: Convert this instead of the archived model.
        output: A `.tflite` file or a folder to write to, instead of the log folder; `'tflite_model'` returns the
            model object.
        weights: Weights to load into the Keras model first.
        build: Train a temporary trial model and convert that; the archive is not changed.
        update_archive: Put the result into the archive; by default if `output` is not given.
        tflite_converter_override: Settings merged over those of the specification.
        post_process: Passed to event handlers.
        test: Use the trial run's files.
        trust: Allow the specification in an archive to run.
        explain: Called with a table of what each layer loses by quantization, those that lose most first, with
            causes and what to do.

    Returns:
        Path of the quantized `.tflite`, or a `TfliteModel` if `output` is `'tflite_model'`.

    Raises:
        SpecificationError: A setting is unknown or has a wrong value.
        ConversionError: The converter cannot convert the model.
    """
    mltk_model = ModelSource.of(model, test=test).specification(trust=trust, purpose="quantized")
    if not isinstance(mltk_model, TrainMixin):
        raise SpecificationError(
            f"The model '{mltk_model.name}' cannot be quantized: its class must inherit TrainMixin."
        )
    mltk_model = cast("FullModel", mltk_model)
    in_place = output is None
    update_archive = in_place if update_archive is None else update_archive and in_place
    trial = mltk_model.trial_run() if build else contextlib.nullcontext()
    with trial:
        if build:
            keras_model = train_trial_model(mltk_model)
            update_archive = False
        settings = converter_settings(mltk_model, tflite_converter_override)
        if update_archive:
            mltk_model.check_archive_file_is_writable(throw_exception=True)
        alone = sole_writer(mltk_model, "quantizes") if in_place else contextlib.nullcontext()
        with operation(mltk_model), alone:
            mltk_model.trigger_event(
                MltkModelEvent.QUANTIZE_STARTUP,
                build=build,
                post_process=post_process,
                keras_model=keras_model,
                tflite_converter_settings=settings,
                logger=get_mltk_logger(),
            )
            tflite_model: TfliteModel | None = None
            try:
                if keras_model is None:
                    keras_model = ModelSource.of(mltk_model).keras(weights=weights, trust=trust)
                tflite_model, path = convert_model(
                    mltk_model, keras_model, settings, output, update_archive, explain
                )
            finally:
                mltk_model.trigger_event(
                    MltkModelEvent.QUANTIZE_SHUTDOWN,
                    tflite_model=tflite_model,
                    update_archive=update_archive,
                    keras_model=keras_model,
                    tflite_converter_settings=settings,
                )
    result = tflite_model if output == IN_MEMORY else str(path)
    # Within another operation, that one reports the failures of handlers.
    if get_active_model() is None:
        mltk_model.raise_failures(result)
    return result


@overload
def load_tflite_model(
    model: str | Path | MltkModel | TfliteModel,
    build: bool = ...,
    print_not_found_err: bool = ...,
    return_tflite_path: Literal[False] = ...,
    test: bool = ...,
    logger: object = ...,
    archive_file_ext: str | None = ...,
) -> TfliteModel: ...


@overload
def load_tflite_model(
    model: str | Path | MltkModel | TfliteModel,
    build: bool = ...,
    print_not_found_err: bool = ...,
    *,
    return_tflite_path: Literal[True],
    test: bool = ...,
    logger: object = ...,
    archive_file_ext: str | None = ...,
) -> str: ...


def load_tflite_model(
    model: str | Path | MltkModel | TfliteModel,
    build: bool = False,
    print_not_found_err: bool = False,
    return_tflite_path: bool = False,
    test: bool = False,
    logger: object = None,
    archive_file_ext: str | None = None,
) -> TfliteModel | str:
    """Load a `.tflite` model.

    Args:
        model: Name, path of a `.tflite` or archive, `MltkModel` or `TfliteModel`. No code of an archive is run.
        build: Train a temporary trial model first and convert that.
        print_not_found_err: Accepted for compatibility.
        return_tflite_path: Return the path of the file instead.
        test: Use the trial run's file.
        logger: Accepted for compatibility.
        archive_file_ext: Ending of the file in the archive; `.tflite` by default.

    Returns:
        A `TfliteModel`, or the path as str.
    """
    source = ModelSource.of(model, test=test)
    if build and not source.is_model_file:
        source = ModelSource.of(str(quantize_model(source.specification(), build=True)))
    ending = archive_file_ext or ".tflite"
    return source.tflite_path(ending) if return_tflite_path else source.tflite(ending)
