"""`mltk update-params`."""

from __future__ import annotations

import click

from mltk.cli import get_logger
from mltk.cli._console import print_text
from mltk.cli._model_options import model_argument, parse_assignment, require_model, verbose_option
from mltk.errors import FileFormatError
from mltk.utils.structured import read_json_or_yaml


@click.command("update-params")
@model_argument
@click.argument("values", nargs=-1, metavar="[KEY=VALUE]...")
@click.option(
    "-p",
    "--params",
    type=click.Path(exists=True, dir_okay=False),
    metavar="FILE",
    help="A .json, .yaml or .yml file with a mapping of names to values.",
)
@click.option(
    "-d", "--description", metavar="TEXT", help="New description (for a .tflite file or an archive)."
)
@click.option("-o", "--output", metavar="PATH", help="Write to this file or folder instead.")
@click.option("--force", is_flag=True, help="Allow a value of another type than the parameter has.")
@verbose_option
def update_params_command(
    model: str,
    values: tuple[str, ...],
    params: str | None,
    description: str | None,
    output: str | None,
    force: bool,
    verbose: bool,
) -> None:
    """Write parameters into the .tflite of MODEL again; the weights stay untouched.

    Each VALUE is taken as a whole number, else as a number, else as text.
    """
    require_model(model)
    get_logger(verbose=verbose)
    from mltk.operations.update_parameters import (
        describe_changes,
        read_parameters,
        update_model_parameters,
    )

    before = read_parameters(model)
    given = {**(_read(params) if params else {}), **dict(map(parse_assignment, values))}
    path = update_model_parameters(
        model, params=given or None, description=description, output=output, force=force
    )
    print_text("\n".join([f"Written: {path}", *describe_changes(before, read_parameters(str(path)))]))


def _read(path: str) -> dict[str, object]:
    content = read_json_or_yaml(path)
    if not isinstance(content, dict):
        raise FileFormatError(f"{path} must hold a mapping of names to values, not {type(content).__name__}.")
    return {str(key): value for key, value in content.items()}
