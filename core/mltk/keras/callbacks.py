"""Keras callbacks of the training operation.

This module imports Keras; it is imported when a training starts.
"""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import keras  # noqa: TID253 - the classes below derive from Keras'
import numpy as np

from mltk.errors import MltkError, SpecificationError, did_you_mean
from mltk.keras.private import choose_direction, get_seed_generators
from mltk.keras.types import Logs
from mltk.utils.stopping import stop_here


class EpochSeed(keras.callbacks.Callback):
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

    def on_epoch_begin(self, epoch: int, logs: Logs = None) -> None:
        """Seed the model's generators for this epoch."""
        for i, generator in enumerate(get_seed_generators(self.model)):
            key = np.random.SeedSequence((self.seed, epoch, i)).generate_state(2, np.uint32)
            generator.state.assign(key)
        for dataset in self.datasets:
            dataset.epoch = epoch


class FiniteLoss(keras.callbacks.Callback):
    """Ends the training when its loss is no number any more: what follows would be in vain.

    Args:
        kept: Returns the path of the best weights so far, `None` where there are none.
    """

    def __init__(self, kept: Callable[[], str | None]) -> None:
        super().__init__()
        self._kept = kept
        self._epoch = 0

    def on_epoch_begin(self, epoch: int, logs: Logs = None) -> None:
        """Note the epoch."""
        self._epoch = epoch

    def on_train_batch_end(self, batch: int, logs: Logs = None) -> None:
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


class Steps(keras.callbacks.Callback):
    """Lets a signal end the training between two steps; the last of all callbacks, so that what they save is whole."""

    def on_train_batch_end(self, batch: int, logs: Logs = None) -> None:
        """Stop after a step of training."""
        stop_here()

    def on_test_batch_end(self, batch: int, logs: Logs = None) -> None:
        """Stop after a step of validation."""
        stop_here()

    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        """Stop when the epoch is saved."""
        stop_here()


class Monitors(keras.callbacks.Callback):
    """Refuses to go on with callbacks that monitor what the training does not report, or in no known direction.

    Args:
        monitors: What each property of the model monitors.
        callbacks: The callbacks of the training.
    """

    _PROPERTIES = {
        "ModelCheckpoint": "checkpoint",
        "EarlyStopping": "early_stopping",
        "ReduceLROnPlateau": "reduce_lr_on_plateau",
    }

    def __init__(
        self, monitors: Mapping[str, str], callbacks: Sequence[keras.callbacks.Callback] = ()
    ) -> None:
        super().__init__()
        self._monitors = dict(monitors)
        self._callbacks = [callback for callback in callbacks if hasattr(callback, "monitor")]

    def on_train_batch_end(self, batch: int, logs: Logs = None) -> None:
        """Check, after the first step, the directions of the values that are reported by then."""
        self._check_directions(logs or {})

    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        """Check the names once, and the directions of values that callbacks add."""
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
        self._check_directions(reported)
        self._callbacks.clear()

    def _check_directions(self, reported: Collection[str]) -> None:
        for callback in list(self._callbacks):
            if callback.monitor.removeprefix("val_") not in reported and callback.monitor not in reported:
                continue
            self._callbacks.remove(callback)
            if not choose_direction(callback):
                name = next(
                    (cls.__name__ for cls in type(callback).__mro__ if cls.__name__ in self._PROPERTIES), None
                )
                raise SpecificationError(
                    f"{type(callback).__name__} monitors '{callback.monitor}', and Keras does not know whether more or "
                    f"less of it is better. Give it mode='max' or mode='min'"
                    + (f": my_model.{self._PROPERTIES[name]}['mode'] = 'max', for instance." if name else ".")
                )


class Progress(keras.callbacks.Callback):
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

    def on_train_begin(self, logs: Logs = None) -> None:
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

    def on_epoch_begin(self, epoch: int, logs: Logs = None) -> None:
        """Start an epoch's bar."""
        self._started = time.perf_counter()
        if self._bar is not None:
            self._task = self._bar.add_task(self._label(epoch), total=self.params.get("steps"), metrics="")
            self._bar.start()

    def on_train_batch_end(self, batch: int, logs: Logs = None) -> None:
        """Move the bar."""
        if self._bar is not None:
            self._bar.update(
                self._task, completed=batch + 1, metrics=_metrics(logs, names=("loss", "accuracy"))
            )

    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        """Print the epoch's line."""
        if self._bar is not None:
            self._bar.stop()
            self._bar.remove_task(self._task)
        seconds = time.perf_counter() - self._started
        print(f"{self._label(epoch)}  {seconds:6.1f} s  {_metrics(logs)}", flush=True)

    def on_train_end(self, logs: Logs = None) -> None:
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


def _metrics(logs: Logs, names: Sequence[str] | None = None) -> str:
    items = [(n, v) for n, v in (logs or {}).items() if names is None or n in names]
    return "  ".join(
        f"{n} {float(v):.4g}" if re.search("rate|lr", n) else f"{n} {float(v):.4f}" for n, v in items
    )


class SteppedLearnRateScheduler(keras.callbacks.Callback):
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

    def on_train_batch_begin(self, batch: int, logs: Logs = None) -> None:
        """Set the rate for this step."""
        step = self._steps()
        i = int(np.searchsorted(self._ends, step, side="right"))
        rate = self._rates[min(i, len(self._rates) - 1)]
        if not np.isclose(float(self.model.optimizer.learning_rate), rate, rtol=1e-6, atol=0):
            self.model.optimizer.learning_rate = rate
            if self._verbose:
                print(f"Step {step}: learning rate {rate:g}")

    def on_train_batch_end(self, batch: int, logs: Logs = None) -> None:
        """Stop after the last step."""
        if self._steps() >= self._ends[-1]:
            self.model.stop_training = True

    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        """Add the rate to the history."""
        if logs is not None:
            logs["learning_rate"] = float(self.model.optimizer.learning_rate)

    def _steps(self) -> int:
        return int(self.model.optimizer.iterations)
