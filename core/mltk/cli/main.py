"""The command `mltk`."""

from __future__ import annotations

import atexit
import errno
import os
import sys
from collections.abc import Mapping
from contextlib import contextmanager, redirect_stderr
from importlib import import_module
from itertools import takewhile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mltk import __version__
from mltk._namespace import BLOCK_VARIABLE
from mltk.cli._console import print_error
from mltk.cli._table import COMMANDS
from mltk.errors import MltkError, did_you_mean

if TYPE_CHECKING:
    from collections.abc import Iterator

    from click.shell_completion import CompletionItem

    from mltk.plugins import PluginManager
    from mltk.plugins.types import Command

# What the system refuses, and the user can put right. Other errors of this kind are defects.
_REFUSALS = (
    errno.EACCES,
    errno.EDQUOT,
    errno.ENOSPC,
    errno.ENOTDIR,
    errno.EPERM,
    errno.EROFS,
)


class RootGroup(click.Group):
    """Imports a command only when it runs, and turns errors into one line."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Obey `--no-plugins` wherever it stands before the command, also behind `--help`."""
        if "--no-plugins" in takewhile(lambda arg: arg.startswith("-"), args):
            from mltk.plugins._manager import forget_plugins

            # Processes that the command starts must obey it too.
            os.environ[BLOCK_VARIABLE] = "*"
            forget_plugins()
        return super().parse_args(ctx, args)

    def make_context(
        self, info_name: str | None, args: list[str], parent: click.Context | None = None, **extra: Any
    ) -> click.Context:
        """Parse the options of `mltk` itself; `--help` asks the plugins for their commands."""
        with _errors_in_one_line(debug="--debug" in args):
            return super().make_context(info_name, args, parent, **extra)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command."""
        with _errors_in_one_line(ctx.params["debug"]):
            return super().invoke(ctx)

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of the built-in commands and of the plugins'."""
        return [*COMMANDS, *plugin_commands()]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import a command; `-` and `_` in its name are the same."""
        name = _find(cmd_name, COMMANDS)
        if name is not None:
            module, _, attribute = COMMANDS[name].target.partition(":")
            command: click.Command = getattr(import_module(module), attribute)
            return command
        added = plugin_commands()
        name = _find(cmd_name, added)
        return None if name is None else _plugin_command(added[name])

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command; an unknown one is answered with near matches."""
        name = args[0]
        if not ctx.resilient_parsing and not name.startswith("-"):
            known = self.list_commands(ctx) if _find(name, COMMANDS) is None else COMMANDS
            if _find(name, known) is None:
                raise click.UsageError(f"No such command '{name}'.{did_you_mean(name, known)}", ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, row.summary) for name, row in COMMANDS.items()])
        added = plugin_commands()
        if added:
            with formatter.section("Commands of plugins"):
                formatter.write_dl([(name, command.summary) for name, (_, command) in added.items()])

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Complete names of commands without importing them."""
        from click.shell_completion import CompletionItem

        # Warnings about plugins would be written into the command line.
        with _silent_stderr():
            summaries = {name: row.summary for name, row in COMMANDS.items()}
            summaries.update({name: command.summary for name, (_, command) in plugin_commands().items()})
        items = [CompletionItem(n, help=text) for n, text in summaries.items() if n.startswith(incomplete)]
        return items + click.Command.shell_complete(self, ctx, incomplete)


@click.command(cls=RootGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="mltk", message="%(prog)s %(version)s")
@click.option(
    "--no-plugins",
    is_flag=True,
    help=f"Leave all plugins out.  [env var: {BLOCK_VARIABLE}: names to leave out, or '*']",
)
@click.option("--debug", is_flag=True, help="Show the traceback of every error.")
@click.option("--gpu/--no-gpu", default=True, help="Whether TensorFlow may use a GPU.")
def root_cli(no_plugins: bool, debug: bool, gpu: bool) -> None:
    """Train, quantize, evaluate and pack models for microcontrollers."""
    if not gpu:
        os.environ["CUDA_VISIBLE_DEVICES"] = "-1"


def main() -> None:
    """Run the command line of this process."""
    status: Any = 0
    try:
        root_cli(prog_name="mltk")
    except SystemExit as e:
        status = e.code
    except BaseException:
        # A traceback is shown.
        if "tensorflow" not in sys.modules:
            raise
        sys.excepthook(*sys.exc_info())
        status = 1
    finally:
        try:
            sys.stdout.flush()
        except BrokenPipeError:
            # The reader (`| head`) has gone; Python would complain when it flushes at exit.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    if "tensorflow" in sys.modules and isinstance(status, int | None):
        # An abandoned pipeline of tf.data waits for its Python functions, which have no turn any more once the
        # interpreter takes itself down: some processes would not end.
        atexit._run_exitfuncs()
        sys.stderr.flush()
        os._exit(status or 0)
    sys.exit(status)


def plugin_commands(manager: PluginManager | None = None) -> Mapping[str, tuple[str, Command]]:
    """Return the commands that plugins add: name to plugin and command.

    Args:
        manager: Whose plugins; those of `get_plugin_manager()` by default.
    """
    if manager is None:
        from mltk.plugins import get_plugin_manager

        manager = get_plugin_manager()
    added: dict[str, tuple[str, Command]] = {}
    owners: dict[str, str | None] = {_folded(name): None for name in COMMANDS}
    for plugin, commands in manager.call_each("mltk_commands"):
        for name, command in commands:
            if _folded(name) not in owners:
                owners[_folded(name)] = plugin
                added[name] = (plugin, command)
                continue
            owner = owners[_folded(name)]
            rival = "mltk itself" if owner is None else manager.describe(owner)
            manager.report(f"The command '{name}' of {manager.describe(plugin)} is left out: {rival} has it.")
    return dict(sorted(added.items()))


def _plugin_command(added: tuple[str, Command]) -> click.Command:
    from mltk.plugins import get_plugin_manager

    plugin, command = added
    try:
        loaded = command.load()
        if not isinstance(loaded, click.Command):
            raise TypeError(f"{command.target} is not a click command")
        return loaded
    # Whatever goes wrong in it, the user must learn whose command this is.
    except Exception as e:
        whose = get_plugin_manager().describe(plugin)
        raise MltkError(
            f"The command '{command.name}' of {whose} cannot be loaded: {type(e).__name__}: {e}"
        ) from e


def _find(name: str, known: Mapping[str, object] | list[str]) -> str | None:
    """Return the known name that equals `name` when `-` and `_` are the same."""
    if name in known:
        return name
    return next((k for k in known if _folded(k) == _folded(name)), None)


def _folded(name: str) -> str:
    return name.replace("-", "_")


def _place_in_specification(error: BaseException) -> str | None:
    """Return the line of the user's specification that an exception came through, if any."""
    # Nothing was loaded when the module was not.
    loading = sys.modules.get("mltk.sources.script")
    return loading.place_in_specification(error) if loading else None


