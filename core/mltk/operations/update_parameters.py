"""Change the parameters in a `.tflite` file; the weights stay unchanged."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from pathlib import Path

from mltk.errors import ArchiveFileNotFoundError, SpecificationError
from mltk.model.model import MltkModel
from mltk.model.operation import operation, sole_writer
from mltk.operations.conversion.quantize import embed_parameters
from mltk.sources.source import ModelSource, SourceKind
from mltk.tflite import TfliteModel
from mltk.tflite.default_parameters import add_default_parameters
from mltk.tflite.parameters import TfliteModelParameters, format_value
from mltk.utils.files import atomic_write

_REGENERATED = ("hash", "date", "runtime_memory_size")


def update_model_parameters(
    model: MltkModel | TfliteModel | str | Path,
    params: Mapping[str, object] | None = None,
    description: str | None = None,
    output: str | Path | None = None,
    accelerator: str | None = None,
    force: bool = False,
) -> str | TfliteModel:
    """Write parameters into the `.tflite` of a model, without training or converting it.

    Args:
        model: Model, name, path of a specification, archive or `.tflite`, or a `TfliteModel`. From a specification
            all parameters are taken anew; in a file or an archive only `params` and `description` change, and no
            code is run.
        params: Values to set; they win over the specification's. `hash` and `date` are made anew unless given here.
        description: New description; for a specification, its own is used.
        output: File or folder to write to instead; the input stays as it is.
        accelerator: Only `None` is possible here; plugins that compile models have commands of their own.
        force: Allow `params` to change the type of a parameter, such as a number to text: the program on a device
            reads a parameter by its type.

    Returns:
        The path written, or the `TfliteModel` that was given.

    Raises:
        SpecificationError: There is nothing to change, a value cannot be a parameter, or has another type than before.
        FileFormatError: The file is damaged.
    """
    if accelerator is not None:
        raise SpecificationError(
            f"There is no accelerator '{accelerator}' here; update-params works on plain models."
        )
    source = ModelSource.of(model)
    if source.is_model_file:
        tflite_model = source.tflite()
        _set_parameters(tflite_model, params, description, force)
        if output is None and source.path is None:
            return tflite_model
        path = _output_path(output, tflite_model.filename or "model.tflite") if output else source.path
        assert path is not None
        tflite_model.save(path)
        return str(path)
    if source.kind is SourceKind.ARCHIVE:
        return _update_archive(source, params, description, output, force)
    return _update_from_specification(source.specification(), params, output, force)


def _set_parameters(
    tflite_model: TfliteModel, params: Mapping[str, object] | None, description: str | None, force: bool
) -> None:
    if not params and description is None:
        raise SpecificationError(
            "Nothing to change: give parameters (key=value, or --params FILE) or a description."
        )
    present = TfliteModelParameters.load_from_tflite_model(tflite_model)
    for key in ("hash", "date"):
        present.pop(key, None)
    update_typed(present, params or {}, force)
    add_default_parameters(
        tflite_model,
        present,
        name=tflite_model.name,
        version=1,
        classes=[],
        description=description,
    )


def read_parameters(model: str | Path) -> TfliteModelParameters:
    """Return the parameters in the `.tflite` of a model, none if it has no `.tflite` yet; runs no code."""
    try:
        tflite_model = ModelSource.of(model).tflite()
    except ArchiveFileNotFoundError:
        return TfliteModelParameters()
    return TfliteModelParameters.load_from_tflite_model(tflite_model)


def describe_changes(before: TfliteModelParameters, after: TfliteModelParameters) -> list[str]:
    """Return a line for each parameter that was added, removed or changed."""
    lines = []
    for key in dict.fromkeys([*before, *after]):
        old, new = (
            f"{format_value(params[key])} ({params.dtype(key)})" if key in params else None
            for params in (before, after)
        )
        if old is None:
            lines.append(f"{key}: {new}, new")
        elif new is None:
            lines.append(f"{key}: removed, was {old}")
        elif old != new:
            lines.append(f"{key}: {new}, was {old}")
    return lines


def update_typed(
    parameters: TfliteModelParameters, values: Mapping[str, object], force: bool = False
) -> None:
    """Set parameters, and keep the types of those that exist.

    Args:
        parameters: Changed.
        values: The values. Integers are numbers for a parameter that is one with a fraction.
        force: Allow other types.

    Raises:
        SpecificationError: A value has another type than the parameter.
    """
    for key, value in values.items():
        if force or key not in parameters:
            parameters[key] = value
            continue
        kind = _kind(parameters.dtype(key))
        if kind == "float" and isinstance(value, int) and not isinstance(value, bool):
            value = float(value)
        new = TfliteModelParameters({key: value})
        if _kind(new.dtype(key)) != kind:
            raise SpecificationError(
                f"The model parameter '{key}' is of the type {parameters.dtype(key)} "
                f"({format_value(parameters[key])}); {value!r} is of the type {new.dtype(key)}, which a program on a "
                f"device could not read. To change the type, use --force."
            )
        parameters[key] = value


def _kind(dtype: str) -> str:
    """Return the kind of a type: its width does not count."""
    if dtype in ("float", "double"):
        return "float"
    return "int" if dtype.startswith(("int", "uint")) and not dtype.endswith("_list") else dtype


def _update_archive(
    source: ModelSource,
    params: Mapping[str, object] | None,
    description: str | None,
    output: str | Path | None,
    force: bool,
) -> str:
    archive = source.archive()
    members: dict[str, bytes | Path] = {}
    for ending in (".tflite", ".float32.tflite"):
        stem = ending.removesuffix(".tflite")
        member = f"{source.name}{stem}{'.test' if source.test else ''}.tflite"
        if member in archive.names() or ending == ".tflite":
            tflite_model = TfliteModel(archive.read(member), path=f"{archive.path}/{member}")
            _set_parameters(tflite_model, params, description, force)
            content = bytes(tflite_model.flatbuffer_data)
            if output is not None:
                return str(atomic_write(_output_path(output, member), content))
            members[member] = content
            if ending == ".tflite":
                members[f"{source.name}.tflite.summary.txt"] = tflite_model.summary().encode()
    archive.check_writable()
    archive.update(members)
    return str(archive.path)


def _update_from_specification(
    mltk_model: MltkModel, params: Mapping[str, object] | None, output: str | Path | None, force: bool
) -> str:
    alone = (
        sole_writer(mltk_model, "updates the parameters of") if output is None else contextlib.nullcontext()
    )
    with operation(mltk_model), alone:
        tflite_model = ModelSource.of(mltk_model).tflite()
        update_typed(mltk_model.model_parameters, params or {}, force)
        for key in _REGENERATED:
            if key not in (params or {}):
                mltk_model.model_parameters.pop(key, None)
        mltk_model.populate_model_parameters(tflite_model)
        embed_parameters(mltk_model, tflite_model)
        name = Path(mltk_model.tflite_log_dir_path).name
        if output is not None:
            path = _output_path(output, name)
            tflite_model.save(path)
        else:
            mltk_model.check_archive_file_is_writable(throw_exception=True)
            path = _replace_files(mltk_model, tflite_model)
    mltk_model.raise_failures(str(path))
    return str(path)


def _replace_files(mltk_model: MltkModel, tflite_model: TfliteModel) -> Path:
    """Write the `.tflite`, its summary, and the float32 file with the same parameters; into the archive too."""
    log_dir = Path(mltk_model.log_dir)
    path = Path(mltk_model.tflite_log_dir_path)
    members = {path.name: bytes(tflite_model.flatbuffer_data)}
    members[f"{mltk_model.name}.tflite.summary.txt"] = tflite_model.summary().encode()
    float32 = Path(mltk_model.unquantized_tflite_log_dir_path).name
    if float32 in mltk_model.archive.names():
        unquantized = TfliteModel(mltk_model.archive.read(float32))
        embed_parameters(mltk_model, unquantized, exclude=("runtime_memory_size",))
        members[float32] = bytes(unquantized.flatbuffer_data)
    for name, content in members.items():
        atomic_write(log_dir / name, content)
    mltk_model.archive.update({**members, **mltk_model.specification_member()})
    return path


def _output_path(output: str | Path, name: str) -> Path:
    path = Path(output)
    return path if path.suffix == ".tflite" else path / name
