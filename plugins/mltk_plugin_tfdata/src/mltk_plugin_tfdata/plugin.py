"""The plugin `tfdata`: the commands of the `tf.data` service. Its mixin and functions need no hook."""

from __future__ import annotations

from mltk.plugins import Command, hookimpl

mltk_api_version = 1


@hookimpl
def mltk_commands() -> list[Command]:
    """Add the command that starts dispatchers and workers."""
    return [
        Command(
            "tfdata-service",
            "Start a dispatcher or worker that prepares batches for trainings.",
            "mltk_plugin_tfdata.cli.tfdata_service_cmd:tfdata_service_command",
        )
    ]
