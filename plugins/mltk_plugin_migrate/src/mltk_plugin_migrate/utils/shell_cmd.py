"""Programs: `mltk.utils.shell_cmd`."""

from __future__ import annotations

import logging
import os
import subprocess
from collections.abc import Callable, Iterable, Mapping
from typing import IO


def run_shell_cmd(
    cmd: str | Iterable[object],
    cwd: str | os.PathLike[str] | None = None,
    env: Mapping[str, str] | None = None,
    outfile: IO[str] | None = None,
    line_processor: Callable[[str], str | None] | None = None,
    logger: logging.Logger | None = None,
) -> tuple[int, str]:
    """Run a program and return its exit code and its output, stdout and stderr together.

    Args:
        cmd: A list of arguments; a text is run by the shell.
        cwd: Folder to run it in.
        env: Environment variables; by default those of this process.
        outfile: Receives each line of the output.
        line_processor: Called with each line; what it returns takes the place of the line.
        logger: Receives the command.
    """
    given = cmd if isinstance(cmd, str) else [str(part) for part in cmd]
    if logger is not None:
        logger.debug(
            "%s%s", f"CWD:{cwd}, " if cwd else "", given if isinstance(given, str) else " ".join(given)
        )
    lines: list[str] = []
    try:
        with subprocess.Popen(
            given,
            shell=isinstance(given, str),
            cwd=cwd,
            env=env,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        ) as process:
            for line in process.stdout or ():
                shown = line if line_processor is None else line_processor(line)
                lines.append(shown or "")
                if outfile is not None and shown:
                    outfile.write(shown)
    except OSError as e:
        return -1, str(e)
    return process.returncode, "".join(lines)
