"""The plugin `ssh`: adds the commands that run mltk on another machine."""

from __future__ import annotations

from mltk.plugins import Command, hookimpl

mltk_api_version = 1


@hookimpl
def mltk_commands() -> list[Command]:
    """Add `mltk ssh` and `mltk ssh-keygen`."""
    package = "mltk_plugin_ssh.cli"
    return [
        Command(
            "ssh",
            "Run a command on another machine and copy the results back.",
            f"{package}.ssh_cmd:ssh_command",
        ),
        Command("ssh-keygen", "Create an SSH key pair.", f"{package}.ssh_keygen_cmd:ssh_keygen_command"),
    ]
