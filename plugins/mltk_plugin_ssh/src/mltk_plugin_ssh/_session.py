"""Implementation of `mltk ssh`: send the files, run the command, show its log, copy the results back."""

from __future__ import annotations

import json
import secrets
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import click

from mltk import __version__
from mltk.errors import MltkError
from mltk.utils.files import atomic_write, cache_dir, replace_file
from mltk.utils.logging import get_mltk_logger
from mltk.utils.temporary import temporary_folder
from mltk_plugin_ssh._command import RemoteCommand
from mltk_plugin_ssh._connection import Connection, ConnectionLostError, RemoteError
from mltk_plugin_ssh._script import list_installed_packages, run_script, shutdown_script
from mltk_plugin_ssh._settings import Settings
from mltk_plugin_ssh._transfer import (
    check_archive,
    check_downloads,
    describe_size,
    find_uploads,
    holds_specification,
    is_asked_for,
    is_code,
    read_tar,
    replace_entries,
    save_stream,
    write_tar,
)


@dataclass(frozen=True)
class Options:
    """Options of `mltk ssh`."""

    resume: bool = False
    wait: bool = True
    force: bool = False
    clean: bool = False


@dataclass(frozen=True)
class _State:
    """The last command of the model on the other machine."""

    folder: str
    kind: str
    exit_code: int
    job: dict[str, Any]

    @property
    def command(self) -> str:
        return str(self.job.get("command", "?"))


def run(model: Any, command: RemoteCommand, settings: Settings, options: Options) -> int:
    """Run a command on another machine, or resume one that was started before.

    Args:
        model: The specification, loaded.
        command: The command.
        settings: Machine, environment and files.
        options: Options of `mltk ssh`.

    Returns:
        The exit code of the command; 0 if it was only started.

    Raises:
        MltkError: The command cannot be started, or its results cannot be copied back.
    """
    patterns, pairs = check_downloads(settings.download)
    with Connection(settings.target, settings.folder, model.name) as remote:
        session = _Session(remote, model, command, settings)
        state = session.begin()
        if options.resume:
            state = session.take_up(state)
        else:
            state = session.launch(state, options)
        if not options.wait and state.kind == "active":
            get_mltk_logger().info(
                f"The command runs on {settings.target}, in {state.folder}. "
                f"Follow it, and copy its results back, with: {session.resume_hint}"
            )
            return 0
        session.follow(state)
        return session.finish(patterns, pairs)


