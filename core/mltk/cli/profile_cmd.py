"""`mltk profile`."""

from __future__ import annotations

import click

from mltk.cli import get_logger
from mltk.cli._console import print_text
from mltk.cli._model_options import (
    list_option,
    model_argument,
    require_model,
    trust_option,
    verbose_option,
    with_consent,
)


def _list_profilers() -> list[tuple[str, str]]:
    from mltk.operations.profilers import list_profilers

    return [(profiler.name, profiler.summary) for profiler in list_profilers().values()]


@click.command("profile")
@model_argument
@click.option("-a", "--accelerator", metavar="NAME", help="Use this profiler (see --list).")
@list_option("profiler", _list_profilers)
@click.option("--build/--no-build", default=False, help="Train and convert a throw-away trial model first.")
@click.option(
    "-o",
    "--output",
    type=click.Path(file_okay=False),
    metavar="DIR",
    help="Also write the report there, as .txt, .json, .csv and .png.",
)
@click.option("--no-format", is_flag=True, help="Show whole numbers in place of k, M, G.")
@click.option("--full-summary", is_flag=True, help="Also show types, quantization and sizes of the tensors.")
@click.option("--estimates", is_flag=True, hidden=True, help="Warn that cycles and energy are not estimated.")
@click.option(
    "--post", is_flag=True, expose_value=False, help="Without effect; scripts for silabs-mltk pass it."
)
@trust_option
@verbose_option
def profile_command(
    model: str,
    accelerator: str | None,
    build: bool,
    output: str | None,
    no_format: bool,
    full_summary: bool,
    estimates: bool,
    trust: bool,
    verbose: bool,
) -> None:
    """Profile the quantized MODEL: a name, a specification, an archive or a .tflite file.

    Nothing is executed from an archive or a model file, unless --build needs it.
    """
    require_model(model)
    get_logger(verbose=verbose)
    from mltk.operations.profiling import profile_model

    results = with_consent(
        lambda trusted: profile_model(
            model, accelerator=accelerator, build=build, return_estimates=estimates, trust=trusted
        ),
        trust,
    )
    print_text(results.to_string(format_units=not no_format, full_summary=full_summary))
    if output is not None:
        for path in results.generate_report(output, format_units=not no_format, full_summary=full_summary):
            click.echo(f"Written: {path}")
