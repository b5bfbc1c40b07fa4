"""Pictures of recordings: waveforms and spectrograms, as a figure or as an HTML page with the sounds."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import soundfile

from mltk.results.plots import drawing, save_figure
from mltk.utils.files import atomic_write

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from mltk_plugin_audio.frontend import AudioFeatureGeneratorSettings

_INK = "#2b4a6f"
_COLUMN_INCHES = 3.4
_ONLY_COLUMN_INCHES = 7.0
_ROW_INCHES = 3.1
_MAX_POINTS = 2000
_FREQUENCIES = (500, 1000, 2000, 4000, 8000, 16000)


@dataclass(frozen=True)
class Panel:
    """Waveform and spectrogram of one sound."""

    title: str
    samples: np.ndarray
    """float32 `(n,)` from -1 to 1"""
    spectrogram: np.ndarray
    """`(rows, channels)`"""


@dataclass(frozen=True)
class Row:
    """Panels of one file."""

    title: str
    panels: Sequence[Panel]
    file: str = ""
    """File name."""


def draw_rows(figure: Figure, rows: Sequence[Row], settings: AudioFeatureGeneratorSettings) -> None:
    """Draw one row per file, with its panels side by side."""
    columns = max(len(row.panels) for row in rows)
    width = _ONLY_COLUMN_INCHES if columns == 1 else _COLUMN_INCHES * columns
    figure.set_size_inches(0.6 + width, 0.2 + _ROW_INCHES * len(rows))
    figure.set_layout_engine("constrained", h_pad=0.03, w_pad=0.05, hspace=0.0)
    for row, part in zip(rows, figure.subfigures(len(rows), 1, squeeze=False)[:, 0], strict=True):
        if row.title:
            part.suptitle(row.title, fontsize=10, fontweight="bold", x=0.01, ha="left")
        axes = part.subplots(2, columns, squeeze=False, height_ratios=(1, 2))
        # Equal scales within a row make the sounds comparable.
        peak = max([0.01, *(float(np.abs(panel.samples).max(initial=0)) for panel in row.panels)])
        # The scale of the original recording: the digital silence of padding would take half of the colors.
        recorded = row.panels[0].spectrogram
        limits = (float(np.percentile(recorded, 2)), float(recorded.max())) if recorded.size else (0.0, 1.0)
        for i, (waves, spectra) in enumerate(axes.T):
            if i >= len(row.panels):
                waves.axis("off")
                spectra.axis("off")
                continue
            panel = row.panels[i]
            waves.set_title(panel.title, fontsize=8, pad=3)
            _draw_waveform(waves, panel.samples, settings.sample_rate_hz, peak)
            _draw_spectrogram(spectra, panel, settings, limits)
            if i:
                waves.set_yticklabels([])
                spectra.set_yticklabels([])
            else:
                spectra.set_ylabel("Hz")


def write_figure(path: Path, rows: Sequence[Row], settings: AudioFeatureGeneratorSettings) -> None:
    """Write the rows to an image file."""
    with drawing(partial(draw_rows, rows=rows, settings=settings), False) as figure:
        save_figure(figure, path)


def write_page(path: Path, rows: Sequence[Row], settings: AudioFeatureGeneratorSettings) -> None:
    """Write a self-contained HTML page with the pictures and the sounds."""
    parts = []
    for row in rows:
        cells = []
        for panel in row.panels:
            single = Row("", [replace(panel, title="")])
            with drawing(partial(draw_rows, rows=[single], settings=settings), False) as figure:
                picture = io.BytesIO()
                figure.savefig(picture, format="png", dpi=110, metadata={"Software": None})
            cells.append(
                f"<figure><figcaption>{html.escape(panel.title)}</figcaption>"
                f'<img alt="waveform and spectrogram" src="data:image/png;base64,{_encode(picture.getvalue())}">'
                f'<audio controls preload="none" src="data:audio/wav;base64,'
                f'{_encode(_make_wav(panel.samples, settings.sample_rate_hz))}"></audio></figure>'
            )
        parts.append(f"<h2>{html.escape(row.title)}</h2>\n<div>{''.join(cells)}</div>")
    title = html.escape(", ".join(row.file for row in rows[:3]))
    atomic_write(path, _PAGE.format(title=title, body="\n".join(parts)))


_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>
body {{ font: 15px/1.4 system-ui, sans-serif; margin: 2rem; color: #222; }}
h2 {{ font-size: 1.05rem; margin: 2rem 0 .5rem; border-bottom: 1px solid #ddd; }}
div {{ display: flex; flex-wrap: wrap; gap: 1.2rem; }}
figure {{ margin: 0; width: 22rem; }}
figcaption {{ font-size: .85rem; color: #555; min-height: 2.4em; }}
img, audio {{ width: 100%; }}
</style>
</head>
<body>
<h1>{title}</h1>
{body}
</body>
</html>
"""


def _draw_waveform(axes: Axes, samples: np.ndarray, rate: int, peak: float) -> None:
    step = max(1, len(samples) // _MAX_POINTS)
    whole = samples[: len(samples) // step * step].reshape(-1, step)
    times = np.arange(len(whole)) * step / rate
    if step == 1:
        axes.plot(times, whole[:, 0], color=_INK, linewidth=0.6)
    else:
        axes.fill_between(times, whole.min(axis=1), whole.max(axis=1), color=_INK, linewidth=0.4)
    axes.set(xlim=(0, max(len(samples) / rate, 1e-3)), ylim=(-1.05 * peak, 1.05 * peak), xticklabels=[])
    axes.tick_params(labelsize=7)
    axes.grid(True)


def _draw_spectrogram(
    axes: Axes, panel: Panel, settings: AudioFeatureGeneratorSettings, limits: tuple[float, float]
) -> None:
    rate, channels = settings.sample_rate_hz, settings.filterbank_n_channels
    # The time of a row is the middle of its window.
    first = (settings.window_size - settings.window_step) / 2 / rate
    last = first + len(panel.spectrogram) * settings.window_step / rate
    axes.set_facecolor("black")
    if len(panel.spectrogram):
        axes.imshow(
            panel.spectrogram.T,
            origin="lower",
            aspect="auto",
            cmap="magma",
            vmin=limits[0],
            vmax=max(limits[1], limits[0] + 1),
            extent=(first, last, 0, channels),
            interpolation="nearest",
        )
    low, high = _to_mel(settings.filterbank_lower_band_limit), _to_mel(settings.filterbank_upper_band_limit)
    places = [(_to_mel(hertz) - low) / (high - low) * (channels + 1) - 0.5 for hertz in _FREQUENCIES]
    shown = [(p, hertz) for p, hertz in zip(places, _FREQUENCIES, strict=True) if 0 <= p <= channels]
    axes.set_yticks([p for p, _ in shown], [f"{hertz:g}" for _, hertz in shown])
    axes.set(xlim=(0, max(len(panel.samples) / rate, 1e-3)), ylim=(0, channels))
    axes.set_xlabel("s", fontsize=8, labelpad=0)
    axes.tick_params(labelsize=7)


def _to_mel(hertz: float) -> float:
    return 1127 * float(np.log1p(hertz / 700))


def _make_wav(samples: np.ndarray, rate: int) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, samples, rate, format="WAV", subtype="PCM_16")
    return file.getvalue()


def _encode(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")
