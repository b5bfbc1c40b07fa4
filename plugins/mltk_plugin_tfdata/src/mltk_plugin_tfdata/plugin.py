"""Hooks of the plugin `tfdata`: the command of the `tf.data` service."""

from __future__ import annotations

from mltk.plugins import Command, hookimpl

mltk_api_version = 1


@hookimpl
def mltk_commands() -> list[Command]:
    """Return the command that starts dispatchers and workers."""
    return [
        Command(
            "tfdata-service",
            "Start a dispatcher or worker that prepares batches of training runs.",
            "mltk_plugin_tfdata.cli.tfdata_service_cmd:tfdata_service_command",
        )
    ]
