"""`mltk quantize`."""

from __future__ import annotations

import click

from mltk.cli import get_logger
from mltk.cli._console import print_text
from mltk.cli._model_options import (
    model_argument,
    require_model,
    trust_option,
    verbose_option,
    weights_option,
    with_consent,
)


@click.command("quantize")
@model_argument
@click.option(
    "-o", "--output", metavar="PATH", help="A .tflite file or a folder; the archive then stays as it is."
)
@click.option("-b", "--build", is_flag=True, help="Train a throw-away trial model and convert that.")
@weights_option
@click.option(
    "--update-archive/--no-update-archive",
    default=None,
    help="By default the archive is updated unless -o is given.",
)
@click.option(
    "--explain", is_flag=True, help="Show what each layer loses by quantization, why, and what to do."
)
@trust_option
@verbose_option
def quantize_command(
    model: str,
    output: str | None,
    build: bool,
    weights: str | None,
    update_archive: bool | None,
    explain: bool,
    trust: bool,
    verbose: bool,
) -> None:
    """Convert the trained MODEL to .tflite with its specification's converter settings."""
    require_model(model)
    get_logger(verbose=verbose)
    from mltk.operations.quantize import quantize_model
    from mltk.operations.summarize import summarize_model

    path = with_consent(
        lambda trusted: quantize_model(
            model,
            output=output,
            build=build,
            weights=weights,
            update_archive=update_archive,
            trust=trusted,
            explain=print_text if explain else None,
        ),
        trust,
    )
    print_text(summarize_model(str(path)))
    click.echo(f"Written: {path}")
