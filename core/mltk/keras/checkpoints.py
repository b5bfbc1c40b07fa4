"""Callbacks that write weights: the best ones, and the state after each epoch.

This module imports Keras; it is imported when a training starts.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import keras  # noqa: TID253 - the classes below derive from Keras'

from mltk.errors import FileFormatError, SpecificationError
from mltk.keras.callback_state import CallbackKeeper, NotPlainError
from mltk.keras.run_files import (
    Best,
    CallbackState,
    current_run,
    mark_stale,
    read_epoch,
    remove_epoch,
    remove_stale,
    return_to_run,
    weights_path,
    whole_epochs,
    write_best,
    write_epoch,
)
from mltk.keras.saving import load_weights, save_weights
from mltk.keras.types import Logs
from mltk.utils.files import atomic_path


class _WholeFiles:
    """Stands in for the model in ModelCheckpoint, so that its files appear in one step."""

    def __init__(self, model: keras.Model) -> None:
        self._model = model
        self.last_path = ""

    def __getattr__(self, name: str) -> Any:
        return getattr(self._model, name)

    def save_weights(self, filepath: str, overwrite: bool = True) -> None:
        save_weights(self._model, filepath)
        self.last_path = filepath

    def save(self, filepath: str, overwrite: bool = True) -> None:
        with atomic_path(filepath) as temporary:
            self._model.save(temporary)
        self.last_path = filepath


class ModelCheckpoint(keras.callbacks.ModelCheckpoint):
    """Keras' ModelCheckpoint, with files that are whole or not there, and a record of the best one.

    Args:
        folder: Where the record is written.
        **settings: Of Keras' ModelCheckpoint.
    """

    def __init__(self, folder: Path, **settings: Any) -> None:
        super().__init__(**settings)
        self.folder = folder
        self.record: Best | None = None

    def set_model(self, model: keras.Model) -> None:
        """Take the model whose weights are to be saved."""
        self._files = _WholeFiles(model)
        super().set_model(self._files)

    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        """Write the weights and, if they are the best so far, the record."""
        self._files.last_path = ""
        super().on_epoch_end(epoch, logs)
        value, path = (logs or {}).get(self.monitor), self._files.last_path
        if value is None or not path:
            return
        before = self.record
        if not self.save_best_only and before and not self.monitor_op(value, before["value"]):
            return
        name = Path(path).relative_to(self.folder) if Path(path).is_relative_to(self.folder) else Path(path)
        self.record = Best(epoch=epoch + 1, monitor=self.monitor, value=float(value), file=str(name))
        write_best(self.folder, self.record)

    def restore(self, record: Best | None) -> None:
        """Go on after an epoch at which `record` was the best."""
        self.record = record
        write_best(self.folder, record)


class EpochState(keras.callbacks.Callback):
    """Writes after each epoch all that is needed to go on from there, and restores it.

    Weights and optimizer go into `weights-NNN.weights.h5`, the state of the other callbacks and the history into
    `weights-NNN.json`, which is written first: weights without it do not exist.

    Args:
        folder: Where to write.
        callbacks: The callbacks whose state is kept, as they were created.
        conditions: What the result depends on, as in `provenance.json`; a run with another seed or other data
            cannot be resumed.
        save: Write anything at all.
        to_keep: Number of epochs whose states are kept; `None` keeps all.
    """

    def __init__(
        self,
        folder: Path,
        callbacks: Sequence[keras.callbacks.Callback],
        conditions: Mapping[str, object],
        save: bool = True,
        to_keep: int | None = None,
    ) -> None:
        super().__init__()
        self.folder = folder
        self.keepers = [CallbackKeeper(c) for c in callbacks]
        self.conditions = conditions
        self.save = save
        self.to_keep = to_keep
        self.epochs: list[int] = []
        self.history: dict[str, list[float]] = {}
        self._restored: list[CallbackState] | None = None
        self._last_best: Best | None = None

    @property
    def checkpoint(self) -> ModelCheckpoint | None:
        """The callback that keeps the best weights, if there is one."""
        found = [k.callback for k in self.keepers if isinstance(k.callback, ModelCheckpoint)]
        return found[0] if found else None

    @property
    def best(self) -> Best | None:
        """The record of the best epoch so far."""
        return self.checkpoint.record if self.checkpoint else None

    def restore(self, model: keras.Model, epoch: int, logger: logging.Logger) -> bool:
        """Load the state after an epoch (counted from 1) into the model and, when the training begins, the callbacks.

        Args:
            model: The model.
            epoch: The epoch.
            logger: Warned of what has changed since.

        Returns:
            Whether the training had been stopped (by EarlyStopping, say) after that epoch.

        Raises:
            FileFormatError: The state is damaged or belongs to another model.
            SpecificationError: It belongs to a run with another seed or other data.
        """
        record = read_epoch(self.folder, epoch)
        return_to_run(self.folder, record["run"])
        check_conditions(record["conditions"], self.conditions, logger)
        if [s["name"] for s in record["callbacks"]] != [type(k.callback).__name__ for k in self.keepers]:
            raise FileFormatError(
                "The training cannot be resumed: the specification's callbacks have changed. "
                "Start anew without --resume."
            )
        load_weights(model, weights_path(self.folder, epoch), with_optimizer=True)
        self.epochs = list(record["epochs"])
        self.history = {name: list(values) for name, values in record["history"].items()}
        self._restored = record["callbacks"]
        for state in record["callbacks"]:
            if state["unsaved"]:
                logger.warning(
                    f"The callback {state['name']} starts with a new {', '.join(state['unsaved'])}: it could not be "
                    f"kept. Give the callback get_state() and set_state(state), or start anew without --resume."
                )
        self._forget_later_epochs(epoch, record["best"])
        return record["stopped"]

    def _forget_later_epochs(self, epoch: int, best: Best | None) -> None:
        """Let what the run did after the epoch be replaced; the best epoch is again that of the record."""
        later = [*self.folder.glob("weights-*")]
        if self.checkpoint:
            later += self.checkpoint.folder.glob("weights-*")
            self.checkpoint.restore(best)
        numbered = [(path, re.match(r"weights-(\d+)", path.name)) for path in later]
        mark_stale(self.folder, [path for path, match in numbered if match and int(match[1]) > epoch])

    def on_train_begin(self, logs: Logs = None) -> None:
        """Give the callbacks their state back; the last to run, after they have reset themselves."""
        for keeper, state in zip(self.keepers, self._restored or (), strict=False):
            keeper.restore(state["values"])
            if (
                getattr(keeper.callback, "restore_best_weights", False)
                and state["values"].get("best") is not None
            ):
                self._restore_best_weights(keeper.callback)
        self._restored = None

    def _restore_best_weights(self, callback: Any) -> None:
        current = self.model.get_weights()
        load_weights(self.model, weights_path(self.folder, callback.best_epoch + 1))
        callback.best_weights = self.model.get_weights()
        self.model.set_weights(current)

    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        """Write the state; then the files of older runs are not needed any more."""
        self.epochs.append(epoch)
        for name, value in (logs or {}).items():
            self.history.setdefault(name, []).append(float(value))
        before = self._last_best
        if self.save:
            self._write(epoch + 1)
            self._remove_old_epochs()
        elif before and before != self.best:
            self._remove_best(before)
        self._last_best = self.best
        remove_stale(self.folder)

    def _write(self, epoch: int) -> None:
        write_epoch(
            self.folder,
            epoch,
            {
                "run": current_run(self.folder),
                "conditions": self.conditions,
                "epochs": self.epochs,
                "history": self.history,
                "stopped": bool(self.model.stop_training),
                "best": self.best,
                "callbacks": [_read(keeper) for keeper in self.keepers],
            },
        )
        save_weights(self.model, weights_path(self.folder, epoch))

    def _remove_old_epochs(self) -> None:
        """Remove the states of all but the last epochs, and the weights that were the best then."""
        epochs = whole_epochs(self.folder)
        needed = set(epochs if self.to_keep is None else epochs[-self.to_keep :])
        callbacks: list[Any] = [keeper.callback for keeper in self.keepers]
        needed |= {c.best_epoch + 1 for c in callbacks if getattr(c, "restore_best_weights", False)}
        bests = [read_epoch(self.folder, epoch)["best"] for epoch in needed.intersection(epochs)]
        for epoch in [epoch for epoch in epochs if epoch not in needed]:
            best = read_epoch(self.folder, epoch)["best"]
            if best and best not in bests:
                self._remove_best(best)
            remove_epoch(self.folder, epoch)

    def _remove_best(self, best: Best) -> None:
        # Without `save_best_only`, or in a place of their own, all were asked for.
        checkpoint = self.checkpoint
        is_ours = checkpoint and checkpoint.save_best_only and not Path(best["file"]).is_absolute()
        is_still_best = self.best and self.best["file"] == best["file"]
        if checkpoint and is_ours and not is_still_best:
            (checkpoint.folder / best["file"]).unlink(missing_ok=True)


def _read(keeper: CallbackKeeper) -> CallbackState:
    name = type(keeper.callback).__name__
    try:
        values, unsaved = keeper.read()
    except NotPlainError:
        raise SpecificationError(
            f"{name}.get_state() must return numbers, text, lists, dicts and NumPy arrays of at most 1 MiB only."
        ) from None
    return {"name": name, "values": values, "unsaved": unsaved}


def check_conditions(before: Mapping[str, object], now: Mapping[str, object], logger: logging.Logger) -> None:
    """Compare what a run depends on with what it depended on when its state was written.

    Args:
        before: `conditions` of the state.
        now: Those of the resumed run.
        logger: Warned of changes that a user may want.

    Raises:
        SpecificationError: The seed or the data have changed.
    """
    seed = before.get("seed")
    if seed != now.get("seed"):
        raise SpecificationError(
            f"The training cannot be resumed: it had the seed {seed}, and now it is {now.get('seed')}. "
            f"Resume it with --seed {seed}, or start anew without --resume."
        )
    data = before.get("dataset_fingerprint"), now.get("dataset_fingerprint")
    if None not in data and data[0] != data[1]:
        raise SpecificationError(
            "The training cannot be resumed: its data have changed since. Restore them, or start anew "
            "without --resume (--weights best starts from the best weights)."
        )
    flat = _flat(before), _flat(now)
    changed = [
        f"{name} was {flat[0].get(name)} and is {flat[1].get(name)}"
        for name in sorted(flat[0].keys() | flat[1].keys())
        if flat[0].get(name) != flat[1].get(name) and name not in ("specification", "dataset_fingerprint")
    ]
    if before.get("specification") != now.get("specification"):
        changed.insert(0, "the specification has changed")
    if changed:
        logger.warning(
            f"The weights may differ from those of an uninterrupted run: since that epoch, {'; '.join(changed)}."
        )


def _flat(conditions: Mapping[str, object]) -> dict[str, object]:
    flat: dict[str, object] = {}
    for name, value in conditions.items():
        flat.update(value if isinstance(value, Mapping) else {name: value})
    return flat
