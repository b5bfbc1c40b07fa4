"""Settings of `mltk ssh` from the command line, the specification and the user's settings file."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from mltk.errors import MltkError, did_you_mean

DEFAULT_FOLDER = "mltk-ssh"

_HOST = re.compile(
    r"(?:(?P<user>[^@/]+)@)?(?P<host>\[[0-9a-fA-F:.%]+\]|[^@:/\[\]]+)(?::(?P<port>\d+))?(?:/(?P<folder>.*))?\Z"
)
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")
_KEYS = (
    "config_path",
    "connection",
    "create_venv",
    "download_files",
    "environment",
    "python",
    "remote_dir",
    "shutdown_cmds",
    "startup_cmds",
    "upload_files",
)
_CONNECTION_KEYS = ("hostname", "key_filename", "port", "username")


@dataclass(frozen=True)
class Target:
    """Machine to connect to."""

    host: str
    """Host name, address, or a `Host` of the ssh configuration file."""
    user: str | None = None
    port: int | None = None
    key: str | None = None
    """File of the private key."""
    config: str | None = None
    """Configuration file that replaces `~/.ssh/config`."""
    password: bool = False
    """Let ssh ask for a password."""

    def __str__(self) -> str:
        return f"{self.user}@{self.host}" if self.user else self.host


@dataclass(frozen=True)
class Settings:
    """Settings of a command on the other machine."""

    target: Target
    folder: str = DEFAULT_FOLDER
    python: str = "python3"
    create_venv: bool = False
    environment: Mapping[str, str] = field(default_factory=dict)
    startup: Sequence[str] = ()
    shutdown: Sequence[str] = ()
    upload: Sequence[str] = ()
    download: Sequence[str] = ()


def gather_settings(
    user_settings: Any,
    model: object,
    host: str | None,
    port: int | None,
    key: str | None,
    password: bool = False,
) -> Settings:
    """Merge the settings: the command line overrides the specification, which overrides the user's settings file.

    Lists of commands and files are joined, the settings file's first; environments are merged.

    Args:
        user_settings: The section `ssh` of the settings file.
        model: The specification; need not inherit `SshMixin`.
        host: `[user@]host[:port][/folder]`; when it is given, the settings file's `connection` is not used.
        port: Port.
        key: File of the private key.
        password: Let ssh ask for a password.

    Raises:
        MltkError: A setting is unknown or has the wrong type, or no host is set.
    """
    _check(user_settings)
    where = dict(user_settings.get("connection") or {}) if host is None else {}
    text = host or where.get("hostname")
    if not text:
        raise MltkError("No host is set: pass -h HOST, or set ssh.connection.hostname in the settings file.")
    parts = _HOST.match(str(text))
    # ssh would take a name that begins with '-' for an option.
    if parts is None or parts["host"].startswith("-") or (parts["user"] or "").startswith("-"):
        raise MltkError(f"'{text}' does not have the form [user@]host[:port][/folder].")
    target = Target(
        host=parts["host"].strip("[]"),
        user=parts["user"] or where.get("username"),
        port=port or (int(parts["port"]) if parts["port"] else where.get("port")),
        key=key or where.get("key_filename"),
        config=user_settings.get("config_path"),
        password=password,
    )

    def own(name: str) -> Any:
        return getattr(model, f"ssh_{name}", None)

    def join(name: str) -> list[str]:
        return [*(user_settings.get(name) or ()), *(own(name) or ())]

    def first(name: str, default: Any) -> Any:
        return next((v for v in (own(name), user_settings.get(name)) if v is not None), default)

    return Settings(
        target=target,
        folder=parts["folder"] or first("remote_dir", DEFAULT_FOLDER),
        python=user_settings.get("python") or "python3",
        create_venv=bool(first("create_venv", False)),
        environment={**_environment(user_settings.get("environment")), **_environment(own("environment"))},
        startup=join("startup_cmds"),
        shutdown=join("shutdown_cmds"),
        upload=join("upload_files"),
        download=join("download_files"),
    )


def _check(settings: Mapping[str, Any]) -> None:
    connection = settings.get("connection") or {} if isinstance(settings, Mapping) else {}
    for name, section, known in (("ssh", settings, _KEYS), ("ssh.connection", connection, _CONNECTION_KEYS)):
        if not isinstance(section, Mapping):
            raise MltkError(f"'{name}' in the settings file must be a mapping of names to values.")
        for key in section:
            if key == "password":
                raise MltkError(
                    f"Passwords are not allowed in files: remove {name}.password and use a key, or --password."
                )
            if key not in known:
                raise MltkError(
                    f"The settings file has '{name}.{key}', which is not a setting.{did_you_mean(str(key), known)}"
                )
    for name in ("startup_cmds", "shutdown_cmds", "upload_files", "download_files"):
        value = settings.get(name) or []
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            raise MltkError(f"'ssh.{name}' in the settings file must be a list of strings.")
    for name, section in (("remote_dir", settings), ("python", settings), ("hostname", connection)):
        if not isinstance(section.get(name) or "", str):
            raise MltkError(f"'{name}' in the settings file must be a string.")
    if not isinstance(connection.get("port") or 22, int):
        raise MltkError("'ssh.connection.port' in the settings file must be an integer.")


def _environment(value: object) -> dict[str, str]:
    if value is None:
        return {}
    pairs: dict[str, str] = {}
    if isinstance(value, Mapping):
        pairs = {str(name): "" if v is None else str(v) for name, v in value.items()}
    elif isinstance(value, (list, tuple)):
        for item in map(str, value):
            name, separator, text = item.partition("=")
            if separator:
                # As in a shell, remove quotes around the value.
                quoted = len(text) > 1 and text[0] == text[-1] and text[0] in "\"'"
                pairs[name] = text[1:-1] if quoted else text
            elif name in os.environ:
                pairs[name] = os.environ[name]
            else:
                _check_name(name)
    else:
        raise MltkError("ssh.environment must be a mapping, or a list of 'NAME=value'.")
    for name in pairs:
        _check_name(name)
    return pairs


def _check_name(name: str) -> None:
    if not _NAME.match(name):
        raise MltkError(f"'{name}' in ssh_environment is not a valid name of an environment variable.")
