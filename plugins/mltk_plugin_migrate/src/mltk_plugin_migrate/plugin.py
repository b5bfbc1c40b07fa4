"""The plugin `migrate`: adds `mltk doctor`, which checks specifications written for silabs-mltk."""

from __future__ import annotations

from mltk.plugins import Command, hookimpl

mltk_api_version = 1


@hookimpl
def mltk_commands() -> list[Command]:
    """Add `mltk doctor`."""
    return [
        Command(
            "doctor",
            "Check a silabs-mltk specification for migration problems.",
            "mltk_plugin_migrate.cli.doctor_cmd:doctor_command",
        )
    ]
