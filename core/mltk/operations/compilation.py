"""Compile a quantized model for a device with a compiler of a plugin."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mltk.errors import FileFormatError, MltkError, SpecificationError, did_you_mean
from mltk.model.operation import operation
from mltk.plugins import get_plugin_manager
from mltk.sources.source import ModelSource, SourceKind
from mltk.tflite import TfliteModel
from mltk.utils.files import atomic_write
from mltk.utils.logging import get_mltk_logger

if TYPE_CHECKING:
    from mltk.model.model import MltkModel
    from mltk.plugins.types import Compiler
    from mltk.utils.model_archive import ModelArchive


def compile_model(
    model: MltkModel | TfliteModel | str | Path,
    accelerator: str,
    output: str | Path | None = None,
    update_archive: bool | None = None,
    logger: logging.Logger | None = None,
    *,
    test: bool = False,
    **kwargs: Any,
) -> str | TfliteModel:
    """Compile a quantized model with the compiler that a plugin offers under the accelerator's name.

    If the compiler writes a `.tflite`, metadata of the model that it lacks is added again.

    Args:
        model: Model, name, path of a specification, archive or `.tflite` file, or a `TfliteModel`. No code is run from
            an archive.
        accelerator: Name of the compiler; plugins and the specification offer them with the hook `mltk_compilers`.
        output: A folder, or a file with the ending that the compiler writes; `'tflite_model'` returns the model
            object. By default `<name>.<accelerator>.tflite` (or another ending) beside the `.tflite`, or in the log
            folder of the model.
        update_archive: Put the result into the model's archive; by default if `output` is not given.
        logger: For messages.
        test: Use the trial run's files.
        **kwargs: The compiler's own options.

    Returns:
        Path of the file; a `TfliteModel` when `output` is `'tflite_model'`, or when `model` is a `TfliteModel` that is
        no file and `output` is not given.

    Raises:
        SpecificationError: There is no such compiler, it has no such option, it writes no `.tflite` and a model object
            is wanted, or there is no archive to update.
        ModelNotFoundError: There is no such model.
        ArchiveFileNotFoundError: It was not trained yet.
        FileFormatError: The file is damaged.
    """
    logger = logger or get_mltk_logger()
    source = ModelSource.of(model, test=test)
    name = source.name if source.is_model_file else source.member("")
    if source.is_model_file:
        if update_archive:
            raise SpecificationError("A .tflite file has no archive to update: leave out update_archive.")
        tflite_model = source.tflite()
        compiled = _compile(_choose(accelerator, kwargs), tflite_model, name, kwargs)
        beside = _folder_beside(tflite_model)
        if output is None and beside is None:
            return compiled.tflite_model()
        return _write(compiled, (beside or Path()) / compiled.file_name, output, logger)
    in_place = output is None
    update_archive = in_place if update_archive is None else update_archive and in_place
    if source.kind is SourceKind.ARCHIVE:
        compiled = _compile(_choose(accelerator, kwargs), source.tflite(), name, kwargs)
        archive = source.archive() if update_archive else None
        return _write(compiled, source.default_log_dir / compiled.file_name, output, logger, archive)
    mltk_model = source.specification()
    with operation(mltk_model):
        compiler = _choose(accelerator, kwargs)
        compiled = _compile(compiler, ModelSource.of(mltk_model).tflite(), name, kwargs)
    archive = mltk_model.archive if update_archive else None
    result = _write(compiled, Path(mltk_model.log_dir) / compiled.file_name, output, logger, archive)
    mltk_model.raise_failures(result)
    return result


def list_compilers() -> dict[str, Compiler]:
    """Return the compilers of the plugins and of the active specification by name."""
    return get_plugin_manager().collect_offers("mltk_compilers")


@dataclass(frozen=True)
class _Compiled:
    """Output of a compiler."""

    compiler: Compiler
    model: str
    content: bytes

    @property
    def file_name(self) -> str:
        """Default file name."""
        return f"{self.model}.{self.compiler.name}{self.compiler.ending}"

    def tflite_model(self) -> TfliteModel:
        """Return the output as a model."""
        if self.compiler.ending != ".tflite":
            raise SpecificationError(
                f"The compiler '{self.compiler.name}' writes a {self.compiler.ending} file, not a .tflite. "
                "Give a folder or a file as output."
            )
        return TfliteModel(self.content, path=self.file_name)


def _choose(name: str, options: Mapping[str, Any]) -> Compiler:
    offers = list_compilers()
    if not offers:
        raise SpecificationError(
            f"Nothing here compiles for '{name}': no installed plugin offers a compiler. Install one that does."
        )
    if name not in offers:
        raise SpecificationError(
            f"There is no compiler named '{name}'.{did_you_mean(name, offers)} Those offered: {', '.join(offers)}."
        )
    compiler = offers[name]
    # The first parameter is the model.
    parameters = list(inspect.signature(compiler.compile).parameters.values())[1:]
    known = [p.name for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
    if not any(p.kind is p.VAR_KEYWORD for p in parameters):
        for option in options:
            if option not in known:
                raise SpecificationError(
                    f"The compiler '{name}' has no option '{option}'.{did_you_mean(option, known)} "
                    f"Its options: {', '.join(known) or 'none'}."
                )
    return compiler


def _compile(compiler: Compiler, source: TfliteModel, name: str, options: Mapping[str, Any]) -> _Compiled:
    # Compilers get a copy, since they may change it.
    content = compiler.compile(TfliteModel(source.flatbuffer_data, path=source.path), **options)
    if not isinstance(content, bytes):
        raise MltkError(
            f"The compiler '{compiler.name}' must return the bytes of a {compiler.ending} file, "
            f"not {type(content).__name__}."
        )
    if compiler.ending != ".tflite":
        return _Compiled(compiler, name, content)
    try:
        compiled = TfliteModel(content, path=f"{name}.{compiler.name}.tflite")
    except FileFormatError as e:
        raise MltkError(f"The compiler '{compiler.name}' did not return a .tflite: {e}") from e
    present = compiled.get_all_metadata()
    for tag, value in source.get_all_metadata().items():
        if tag and value and tag not in present:
            compiled.add_metadata(tag, value)
    return _Compiled(compiler, name, compiled.flatbuffer_data)


def _folder_beside(source: TfliteModel) -> Path | None:
    """Return the folder of a `.tflite` that is a file, and `None` for one in memory."""
    return Path(source.path).parent if source.path is not None and Path(source.path).is_file() else None


def _write(
    compiled: _Compiled,
    path: Path,
    output: str | Path | None,
    logger: logging.Logger,
    archive: ModelArchive | None = None,
) -> str | TfliteModel:
    if output == "tflite_model":
        return compiled.tflite_model()
    if output is not None:
        path = Path(output) if str(output).endswith(compiled.compiler.ending) else Path(output) / path.name
    if archive is not None:
        archive.check_writable()
    atomic_write(path, compiled.content)
    if archive is not None:
        archive.update({path.name: compiled.content})
        logger.debug(f"Updated: {archive.path}")
    return str(path)
