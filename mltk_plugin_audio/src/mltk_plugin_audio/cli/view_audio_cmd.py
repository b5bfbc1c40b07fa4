"""The command `mltk view-audio`."""

from __future__ import annotations

from pathlib import Path

import click

from mltk.cli import require_model, trust_option, with_consent
from mltk.errors import MltkError


@click.command("view-audio")
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
    for file in files:
        if not Path(file).is_file() and _is_model(file):
            raise click.UsageError(
                f"'{file}' is a model, not a recording: mltk view-audio RECORDING... --model {file}"
            )
    path = Path(out)
    if path.suffix.lower() in (".png", ".html"):
        as_html = path.suffix.lower() == ".html"
    else:
        path = path / f"audio.{'html' if as_html else 'png'}"
    if model is not None:
        require_model(model)
    from mltk_plugin_audio.cli import _drawing, _variants

    datagen = with_consent(lambda t: _variants.load_datagen(model, t), trust) if model is not None else None
    rows, settings = _variants.make_rows(files, datagen, augment, seed)
    write = _drawing.write_page if as_html else _drawing.write_figure
    write(path, rows, settings)
    click.echo(f"Written: {path}")


def _is_model(name: str) -> bool:
    try:
        require_model(name)
    except MltkError:
        return False
    return True
