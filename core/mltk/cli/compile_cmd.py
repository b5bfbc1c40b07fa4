"""`mltk compile`."""

from __future__ import annotations

from typing import Any

import click

from mltk.cli import get_logger
from mltk.cli._model_options import (
    list_option,
    model_argument,
    parse_assignment,
    require_model,
    verbose_option,
)

# What `compile_model` calls its own arguments, which no compiler can have.
_OWN_NAMES = ("model", "accelerator", "output", "update_archive", "logger", "test")


def _read_compilers() -> list[tuple[str, str]]:
    from mltk.operations.compilation import list_compilers

    return [(compiler.name, compiler.summary) for compiler in list_compilers().values()]


@click.command("compile", context_settings={"ignore_unknown_options": True})
@model_argument
@click.argument("options", nargs=-1, type=click.UNPROCESSED, metavar="[--KEY VALUE]...")
@click.option("-a", "--accelerator", metavar="NAME", required=True, help="Use this compiler (see --list).")
@list_option("compiler", _read_compilers)
@click.option(
    "-o", "--output", metavar="PATH", help="Write to this file or folder; the archive is not updated."
)
@click.option(
    "--update-archive/--no-update-archive",
    default=None,
    help="By default the archive is updated unless -o is given.",
)
@verbose_option
def compile_command(
    model: str,
    options: tuple[str, ...],
    accelerator: str,
    output: str | None,
    update_archive: bool | None,
    verbose: bool,
) -> None:
    """Compile the quantized MODEL for a device: a name, a specification, an archive or a .tflite file.

    Options that are not listed here are those of the compiler. No code from an archive is run.
    """
    given = _compiler_options(options)
    require_model(model)
    logger = get_logger(verbose=verbose)
    from mltk.operations.compilation import compile_model

    path = compile_model(
        model,
        accelerator,
        output=output,
        update_archive=update_archive,
        logger=logger,
        **given,
    )
    click.echo(f"Written: {path}")


def _compiler_options(words: tuple[str, ...]) -> dict[str, Any]:
    """Return `--key value`, `--key=value` and a lone `--key` (true) as a dict."""
    given: dict[str, Any] = {}
    waiting = list(words)
    while waiting:
        word = waiting.pop(0)
        name, separator, value = word.removeprefix("--").partition("=")
        key = name.replace("-", "_")
        if not word.startswith("--") or not key.isidentifier() or key in _OWN_NAMES:
            raise click.UsageError(f"Got unexpected extra argument ({word})")
        if separator or (waiting and not waiting[0].startswith("--")):
            given[key] = parse_assignment(f"{key}={value if separator else waiting.pop(0)}")[1]
        else:
            given[key] = True
    return given
