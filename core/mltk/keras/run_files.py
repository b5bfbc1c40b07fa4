"""The files of a training run that the next run continues from or replaces. Does not import Keras.

After each epoch N the folder has `weights-N.weights.h5` and `weights-N.json`. `run.json` names the run that they belong
to.
"""

from __future__ import annotations

import json
import os
import re
import secrets
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TypedDict, cast

from mltk.errors import FileFormatError
from mltk.utils.files import atomic_write

BEST_FILE = "best.json"
"""Name of the record of the best epoch, in the folder of the best weights."""


class Best(TypedDict):
    """The record of the best epoch."""

    epoch: int
    """Counted from 1."""
    monitor: str
    value: float
    file: str
    """Path of the weights, relative to the folder of the record if they are in it."""


class CallbackState(TypedDict):
    """State that a callback keeps from epoch to epoch."""

    name: str
    values: Mapping[str, object]
    unsaved: list[str]
    """Attributes that cannot be kept."""


class EpochRecord(TypedDict):
    """The content of `weights-N.json`."""

    run: str
    conditions: Mapping[str, object]
    """What the result depends on, as in `provenance.json`."""
    epochs: list[int]
    history: Mapping[str, list[float]]
    stopped: bool
    best: Best | None
    callbacks: list[CallbackState]


class _Run(TypedDict):
    run: str
    previous: str
    """The run before this one that has whole epochs."""
    stale: Mapping[str, list[int]]


def begin_run(folder: Path, stale: Iterable[Path] = ()) -> None:
    """Begin a run: the states of earlier runs are not its own.

    They are kept until its first epoch is whole, so that a run begun by mistake loses nothing.

    Args:
        folder: The folder with the states.
        stale: Files of earlier runs, for `remove_stale`.
    """
    before = _read_run(folder)
    previous = before["run"] if last_whole_epoch(folder) else before["previous"]
    # In a file, since the run that replaces them may be a resumed one.
    _write_run(folder, {"run": secrets.token_hex(8), "previous": previous, "stale": _named(folder, stale)})


def current_run(folder: Path) -> str:
    """Return the id of the run that a folder with states belongs to."""
    return _read_run(folder)["run"]


def last_whole_epoch(folder: Path) -> int:
    """Return the last epoch (counted from 1) of the current run whose state is whole; 0 for none."""
    return max(whole_epochs(folder), default=0)


def previous_whole_epoch(folder: Path) -> int:
    """Return the last whole epoch of the run before the current one; 0 if its files are gone."""
    previous = _read_run(folder)["previous"]
    return max(_epochs_of(folder, previous), default=0) if previous else 0


def return_to_run(folder: Path, run: str) -> None:
    """Make a run the current one again, if it is the run before one that has no whole epoch."""
    now = _read_run(folder)
    if run == now["previous"] != now["run"] and not last_whole_epoch(folder):
        _write_run(folder, {"run": run, "previous": "", "stale": {}})


def whole_epochs(folder: Path) -> list[int]:
    """Return the epochs (counted from 1) of the current run whose states are whole, sorted."""
    return _epochs_of(folder, current_run(folder))


def remove_epoch(folder: Path, epoch: int) -> None:
    """Remove the state of an epoch (counted from 1)."""
    # In this order, so that no weights are left without a record.
    weights_path(folder, epoch).unlink(missing_ok=True)
    _record_path(folder, epoch).unlink(missing_ok=True)


def read_epoch(folder: Path, epoch: int) -> EpochRecord:
    """Return the record of an epoch (counted from 1).

    Raises:
        FileFormatError: It is missing or damaged.
    """
    path = _record_path(folder, epoch)
    if not path.is_file():
        kept = ", ".join(map(str, whole_epochs(folder))) or "none"
        raise FileFormatError(
            f"The training cannot be resumed after epoch {epoch}: its state is not kept. Epochs whose states are kept: "
            f"{kept}. my_model.checkpoints_to_keep says how many are."
        )
    try:
        record = cast("EpochRecord", json.loads(path.read_text(encoding="utf-8")))
        if missing := EpochRecord.__required_keys__ - set(record):
            raise KeyError(*missing)
    except (OSError, ValueError, KeyError, TypeError) as e:
        raise FileFormatError(
            f"The training cannot be resumed: the state {path} is damaged. Start anew without --resume."
        ) from e
    return record


def write_epoch(folder: Path, epoch: int, record: EpochRecord) -> None:
    """Write the record of an epoch (counted from 1); its weights follow."""
    # In this order, so that no record of this run stands beside weights of an older one.
    weights_path(folder, epoch).unlink(missing_ok=True)
    atomic_write(_record_path(folder, epoch), json.dumps(record))


def weights_path(folder: Path, epoch: int) -> Path:
    """Return the path of the weights after an epoch (counted from 1)."""
    return folder / f"weights-{epoch:03d}.weights.h5"


def mark_stale(folder: Path, stale: Iterable[Path]) -> None:
    """Add files for `remove_stale`: a resumed run replaces them."""
    run = _read_run(folder)
    _write_run(folder, {**run, "stale": {**run["stale"], **_named(folder, stale)}})


def remove_stale(folder: Path) -> None:
    """Remove the files that were stale when the run began or was resumed."""
    run = _read_run(folder)
    if not run["stale"]:
        return
    stale = {folder / name: tuple(identity) for name, identity in run["stale"].items()}
    # Files that this run has written anew under an old name are other files.
    for path in [path for path, identity in _identities(stale).items() if stale[path] == identity]:
        path.unlink()
    _write_run(folder, {**run, "previous": "", "stale": {}})


def read_best(folder: Path) -> tuple[Best, Path] | None:
    """Return the record of the best epoch and the path of its weights; `None` if there is no record or no such file."""
    try:
        best = cast("Best", json.loads((folder / BEST_FILE).read_text(encoding="utf-8")))
        path = folder / best["file"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return (best, path) if path.is_file() else None


def write_best(folder: Path, best: Best | None) -> None:
    """Write the record of the best epoch; `None` removes it."""
    if best is None:
        (folder / BEST_FILE).unlink(missing_ok=True)
    else:
        atomic_write(folder / BEST_FILE, json.dumps(best))


def _record_path(folder: Path, epoch: int) -> Path:
    return folder / f"weights-{epoch:03d}.json"


def _named(folder: Path, paths: Iterable[Path]) -> dict[str, list[int]]:
    return {os.path.relpath(path, folder): list(found) for path, found in _identities(paths).items()}


def _identities(paths: Iterable[Path]) -> dict[Path, tuple[int, int]]:
    """Return what tells the files that exist apart from others that may take their names: inode and time."""
    return {p: (s.st_ino, s.st_mtime_ns) for p in paths if p.is_file() for s in [p.stat()]}


def _read_run(folder: Path) -> _Run:
    path = folder / "run.json"
    found = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    return cast("_Run", {"run": "", "previous": "", "stale": {}, **found})


def _write_run(folder: Path, run: _Run) -> None:
    atomic_write(folder / "run.json", json.dumps(run))


def _epochs_of(folder: Path, run: str) -> list[int]:
    numbers = [
        int(path.name.split(".")[0].removeprefix("weights-")) for path in folder.glob("weights-*.weights.h5")
    ]
    return sorted(n for n in numbers if _run_of(_record_path(folder, n)) == run)


def _run_of(record: Path) -> str | None:
    if not record.is_file():
        return None
    # The id stands at the beginning; the history after it grows with the epochs.
    with record.open(encoding="utf-8") as file:
        match = re.match(r'\{"run": "([0-9a-f]*)"', file.read(64))
    return match[1] if match else None
