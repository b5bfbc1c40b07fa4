"""Messages, tables and logs of commands."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, NoReturn

import click

from mltk.cli import _logging
from mltk.errors import did_you_mean
from mltk.plugins import get_plugin_manager
from mltk.utils.string_formatting import printable

if TYPE_CHECKING:
    import logging


_ACCELERATOR_HOOKS = ("mltk_profilers", "mltk_compilers")


def print_info(message: str) -> None:
    """Print a line on stdout."""
    click.echo(message)


def print_text(text: str) -> None:
    """Print text with names and the like from files on stdout; what would act on a terminal is made visible."""
    click.echo(printable(text, lines=True))


def print_warning(message: str) -> None:
    """Print a warning on stderr, yellow on a terminal; what would act on it is made visible."""
    click.secho(f"mltk: warning: {printable(message, lines=True)}", err=True, fg="yellow")


def print_error(message: str) -> None:
    """Print an error on stderr, red on a terminal; what would act on it is made visible."""
    click.secho(f"mltk: error: {printable(message, lines=True)}", err=True, fg="red")


def print_table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table on stdout: with rich on a terminal, else as aligned plain text.

    Args:
        headings: One per column.
        rows: As many cells each; what would act on a terminal is made visible.
    """
    rows = [[printable(cell) for cell in row] for row in rows]
    if sys.stdout.isatty():
        from rich.console import Console
        from rich.table import Table
        from rich.text import Text

        table = Table(*headings, box=None, header_style="bold", pad_edge=False)
        for row in rows:
            table.add_row(*map(Text, row))
        Console().print(table)
        return
    widths = [max(map(len, column)) for column in zip(headings, *rows, strict=True)]
    for row in (headings, *rows):
        cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=True)]
        click.echo("  ".join(cells).rstrip())


def abort(code: int = -1, msg: str | None = None) -> NoReturn:
    """End the running command, or the program when no command runs.

    Args:
        code: The exit code; -1 becomes 255.
        msg: Printed as an error before.
    """
    if msg:
        print_error(msg)
    if is_command_active():
        raise click.exceptions.Exit(code)
    sys.exit(code)


def handle_exception(msg: str, e: BaseException) -> NoReturn:
    """Print `msg` and the exception's text as an error, log the traceback, and end with exit code 1."""
    get_logger().debug("%s", msg, exc_info=e)
    abort(code=1, msg=f"{msg}: {e}")


def print_did_you_mean_error(
    msg: str, not_found_arg: str, possible_args: Iterable[str], and_exit: bool = False
) -> None:
    """Print that a name is not known, with up to three near matches, or else all names there are.

    Args:
        msg: What is not known: `Unknown accelerator`.
        not_found_arg: The name that was given.
        possible_args: The names there are.
        and_exit: End the running command, or the program.
    """
    known = list(possible_args)
    hint = did_you_mean(not_found_arg, known) or f" There are: {', '.join(known) or 'none'}."
    print_error(f"{msg}: '{not_found_arg}'.{hint}")
    if and_exit:
        abort(code=1)


def parse_accelerator_option(accelerator: str | None) -> str | None:
    """Return the name of an accelerator as plugins spell it; end with near matches where none offers it.

    Args:
        accelerator: A profiler's or a compiler's name, in any case; `None` stays `None`.
    """
    if not accelerator:
        return None
    known = {
        name.lower(): name
        for hook in _ACCELERATOR_HOOKS
        for name in get_plugin_manager().collect_offers(hook)
    }
    name = known.get(accelerator.lower())
    if name is None:
        print_did_you_mean_error("Unknown accelerator", accelerator, known.values(), and_exit=True)
    return name


def is_command_active() -> bool:
    """Return whether this runs within an `mltk` command, not within a program that uses mltk."""
    return click.get_current_context(silent=True) is not None


def get_logger(name: str | None = None, verbose: bool = False, console: bool = True) -> logging.Logger:
    """Return the logger that operations report to, writing to the console from now on.

    Messages go to stderr, so that stdout has results only. Within a command they go, with times and at every
    level, also to `<cache>/cli_logs/<command>.log`, which is begun anew.

    Args:
        name: A child of that name, for messages of one's own; the console shows those too.
        verbose: Show debug messages.
        console: Show messages at all.
    """
    import logging

    context = click.get_current_context(silent=True)
    command = None
    if context is not None:
        context.find_root().call_on_close(_logging.reset)
        command = next(iter(context.command_path.split()[1:]), None)
    _logging.configure(verbose=verbose, console=console, log_name=command)
    logger = logging.getLogger("mltk")
    return logger.getChild(name) if name else logger
