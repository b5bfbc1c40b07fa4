"""Figures with a fixed style; the same content gives the same bytes."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NotRequired, TypedDict

from mltk.utils.files import atomic_path

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_DPI = 110
_STYLE = {
    "font.size": 10.0,
    "axes.titlesize": 12.0,
    "axes.titlepad": 10.0,
    "figure.constrained_layout.h_pad": 0.1,
    "figure.constrained_layout.w_pad": 0.1,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "grid.color": "#d9d9d9",
    "grid.linewidth": 0.6,
    "legend.frameon": False,
    "lines.linewidth": 1.6,
}


class LineStyle(TypedDict):
    """Color (RGBA) and dashes of a line."""

    color: tuple[float, float, float, float]
    linestyle: NotRequired[str]


@contextmanager
def drawing(draw: Callable[[Figure], None], show: bool) -> Iterator[Figure]:
    """Draw a figure in mltk's style, independent of the user's matplotlib settings, and yield it.

    Args:
        draw: Function that draws on a figure.
        show: Make a figure that `show_figures` can show.
    """
    import matplotlib.style

    # Writing the figure uses the style too.
    with matplotlib.style.context(["default", _STYLE]):
        if show:
            # Imported only here because it selects a window system.
            import matplotlib.pyplot as plt

            figure = plt.figure(layout="constrained")
        else:
            from matplotlib.figure import Figure

            figure = Figure(layout="constrained")
        draw(figure)
        yield figure


def save_figure(figure: Figure, path: Path) -> Path:
    """Write a figure as PNG, without matplotlib's version."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.image import imsave

    metadata: Any = {"Software": None}
    # Figure.savefig draws twice, once only for the layout.
    shown, dpi = figure.canvas, figure.dpi
    try:
        figure.dpi = _DPI
        canvas: Any = FigureCanvasAgg(figure)
        canvas.draw()
    finally:
        figure.dpi = dpi
        figure.set_canvas(shown)
    with atomic_path(path) as temporary:
        imsave(temporary, canvas.buffer_rgba(), format="png", dpi=_DPI, metadata=metadata)
    return path


def show_figures(logger: logging.Logger | None) -> None:
    """Show the figures in windows and wait until they are closed."""
    import matplotlib.pyplot as plt

    try:
        # Matplotlib falls back to agg without a display.
        if plt.get_backend().lower() != "agg":
            plt.show()
        elif logger is not None:
            logger.warning("Cannot show plots: no display, or no window library for matplotlib.")
    finally:
        plt.close("all")


def line_styles(count: int) -> list[LineStyle]:
    """Return styles that distinguish up to about 40 lines."""
    from matplotlib import colormaps

    if count <= 10:
        return [{"color": colormaps["tab10"](i)} for i in range(count)]
    dashes = ["-", "--", ":", "-."]
    colors = (count + len(dashes) - 1) // len(dashes)
    return [
        {
            "color": colormaps["turbo"](0.05 + 0.9 * (i // len(dashes)) / max(1, colors - 1)),
            "linestyle": dashes[i % len(dashes)],
        }
        for i in range(count)
    ]
