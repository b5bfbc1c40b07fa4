"""Arguments and options that several commands share."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TypeVar

import click

from mltk.errors import MltkError, SpecificationError, TrustError
from mltk.utils.string_formatting import printable

T = TypeVar("T")
Command = TypeVar("Command", bound=Callable[..., object])


def complete_models(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Return the names of the models that begin so."""
    from mltk.sources.search import list_mltk_models

    return [name for name in list_mltk_models() if name.startswith(incomplete)]


model_argument = click.argument("model", shell_complete=complete_models)
"""Argument `model` of a command, completed with the names of models."""
verbose_option = click.option("-v", "--verbose", is_flag=True, help="Show more of what happens.")
"""Option `--verbose`."""
test_option = click.option(
    "--test/--no-test", default=False, help="Trial run: few samples, files of its own."
)
"""Option `--test`: make a trial run."""
post_option = click.option(
    "--post", is_flag=True, help="Allow event handlers to upload results and the like."
)
trust_option = click.option("--trust", is_flag=True, help="Run the specification that an archive contains.")
"""Option `--trust`: allow code from an archive to run."""
weights_option = click.option(
    "-w",
    "--weights",
    metavar="FILE",
    help="Weights to load first: a path, a file in the weights folder, or 'best'.",
)


def with_consent(run: Callable[[bool], T], trust: bool) -> T:
    """Call `run(trust)`; where that would run code from an archive, ask on a terminal and call it again.

    Args:
        run: The operation.
        trust: Whether consent was given already.
    """
    try:
        return run(trust)
    except TrustError as e:
        if not sys.stdin.isatty():
            raise
        click.echo(str(e), err=True)
        if not click.confirm("Run it?", err=True):
            raise MltkError("Nothing was run.") from None
        return run(True)


def require_model(model: str) -> None:
    """Fail early, and without loading TensorFlow, when a model's name or file does not exist.

    Raises:
        ModelNotFoundError: There is no such model; the message has near matches.
    """
    from mltk.sources.source import ModelSource

    ModelSource.of(model)


def parse_assignment(text: str) -> tuple[str, int | float | str]:
    """Return key and value of `KEY=VALUE`: the value as a whole number, else as a number, else as text.

    Raises:
        SpecificationError: It is not of this form.
    """
    key, separator, value = text.partition("=")
    if not separator or not key:
        raise SpecificationError(f"'{text}' is not of the form key=value.")
    for kind in (int, float):
        try:
            return key, kind(value)
        except ValueError:
            continue
    return key, value


def list_option(what: str, read: Callable[[], list[tuple[str, str]]]) -> Callable[[Command], Command]:
    """Return an option `--list` that prints rows and ends the command.

    Args:
        what: Kind of thing, e.g. `compiler`.
        read: Returns names and descriptions.
    """

    def print_and_exit(ctx: click.Context, param: click.Parameter, value: bool) -> None:
        if value and not ctx.resilient_parsing:
            if rows := read():
                print_rows(rows)
            else:
                click.echo(f"No installed plugin offers a {what}.")
            ctx.exit()

    return click.option(
        "--list",
        is_flag=True,
        is_eager=True,
        expose_value=False,
        callback=print_and_exit,
        help=f"Show the {what}s, and exit.",
    )


def print_rows(rows: list[tuple[str, str]]) -> None:
    """Print labels and values in two columns; labels are bold on a terminal."""
    width = max((len(label) for label, _ in rows), default=0)
    for label, value in rows:
        click.echo(f"{click.style(printable(label).ljust(width), bold=True)}  {printable(value)}")
