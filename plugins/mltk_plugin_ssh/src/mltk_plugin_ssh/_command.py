"""Parse the mltk command for the other machine."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from mltk.errors import MltkError, SpecificationError
from mltk.sources.source import ModelSource

# Commands that are interactive or open windows.
_LOCAL_ONLY = ("ssh", "ssh-keygen", "tensorboard", "view")


@dataclass(frozen=True)
class RemoteCommand:
    """A command on one model, checked before anything is sent."""

    arguments: tuple[str, ...]
    """Arguments of `mltk` on the other machine, with the model's name there."""
    shown: str
    """Arguments of `mltk ssh` on this machine, quoted."""
    name: str
    """Name of the command."""
    script: Path
    """Path of the specification."""
    test: bool
    """True for a test run."""


def read_command(context: click.Context, arguments: Sequence[str]) -> RemoteCommand:
    """Check a command and its options, and find its model.

    Args:
        context: Context of `mltk ssh`.
        arguments: The command and its arguments.

    Raises:
        click.UsageError: There is no such command, or its arguments are wrong.
        MltkError: The command does not take one model with a specification.
    """
    root = context.find_root()
    group = root.command
    assert isinstance(group, click.Group)
    name, command, rest = group.resolve_command(root, list(arguments))
    if command is None or name is None or command.name in _LOCAL_ONLY or not _takes_model(command):
        raise MltkError(
            f"'mltk ssh' runs commands on one model, such as train, quantize, evaluate or profile; "
            f"not '{arguments[0]}'."
        )
    values = _parse(context, command, rest)
    model = values["model"]
    script, test = _find(model)
    place = next(
        i
        for i, argument in enumerate(rest)
        if argument == model
        and _parse(context, command, [*rest[:i], "\0", *rest[i + 1 :]], resilient=True)["model"] == "\0"
    )
    # By path, because the search path there may have another model of that name. Only a name can end in -test.
    there = model if model.endswith("-test") else script.name
    return RemoteCommand(
        arguments=(name, *rest[:place], there, *rest[place + 1 :]),
        shown=shlex.join(arguments),
        name=name,
        script=script,
        test=test or bool(values.get("test")),
    )


def _takes_model(command: click.Command) -> bool:
    return any(isinstance(p, click.Argument) and p.name == "model" and p.nargs == 1 for p in command.params)


def _parse(
    ssh_context: click.Context, command: click.Command, rest: Sequence[str], resilient: bool = False
) -> dict[str, Any]:
    try:
        with command.make_context(
            command.name, list(rest), parent=ssh_context.find_root(), resilient_parsing=resilient
        ) as context:
            return context.params
    except click.NoSuchOption as e:
        own = [option for p in ssh_context.command.params for option in (*p.opts, *p.secondary_opts)]
        if e.option_name in own:
            raise MltkError(
                f"{e.option_name} is an option of 'mltk ssh' and must come before the command: "
                f"mltk ssh {e.option_name} … {command.name} …"
            ) from e
        raise


def _find(model: str) -> tuple[Path, bool]:
    source = ModelSource.of(model)
    path, test = source.path or Path(model), source.test
    if path.suffix != ".py":
        raise SpecificationError(
            f"{path} cannot be used on another machine: 'mltk ssh' needs the model's specification (.py)."
        )
    return path.resolve(), test
