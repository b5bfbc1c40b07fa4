"""`mltk custom`."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from mltk.cli import get_logger
from mltk.cli._model_options import model_argument, require_model, trust_option, with_consent
from mltk.errors import SpecificationError
from mltk.model.operation import operation

if TYPE_CHECKING:
    from mltk.model.model import MltkModel


@click.command("custom", context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
@trust_option
@model_argument
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED, metavar="COMMAND [ARGS]...")
def custom_command(model: str, arguments: tuple[str, ...], trust: bool) -> None:
    """Run a command that the specification of MODEL defines with @my_model.cli.command().

    Without COMMAND, list them.
    """
    require_model(model)
    get_logger()
    # It imports NumPy.
    from mltk.sources.loading import load_mltk_model

    mltk_model = with_consent(lambda trusted: load_mltk_model(model, trust=trusted), trust)
    command = _command(mltk_model)
    code: str | int | None = 0
    with operation(mltk_model):
        try:
            command.main(args=list(arguments) or ["--help"], prog_name=f"mltk custom {model}")
        except SystemExit as e:
            # Click and Typer end the program when a command is done, with its exit code.
            code = e.code
    mltk_model.raise_failures()
    sys.exit(code)


def _command(mltk_model: MltkModel) -> click.Command:
    """Return the commands of the specification as one command of click."""
    application = mltk_model.cli
    if not application.registered_commands:
        raise SpecificationError(
            f"The specification of '{mltk_model.name}' defines no command. Add one with @my_model.cli.command('name')."
        )
    import typer

    # A callback keeps Typer from turning an application of one command into that command itself.
    if application.registered_callback is None:
        application.callback()(lambda: None)
    command: click.Command = typer.main.get_command(application)
    return command
