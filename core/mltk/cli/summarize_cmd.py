"""`mltk summarize`."""

from __future__ import annotations

import json

import click

from mltk.cli import get_logger
from mltk.cli._console import print_text
from mltk.cli._model_options import model_argument, require_model, verbose_option
from mltk.utils.files import atomic_write


@click.command("summarize")
@model_argument
@click.option("--tflite", is_flag=True, help="Describe the quantized model instead of the Keras model.")
@click.option(
    "-b",
    "--build",
    is_flag=True,
    help="Build the model from its specification instead of reading the archive.",
)
@click.option(
    "-o", "--output", type=click.Path(dir_okay=False), metavar="FILE", help="Write the text to a file."
)
@click.option("--json", "as_json", is_flag=True, help="Give JSON for programs instead of text.")
@verbose_option
def summarize_command(
    model: str, tflite: bool, build: bool, output: str | None, as_json: bool, verbose: bool
) -> None:
    """Describe MODEL: a name, a specification, an archive, a .tflite, .keras or .h5 file.

    Nothing is executed from an archive or a model file.
    """
    require_model(model)
    get_logger(verbose=verbose)
    from mltk.operations.summarize import describe_model, summarize_model

    if as_json:
        summary = json.dumps(describe_model(model, tflite=tflite, build=build), indent=2, allow_nan=False)
    else:
        summary = summarize_model(model, tflite=tflite, build=build)
    if output is None:
        print_text(summary)
        return
    atomic_write(output, summary + "\n")
