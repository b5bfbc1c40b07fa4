"""`mltk compare`."""

from __future__ import annotations

import click

from mltk.cli import get_logger
from mltk.cli._console import print_text
from mltk.cli._model_options import complete_models, require_model, test_option, verbose_option


@click.command("compare")
@click.argument("models", nargs=-1, required=True, metavar="MODEL...", shell_complete=complete_models)
@click.option("--json", "as_json", is_flag=True, help="Write JSON.")
@test_option
@verbose_option
def compare_command(models: tuple[str, ...], as_json: bool, test: bool, verbose: bool) -> None:
    """Show trained MODELs side by side: names, specifications, archives or .tflite files.

    Accuracies are those of earlier evaluations. Nothing is executed from the files.
    """
    for model in models:
        require_model(model)
    get_logger(verbose=verbose)
    from mltk.operations.compare import compare_models

    comparison = compare_models(models, test=test)
    print_text(comparison.to_json() if as_json else comparison.to_string())
