"""Find and load model specifications, archives and trained models."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import os
import re
import sys
import tempfile
import traceback
from collections.abc import Iterator
from importlib.machinery import SourceFileLoader
from operator import attrgetter
from pathlib import Path
from types import CodeType, ModuleType
from typing import TYPE_CHECKING, Any

import mltk
from mltk._namespace import specification_packages
from mltk.errors import (
    ArchiveFileNotFoundError,
    FileFormatError,
    MltkError,
    ModelNotFoundError,
    SpecificationError,
    TrustError,
    did_you_mean,
)
from mltk.keras.environment import import_tensorflow, prepare_environment
from mltk.model.event import MltkModelEvent
from mltk.model.mixins.archive import archive_path_of, original_specification, shipped_model_folders
from mltk.model.model import MltkModel, check_model_name
from mltk.model.operation import (
    get_active_model,
    pop_active_model,
    push_active_model,
    trigger_model_event,
)
from mltk.utils.files import cache_dir
from mltk.utils.model_archive import ARCHIVE_EXTENSION, ModelArchive

if TYPE_CHECKING:
    import logging

    from mltk.tflite import TfliteModel

__all__ = [
    "find_model_specification_file",
    "get_active_model",
    "list_mltk_models",
    "load_mltk_model",
    "load_mltk_model_with_path",
    "load_tflite_model",
    "load_tflite_or_keras_model",
    "pop_active_model",
    "push_active_model",
    "trigger_model_event",
]

_TAG = re.compile(rb"(?:^|[\s#])@mltk_model(?:\s|\Z)", re.MULTILINE)
_MAX_LIST_DEPTH = 5
_FIRST_READ = 16384
_READ_BYTES = os.O_RDONLY | getattr(os, "O_BINARY", 0)
# What was run as a specification in this process.
_specification_files: set[str] = set()
_LOADABLE = (".py", ARCHIVE_EXTENSION)


def user_settings() -> dict[str, Any]:
    """Return the user's settings file as a dict; empty without one.

    Raises:
        FileFormatError: It is not a YAML mapping.
    """
    path = Path(os.environ.get("MLTK_USER_SETTINGS_PATH") or cache_dir() / "user_settings.yaml").expanduser()
    if not path.is_file():
        return {}
    from mltk.utils.structured import parse_yaml

    settings = parse_yaml(path.read_bytes(), f"The settings file {path}")
    if settings is None:
        return {}
    if not isinstance(settings, dict):
        raise FileFormatError(f"The settings file {path} must hold a mapping of names to values.")
    return settings


def model_search_path() -> list[tuple[Path, bool]]:
    """Return the folders that are searched for models, in order, and whether each is searched recursively.

    The user settings' `model_paths`; the current folder (top level only); `MLTK_MODEL_PATHS`; the models that mltk
    and its plugins ship.
    """
    configured = user_settings().get("model_paths") or []
    configured = [configured] if isinstance(configured, str) else configured
    if not isinstance(configured, list) or not all(isinstance(p, str) for p in configured):
        raise FileFormatError("'model_paths' in the settings file must be a folder or a list of folders.")
    paths = [(Path(p).expanduser(), True) for p in configured]
    paths.append((Path.cwd(), False))
    variable = os.environ.get("MLTK_MODEL_PATHS", "")
    paths += [(Path(p).expanduser(), True) for p in variable.split(os.pathsep) if p]
    paths += [(folder, True) for folder in shipped_model_folders()]
    return paths


def _walk(folder: Path, depth: int | None) -> Iterator[os.DirEntry[str]]:
    """Yield the files below a folder, each folder's sorted, following links but never twice into one folder."""
    seen: set[tuple[int, int]] = set()
    pending: list[tuple[str, int]] = [(str(folder), 0)]
    while pending:
        path, level = pending.pop()
        try:
            status = os.stat(path)  # noqa: PTH116 - thousands of them; a Path each would double the time
            entries = sorted(os.scandir(path), key=attrgetter("name"))
        except OSError:
            # A search path may name folders that are not there, or not ours to read.
            continue
        if (status.st_dev, status.st_ino) in seen:
            continue
        seen.add((status.st_dev, status.st_ino))
        folders = []
        for entry in entries:
            if entry.name.startswith(".") or entry.name == "__pycache__":
                continue
            if entry.is_dir():
                if depth is None or level < depth:
                    folders.append((entry.path, level + 1))
            else:
                yield entry
        pending += reversed(folders)


