"""`SshMixin`: settings of a model for `mltk ssh`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from mltk.errors import SpecificationError
from mltk.model.attributes import Attribute


def _texts(name: str) -> Callable[[Any], Any]:
    def convert(value: Any) -> Any:
        for item in value:
            if not isinstance(item, str):
                raise SpecificationError(f"my_model.{name} must be a list of strings; {item!r} is none.")
        return value

    return convert


class SshMixin:
    """Settings of `mltk ssh` for one model. They override or extend the user's settings file.

    `mltk ssh` also works for models without this mixin.
    """

    ssh_remote_dir = Attribute(
        "ssh.remote_dir",
        type=str,
        default=None,
        doc="Folder on the other machine, relative to the home folder; each model has a subfolder.",
    )
    ssh_create_venv = Attribute(
        "ssh.create_venv",
        type=bool,
        default=None,
        doc="Create a virtual environment in that folder, and install mltk in it if missing.",
    )
    ssh_environment = Attribute(
        "ssh.environment",
        type=(dict, list, tuple),
        default=None,
        doc="Environment variables: a dict, or a list of `'NAME=value'`, or `'NAME'` for the local value.",
    )
    ssh_startup_cmds = Attribute(
        "ssh.startup_cmds",
        type=(list, tuple),
        default=None,
        convert=_texts("ssh_startup_cmds"),
        doc="Bash commands to run before the mltk command.",
    )
    ssh_shutdown_cmds = Attribute(
        "ssh.shutdown_cmds",
        type=(list, tuple),
        default=None,
        convert=_texts("ssh_shutdown_cmds"),
        doc="Bash commands to run after the results were copied back.",
    )
    ssh_upload_files = Attribute(
        "ssh.upload_files",
        type=(list, tuple),
        default=None,
        convert=_texts("ssh_upload_files"),
        doc="Additional files to send: paths and patterns relative to the specification, or `'local|remote'`.",
    )
    ssh_download_files = Attribute(
        "ssh.download_files",
        type=(list, tuple),
        default=None,
        convert=_texts("ssh_download_files"),
        doc="Additional files to copy back: paths and patterns relative to the remote folder, "
        "or `'remote|local'`.",
    )
