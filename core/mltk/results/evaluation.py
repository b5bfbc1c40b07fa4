"""What an evaluation found, as a dictionary that can be printed, plotted and saved."""

from __future__ import annotations

import json
import logging
import math
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mltk.errors import EvaluationError
from mltk.results.plots import drawing, save_figure, show_figures
from mltk.utils.files import atomic_write

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class EvaluationResults(dict[str, Any]):
    """The results of an evaluation.

    Built like a `dict`. `name` is the model's name, `model_type` the kind of evaluation (`generic` unless
    given); everything else is free: numbers, texts, NumPy arrays, and lists and mappings of these.

    Example:
        ```python
        results = EvaluationResults(name=context.predictor.name, seconds_per_prediction=0.012)
        ```
    """

    others: dict[str, EvaluationResults]
    """Results of further evaluators of the same run, by the name of the evaluator."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
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

    def generate_summary(self, include_all: bool = True) -> str:
        """Return a readable text.

        Args:
            include_all: Also the entries besides name and kind; long arrays by their shape.
        """
        lines = [f"Name: {self.name}", f"Model Type: {self.model_type}"]
        if include_all:
            lines += [
                f"{key}: {_in_brief(value)}"
                for key, value in self.items()
                if key not in ("name", "model_type")
            ]
        return "\n".join(lines)

    def figures(self) -> Iterator[tuple[str, str, Callable[[Figure], None]]]:
        """Yield the plots of these results: name in file names, name in events, and what draws it.

        There are none here; a kind of results that has some overrides this.
        """
        yield from ()

    def generate_plots(
        self,
        show: bool = True,
        output_dir: str | os.PathLike[str] | None = None,
        logger: logging.Logger | None = None,
        on_figure: Callable[[str, Figure], object] | None = None,
    ) -> None:
        """Make the plots.

        Args:
            show: Show them in windows, and wait until these are closed.
            output_dir: Folder to write them to, as `<name>-<plot>.png`; `None` writes none.
            logger: Where to say what is written.
            on_figure: Called with the name and the figure of each plot before it is written; may change it.
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

        Values that JSON does not have, NaN and infinite ones, are written as `null`.

        Args:
            output_dir: Folder; made if it does not exist.

        Raises:
            EvaluationError: An entry cannot be written as JSON.
        """
        # One line for each entry: readable, and far smaller than one line for each number.
        lines = (f"  {json.dumps(key)}: {json.dumps(plain_value(value, key))}" for key, value in self.items())
        atomic_write(Path(output_dir, "eval-results.json"), "{\n" + ",\n".join(lines) + "\n}\n")
        atomic_write(Path(output_dir, "summary.txt"), f"{self.generate_summary()}\n")

    def __str__(self) -> str:
        return self.generate_summary()


def plain_value(value: object, where: str) -> Any:
    """Return a value as JSON has it: NumPy types and tuples converted, NaN and infinities as `None`.

    Args:
        value: The value, with whatever is in it.
        where: Its key, for the error message.

    Raises:
        EvaluationError: It holds something that JSON cannot express.
    """
    match value:
        case None | bool() | str() | int():
            return value
        case float():
            return value if math.isfinite(value) else None
        case np.generic():
            return plain_value(value.item(), where)
        case np.ndarray():
            # The check of each number in Python is slow; most arrays do not need it.
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
                f"The result '{where}' holds a {type(value).__name__}, which cannot be saved as JSON."
            )


def _in_brief(value: object) -> str:
    if isinstance(value, float | np.floating):
        return f"{value:.6g}"
    if isinstance(value, np.ndarray) and value.size > 16:
        return f"array of shape {value.shape}"
    if isinstance(value, list | tuple | Mapping) and len(value) > 16:
        return f"{len(value):,} values"
    return str(value)
