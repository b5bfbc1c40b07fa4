"""Shell scripts that run a command and the shut-down commands on the other machine."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from mltk import __version__
from mltk.plugins import get_plugin_manager
from mltk_plugin_ssh._settings import Settings

_BEGIN = """\
cd -- "$(dirname -- "$0")/../.." || exit
run=.mltk-ssh/run
fail() { printf 'mltk: error: %s\\n' "$*" >&2; exit 1; }
"""

# The trap also runs after a signal, and after `exit` in a start-up command.
_END = """\
echo $$ >$run/pid
finish() {
    local code=$?
    trap - EXIT
    local cache=${MLTK_CACHE_DIR:-$HOME/.mltk}
    case $cache in "~"*) cache=$HOME${cache#"~"} ;; esac
    [ -e $run/log_dir ] || printf '%s\\n' "$cache"/models/LOG_NAME >$run/log_dir
    echo $code >$run/exit.part && mv $run/exit.part $run/exit
}
trap finish EXIT
trap 'exit 143' TERM
trap 'exit 129' HUP
"""

_VENV = """\
venv=../mltk-venv
{
    [ -x $venv/bin/python ] || "$python" -m venv $venv || fail "Failed to create the virtual environment."
} 9>&-
. $venv/bin/activate
python=python
"""

_INSTALL = """\
"$python" -c 'import mltk' 2>/dev/null || "$python" -m pip install --quiet PACKAGES 9>&- || \\
    fail "Failed to install mltk in $PWD/../mltk-venv. Install it in ssh_startup_cmds."
"""

# The last line of the error names the missing module or the problem.
_CHECK = """\
"$python" -c 'import mltk; print(mltk.__version__)' >$run/version 2>$run/import_error ||
    fail "'$python' on this machine cannot import mltk ($(tail -n 1 $run/import_error)). Install it there," \\
        "activate its environment in ssh_startup_cmds, or set ssh_create_venv = True."
"""

_LOG_DIR = """\
code=$?
"$python" -c 'import sys
from mltk.core import load_mltk_model
print(load_mltk_model(sys.argv[1], test=len(sys.argv) > 2).log_dir)' SPEC 2>/dev/null | tail -n 1 >$run/log_dir
exit $code
"""


def run_script(
    settings: Settings,
    arguments: Sequence[str],
    log_name: str,
    packages: Sequence[str],
    own_log_dir: Sequence[str] | None,
) -> str:
    """Return the script that runs an mltk command.

    Args:
        settings: Environment, virtual environment and start-up commands.
        arguments: The command, after `mltk`.
        log_name: Name of the model's log folder.
        packages: pip requirements to install in a virtual environment without mltk.
        own_log_dir: If the specification sets its log folder: its file name, followed by any string in test mode.
    """
    parts = [_BEGIN, _END.replace("LOG_NAME", shlex.quote(log_name)), _environment(settings)]
    if settings.create_venv:
        parts.append(_VENV)
    parts += [_startup(command) for command in settings.startup]
    if settings.create_venv:
        parts.append(_INSTALL.replace("PACKAGES", shlex.join(packages)))
    parts += [_CHECK, f'"$python" -m mltk {shlex.join(arguments)}\n']
    if own_log_dir:
        parts.append(_LOG_DIR.replace("SPEC", shlex.join(own_log_dir)))
    return "".join(parts)


def shutdown_script(settings: Settings) -> str:
    """Return the script with the shut-down commands; empty without any."""
    if not settings.shutdown:
        return ""
    parts = [_BEGIN, _environment(settings)]
    if settings.create_venv:
        parts.append(". ../mltk-venv/bin/activate\n")
    # Run all commands, and report a failure in the exit code.
    parts.append("code=0\n")
    parts += [
        f"eval {shlex.quote(command)} || {{ code=$?; echo {shlex.quote(_failed('shut-down', command))} >&2; }}\n"
        for command in settings.shutdown
    ]
    return "".join([*parts, "exit $code\n"])


def _environment(settings: Settings) -> str:
    lines = [f"export {name}={shlex.quote(value)}\n" for name, value in settings.environment.items()]
    python = settings.python
    # The shell does not expand a quoted ~.
    home, rest = ('"$HOME"', python[1:]) if python.startswith("~/") else ("", python)
    return "".join([*lines, f"python={home}{shlex.quote(rest)}\n"])


def _startup(command: str) -> str:
    # Close the lock's descriptor, so that background processes do not hold the lock.
    return f"eval {shlex.quote(command)} 9>&- || fail {shlex.quote(_failed('start-up', command))}\n"


def _failed(kind: str, command: str) -> str:
    return f"The {kind} command failed: {command}"


def list_installed_packages() -> list[str]:
    """Return mltk and the active plugins of this machine as pip requirements with versions."""
    plugins = {
        f"{record.distribution}=={record.version}"
        for record in get_plugin_manager().records()
        if record.status == "active" and record.distribution and not record.builtin
    }
    return [f"mltk-core=={__version__}", *sorted(plugins)]
