"""Keras callbacks of the training operation.

This module imports Keras; it is imported when a training starts.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import keras  # noqa: TID253 - the classes below derive from Keras'
import numpy as np

from mltk.errors import FileFormatError, MltkError, SpecificationError, did_you_mean
from mltk.keras.private import get_seed_generators
from mltk.keras.saving import load_weights, save_weights
from mltk.utils.files import atomic_path, atomic_write
from mltk.utils.stopping import stop_here

# What the callbacks of Keras keep from epoch to epoch and do not save themselves.
_STATE = ("best", "wait", "best_epoch", "stopped_epoch", "cooldown_counter", "epochs_since_last_save")


class _WholeFiles:
    """Stands in for the model in ModelCheckpoint, so that its files appear in one step."""

    def __init__(self, model: keras.Model) -> None:
        self._model = model

    def __getattr__(self, name: str) -> Any:
        return getattr(self._model, name)

    def save_weights(self, filepath: str, overwrite: bool = True) -> None:
        save_weights(self._model, filepath)

    def save(self, filepath: str, overwrite: bool = True) -> None:
        with atomic_path(filepath) as temporary:
            self._model.save(temporary)


class ModelCheckpoint(keras.callbacks.ModelCheckpoint):  # type: ignore[misc]
    """Keras' ModelCheckpoint, with files that are whole or not there."""

    def set_model(self, model: keras.Model) -> None:
        """Take the model whose weights are to be saved."""
        self._model = _WholeFiles(model)


class EpochState(keras.callbacks.Callback):  # type: ignore[misc]
    """Writes after each epoch all that is needed to go on from there, and restores it.

    Weights and optimizer go into `weights-NNN.weights.h5`, the state of the other callbacks and the history into
    `weights-NNN.json`, which is written first: weights without it do not exist.

    Args:
        folder: Where to write.
        callbacks: The callbacks whose state is kept.
        seed: Of the run; one with another seed cannot be gone on with.
        save: Write anything at all.
    """

    def __init__(
        self,
        folder: Path,
        callbacks: Sequence[keras.callbacks.Callback],
        seed: int,
        save: bool = True,
    ) -> None:
        super().__init__()
        self.folder = folder
        self.callbacks = callbacks
        self.seed = seed
        self.save = save
        self.epochs: list[int] = []
        self.history: dict[str, list[float]] = {}
        self._restored: list[dict[str, Any]] | None = None

    def restore(self, model: keras.Model, epoch: int) -> bool:
        """Load the state after an epoch (counted from 1) into the model and, when the training begins, the callbacks.

        Returns:
            Whether the training had been stopped (by EarlyStopping, say) after that epoch.

        Raises:
            FileFormatError: The state is damaged or belongs to another model.
            SpecificationError: It belongs to a run with another seed.
        """
        path = self.folder / f"weights-{epoch:03d}.json"
        try:
            state = json.loads(path.read_text(encoding="utf-8"))
            self.epochs, self.history = list(state["epochs"]), dict(state["history"])
            self._restored = list(state["callbacks"])
            stopped, seed = bool(state["stopped"]), int(state["seed"])
        except (OSError, ValueError, KeyError, TypeError) as e:
            raise FileFormatError(
                f"The training cannot be resumed: the state {path} is missing or damaged. Start anew without --resume."
            ) from e
        if seed != self.seed:
            raise SpecificationError(
                f"The training cannot be resumed: it had the seed {seed}, and now it is {self.seed}. "
                f"Resume it with --seed {seed}, or start anew without --resume."
            )
        load_weights(model, self.folder / f"weights-{epoch:03d}.weights.h5", with_optimizer=True)
        return stopped

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Give the callbacks their state back; the last to run, after they have reset themselves."""
        if self._restored is None:
            return
        if [s["class"] for s in self._restored] != [type(c).__name__ for c in self.callbacks]:
            raise FileFormatError(
                "The training cannot be resumed: the specification's callbacks have changed. "
                "Start anew without --resume."
            )
        for callback, state in zip(self.callbacks, self._restored, strict=True):
            for name, value in state["values"].items():
                setattr(callback, name, value)
            if getattr(callback, "restore_best_weights", False) and state["values"].get("best") is not None:
                self._restore_best_weights(callback)
        self._restored = None

    def _restore_best_weights(self, callback: Any) -> None:
        current = self.model.get_weights()
        load_weights(self.model, self.folder / f"weights-{callback.best_epoch + 1:03d}.weights.h5")
        callback.best_weights = self.model.get_weights()
        self.model.set_weights(current)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Write the state; then the files of older runs are not needed any more."""
        self.epochs.append(epoch)
        for name, value in (logs or {}).items():
            self.history.setdefault(name, []).append(float(value))
        if self.save:
            self._write(epoch)
        remove_stale(self.folder)

    def _write(self, epoch: int) -> None:
        state = {
            "run": current_run(self.folder),
            "seed": self.seed,
            "epochs": self.epochs,
            "history": self.history,
            "stopped": bool(self.model.stop_training),
            "callbacks": [
                {
                    "class": type(c).__name__,
                    "values": _plain({n: getattr(c, n) for n in _STATE if hasattr(c, n)}),
                }
                for c in self.callbacks
            ],
        }
        name = f"weights-{epoch + 1:03d}"
        weights = self.folder / f"{name}.weights.h5"
        # In this order, so that no state of this run stands beside weights of an older one.
        weights.unlink(missing_ok=True)
        atomic_write(self.folder / f"{name}.json", json.dumps(state))
        save_weights(self.model, weights)