def list_mltk_models(
    test: bool = False, for_utests: bool = False, logger: logging.Logger | None = None
) -> list[str]:
    """Return the names of all models on the search path, sorted.

    A script is a model when its text has the tag `@mltk_model`; no script is imported. Archives count too.

    Args:
        test: List the archives of trial runs (`<name>-test.mltk.zip`) only.
        for_utests: Leave out scripts with the tag `@mltk_utest_disabled`.
        logger: Told which files could not be read.
    """
    names: set[str] = set()
    for folder, recursive in model_search_path():
        for entry in _walk(folder, _MAX_LIST_DEPTH if recursive else 0):
            if entry.name.endswith(ARCHIVE_EXTENSION):
                name = entry.name.removesuffix(ARCHIVE_EXTENSION)
                if name.endswith("-test") == test:
                    names.add(name.removesuffix("-test"))
            elif entry.name.endswith(".py") and not test:
                try:
                    text = _read(entry.path)
                except OSError as e:
                    if logger:
                        logger.warning(f"{entry.path} could not be read: {e.strerror}")
                    continue
                # The substring is found many times faster, and nearly all files lack it.
                tag = text.find(b"@mltk_model")
                if tag >= 0 and _TAG.search(text, max(tag - 1, 0)):
                    if for_utests and b"@mltk_utest_disabled" in text:
                        continue
                    names.add(entry.name.removesuffix(".py"))
    return sorted(names)


def _read(path: str) -> bytes:
    """Return what a file holds; for small ones in half of the time that a file object takes."""
    descriptor = os.open(path, _READ_BYTES)
    try:
        text = os.read(descriptor, _FIRST_READ)
        while len(text) >= _FIRST_READ and (more := os.read(descriptor, len(text))):
            text += more
        return text
    finally:
        os.close(descriptor)


def find_model_specification_file(
    name: str, test: bool = False, logger: logging.Logger | None = None
) -> str | None:
    """Return the first script `<name>.py` on the search path, else the first archive, else `None`.

    Raises:
        SpecificationError: `name` cannot be a model's name.
    """
    check_model_name(name)
    archive_name = f"{name}{'-test' if test else ''}{ARCHIVE_EXTENSION}"
    archive = None
    for folder, recursive in model_search_path():
        for entry in _walk(folder, None if recursive else 0):
            if entry.name == f"{name}.py":
                return entry.path
            if entry.name == archive_name and archive is None:
                archive = entry.path
    return archive


def split_test_suffix(model: str) -> tuple[str, bool]:
    """Split `'x-test'` into `('x', True)`; other names come back with `False`."""
    return (model.removesuffix("-test"), True) if model.endswith("-test") else (model, False)


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
        logger: For messages.
        reload: Run the script again when it was loaded before.
        trust: Allow an archive's own specification to run.

    Raises:
        ModelNotFoundError: There is no such model.
        SpecificationError: The script does not run, or does not define exactly one model.
        TrustError: It is an archive and `trust` is not set.
    """
    if isinstance(model, MltkModel):
        if test:
            model.enable_test_mode()
        return model
    text = str(model)
    if is_model_path(text):
        if not Path(text).is_file():
            raise ModelNotFoundError(f"There is no file {text}.")
        return load_mltk_model_with_path(text, test=test, logger=logger, reload=reload, trust=trust)
    name, suffix = split_test_suffix(text)
    test = test or suffix
    path = find_model_specification_file(name, test=test, logger=logger)
    if path is None:
        raise model_not_found(name)
    return load_mltk_model_with_path(path, test=test, logger=logger, reload=reload, trust=trust)


def model_not_found(name: str) -> ModelNotFoundError:
    """Return the error for a name that no file on the search path has, with near matches."""
    hint = did_you_mean(name, list_mltk_models()) or " MLTK_MODEL_PATHS may name further folders to search."
    return ModelNotFoundError(f"There is no model named '{name}' on the model search path.{hint}")


def is_model_path(text: str) -> bool:
    """Tell whether `text` is meant as a path, not as a model's name."""
    return text.endswith((".py", ".zip", ".tflite", ".h5", ".keras")) or os.sep in text


