"""Results of an evaluation: a dictionary that can be printed, plotted and saved."""

from __future__ import annotations

import json
import logging
import math
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mltk.errors import EvaluationError
from mltk.results.plots import drawing, save_figure, show_figures
from mltk.utils.files import atomic_write

if TYPE_CHECKING:
    from matplotlib.figure import Figure


_DATA_PARTS = {
    "test": "test data",
    "validation": "validation data, also used to compare epochs",
    "training": "the training data: not a measure",
}


class EvaluationResults(dict[str, Any]):
    """The results of an evaluation.

    A `dict` with the keys `name` (name of the model) and `model_type` (kind of evaluation, `generic` by
    default). Other values may be numbers, strings, NumPy arrays, and lists and mappings of these.

    Example:
        ```python
        results = EvaluationResults(name=context.predictor.name, seconds_per_prediction=0.012)
        ```
    """

    others: dict[str, EvaluationResults]
    """Results of further evaluators of the same run, by evaluator name."""

    def __init__(
        self, values: Mapping[str, object] | Iterable[tuple[str, object]] = (), /, **more: object
    ) -> None:
        super().__init__(values, **more)
        self.setdefault("name", "my_model")
        self.setdefault("model_type", "generic")
        self.others = {}

    @property
    def name(self) -> str:
        """Name of the model."""
        return str(self["name"])

    @property
    def model_type(self) -> str:
        """Kind of evaluation."""
        return str(self["model_type"])

    @property
    def data_part(self) -> str:
        """What the data are: `test`, `validation` or `training`; empty if that is not known."""
        return str(self.get("data_part") or "")

    def generate_headline(self) -> str:
        """Return the most important figures, with the number and kind of the samples, as one line of text."""
        figures = [f"{k} {v:.4g}" for k, v in self.items() if isinstance(v, (int, float))]
        return ", ".join(figures) or "done"

    def describe_samples(self, count: int, interval: Sequence[float]) -> str:
        """Return on what a figure was measured, as text for the headline.

        Args:
            count: Number of samples.
            interval: Ends of the figure's 95 % interval, 0 to 1.
        """
        details = [_DATA_PARTS[self.data_part]] if self.data_part else []
        details.append(f"95% interval {100 * interval[0]:.1f} to {100 * interval[1]:.1f}%")
        return f"on {count:,} samples ({'; '.join(details)})"

    def generate_summary(self, include_all: bool = True) -> str:
        """Return a summary as text.

        Args:
            include_all: Include all entries, long arrays as their shape; otherwise only name and kind.
        """
        lines = [f"Name: {self.name}", f"Model Type: {self.model_type}"]
        if include_all:
            lines += [
                f"{key}: {_format_brief(value)}"
                for key, value in self.items()
                if key not in ("name", "model_type")
            ]
        return "\n".join(lines)

    def figures(self) -> Iterator[tuple[str, str, Callable[[Figure], None]]]:
        """Yield each plot: its name in file names, its name in events, and its draw function.

        The default is no plots; subclasses override this.
        """
        yield from ()

    def generate_plots(
        self,
        show: bool = True,
        output_dir: str | os.PathLike[str] | None = None,
        logger: logging.Logger | None = None,
        on_figure: Callable[[str, Figure], object] | None = None,
    ) -> None:
        """Draw, write and show the plots.

        Args:
            show: Show the plots in windows and wait until they are closed.
            output_dir: Folder for the files `<name>-<plot>.png`; `None` writes no files.
            logger: Logger for the written paths.
            on_figure: Called with the event name and figure of each plot before it is written; may change the figure.
        """
        for file_name, event_name, draw in self.figures():
            with drawing(draw, show) as figure:
                if on_figure is not None:
                    on_figure(event_name, figure)
                if output_dir is not None:
                    path = save_figure(figure, Path(output_dir, f"{self.name}-{file_name}.png"))
                    if logger is not None:
                        logger.debug("Wrote %s", path)
        if show:
            show_figures(logger)

    def save(self, output_dir: str | os.PathLike[str]) -> None:
        """Write `eval-results.json` and `summary.txt`.

        NaN and infinite values are written as `null`.

        Args:
            output_dir: Folder; created if it does not exist.

        Raises:
            EvaluationError: An entry cannot be written as JSON.
        """
        # One line per entry is readable, and far smaller than one line per number.
        lines = (f"  {json.dumps(key)}: {json.dumps(plain_value(value, key))}" for key, value in self.items())
        atomic_write(Path(output_dir, "eval-results.json"), "{\n" + ",\n".join(lines) + "\n}\n")
        atomic_write(Path(output_dir, "summary.txt"), f"{self.generate_summary()}\n")

    def __str__(self) -> str:
        return self.generate_summary()


def plain_value(value: object, where: str) -> Any:
    """Convert a value for JSON: NumPy types and tuples to plain ones, NaN and infinities to `None`.

    Args:
        value: The value; may be nested.
        where: Key of the value, for the error message.

    Raises:
        EvaluationError: A value has a type that JSON cannot express.
    """
    match value:
        case None | bool() | str() | int():
            return value
        case float():
            return value if math.isfinite(value) else None
        case np.generic():
            return plain_value(value.item(), where)
        case np.ndarray():
            # Converting each number in Python is slow; most arrays do not need it.
            if value.dtype.kind in "biuU" or (value.dtype.kind == "f" and np.isfinite(value).all()):
                return value.tolist()
            return (
                [plain_value(item, where) for item in value]
                if value.ndim
                else plain_value(value.item(), where)
            )
        case Mapping():
            return {str(key): plain_value(item, f"{where}.{key}") for key, item in value.items()}
        case list() | tuple():
            return [plain_value(item, where) for item in value]
        case os.PathLike():
            return os.fspath(value)
        case _:
            raise EvaluationError(
                f"The result '{where}' has the type {type(value).__name__}, which cannot be saved as JSON."
            )


def _format_brief(value: object) -> str:
    if isinstance(value, float | np.floating):
        return f"{value:.6g}"
    if isinstance(value, np.ndarray) and value.size > 16:
        return f"array of shape {value.shape}"
    if isinstance(value, list | tuple | Mapping) and len(value) > 16:
        return f"{len(value):,} values"
    return str(value)
