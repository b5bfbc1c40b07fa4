"""The operating system: `mltk.utils.system`."""

from __future__ import annotations

import getpass
import os
import signal
import sys
from pathlib import Path


def get_current_os() -> str:
    """Return `linux`, `osx`, `windows` or `unknown`."""
    return {"linux": "linux", "darwin": "osx", "win32": "windows"}.get(sys.platform, "unknown")


def is_linux() -> bool:
    """Return True on Linux."""
    return get_current_os() == "linux"


def is_osx() -> bool:
    """Return True on macOS."""
    return get_current_os() == "osx"


def is_windows() -> bool:
    """Return True on Windows."""
    return get_current_os() == "windows"


def get_username() -> str:
    """Return the name of the user."""
    return getpass.getuser()


def has_admin() -> tuple[str, bool]:
    """Return the name of the user, and whether it is root."""
    return get_username(), hasattr(os, "geteuid") and os.geteuid() == 0


def make_path_executable(path: str | os.PathLike[str]) -> None:
    """Allow whoever may read a file to execute it."""
    mode = Path(path).stat().st_mode
    Path(path).chmod(mode | (mode & 0o444) >> 2)


def send_signal(sig: int = signal.SIGINT, pid: int = -1) -> None:
    """Send a signal to a process; to this one by default."""
    os.kill(os.getpid() if pid < 0 else pid, sig)


def raise_signal(sig: int = signal.SIGINT) -> None:
    """Send a signal to this process."""
    signal.raise_signal(sig)