def is_archive(model: str | Path | MltkModel, test: bool = False) -> bool:
    """Tell whether a model is only there as an archive, whose code is not run to look at it.

    Args:
        model: Model, name, or path.
        test: Whether the trial run's archive is meant.
    """
    if isinstance(model, MltkModel):
        return False
    path = str(model)
    if not is_model_path(path):
        name, suffix = split_test_suffix(path)
        path = find_model_specification_file(name, test=test or suffix) or ""
    return path.endswith(ARCHIVE_EXTENSION)


def load_mltk_model_with_path(
    model_path: str | Path,
    test: bool = False,
    logger: logging.Logger | None = None,
    reload: bool = True,
    trust: bool = False,
) -> MltkModel:
    """Load a model specification from a file; arguments and errors as in `load_mltk_model`."""
    path = Path(model_path).resolve()
    if not path.is_file():
        raise ModelNotFoundError(f"There is no file {model_path}.")
    if not path.name.endswith(_LOADABLE):
        raise SpecificationError(
            f"{model_path} is not a model specification: give a .py or a {ARCHIVE_EXTENSION} file."
        )
    if path.suffix == ".py":
        check_model_name(path.stem)
        model, module = _load_script(path, reload)
    else:
        model, module = _load_archived_script(path, trust)
        test = test or path.name.endswith(f"-test{ARCHIVE_EXTENSION}")
        model._archive_override = path
    model._specification_module = module
    if test:
        model.enable_test_mode()
    model.trigger_event(MltkModelEvent.AFTER_MODEL_LOAD, logger=logger)
    return model


def _load_archived_script(path: Path, trust: bool) -> tuple[MltkModel, ModuleType]:
    name, _ = split_test_suffix(path.name.removesuffix(ARCHIVE_EXTENSION))
    check_model_name(name)
    archive = ModelArchive(path)
    if not trust:
        raise TrustError(
            f"Using the archive {path} here would run the Python code in it ('{name}.py'). "
            f"Look at it first, then allow it with --trust (in Python: trust=True)."
        )
    try:
        text = original_specification(archive.read(f"{name}.py").decode("utf-8"))
    except UnicodeDecodeError as e:
        raise FileFormatError(f"'{name}.py' in the archive {path} is not UTF-8 text.") from e
    folder = Path(tempfile.mkdtemp(prefix=f"mltk-{name}-"))
    script = folder / f"{name}.py"
    script.write_text(text, encoding="utf-8")
    model, module = _load_script(script, reload=True, shown=f"{path}/{name}.py")
    import shutil
    import weakref

    weakref.finalize(model, shutil.rmtree, folder, ignore_errors=True)
    return model, module


def _load_script(path: Path, reload: bool, shown: str | None = None) -> tuple[MltkModel, ModuleType]:
    prepare_environment()
    module_name, root = _module_name(path)
    module = sys.modules.get(module_name)
    if module is None or reload or not _comes_from(module, path):
        module = _run_script(path, module_name, root, shown or str(path))
    _specification_files.add(str(path))
    models = {
        id(value): (name, value)
        for name, value in vars(module).items()
        if isinstance(value, MltkModel) and _same_file(value.model_specification_path, path)
    }
    if not models:
        raise SpecificationError(
            f"{shown or path} makes no MltkModel instance. Add one, e.g. my_model = MyModel()"
        )
    if len(models) > 1:
        names = " and ".join(f"'{name}'" for name, _ in models.values())
        raise SpecificationError(
            f"{shown or path} makes {len(models)} models, {names}. Keep one in the file."
        )
    return next(iter(models.values()))[1], module


class _Uncached(SourceFileLoader):
    """Compiles a script each time: Python's cache, which lies beside it, tells a change by whole seconds only."""

    def get_code(self, fullname: str) -> CodeType:
        return self.source_to_code(self.get_data(self.path), self.path)


