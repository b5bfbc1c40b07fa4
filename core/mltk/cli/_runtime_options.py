"""Options that choose what runs a `.tflite` file."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial

import click

from mltk.plugins import get_plugin_manager

# Eager, so that the flags of the runtimes are handled after it.
runtime_option = click.option(
    "--runtime",
    metavar="NAME",
    is_eager=True,
    help="Run the quantized model with this runtime; --NAME does the same.",
)
"""Option `--runtime`, of a `RuntimeCommand`."""


class RuntimeCommand(click.Command):
    """Has a flag for each runtime that is offered: `--tflite`, and those of plugins."""

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        params = super().get_params(ctx)
        flags: list[click.Parameter] = ctx.meta.setdefault(f"{__name__}.flags", _runtime_flags(params))
        return [*params, *flags]


def _runtime_flags(params: Iterable[click.Parameter]) -> list[click.Option]:
    # Not from mltk.core, which would take its time for the help.
    taken = {name for param in params for name in param.opts}
    return [
        click.Option(
            [f"--{runtime.name}"],
            is_flag=True,
            expose_value=False,
            callback=partial(_set_runtime, runtime.name),
            help=runtime.summary,
        )
        for runtime in get_plugin_manager().collect_offers("mltk_runtimes").values()
        if f"--{runtime.name}" not in taken
    ]


def _set_runtime(name: str, ctx: click.Context, param: click.Parameter, value: bool) -> None:
    if not value:
        return
    if ctx.params.setdefault("runtime", name) not in (None, name):
        raise click.UsageError(f"--{name} and --runtime {ctx.params['runtime']} exclude each other.", ctx)
    ctx.params["runtime"] = name
