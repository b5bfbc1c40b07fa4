"""Run a model specification and return the model that it creates."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import os
import sys
import traceback
import weakref
from contextlib import ExitStack
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import CodeType, ModuleType

import mltk
from mltk._namespace import install_hint, specification_packages
from mltk.errors import FileFormatError, MltkError, SpecificationError, TrustError
from mltk.keras.environment import LEGACY_KERAS_VARIABLE, import_tensorflow, prepare_environment
from mltk.model.mixins.archive import original_specification
from mltk.model.model import MltkModel, check_model_name
from mltk.sources.search import read_script
from mltk.utils.model_archive import ARCHIVE_EXTENSION, ModelArchive
from mltk.utils.temporary import temporary_folder

_specification_files: set[str] = set()
"""Files that were run as specifications in this process."""


def load_archived_script(path: Path, trust: bool) -> MltkModel:
    """Run the specification that an archive contains.

    Raises:
        TrustError: `trust` is not set.
    """
    name = check_model_name(path.name.removesuffix(ARCHIVE_EXTENSION).removesuffix("-test"))
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
    with ExitStack() as stack:
        script = stack.enter_context(temporary_folder()) / f"{name}.py"
        script.write_text(text, encoding="utf-8")
        model = load_script(script, reload=True, shown=f"{path}/{name}.py")
        weakref.finalize(model, stack.pop_all().close)
    model.use_archive(path)
    return model


def load_script(path: Path, reload: bool, shown: str | None = None) -> MltkModel:
    """Run a script and return the only model that it creates.

    Args:
        path: The script, resolved.
        reload: Run it again if it was run before.
        shown: Path to show in messages.

    Raises:
        SpecificationError: The script fails, or does not create exactly one model.
    """
    check_model_name(path.stem)
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
            f"{shown or path} creates no MltkModel instance. Add one, e.g. my_model = MyModel()"
        )
    if len(models) > 1:
        names = " and ".join(f"'{name}'" for name, _ in models.values())
        raise SpecificationError(
            f"{shown or path} creates {len(models)} models, {names}. Keep one in the file."
        )
    model = next(iter(models.values()))[1]
    model.specification_module = module
    return model


class _Uncached(SourceFileLoader):
    """Loader that always compiles: Python's bytecode cache detects changes only to the second."""

    def get_code(self, fullname: str) -> CodeType:
        return self.source_to_code(self.get_data(self.path), self.path)


def _run_script(path: Path, module_name: str, root: Path, shown: str) -> ModuleType:
    # A specification may import modules that lie beside it, also as `mltk.models.<folder>.<module>`.
    beside = specification_packages.setdefault(f"mltk.models.{path.parent.name}", [])
    if str(path.parent) not in beside:
        beside.insert(0, str(path.parent))
    if any((root / f"{name}.py").is_file() or (root / name).is_dir() for name in ("keras", "tensorflow")):
        # A file beside the specification must not take the place of a library.
        import_tensorflow()
    if str(root) not in sys.path:
        sys.path.insert(0, str(root))
    if "." in module_name:
        _import_packages(module_name, shown)
    text = read_script(path)
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
        _refuse_legacy_keras(path, shown, e)
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
            hint = ""
            # Our own error for a missing plugin names what the specification imports.
            if isinstance(e, ModuleNotFoundError) and not isinstance(e, MltkError):
                hint = install_hint(e.name or "")
            elif isinstance(e, NameError):
                # After `from mltk.core import *`.
                hint = install_hint(f"mltk.core.{e.name}")
            raise SpecificationError(f"{shown}{f', line {line}' if line else ''}: {hint or what}") from e
        raise
    _refuse_legacy_keras(path, shown)
    return module


def _import_packages(module_name: str, shown: str) -> None:
    """Import the packages around a specification."""
    package = module_name.rpartition(".")[0]
    try:
        importlib.import_module(package)
    except Exception as e:
        where = traceback.extract_tb(e.__traceback__)[-1]
        place = (
            f"{e.filename}, line {e.lineno}" if isinstance(e, SyntaxError) else f"{where[0]}, line {where[1]}"
        )
        raise SpecificationError(
            f"{place}: {type(e).__name__}: {e} ({shown} is in the package '{package}', which is imported first.)"
        ) from e


def _refuse_legacy_keras(path: Path, shown: str, cause: BaseException | None = None) -> None:
    """Raise an error if the script asked for Keras 2 itself."""
    if os.environ.get(LEGACY_KERAS_VARIABLE, "").lower() in ("1", "true"):
        # The variable was not set before the script ran; the next specification may run.
        del os.environ[LEGACY_KERAS_VARIABLE]
        lines = path.read_bytes().splitlines()
        line = next((n for n, text in enumerate(lines, 1) if LEGACY_KERAS_VARIABLE.encode() in text), None)
        raise SpecificationError(
            f"{shown}{f', line {line}' if line else ''}: The script sets {LEGACY_KERAS_VARIABLE}, but mltk works with "
            "Keras 3. Remove it."
        ) from cause


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
    if len(parts) == 1 and (name in sys.stdlib_module_names or _is_taken(name, path)):
        # Another module has the name: it must stay what everybody else imports.
        digest = hashlib.sha256(str(path).encode()).hexdigest()[:8]
        name = f"_mltk_{name}_{digest}"
    return name, folder


def _is_taken(name: str, path: Path) -> bool:
    """Return True if another module than the script has the name."""
    if name in sys.modules:
        return not _comes_from(sys.modules[name], path)
    spec = importlib.util.find_spec(name)
    return spec is not None and not _same_file(spec.origin or "", path)


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