def _run_script(path: Path, module_name: str, root: Path, shown: str) -> ModuleType:
    # A specification may import modules that lie beside it, also as `mltk.models.<folder>.<module>`.
    beside = specification_packages.setdefault(f"mltk.models.{path.parent.name}", [])
    if str(path.parent) not in beside:
        beside.insert(0, str(path.parent))
    if str(root) not in sys.path:
        sys.path.insert(0, str(root))
    if "." in module_name:
        importlib.import_module(module_name.rpartition(".")[0])
    text = path.read_bytes()
    if b"tensorflow" in text or b"keras" in text:
        import_tensorflow()
    loader = _Uncached(module_name, str(path))
    spec = importlib.util.spec_from_file_location(module_name, path, loader=loader)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    before = sys.modules.get(module_name)
    sys.modules[module_name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException as e:
        if before is None:
            sys.modules.pop(module_name, None)
        else:
            sys.modules[module_name] = before
        if isinstance(e, SystemExit):
            raise SpecificationError(
                f"{shown} ends the program (exit code {e.code}) instead of making a model."
            ) from e
        if isinstance(e, SyntaxError):
            raise SpecificationError(f"{e.filename or shown}, line {e.lineno}: {e.msg}.") from e
        if isinstance(e, Exception):
            line = _line_in(e, path)
            what = (
                str(e)
                if isinstance(e, (MltkError, AttributeError, ImportError))
                else f"{type(e).__name__}: {e}"
            )
            raise SpecificationError(f"{shown}{f', line {line}' if line else ''}: {what}") from e
        raise
    return module


def _module_name(path: Path) -> tuple[str, Path]:
    """Return the name to import a script under, and the folder that must be on `sys.path`."""
    parts = [path.stem]
    folder = path.parent
    while (folder / "__init__.py").is_file():
        parts.insert(0, folder.name)
        folder = folder.parent
    if parts[0] == "mltk" and not _same_file(mltk.__file__, (folder / "mltk" / "__init__.py").resolve()):
        # A copy of the reference: its `mltk` must not take the place of this one.
        return f"mltk.models.{path.parent.name}.{path.stem}", path.parent
    name = ".".join(parts)
    loaded = sys.modules.get(name)
    if len(parts) == 1 and (
        name in sys.stdlib_module_names or (loaded is not None and not _comes_from(loaded, path))
    ):
        # Another module has the name: it must stay what everybody else imports.
        digest = hashlib.sha256(str(path).encode()).hexdigest()[:8]
        name = f"_mltk_{name}_{digest}"
    return name, folder


def _comes_from(module: ModuleType, path: Path) -> bool:
    return _same_file(getattr(module, "__file__", None) or "", path)


def _same_file(name: str, path: Path) -> bool:
    return bool(name) and Path(name).resolve() == path


def place_in_specification(error: BaseException) -> str | None:
    """Return `file, line N` of the last line of a specification that an exception came through, if any."""
    frames = traceback.extract_tb(error.__traceback__)
    places = [f"{f.filename}, line {f.lineno}" for f in frames if f.filename in _specification_files]
    return places[-1] if places else None


def _line_in(error: BaseException, path: Path) -> int | None:
    lines = [f.lineno for f in traceback.extract_tb(error.__traceback__) if _same_file(f.filename, path)]
    return lines[-1] if lines else None


def load_tflite_model(
    model: str | Path | MltkModel | TfliteModel,
    build: bool = False,
    print_not_found_err: bool = False,
    return_tflite_path: bool = False,
    test: bool = False,
    logger: logging.Logger | None = None,
    archive_file_ext: str | None = None,
) -> Any:
    """Load a `.tflite` model.

    Args:
        model: Name, path of a `.tflite` or archive, `MltkModel` or `TfliteModel`. No code is run from an archive.
        build: Train a throw-away trial model first and convert that.
        print_not_found_err: Accepted for compatibility.
        return_tflite_path: Return the file's path instead.
        test: Take the trial run's file.
        logger: For messages.
        archive_file_ext: Ending of the member to take from the archive; `.tflite` by default.

    Returns:
        A `TfliteModel`, or the path as str.
    """
    from mltk.tflite import TfliteModel

    if isinstance(model, TfliteModel):
        return str(model.path) if return_tflite_path else model
    if build:
        from mltk.operations.conversion.quantize import quantize_model

        path = str(quantize_model(model, build=True))
        return path if return_tflite_path else TfliteModel.load_flatbuffer_file(path)
    if not isinstance(model, MltkModel) and str(model).endswith(".tflite"):
        if not Path(model).is_file():
            raise ModelNotFoundError(f"There is no file {model}.")
        return str(model) if return_tflite_path else TfliteModel.load_flatbuffer_file(str(model))
    archive, name, test = find_archive(model, test)
    ending = archive_file_ext or ".tflite"
    member = f"{name}{'.test' if test else ''}{ending}"
    content = archive.read(member)
    if not isinstance(model, MltkModel):
        if not return_tflite_path:
            return TfliteModel(content, path=f"{archive.path}/{member}")
        folder = tempfile.mkdtemp(prefix=f"mltk-{name}-")
        return str(archive.extract([member], Path(folder))[0])
    # Of a file: specifications give its path to an interpreter.
    file = Path(model.log_dir) / member
    if not (file.is_file() and file.read_bytes() == content):
        file = Path(model.get_archive_file(member))
    return str(file) if return_tflite_path else TfliteModel(content, path=str(file))


def find_archive(model: str | Path | MltkModel, test: bool = False) -> tuple[ModelArchive, str, bool]:
    """Return the archive of a model without running any code, the model's name, and whether it is a trial run's.

    Raises:
        ModelNotFoundError: There is no such model or archive.
    """
    if isinstance(model, MltkModel):
        return model.archive, model.name, model.test_mode_enabled
    text = str(model)
    if text.endswith(ARCHIVE_EXTENSION):
        if not Path(text).is_file():
            raise ModelNotFoundError(f"There is no file {text}.")
        name, suffix = split_test_suffix(Path(text).name.removesuffix(ARCHIVE_EXTENSION))
        return ModelArchive(text), name, test or suffix
    if text.endswith(".py"):
        script = text
        name = Path(text).stem
        if not Path(text).is_file():
            raise ModelNotFoundError(f"There is no file {text}.")
    else:
        name, suffix = split_test_suffix(text)
        test = test or suffix
        found = find_model_specification_file(name, test=test)
        if found is None:
            raise model_not_found(name)
        script = found
    if script.endswith(ARCHIVE_EXTENSION):
        return ModelArchive(script), name, test
    path = archive_path_of(script, test)
    if not path.is_file():
        raise ArchiveFileNotFoundError(
            f"There is no model archive {path}. Train the model first: mltk train {name}{' --test' if test else ''}"
        )
    return ModelArchive(path), name, test


def load_tflite_or_keras_model(
    model: MltkModel | str | Path,
    model_type: str | None = None,
    weights: str | None = None,
    logger: logging.Logger | None = None,
    trust: bool = False,
) -> Any:
    """Load a trained model.

    Args:
        model: `MltkModel`, or path of a `.tflite`, `.keras` or `.h5` file.
        model_type: `'h5'` (also `'keras'`) or `'tflite'`; by default `h5` for an `MltkModel`, else by the file's
            ending.
        weights: Weights to load into the Keras model afterwards; a path, a name in `weights_dir`, or `'best'`.
        logger: For messages.
        trust: Allow code in the Keras file (Lambda layers) to run.

    Returns:
        A `keras.Model` or a `TfliteModel`.

    Raises:
        SpecificationError: `model_type` is unknown, or weights were given for a `.tflite`.
    """
    if not isinstance(model, MltkModel):
        model_type = model_type or ("tflite" if str(model).endswith(".tflite") else "h5")
    model_type = model_type or "h5"
    if model_type not in ("h5", "keras", "tflite"):
        raise SpecificationError(f"There is no model type '{model_type}'. Use 'h5' or 'tflite'.")
    if model_type == "tflite":
        if weights:
            raise SpecificationError("Weights cannot be loaded into a .tflite model.")
        return load_tflite_model(model)
    from mltk.keras.saving import load_keras_model, load_weights

    if isinstance(model, MltkModel):
        path = model.keras_archive_path
        keras_model = load_keras_model(path, mltk_model=model, trust=trust)
        if weights:
            load_weights(keras_model, model.get_weights_path(weights))
        return keras_model
    keras_model = load_keras_model(str(model), trust=trust)
    if weights:
        load_weights(keras_model, weights)
    return keras_model