def begin_run(folder: Path, stale: Iterable[Path] = ()) -> None:
    """Mark what older runs left in a folder of epoch states as not to be resumed.

    Args:
        folder: The folder.
        stale: Files of older runs, for `remove_stale`.
    """
    files = {os.path.relpath(path, folder): identity for path, identity in _identities(stale).items()}
    # In a file, since the run that replaces them may be a resumed one.
    atomic_write(folder / "run.json", json.dumps({"run": secrets.token_hex(8), "stale": files}))


def current_run(folder: Path) -> str:
    """Return the mark of the run that a folder of epoch states belongs to."""
    return str(_read_run(folder)["run"])


def remove_stale(folder: Path) -> None:
    """Remove the files that were stale when the run began."""
    run = _read_run(folder)
    if not run["stale"]:
        return
    stale = {folder / name: tuple(identity) for name, identity in run["stale"].items()}
    # Files that this run has written anew under an old name are other files.
    for path in [path for path, identity in _identities(stale).items() if stale[path] == identity]:
        path.unlink()
    atomic_write(folder / "run.json", json.dumps({**run, "stale": {}}))


def _identities(paths: Iterable[Path]) -> dict[Path, tuple[int, int]]:
    """Return what tells the files that exist apart from others that may take their names: inode and time."""
    return {p: (s.st_ino, s.st_mtime_ns) for p in paths if p.is_file() for s in [p.stat()]}


def _read_run(folder: Path) -> dict[str, Any]:
    path = folder / "run.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {"run": "", "stale": {}}


def last_whole_epoch(folder: Path) -> int:
    """Return the last epoch (counted from 1) of the current run whose state is whole; 0 for none."""
    run = current_run(folder)
    whole = [0]
    for weights in folder.glob("weights-*.weights.h5"):
        state = weights.with_name(weights.name.replace(".weights.h5", ".json"))
        if state.is_file() and _run_of(state) == run:
            whole.append(int(weights.name.split(".")[0].removeprefix("weights-")))
    return max(whole)


def _run_of(state: Path) -> str | None:
    # The mark stands at the beginning; the history after it grows with the epochs.
    with state.open(encoding="utf-8") as file:
        match = re.match(r'\{"run": "([0-9a-f]*)"', file.read(64))
    return match[1] if match else None


def _plain(values: dict[str, Any]) -> dict[str, Any]:
    return {
        n: float(v) if isinstance(v, (np.generic, np.ndarray)) or hasattr(v, "numpy") else v
        for n, v in values.items()
    }


class EpochSeed(keras.callbacks.Callback):  # type: ignore[misc]
    """Makes everything random within an epoch a function of the seed and the epoch's number.

    Dropout and the like draw from generators whose state no file of Keras keeps; seeded at each epoch, a resumed
    run draws what an uninterrupted one would have. Data sets with an attribute `epoch` are told the epoch.

    Args:
        seed: The model's seed.
        datasets: Data sets to tell.
    """

    def __init__(self, seed: int, datasets: Sequence[Any] = ()) -> None:
        super().__init__()
        self.seed = seed
        self.datasets = datasets

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Seed the model's generators for this epoch."""
        for i, generator in enumerate(get_seed_generators(self.model)):
            key = np.random.SeedSequence((self.seed, epoch, i)).generate_state(2, np.uint32)
            generator.state.assign(key)
        for dataset in self.datasets:
            dataset.epoch = epoch


class FiniteLoss(keras.callbacks.Callback):  # type: ignore[misc]
    """Ends the training when its loss is no number any more: what follows would be in vain.

    Args:
        kept: Returns the path of the best weights so far, `None` where there are none.
    """

    def __init__(self, kept: Callable[[], str | None]) -> None:
        super().__init__()
        self._kept = kept
        self._epoch = 0

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Note the epoch."""
        self._epoch = epoch

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Look at the loss, the mean of the epoch so far, in which one NaN stays."""
        loss = (logs or {}).get("loss")
        if loss is None or np.isfinite(loss).all():
            return
        steps = self.params.get("steps")
        best = self._kept()
        raise MltkError(
            f"The loss became {float(np.mean(loss))} in epoch {self._epoch + 1}, batch {batch + 1}"
            f"{f' of {steps}' if steps else ''}, and the training was stopped. "
            + (f"The best weights are kept: {best}. " if best else "No best weights were kept before. ")
            + "Look for values in the data that are no numbers, or lower the learning rate."
        )


