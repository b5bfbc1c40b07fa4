"""Run the actions of `_remote.sh` on another machine with the system's `ssh`."""

from __future__ import annotations

import io
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib import resources
from pathlib import Path
from typing import IO, cast

from mltk.errors import MltkError
from mltk.utils.logging import get_mltk_logger
from mltk.utils.temporary import kept_temporary_folder
from mltk_plugin_ssh._settings import Target

# The exit code of ssh itself; the actions use lower ones.
_SSH_FAILED = 255
# The first line that an action prints.
_BEGINNING = b"mltk-ssh\n"


class RemoteError(MltkError, ConnectionError):
    """The other machine cannot be reached, login failed, or an action failed there."""


class ConnectionLostError(RemoteError):
    """The connection ended before the action did."""


class Connection:
    """Connection to one machine for one model; a context manager.

    All actions share one connection if possible, so that ssh asks for a password only once. Unknown host keys are
    rejected.

    Args:
        target: The machine.
        folder: The folder for all models on that machine.
        name: The model's name.
    """

    def __init__(self, target: Target, folder: str, name: str) -> None:
        if shutil.which("ssh") is None:
            raise MltkError(
                "'ssh' was not found on this machine. Install the OpenSSH client (openssh-client)."
            )
        if target.password and not sys.stdin.isatty():
            raise MltkError("--password needs a terminal to ask for the password. Use a key (-i) instead.")
        self.target = target
        self._place = (folder, name)
        self._script = resources.files("mltk_plugin_ssh").joinpath("_remote.sh").read_text(encoding="utf-8")
        self._sockets = kept_temporary_folder(self)
        # A socket's path has at most 107 bytes, of which ssh needs 17 for a temporary name.
        if len(str(self._sockets)) > 80:
            self._sockets = Path(tempfile.mkdtemp(prefix="mltk-ssh-", dir="/tmp"))
        self._connected = False

    def __enter__(self) -> Connection:
        return self

    def __exit__(self, *exc: object) -> None:
        if (self._sockets / "s").exists():
            close = ["ssh", "-O", "exit", *self._options(), "--", self.target.host]
            subprocess.run(close, stdin=subprocess.DEVNULL, capture_output=True, check=False)
        shutil.rmtree(self._sockets, ignore_errors=True)

    def call(self, action: str, *arguments: str) -> str:
        """Run an action and return what it prints.

        Raises:
            RemoteError: See `open`.
        """
        with self.open(action, *arguments) as (_, output):
            return output.read().decode("utf-8", "replace")

    @contextmanager
    def open(
        self, action: str, *arguments: str, detached: bool = False
    ) -> Iterator[tuple[IO[bytes], io.BufferedReader]]:
        """Run an action and yield its standard input and output as streams.

        Args:
            action: A function of `_remote.sh`.
            *arguments: Its arguments.
            detached: Do not forward Ctrl-C to the action.

        Raises:
            RemoteError: The machine cannot be reached, or the action failed.
            ConnectionLostError: The connection was lost.
        """
        remote = shlex.join(["bash", "-c", self._script, "mltk-ssh", action, *self._place, *arguments])
        get_mltk_logger().debug("On %s: %s", self.target, shlex.join([action, *arguments]))
        with tempfile.TemporaryFile() as errors:
            process = subprocess.Popen(
                ["ssh", *self._options(), "--", self.target.host, remote],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                start_new_session=detached,
            )
            assert process.stdin is not None and process.stdout is not None
            begun = False
            try:
                begun = any(line == _BEGINNING for line in process.stdout)
                if begun:
                    yield process.stdin, cast(io.BufferedReader, process.stdout)
                    process.stdin.close()
                    # Read the rest, because the writer must not see a closed pipe.
                    process.stdout.read()
            except BrokenPipeError:
                # The reason is in the error output and the exit code.
                pass
            except BaseException:
                process.kill()
                raise
            finally:
                process.stdout.close()
                with suppress(BrokenPipeError):
                    process.stdin.close()
                code = process.wait()
            errors.seek(0)
            text = errors.read().decode("utf-8", "replace").strip()
        if code == _SSH_FAILED:
            raise self._no_connection(text)
        self._connected = True
        if code or not begun:
            raise RemoteError(
                f"'{action}' failed on {self.target} (exit code {code}): {text or 'no message'}"
            )
        for line in text.splitlines():
            get_mltk_logger().warning("%s: %s", self.target, line)

    def _options(self) -> list[str]:
        target = self.target
        settings = {
            "StrictHostKeyChecking": "yes",
            "BatchMode": "no" if sys.stdin.isatty() else "yes",
            "ControlMaster": "auto",
            "ControlPath": f'"{self._sockets}/s"',
            "ControlPersist": "60",
            "ConnectTimeout": "20",
            "ServerAliveInterval": "15",
            "ServerAliveCountMax": "4",
            # Override settings for interactive use in the configuration file.
            "ClearAllForwardings": "yes",
            "RemoteCommand": "none",
            "RequestTTY": "no",
            "LogLevel": "ERROR",
        }
        if target.password:
            settings["PreferredAuthentications"] = "keyboard-interactive,password"
        options = [f"-o{name}={value}" for name, value in settings.items()]
        if target.config:
            options += ["-F", str(Path(target.config).expanduser())]
        if target.key:
            options += ["-i", str(Path(target.key).expanduser()), "-oIdentitiesOnly=yes"]
        if target.user:
            options += ["-l", target.user]
        if target.port:
            options += ["-p", str(target.port)]
        return options

    def _no_connection(self, text: str) -> RemoteError:
        if self._connected:
            return ConnectionLostError(f"The connection to {self.target} was lost.")
        target = self.target
        port = f"-p {target.port} " if target.port else ""
        last = " ".join((text.splitlines() or ["no message"])[-1].split())
        if "IDENTIFICATION HAS CHANGED" in text:
            why = (
                "its host key has changed: the machine was reinstalled, or the connection is intercepted. "
                "Find out which, then remove the old key with: ssh-keygen -R "
                f"{f'[{target.host}]:{target.port}' if target.port else target.host}"
            )
        elif "Host key verification failed" in text or "host key is known" in text:
            why = (
                f"its host key is unknown. Connect once with 'ssh {port}{target}' and compare the fingerprint "
                "that it shows before you say yes."
            )
        elif "Permission denied" in text or "Too many authentication failures" in text:
            why = (
                f"permission denied ({last}). Pass a key with -i, or copy it there: "
                f"ssh-copy-id {port}{target}"
            )
        else:
            why = f"{last}."
        return RemoteError(f"No connection to {target}: {why}")
