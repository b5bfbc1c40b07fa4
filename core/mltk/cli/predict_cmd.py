"""`mltk predict`."""

from __future__ import annotations

import click

from mltk.cli import get_logger
from mltk.cli._console import print_text
from mltk.cli._model_options import model_argument, require_model, test_option, verbose_option
from mltk.cli._runtime_options import RuntimeCommand, runtime_option


@click.command("predict", cls=RuntimeCommand)
@model_argument
@click.option(
    "--data",
    type=click.Path(dir_okay=False),
    required=True,
    metavar="FILE",
    help="Arrays (.npz): x, or one for each input by its name or as x0, x1, …; the first axis is the sample.",
)
@click.option(
    "-o",
    "--output",
    type=click.Path(dir_okay=False),
    required=True,
    metavar="FILE",
    help="File (.npz) to write.",
)
@runtime_option
@click.option("--raw", is_flag=True, help="Take and give the integers of quantized inputs and outputs.")
@test_option
@verbose_option
def predict_command(
    model: str, data: str, output: str, runtime: str | None, raw: bool, test: bool, verbose: bool
) -> None:
    """Run the quantized MODEL on arrays: a name, a specification, an archive or a .tflite file.

    Nothing is executed from an archive or a model file. The output is called y; several have the names in the file's
    signature, or y0, y1, and so on.
    """
    require_model(model)
    get_logger(verbose=verbose)
    from mltk.operations.predict import predict_model

    results = predict_model(model, data, output=output, runtime=runtime, raw=raw, test=test)
    shapes = ", ".join(f"{name} {array.dtype} {array.shape}" for name, array in results.items())
    print_text(f"Written: {output} with {shapes}")