class Steps(keras.callbacks.Callback):  # type: ignore[misc]
    """Lets a signal end the training between two steps; the last of all callbacks, so that what they save is whole."""

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Stop after a step of training."""
        stop_here()

    def on_test_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Stop after a step of validation."""
        stop_here()

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Stop when the epoch is saved."""
        stop_here()


class Monitors(keras.callbacks.Callback):  # type: ignore[misc]
    """Refuses, after the first epoch, to go on with callbacks that watch what the training does not report.

    Args:
        monitors: What each property of the model watches.
    """

    def __init__(self, monitors: Mapping[str, str]) -> None:
        super().__init__()
        self._monitors = dict(monitors)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Check the names once."""
        reported = [*(logs or {}), "learning_rate"]
        for name, monitor in self._monitors.items():
            if monitor not in reported and not (
                monitor.startswith("val_") and not any(n.startswith("val_") for n in reported)
            ):
                raise SpecificationError(
                    f"my_model.{name} watches '{monitor}', which the training does not report."
                    f"{did_you_mean(monitor, reported)} It reports: {', '.join(reported)}."
                )
        self._monitors.clear()


class Progress(keras.callbacks.Callback):  # type: ignore[misc]
    """Shows a live bar for the running epoch on a terminal, and one plain line per finished epoch anywhere.

    Args:
        initial_epoch: First epoch to run, from 0.
    """

    def __init__(self, initial_epoch: int = 0) -> None:
        super().__init__()
        self._initial = initial_epoch
        self._bar: Any = None
        self._task: Any = None
        self._started = 0.0

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Make the bar if stdout is a terminal."""
        if not sys.stdout.isatty():
            return
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[metrics]}"),
            TimeRemainingColumn(),
            transient=True,
        )

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Start an epoch's bar."""
        self._started = time.perf_counter()
        if self._bar is not None:
            self._task = self._bar.add_task(self._label(epoch), total=self.params.get("steps"), metrics="")
            self._bar.start()

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Move the bar."""
        if self._bar is not None:
            self._bar.update(
                self._task, completed=batch + 1, metrics=_metrics(logs, names=("loss", "accuracy"))
            )

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Print the epoch's line."""
        if self._bar is not None:
            self._bar.stop()
            self._bar.remove_task(self._task)
        seconds = time.perf_counter() - self._started
        print(f"{self._label(epoch)}  {seconds:6.1f} s  {_metrics(logs)}", flush=True)

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        """Leave the terminal as it was."""
        self.close()

    def close(self) -> None:
        """Remove the bar, also after an exception."""
        if self._bar is not None:
            self._bar.stop()

    def _label(self, epoch: int) -> str:
        total = self.params.get("epochs", 0)
        shown = "" if total >= 99_999 else f"/{total}"
        return f"Epoch {epoch + 1:>{len(str(total)) if shown else 1}}{shown}"


def _metrics(logs: dict[str, Any] | None, names: Sequence[str] | None = None) -> str:
    items = [(n, v) for n, v in (logs or {}).items() if names is None or n in names]
    return "  ".join(
        f"{n} {float(v):.4g}" if re.search("rate|lr", n) else f"{n} {float(v):.4f}" for n, v in items
    )


class SteppedLearnRateScheduler(keras.callbacks.Callback):  # type: ignore[misc]
    """Sets the learning rate by the number of training steps, and stops the training after the last one.

    The steps are those that the optimizer has done, so a resumed training goes on where it was.

    Args:
        learning_rate: Pairs `(n_steps, learning_rate)`, one after the other.
        verbose: Tell each change.
    """

    def __init__(self, learning_rate: Sequence[tuple[int, float]], verbose: bool | int = False) -> None:
        super().__init__()
        if not learning_rate:
            raise ValueError("The schedule needs at least one pair (n_steps, learning_rate).")
        self._ends = np.cumsum([n for n, _ in learning_rate])
        self._rates = [float(rate) for _, rate in learning_rate]
        self._verbose = verbose

    def on_train_batch_begin(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Set the rate for this step."""
        step = self._steps()
        i = int(np.searchsorted(self._ends, step, side="right"))
        rate = self._rates[min(i, len(self._rates) - 1)]
        if not np.isclose(float(self.model.optimizer.learning_rate), rate, rtol=1e-6, atol=0):
            self.model.optimizer.learning_rate = rate
            if self._verbose:
                print(f"Step {step}: learning rate {rate:g}")

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Stop after the last step."""
        if self._steps() >= self._ends[-1]:
            self.model.stop_training = True

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Add the rate to the history."""
        if logs is not None:
            logs["learning_rate"] = float(self.model.optimizer.learning_rate)

    def _steps(self) -> int:
        return int(self.model.optimizer.iterations)