@contextmanager
def _errors_in_one_line(debug: bool) -> Iterator[None]:
    """Turn what the user can put right, and Ctrl-C, into one line on stderr and an exit code."""
    try:
        yield
    except MltkError as e:
        if debug:
            raise
        print_error(" ".join([str(e), *getattr(e, "__notes__", ())]))
        raise click.exceptions.Exit(1) from e
    except OSError as e:
        if debug or e.errno not in _REFUSALS:
            raise
        print_error(f"{e.filename or 'A file'} cannot be used: {os.strerror(e.errno)}.")
        raise click.exceptions.Exit(1) from e
    except click.exceptions.ClickException:
        raise
    except Exception as e:
        place = _place_in_specification(e)
        if debug or place is None:
            raise
        notes = "".join(f" {note}" for note in getattr(e, "__notes__", ()))
        print_error(f"{place}: {type(e).__name__}: {e}{notes} (--debug shows the traceback)")
        raise click.exceptions.Exit(1) from e
    except KeyboardInterrupt as e:
        if debug:
            raise
        click.echo("Interrupted.", err=True)
        raise click.exceptions.Exit(130) from e


@contextmanager
def _silent_stderr() -> Iterator[None]:
    with Path(os.devnull).open("w", encoding="utf-8") as nowhere, redirect_stderr(nowhere):
        yield