class _Session:
    def __init__(self, remote: Connection, model: Any, command: RemoteCommand, settings: Settings) -> None:
        self.remote = remote
        self.model = model
        self.command = command
        self.settings = settings
        self.logger = get_mltk_logger()

    @property
    def resume_hint(self) -> str:
        return f"mltk ssh --resume {self.command.shown}"

    def begin(self) -> _State:
        folder, kind, code, job = self.remote.call("begin").strip().split("\n", 3)
        return _State(folder, kind, int(code), json.loads(job))

    def take_up(self, state: _State) -> _State:
        """Check that there is a command to resume."""
        if state.kind in ("none", "brought"):
            last = f" The results of the last one, '{state.command}', were copied back." if state.job else ""
            raise MltkError(
                f"There is nothing to resume for '{self.model.name}' on {self.settings.target}.{last}"
            )
        if bool(state.job.get("test")) != self.command.test:
            raise MltkError(
                f"The command on {self.settings.target} is a different one. "
                f"Resume it with: mltk ssh --resume {state.command}"
            )
        self.logger.info(f"Resuming '{state.command}' on {self.settings.target}")
        return state

    def launch(self, state: _State, options: Options) -> _State:
        """Send the files and start the command; only `--force` discards an earlier command."""
        if state.kind == "active":
            if not options.force:
                raise MltkError(
                    f"'{state.command}' is active on {self.settings.target}. Follow it with --resume, or stop it and "
                    f"discard its results with --force."
                )
            self.logger.warning(f"Stopping '{state.command}'")
            self.remote.call("stop")
        elif state.kind in ("ended", "lost") and not options.force:
            raise MltkError(
                f"The results of '{state.command}' were not yet copied back from {self.settings.target}. "
                f"Do that with --resume, or discard them with --force."
            )
        if options.clean:
            self.remote.call("clean")
            state = self.begin()
        identifier = secrets.token_hex(8)
        job = self._send(identifier)
        if self.remote.call("start", identifier).strip() != "started":
            raise MltkError(
                f"Another command on '{self.model.name}' has just been started on {self.settings.target}. "
                f"Follow it with --resume, or end it with --force."
            )
        return _State(state.folder, "active", 0, job)

    def _send(self, identifier: str) -> dict[str, Any]:
        archive = Path(self.model.archive_path)
        # Training writes a new archive; all other commands need the trained model.
        needed = self.command.name != "train" and archive.is_file()
        upload = find_uploads(self.command.script, self.settings.upload, archive if needed else None)
        count = len(upload.work) + len(upload.elsewhere)
        self.logger.info(f"Sending {describe_size(count, upload.size)} to {self.settings.target}")
        for there, path in upload.elsewhere.items():
            with self.remote.open("put", there) as (stdin, _), path.open("rb") as file:
                _copy(file, stdin)
        job = {
            "id": identifier,
            "command": self.command.shown,
            "test": self.command.test,
            "mltk": __version__,
        }
        own_log_dir = self.model.attributes.stored.get("log_dir") is not None
        texts = {
            "run/job.json": json.dumps(job) + "\n",
            "run/shutdown.sh": shutdown_script(self.settings),
            "run/run.sh": run_script(
                self.settings,
                self.command.arguments,
                log_name=f"{self.model.name}-test" if self.command.test else self.model.name,
                packages=list_installed_packages(),
                own_log_dir=[self.command.script.name, *(["test"] if self.command.test else [])]
                if own_log_dir
                else None,
            ),
        }
        with self.remote.open("receive", identifier) as (stdin, _):
            write_tar(stdin, {f"work/{name}": path for name, path in upload.work.items()}, texts)
        return job

    def follow(self, state: _State) -> None:
        """Show the command's log from the last position until the command ends."""
        record = cache_dir() / "ssh" / f"{self.model.name}.json"
        shown = _LogPosition(record, str(state.job.get("id")))
        while True:
            try:
                with self.remote.open("follow", str(shown.offset), detached=True) as (_, output):
                    for chunk in iter(lambda: output.read1(1 << 16), b""):
                        # Update the offset first, so that output is not shown twice after an interruption.
                        shown.offset += len(chunk)
                        click.echo(chunk, nl=False)
                return
            except KeyboardInterrupt:
                if not _is_interactive() or not self._ask(self.resume_hint):
                    self.logger.warning(
                        f"'{state.command}' continues on {self.settings.target}. Follow it with: {self.resume_hint}"
                    )
                    raise
            except ConnectionLostError as e:
                raise RemoteError(
                    f"{e} The command continues there. Follow it with: {self.resume_hint}"
                ) from e
            finally:
                shown.save()

    def _ask(self, hint: str) -> bool:
        """Ask what to do on Ctrl-C; return True to continue showing the log."""
        answer = click.prompt(
            f"\nThe command continues on {self.settings.target}. Leave it alone (l), kill it (k), or watch on (w)?",
            type=click.Choice(["l", "k", "w"]),
            default="l",
            show_choices=False,
            err=True,
        )
        if answer == "k":
            self.remote.call("stop")
        return answer != "l"

    def finish(self, patterns: list[str], pairs: dict[str, str]) -> int:
        """Copy the results back, run the shut-down commands and return the command's exit code."""
        state = self.begin()
        if state.kind == "lost":
            self.logger.error(
                f"'{state.command}' has ended on {self.settings.target} without an exit code: "
                f"it was killed, or the machine was restarted."
            )
        self._check_version()
        archive = self._fetch_archive()
        if state.exit_code == 0 or archive:
            self._fetch_logs()
        else:
            self.logger.warning(
                f"The command failed; nothing was copied back from {state.folder}, and nothing changed here."
            )
        if patterns or pairs:
            self._fetch_files(patterns, pairs, required=state.exit_code == 0)
        self.remote.call("brought")
        if self.settings.shutdown:
            self._shut_down()
        return state.exit_code

    def _check_version(self) -> None:
        there = self.remote.call("version").strip()
        if there and there.split(".")[:2] != __version__.split(".")[:2]:
            self.logger.warning(
                f"mltk has version {there} on {self.settings.target}, but {__version__} here."
            )

    def _fetch_archive(self) -> bool:
        target = Path(self.model.archive_path)
        with temporary_folder(target) as folder:
            # On the other machine the archive is always in the specification's folder.
            part = folder / f"{self.model.name}{'-test' if self.command.test else ''}.mltk.zip"
            with self.remote.open("archive", part.name) as (_, output):
                save_stream(output, part)
            if not part.stat().st_size:
                return False
            check_archive(part, [f"{self.model.name}.py"])
            if not holds_specification(part, self.command.script):
                self.logger.warning(
                    f"The specification in the archive differs from {self.command.script}. "
                    f"Look at it before you run it with --trust."
                )
            replace_file(part, target)
        self.logger.info(f"Archive: {target}")
        return True

    def _fetch_logs(self) -> None:
        target = Path(self.model.log_dir)
        with temporary_folder(target) as new, temporary_folder(target) as old:
            with self.remote.open("logs") as (_, output):
                paths = read_tar(output, new)
            self._report_left_out([path for path in paths if is_code(path)])
            if paths:
                replace_entries(target, new, old)
                self.logger.info(f"Logs: {target}")

    def _report_left_out(self, paths: list[Path]) -> None:
        if paths:
            self.logger.warning(
                f"Not copied back, because it is code or was not asked for: {', '.join(map(str, paths[:5]))}"
                f"{f' and {len(paths) - 5} more' if len(paths) > 5 else ''}. ssh_download_files may name code in full."
            )

    def _fetch_files(self, patterns: list[str], pairs: dict[str, str], required: bool) -> None:
        folder = self.command.script.parent
        if patterns:
            with temporary_folder(self.command.script) as temporary:
                with self.remote.open("files", *patterns) as (_, output):
                    paths = read_tar(output, temporary)
                asked = [path for path in paths if is_asked_for(path, patterns)]
                self._report_left_out([path for path in paths if path not in asked])
                for path in asked:
                    (folder / path).parent.mkdir(parents=True, exist_ok=True)
                    (temporary / path).replace(folder / path)
                    self.logger.info(f"File: {folder / path}")
        for there, here in pairs.items():
            path = folder / Path(here).expanduser()
            try:
                with self.remote.open("get", there) as (_, output):
                    part = path.with_name(f".{path.name}.part")
                    save_stream(output, part)
                replace_file(part, path)
            except ConnectionLostError:
                raise
            except RemoteError as e:
                if required:
                    self.logger.warning(str(e))
            else:
                self.logger.info(f"File: {path}")

    def _shut_down(self) -> None:
        try:
            with self.remote.open("shutdown") as (_, output):
                for line in output:
                    click.echo(line, nl=False)
        except ConnectionLostError:
            self.logger.info(f"{self.settings.target} closed the connection.")
        except RemoteError as e:
            self.logger.warning(str(e))


class _LogPosition:
    """Number of bytes of a command's log that were shown, stored between runs of `mltk ssh`."""

    def __init__(self, path: Path, job: str) -> None:
        self._path = path
        self._job = job
        self.offset = 0
        try:
            kept = json.loads(path.read_text(encoding="utf-8"))
            if kept["job"] == job:
                self.offset = int(kept["offset"])
        except (OSError, ValueError, KeyError, TypeError):
            # Show the whole log.
            self.offset = 0

    def save(self) -> None:
        atomic_write(self._path, json.dumps({"job": self._job, "offset": self.offset}))


def _is_interactive() -> bool:
    return sys.stdin.isatty()


def _copy(source: IO[bytes], target: IO[bytes]) -> None:
    shutil.copyfileobj(source, target, 1 << 20)
