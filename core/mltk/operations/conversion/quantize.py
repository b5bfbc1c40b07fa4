"""Convert a Keras model and write the files of the conversion."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from mltk.model.event import MltkModelEvent
from mltk.operations.conversion.calibration import representative_samples
from mltk.operations.conversion.check import keep_calibrated, report_losses
from mltk.operations.conversion.report import quantization_report
from mltk.operations.conversion.settings import float32_settings
from mltk.plugins import get_plugin_manager
from mltk.tflite import TfliteModel, TfliteModelParameters
from mltk.tflite.default_parameters import add_default_parameters
from mltk.utils.files import atomic_write

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    import keras

    from mltk.model.full_model import FullModel
    from mltk.model.model import MltkModel
    from mltk.operations.conversion.settings import ConverterSettings
    from mltk.plugins.types import RepresentativeDataset

IN_MEMORY = "tflite_model"
"""The `output` that asks for a `TfliteModel` instead of a file."""


def convert_model(
    mltk_model: FullModel,
    keras_model: keras.Model,
    settings: ConverterSettings,
    output: str | None,
    update_archive: bool,
    explain: Callable[[str], None] | None = None,
) -> tuple[TfliteModel, Path | None]:
    """Convert a model with the hook `mltk_convert_model` and write the results.

    Args:
        mltk_model: The specification.
        keras_model: The trained model.
        settings: From `converter_settings`.
        output: A `.tflite` file or a folder to write to; `None` for the log folder, `'tflite_model'` to write nothing.
        update_archive: Also put the files into the archive.
        explain: Gets a table of what each layer loses by quantization.

    Returns:
        The quantized model, and the path of its file, if one was written.
    """
    samples = representative_samples(mltk_model, keras_model, settings)
    representative = None if samples is None else (lambda: (list(sample) for sample in samples))
    with keep_calibrated() as calibrated:
        quantized = _quantized(mltk_model, keras_model, settings, representative, update_archive)
    if explain is not None or not mltk_model.test_mode_enabled:
        report_losses(mltk_model.name, quantized, calibrated, samples or [], explain)
    others: dict[str, bytes] = {}
    if representative is not None:
        if output is None and settings["generate_unquantized"]:
            plain = _convert(mltk_model, keras_model, float32_settings(settings), None)
            float32 = TfliteModel(plain)
            before = _parameters_of(mltk_model, mltk_model.unquantized_tflite_log_dir_path)
            embed_parameters(mltk_model, float32, ("runtime_memory_size",), before)
            others[mltk_model.unquantized_tflite_log_dir_path] = bytes(float32.flatbuffer_data)
        if settings["generate_quantization_report"] and not mltk_model.test_mode_enabled:
            report = str(Path(mltk_model.log_dir) / "quantization_report.csv")
            others[report] = quantization_report(keras_model, settings, representative)
    if output == IN_MEMORY:
        return quantized, None
    if output is not None:
        return quantized, _write_to(quantized, Path(output), mltk_model.name)
    return quantized, _write_to_log_dir(mltk_model, quantized, others, update_archive)


def embed_parameters(
    mltk_model: MltkModel,
    tflite_model: TfliteModel,
    exclude: Iterable[str] = (),
    before: Mapping[str, object] | None = None,
) -> None:
    """Put the description, parameters and further metadata of a specification into a `TfliteModel`.

    Args:
        mltk_model: The specification.
        tflite_model: The model.
        exclude: Parameters to leave out.
        before: The parameters of the file that is replaced. One that differs in its date only keeps the date: the same
            model gives the same file.
    """
    for tag, data in mltk_model.serialize_tflite_metadata().items():
        tflite_model.add_metadata(tag, data)
    parameters = mltk_model.model_parameters.copy()
    for key in exclude:
        parameters.pop(key, None)
    embedded = add_default_parameters(
        tflite_model,
        parameters,
        name=mltk_model.name,
        version=mltk_model.version,
        classes=list(mltk_model.classes) if "dataset.classes" in mltk_model.attributes.stored else [],
        description=mltk_model.description,
    )
    date = before.get("date") if before and before.get("hash") == embedded["hash"] else None
    if date and "date" not in parameters and "SOURCE_DATE_EPOCH" not in os.environ:
        embedded["date"] = date
        embedded.add_to_tflite_model(tflite_model)


def _convert(
    mltk_model: FullModel,
    keras_model: keras.Model,
    settings: ConverterSettings,
    representative: RepresentativeDataset | None,
) -> bytes:
    return bytes(
        get_plugin_manager().call_first(
            "mltk_convert_model",
            mltk_model=mltk_model,
            keras_model=keras_model,
            settings=settings,
            representative_dataset=representative,
        )
    )


def _quantized(
    mltk_model: FullModel,
    keras_model: keras.Model,
    settings: ConverterSettings,
    representative: RepresentativeDataset | None,
    update_archive: bool,
) -> TfliteModel:
    """Return the quantized model with its parameters."""
    content = _convert(mltk_model, keras_model, settings, representative)
    box = {"value": content}
    mltk_model.trigger_event(
        MltkModelEvent.AFTER_QUANTIZE,
        tflite_flatbuffer=content,
        tflite_flatbuffer_dict=box,
        update_archive=update_archive,
        keras_model=keras_model,
        tflite_converter_settings=settings,
    )
    quantized = TfliteModel(bytes(box["value"]))
    quantized.is_own = True
    mltk_model.populate_model_parameters(quantized)
    embed_parameters(mltk_model, quantized, before=_parameters_of(mltk_model, mltk_model.tflite_log_dir_path))
    return quantized


def _parameters_of(mltk_model: FullModel, path: str) -> Mapping[str, object] | None:
    """Return the parameters in the archived file with the name of `path`, if there is one."""
    if Path(path).name not in mltk_model.archive.names():
        return None
    return TfliteModelParameters.load_from_tflite_model(TfliteModel(mltk_model.archive.read(Path(path).name)))


def _write_to(tflite_model: TfliteModel, output: Path, name: str) -> Path:
    path = output if output.suffix == ".tflite" else output / f"{name}.tflite"
    atomic_write(path, bytes(tflite_model.flatbuffer_data))
    tflite_model.path = str(path)
    return path


def _write_to_log_dir(
    mltk_model: FullModel, tflite_model: TfliteModel, others: dict[str, bytes], update_archive: bool
) -> Path:
    path = _write_to(tflite_model, Path(mltk_model.tflite_log_dir_path), mltk_model.name)
    summary_path = Path(mltk_model.log_dir) / f"{mltk_model.name}.tflite.summary.txt"
    atomic_write(summary_path, tflite_model.summary())
    members = {path.name: path, summary_path.name: summary_path}
    for name, content in others.items():
        members[Path(name).name] = atomic_write(name, content)
    if update_archive:
        mltk_model.archive.update({**members, **mltk_model.specification_member()})
    return path
