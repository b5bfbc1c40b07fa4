"""The command `mltk view_audio`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click

from mltk.cli import require_model, trust_option, with_consent
from mltk.errors import SpecificationError

if TYPE_CHECKING:
    import numpy as np

    from mltk_plugin_audio import ParallelAudioDataGenerator
    from mltk_plugin_audio._augmentation import TransformValue
    from mltk_plugin_audio.cli._drawing import Panel, Row
    from mltk_plugin_audio.frontend import AudioFeatureGeneratorSettings


@click.command("view_audio")
@click.argument("files", nargs=-1, required=True, type=click.Path(dir_okay=False), metavar="FILE...")
@click.option(
    "--model",
    metavar="MODEL",
    help="Use the front end and the augmentation of this model: a name, specification or archive.",
)
@click.option(
    "--augment",
    type=click.IntRange(0, 50),
    default=0,
    metavar="N",
    help="Also show N augmented variants of each file.",
)
@click.option(
    "-o",
    "--out",
    default=".",
    metavar="DIR|FILE",
    help="Folder to write to, or file ending in .png or .html; by default audio.png or audio.html in this folder.",
)
@click.option(
    "--html", "as_html", is_flag=True, help="Write an HTML page with the sounds instead of a picture."
)
@click.option(
    "--seed", type=click.IntRange(0), default=0, metavar="N", help="Seed of the augmented variants."
)
@trust_option
def view_audio_command(
    files: tuple[str, ...],
    model: str | None,
    augment: int,
    out: str,
    as_html: bool,
    seed: int,
    trust: bool,
) -> None:
    """Show the waveform and the spectrogram of recordings, and augmented variants of them.

    With --model, the second picture of each file is the clip that the model receives; further pictures are augmented.
    """
    if augment and model is None:
        raise click.UsageError(
            "--augment needs --model, because the data generator of the model makes the variants."
        )
    path = Path(out)
    if path.suffix.lower() in (".png", ".html"):
        as_html = path.suffix.lower() == ".html"
    else:
        path = path / f"audio.{'html' if as_html else 'png'}"
    datagen = None
    if model is not None:
        require_model(model)
        datagen = with_consent(lambda trusted: _load_datagen(model, trusted), trust)
    from mltk.results.plots import drawing, save_figure
    from mltk.utils.files import atomic_write
    from mltk_plugin_audio.cli import _drawing
    from mltk_plugin_audio.frontend import AudioFeatureGeneratorSettings

    settings = datagen.frontend_settings if datagen is not None else AudioFeatureGeneratorSettings()
    rows = [_make_row(i, file, settings, datagen, augment, seed) for i, file in enumerate(files)]
    if as_html:
        atomic_write(path, _drawing.render_page(", ".join(Path(f).name for f in files[:3]), rows, settings))
    else:
        with drawing(lambda figure: _drawing.draw_rows(figure, rows, settings), False) as figure:
            save_figure(figure, path)
    click.echo(f"Written: {path}")


def _load_datagen(model: str, trust: bool) -> ParallelAudioDataGenerator:
    import copy

    from mltk.core import load_mltk_model
    from mltk.data import resolve_data
    from mltk_plugin_audio._noise_and_rooms import find_folder
    from mltk_plugin_audio.mixins import AudioDatasetMixin

    mltk_model = load_mltk_model(model, trust=trust)
    if not isinstance(mltk_model, AudioDatasetMixin):
        raise SpecificationError(
            f"The model '{mltk_model.name}' has no recordings: it does not inherit AudioDatasetMixin."
        )
    datagen: ParallelAudioDataGenerator = copy.copy(mltk_model.datagen)
    for name in ("bg_noise_dir", "impulse_response_dir"):
        folder = getattr(datagen, name)
        if folder is not None and not Path(folder).is_dir():
            # A path relative to the data set, which may be downloaded only if it is needed.
            dataset = resolve_data(mltk_model, "training", False)
            setattr(datagen, name, str(find_folder(name, folder, str(dataset))))
    return datagen


def _make_row(
    number: int,
    file: str,
    settings: AudioFeatureGeneratorSettings,
    datagen: ParallelAudioDataGenerator | None,
    augment: int,
    seed: int,
) -> Row:
    from mltk.data import batch_rng
    from mltk_plugin_audio._files import read_recording
    from mltk_plugin_audio._signal import resample, to_float
    from mltk_plugin_audio.cli._drawing import Row

    recorded, rate = read_recording(file)
    samples = to_float(recorded)
    seconds = len(samples) / rate
    panels = [_make_panel("as recorded", resample(samples, rate, settings.sample_rate_hz), settings)]
    if datagen is not None:
        rng = batch_rng(seed, 0, number, "view")
        transforms = [datagen.default_transform, *(datagen.get_random_transform(rng) for _ in range(augment))]
        for i, transform in enumerate(transforms):
            clip = datagen.apply_transform(samples, rate, transform, rng=rng)
            title = _describe(transform) if i else "input of the model"
            panels.append(_make_panel(title, clip, settings))
    return Row(f"{'/'.join(Path(file).parts[-2:])}, {seconds:.2f} s, {rate:,} Hz", panels)


def _make_panel(title: str, samples: np.ndarray, settings: AudioFeatureGeneratorSettings) -> Panel:
    import numpy as np

    from mltk_plugin_audio.cli._drawing import Panel
    from mltk_plugin_audio.frontend import AudioFeatureStream

    return Panel(title, samples, AudioFeatureStream(settings).process(samples, np.uint16))


def _describe(transform: Mapping[str, TransformValue]) -> str:
    """Return a text with the changes of a transform."""
    import math
    import textwrap

    parts = [
        f"{label} {value:+.1f}{unit}" if unit else f"{label} ×{value:.2f}"
        for name, label, unit, unchanged in (
            ("speed_factor", "speed", "", 1),
            ("pitch_factor", "pitch", " semitones", 0),
            ("vtlp_factor", "vocal tract", "", 1),
            ("time_shift_ms", "shift", " ms", 0),
            ("loudness_factor", "loudness", "", 1),
        )
        if (value := transform[name]) != unchanged
    ]
    if transform["impulse_response"]:
        parts.append(f"room {transform['impulse_response']}")
    if transform["noise_color"] != "none":
        parts.append(f"{transform['noise_color']} noise ×{transform['noise_color_factor']:.2f}")
    if transform["bg_noise"]:
        snr = float(transform["bg_noise_snr_db"] or 0)
        level = f"×{transform['bg_noise_factor']:.2f}" if math.isnan(snr) else f"at {snr:.0f} dB SNR"
        parts.append(f"{transform['bg_noise']} {level}")
    return "\n".join(textwrap.wrap(", ".join(parts) or "another position", 54)[:3])
