"""`mltk view_audio`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mltk.cli import require_model, trust_option, with_consent
from mltk.errors import SpecificationError

if TYPE_CHECKING:
    import numpy as np

    from mltk_plugin_audio.cli._pictures import Panel, Row
    from mltk_plugin_audio.frontend import AudioFeatureGeneratorSettings


@click.command("view_audio")
@click.argument("files", nargs=-1, required=True, type=click.Path(dir_okay=False), metavar="FILE...")
@click.option(
    "--model",
    metavar="MODEL",
    help="Take front end and augmentation of this model: a name, specification or archive.",
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
    help="Folder, or file ending in .png or .html, to write; by default audio.png or audio.html in this folder.",
)
@click.option(
    "--html", "as_html", is_flag=True, help="Write a page with the sounds to listen to, not a picture."
)
@click.option("--seed", type=click.IntRange(0), default=0, metavar="N", help="Of the augmented variants.")
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
    """Show the waveform and the spectrogram of recordings, and what a model's augmentation makes of them.

    With --model, the second picture of each file is the clip as the model gets it, and the further ones are augmented.
    """
    if augment and model is None:
        raise click.UsageError("--augment needs --model, whose data generator makes the variants.")
    path = Path(out)
    if path.suffix.lower() in (".png", ".html"):
        as_html = path.suffix.lower() == ".html"
    else:
        path = path / f"audio.{'html' if as_html else 'png'}"
    datagen = None
    if model is not None:
        require_model(model)
        datagen = with_consent(lambda trusted: _data_generator(model, trusted), trust)
    from mltk.results.plots import drawing, save_figure
    from mltk.utils.files import atomic_write
    from mltk_plugin_audio.cli import _pictures
    from mltk_plugin_audio.frontend import AudioFeatureGeneratorSettings

    settings = datagen.frontend_settings if datagen is not None else AudioFeatureGeneratorSettings()
    rows = [_row(i, file, settings, datagen, augment, seed) for i, file in enumerate(files)]
    if as_html:
        atomic_write(path, _pictures.page(", ".join(Path(f).name for f in files[:3]), rows, settings))
    else:
        with drawing(lambda figure: _pictures.draw(figure, rows, settings), False) as figure:
            save_figure(figure, path)
    click.echo(f"Written: {path}")


def _data_generator(model: str, trust: bool) -> Any:
    import copy

    from mltk.data.generator_loading import resolve_data
    from mltk.sources.loading import load_mltk_model
    from mltk_plugin_audio._recordings import find_folder
    from mltk_plugin_audio.mixins import AudioDatasetMixin

    mltk_model: Any = load_mltk_model(model, trust=trust)
    if not isinstance(mltk_model, AudioDatasetMixin):
        raise SpecificationError(
            f"The model '{mltk_model.name}' has no recordings: it does not inherit AudioDatasetMixin."
        )
    datagen = copy.copy(mltk_model.datagen)
    for name in ("bg_noise_dir", "impulse_response_dir"):
        folder = getattr(datagen, name)
        if folder is not None and not Path(folder).is_dir():
            # Relative to the data set, which is only looked for when it is needed.
            setattr(
                datagen,
                name,
                str(find_folder(name, folder, str(resolve_data(mltk_model, "training", False)))),
            )
    return datagen


def _row(
    number: int, file: str, settings: AudioFeatureGeneratorSettings, datagen: Any, augment: int, seed: int
) -> Row:
    from mltk.data.seeding import batch_rng
    from mltk_plugin_audio._files import as_float, read_recording, resampled
    from mltk_plugin_audio.cli._pictures import Row

    recorded, rate = read_recording(file)
    samples = as_float(recorded)
    seconds = len(samples) / rate
    panels = [_panel("as recorded", resampled(samples, rate, settings.sample_rate_hz), settings)]
    if datagen is not None:
        rng = batch_rng(seed, 0, number, "view")
        transforms = [datagen.default_transform, *(datagen.get_random_transform(rng) for _ in range(augment))]
        for i, transform in enumerate(transforms):
            clip = datagen.apply_transform(samples, rate, transform, rng=rng)
            title = _described(transform) if i else "as the model gets it"
            panels.append(_panel(title, clip, settings))
    return Row(f"{'/'.join(Path(file).parts[-2:])}, {seconds:.2f} s, {rate:,} Hz", panels)


def _panel(title: str, samples: np.ndarray, settings: AudioFeatureGeneratorSettings) -> Panel:
    import numpy as np

    from mltk_plugin_audio.cli._pictures import Panel
    from mltk_plugin_audio.frontend import AudioFeatureStream

    return Panel(title, samples, AudioFeatureStream(settings).process(samples, np.uint16))


def _described(transform: dict[str, Any]) -> str:
    """Return in words what a transform changes."""
    import math
    import textwrap

    parts = [
        f"{label} {transform[name]:+.1f}{unit}" if unit else f"{label} ×{transform[name]:.2f}"
        for name, label, unit, unchanged in (
            ("speed_factor", "speed", "", 1),
            ("pitch_factor", "pitch", " semitones", 0),
            ("vtlp_factor", "vocal tract", "", 1),
            ("time_shift_ms", "shift", " ms", 0),
            ("loudness_factor", "loudness", "", 1),
        )
        if transform[name] != unchanged
    ]
    if transform["impulse_response"]:
        parts.append(f"room {transform['impulse_response']}")
    if transform["noise_color"] != "none":
        parts.append(f"{transform['noise_color']} noise ×{transform['noise_color_factor']:.2f}")
    if transform["bg_noise"]:
        snr = transform["bg_noise_snr_db"]
        level = f"×{transform['bg_noise_factor']:.2f}" if math.isnan(snr) else f"at {snr:.0f} dB SNR"
        parts.append(f"{transform['bg_noise']} {level}")
    return "\n".join(textwrap.wrap(", ".join(parts) or "placed elsewhere", 54)[:3])
