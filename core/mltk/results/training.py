"""Results of a training run: its history and the model."""

from __future__ import annotations

import json
import logging
import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from mltk.results.evaluation import EvaluationResults, plain_value
from mltk.results.plots import drawing, save_figure, show_figures
from mltk.utils.files import atomic_write

if TYPE_CHECKING:
    import keras
    from matplotlib.figure import Figure


_HIGHER_IS_BETTER = ("accuracy",)
_LOWER_IS_BETTER = (
    "mse",
    "mae",
    "mape",
    "msle",
    "mean_squared_error",
    "mean_absolute_error",
    "mean_absolute_percentage_error",
    "mean_squared_logarithmic_error",
)


class NamedModel(Protocol):
    """A model specification; only its name is needed."""

    @property
    def name(self) -> str:
        """The model's name."""


class History(Protocol):
    """The part of `keras.callbacks.History` that is used."""

    epoch: Sequence[int]
    params: Mapping[str, object] | None
    history: Mapping[str, Sequence[float | None]]


class TrainingResults:
    """The results of a training run.

    Args:
        mltk_model: The specification.
        keras_model: The trained model.
        training_history: Result of `fit`, or a mapping with the keys `epoch` (or `epochs`, as in the JSON
            file), `params` and `history`.
    """

    def __init__(
        self,
        mltk_model: NamedModel | None,
        keras_model: keras.Model | None,
        training_history: Mapping[str, Any] | History,
    ) -> None:
        self.mltk_model = mltk_model
        self.evaluations: dict[str, EvaluationResults] = {}
        """Results of the evaluations after the training run: `h5` for Keras, `tflite` for the `.tflite`."""
        self.keras_model = keras_model
        if isinstance(training_history, Mapping):
            epochs = training_history.get("epochs", training_history.get("epoch", ()))
            params, history = training_history.get("params") or {}, training_history["history"]
        else:
            epochs, params = training_history.epoch, training_history.params or {}
            history = training_history.history
        self.epochs: list[int] = [int(epoch) for epoch in epochs]
        """Completed epochs, counted from 0."""
        self.params: dict[str, object] = dict(params)
        """Keras' parameters of the run: `verbose`, `epochs`, `steps`."""
        self.history: dict[str, list[float]] = {
            str(metric): [math.nan if value is None else float(value) for value in values]
            for metric, values in history.items()
        }
        """Values of each metric per epoch; NaN for a missing value."""
        self.shipped_epoch: int | None = None
        """Epoch, counted from 1, whose weights were saved, quantized and evaluated."""
        self.model_archive_path: str | None = None
        """Path of the archive with the trained model."""

    def asdict(self) -> dict[str, object]:
        """Return `epochs`, `params` and `history`."""
        return {"epochs": self.epochs, "params": self.params, "history": self.history}

    def get_best_metric(self) -> tuple[str | None, float]:
        """Return the most informative metric and its best value.

        The order is: accuracy, then the mean errors (mse, mae, mape, msle), each on the validation data
        first. Without any of these, return `(None, 0)`.
        """
        for names, best in ((_HIGHER_IS_BETTER, max), (_LOWER_IS_BETTER, min)):
            for name in names:
                for metric in (f"val_{name}", name):
                    values = [value for value in self.history.get(metric, ()) if not math.isnan(value)]
                    if values:
                        return metric, best(values)
        return None, 0

    def describe_weights(self) -> str:
        """Return which epoch's weights were saved, quantized and evaluated, and whether another epoch was better."""
        shipped = self.shipped_epoch or len(self.epochs)
        text = f"epoch {shipped} of {len(self.epochs)}"
        metric, best = self.get_best_metric()
        values = self.history.get(metric or "", [])
        if metric is None or len(values) != len(self.epochs) or not 0 < shipped <= len(values):
            return text
        text += f", {metric} {_shown(metric, values[shipped - 1])}"
        if values[shipped - 1] != best:
            text += f"; the best was {_shown(metric, best)} in epoch {values.index(best) + 1}"
        return text

    def save(self, output_dir: str | os.PathLike[str]) -> None:
        """Write `training-history.json` and `training-history.png`.

        Args:
            output_dir: Folder; created if it does not exist.
        """
        content = json.dumps(plain_value(self.asdict(), "history"), indent=2)
        atomic_write(Path(output_dir, "training-history.json"), f"{content}\n")
        with drawing(self._draw, show=False) as figure:
            save_figure(figure, Path(output_dir, "training-history.png"))

    def show(self) -> None:
        """Show the history in a window and wait until it is closed."""
        with drawing(self._draw, show=True):
            show_figures(logging.getLogger("mltk"))

    def __str__(self) -> str:
        count = len(self.epochs)
        done = f"{count} epoch{'' if count == 1 else 's'}"
        metric, value = self.get_best_metric()
        if metric is None:
            metric, value = "loss", min(self.history.get("loss", ()), default=math.nan)
        return f"{done}, best {metric} {_shown(metric, value)}"

    def _draw(self, figure: Figure) -> None:
        metrics = [metric for metric in self.history if f"val_{metric}" in self.history]
        metrics = metrics or [metric for metric in self.history if metric != "learning_rate"]
        title = self.mltk_model.name if self.mltk_model is not None else "Training"
        figure.suptitle(f"{title}: {self}")
        figure.set_size_inches(5.6 * max(1, len(metrics)), 4.4)
        if not metrics:
            return
        epochs = [epoch + 1 for epoch in self.epochs]
        # A line of one point is invisible.
        marker = "o" if len(epochs) < 2 else None
        for axes, metric in zip(figure.subplots(1, len(metrics), squeeze=False)[0], metrics, strict=True):
            for name, label in ((metric, "Train"), (f"val_{metric}", "Test")):
                if name in self.history:
                    values = self.history[name]
                    axes.plot(epochs[-len(values) :], values, label=label, marker=marker)
            axes.set(xlabel="Epoch", ylabel=metric)
            axes.xaxis.get_major_locator().set_params(integer=True)
            axes.grid(True)
            axes.legend()


def _shown(metric: str, value: float) -> str:
    return f"{value:.2%}" if metric.endswith("accuracy") else f"{value:.5g}"
