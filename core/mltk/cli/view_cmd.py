"""`mltk view`."""

from __future__ import annotations

import click

from mltk.cli import get_logger
from mltk.cli._model_options import (
    model_argument,
    require_model,
    trust_option,
    verbose_option,
    with_consent,
)


@click.command("view")
@model_argument
@click.option("--tflite", is_flag=True, help="Show the quantized model instead of the Keras model.")
@click.option("-b", "--build", is_flag=True, help="Show the model as its specification builds it, untrained.")
@click.option("-h", "--host", metavar="NAME", help="Serve the page at this address; by default localhost.")
@click.option(
    "-p",
    "--port",
    type=click.IntRange(0, 65535),
    metavar="N",
    help="Serve the page at this port; by default 8080, or a free one where that is taken.",
)
@click.option("--browser/--no-browser", default=True, help="Open the page in the browser (default).")
@trust_option
@verbose_option
def view_command(
    model: str,
    tflite: bool,
    build: bool,
    host: str | None,
    port: int | None,
    browser: bool,
    trust: bool,
    verbose: bool,
) -> None:
    """Show the graph of MODEL in the browser until Ctrl-C: a name, an archive, a .tflite, .keras or .h5 file.

    Nothing is executed from an archive or a model file, unless --build needs it.
    """
    require_model(model)
    get_logger(verbose=verbose)
    from mltk.operations.view import view_model

    with_consent(
        lambda trusted: view_model(
            model,
            host=host,
            port=port,
            build=build,
            tflite=tflite,
            timeout=None,
            browser=browser,
            trust=trusted,
        ),
        trust,
    )
