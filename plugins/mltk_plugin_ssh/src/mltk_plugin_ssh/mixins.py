"""`SshMixin`: what a model needs on the machine that `mltk ssh` runs it on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from mltk.errors import SpecificationError
from mltk.model.attributes import Attribute


def _texts(name: str) -> Callable[[Any], Any]:
    def convert(value: Any) -> Any:
        for item in value:
            if not isinstance(item, str):
                raise SpecificationError(f"my_model.{name} must be a list of texts; {item!r} is none.")
        return value

    return convert


class SshMixin:
    """Settings of `mltk ssh` for one model. They go before, or are added to, those of the user's settings file.

    `mltk ssh` takes models without it as well.
    """

    ssh_remote_dir = Attribute(
        "ssh.remote_dir",
        type=str,
        default=None,
        doc="Folder on the other machine, relative to the home folder there; the model has a folder of its name in it.",
    )
    ssh_create_venv = Attribute(
        "ssh.create_venv",
        type=bool,
        default=None,
        doc="Make a virtual environment in that folder, once, and install mltk in it where it is missing.",
    )
    ssh_environment = Attribute(
        "ssh.environment",
        type=(dict, list, tuple),
        default=None,
        doc="Environment variables: a dict, or a list of `'NAME=value'`, and `'NAME'` for the value it has here.",
    )
    ssh_startup_cmds = Attribute(
        "ssh.startup_cmds",
        type=(list, tuple),
        default=None,
        convert=_texts("ssh_startup_cmds"),
        doc="Shell commands (bash) to run there before the mltk command.",
    )
    ssh_shutdown_cmds = Attribute(
        "ssh.shutdown_cmds",
        type=(list, tuple),
        default=None,
        convert=_texts("ssh_shutdown_cmds"),
        doc="Shell commands (bash) to run there after the results were brought back.",
    )
    ssh_upload_files = Attribute(
        "ssh.upload_files",
        type=(list, tuple),
        default=None,
        convert=_texts("ssh_upload_files"),
        doc="Files to copy there besides the specification: paths and patterns relative to it, or `'here|there'`.",
    )
    ssh_download_files = Attribute(
        "ssh.download_files",
        type=(list, tuple),
        default=None,
        convert=_texts("ssh_download_files"),
        doc="Files to bring back besides archive and logs: paths and patterns relative to the folder there, "
        "or `'there|here'`.",
    )
