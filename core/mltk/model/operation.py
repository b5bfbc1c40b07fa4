"""The frame of every operation: the active model, the specification as a plugin, the lock of the log folder."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from contextvars import ContextVar
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mltk.errors import MltkError
from mltk.model.event import MltkModelEvent
from mltk.plugins import get_plugin_manager
from mltk.utils.files import remove_temporaries
from mltk.utils.locks import LockedError, locked

if TYPE_CHECKING:
    from mltk.model.base import ModelBase
    from mltk.model.model import MltkModel

_active: ContextVar[tuple[MltkModel, ...]] = ContextVar("mltk_active_models", default=())


def push_active_model(mltk_model: MltkModel) -> None:
    """Make `mltk_model` the model of the running operation."""
    _active.set((*_active.get(), mltk_model))


def pop_active_model() -> None:
    """Undo the last `push_active_model`."""
    _active.set(_active.get()[:-1])


def get_active_model() -> MltkModel | None:
    """Return the model of the running operation, if there is one."""
    active = _active.get()
    return active[-1] if active else None


def trigger_model_event(event: MltkModelEvent, **kwargs: Any) -> None:
    """Trigger an event on the active model, if there is one."""
    model = get_active_model()
    if model is not None:
        model.trigger_event(event, **kwargs)


@contextlib.contextmanager
def specification_plugin(mltk_model: ModelBase) -> Iterator[None]:
    """Register the specification as a plugin within the block; its hooks are called before all others."""
    module = mltk_model.specification_module or sys.modules.get(type(mltk_model).__module__)
    if module is None or getattr(module, "__name__", "").startswith(("mltk.model.", "builtins")):
        yield
        return
    with get_plugin_manager().specification_registered(module, mltk_model.name):
        yield


@contextlib.contextmanager
def operation(mltk_model: MltkModel) -> Iterator[None]:
    """Run an operation: within the block, the model is active and its specification is a plugin."""
    token = _active.set((*_active.get(), mltk_model))
    try:
        with specification_plugin(mltk_model):
            yield
    finally:
        _active.reset(token)


@contextlib.contextmanager
def sole_writer(mltk_model: MltkModel, purpose: str) -> Iterator[None]:
    """Lock the log folder of the model against other processes within the block.

    Nested operations share the lock.

    Args:
        mltk_model: The model.
        purpose: The operation as a verb, e.g. `"trains"`.

    Raises:
        MltkError: Another process uses the model, or the folder cannot be written.
    """
    folder = Path(mltk_model.log_dir)
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(locked(folder / f".{mltk_model.name}.lock", purpose))
        except LockedError as e:
            raise MltkError(
                f"Another process{f' ({e.pid})' if e.pid else ''} {e.purpose or 'works on'} "
                f"'{mltk_model.name}' now and writes to {folder}. Wait until it has ended, "
                f"or set MLTK_CACHE_DIR to have files of your own."
            ) from e
        except OSError as e:
            raise MltkError(
                f"The log folder {folder} cannot be written: {e.strerror or e}. "
                f"Choose another with MLTK_CACHE_DIR, or my_model.log_dir."
            ) from e
        for written in (folder, *(folder / "train" / name for name in ("", "checkpoints", "weights"))):
            own = f".{mltk_model.name}." if written == folder else "."
            remove_temporaries(p for p in written.glob(".*") if p.name.startswith(own))
        yield
