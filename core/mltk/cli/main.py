"""The command `mltk`."""

from __future__ import annotations

import atexit
import errno
import os
import sys
from collections.abc import Mapping
from contextlib import contextmanager, redirect_stderr
from itertools import takewhile
from pathlib import Path
from typing import TYPE_CHECKING

import click

from mltk import __version__
from mltk._namespace import BLOCK_VARIABLE, install_hint
from mltk.builtin import commands
from mltk.cli._console import print_error
from mltk.cli._plugin_options import with_plugin_options
from mltk.cli._streams import flush_streams, make_streams_last
from mltk.errors import MltkError, did_you_mean
from mltk.plugins import forget_plugins, get_plugin_manager

if TYPE_CHECKING:
    from collections.abc import Iterator

    from click.shell_completion import CompletionItem

    from mltk.plugins import Command, PluginManager

# Errors of the operating system that the user can fix; others are defects.
_REFUSALS = (
    errno.EACCES,
    errno.EDQUOT,
    errno.EFBIG,
    errno.EIO,
    errno.EISDIR,
    errno.ELOOP,
    errno.EMFILE,
    errno.ENAMETOOLONG,
    errno.ENFILE,
    errno.ENODEV,
    errno.ENOSPC,
    errno.ENOTDIR,
    errno.ENXIO,
    errno.EPERM,
    errno.EROFS,
    errno.ESTALE,
)


class RootGroup(click.Group):
    """Imports a command only when it runs, and turns errors into one line."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Apply `--no-plugins` anywhere before the command, also after `--help`."""
        if "--no-plugins" in takewhile(lambda arg: arg.startswith("-"), args):
            # Processes that the command starts must obey it too.
            os.environ[BLOCK_VARIABLE] = "*"
            forget_plugins()
        return super().parse_args(ctx, args)

    def make_context(
        self, info_name: str | None, args: list[str], parent: click.Context | None = None, **extra: object
    ) -> click.Context:
        """Parse the options of `mltk`; `--help` asks the plugins for their commands."""
        with _errors_in_one_line(debug="--debug" in args):
            return super().make_context(info_name, args, parent, **extra)

    def invoke(self, ctx: click.Context) -> object:
        """Run the command."""
        with _errors_in_one_line(ctx.params["debug"]):
            return super().invoke(ctx)

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of the built-in commands and of the plugins'."""
        return list(find_commands())

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import a command and add the plugins' options to it; `-` and `_` in its name are the same."""
        builtin = builtin_commands()
        name = _find(cmd_name, builtin)
        if name is not None:
            return with_plugin_options(name, builtin[name].load())
        added = find_commands()
        name = _find(cmd_name, added)
        return None if name is None else with_plugin_options(name, _load_plugin_command(*added[name]))

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command; for an unknown one, name near matches or the plugin to install."""
        name = args[0]
        if not ctx.resilient_parsing and not name.startswith("-") and _find(name, builtin_commands()) is None:
            known = self.list_commands(ctx)
            if _find(name, known) is None:
                hint = did_you_mean(name, known)
                install = install_hint(name)
                raise click.UsageError(
                    f"No such command '{name}'.{hint}{f' {install}' if install else ''}", ctx
                )
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands without importing them."""
        builtin = builtin_commands()
        with formatter.section("Commands"):
            formatter.write_dl([(name, command.summary) for name, command in builtin.items()])
        added = [(name, found[1].summary) for name, found in find_commands().items() if name not in builtin]
        if added:
            with formatter.section("Commands of plugins"):
                formatter.write_dl(added)

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Complete names of commands without importing them."""
        from click.shell_completion import CompletionItem

        # Warnings about plugins would be written into the command line.
        with _silent_stderr():
            summaries = {name: command.summary for name, (_, command) in find_commands().items()}
        items = [CompletionItem(n, help=text) for n, text in summaries.items() if n.startswith(incomplete)]
        return items + click.Command.shell_complete(self, ctx, incomplete)


@click.command(cls=RootGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, message="%(version)s")
@click.option(
    "--no-plugins",
    is_flag=True,
    help=f"Do not load plugins.  [env var: {BLOCK_VARIABLE}: names to block, or '*']",
)
@click.option("--debug", is_flag=True, help="Show the traceback of every error.")
@click.option("--gpu/--no-gpu", default=True, help="Allow TensorFlow to use a GPU.")
def root_cli(no_plugins: bool, debug: bool, gpu: bool) -> None:
    """Train, quantize, evaluate and pack models for microcontrollers."""
    if not gpu:
        os.environ["CUDA_VISIBLE_DEVICES"] = "-1"


def main() -> None:
    """Run the command line of this process."""
    status: str | int | None = 0
    make_streams_last()
    try:
        root_cli(prog_name="mltk")
    except SystemExit as e:
        status = e.code
    except BaseException:
        if "tensorflow" not in sys.modules:
            raise
        sys.excepthook(*sys.exc_info())
        status = 1
    if lost := flush_streams():
        print_error(f"The output is incomplete, because stdout cannot be written: {lost}.")
        status = status or 1
    if "tensorflow" in sys.modules and isinstance(status, int | None):
        # Abandoned tf.data pipelines wait for Python functions that no longer run when the interpreter shuts down:
        # some processes would never exit.
        atexit._run_exitfuncs()
        sys.stderr.flush()
        os._exit(status or 0)
    sys.exit(status)


def builtin_commands() -> Mapping[str, Command]:
    """Return the commands that the built-in plugin offers, by name; loads no other plugin."""
    return {command.name: command for command in commands.mltk_commands()}


def find_commands(manager: PluginManager | None = None) -> Mapping[str, tuple[str, Command]]:
    """Return all commands by name, the built-in ones first, each with its plugin.

    Args:
        manager: Its plugins are asked; by default those of `get_plugin_manager()`.
    """
    manager = manager or get_plugin_manager()
    found: dict[str, tuple[str, Command]] = {}
    owners: dict[str, str] = {}
    answers = manager.call_each("mltk_commands")
    own = {record.name for record in manager.records() if record.builtin}
    for plugin, offered in sorted(answers, key=lambda answer: answer.plugin not in own):
        for name, command in offered:
            if _folded(name) not in owners:
                owners[_folded(name)] = plugin
                found[name] = (plugin, command)
                continue
            rival = manager.describe(owners[_folded(name)])
            manager.report(f"The command '{name}' of {manager.describe(plugin)} is left out: {rival} has it.")
    added = sorted(name for name, (plugin, _) in found.items() if plugin not in own)
    return {name: found[name] for name in (*(n for n in found if n not in added), *added)}


def _load_plugin_command(plugin: str, command: Command) -> click.Command:
    try:
        return command.load()
    # Foreign code may raise anything; the message names the plugin.
    except Exception as e:
        owner = get_plugin_manager().describe(plugin)
        raise MltkError(
            f"The command '{command.name}' of {owner} cannot be loaded: {type(e).__name__}: {e}"
        ) from e


def _find(name: str, known: Mapping[str, object] | list[str]) -> str | None:
    """Return the known name that equals `name` when `-` and `_` are the same."""
    if name in known:
        return name
    return next((k for k in known if _folded(k) == _folded(name)), None)


def _folded(name: str) -> str:
    return name.replace("-", "_")


def _place_in_specification(error: BaseException) -> str | None:
    """Return the line of the user's specification in the traceback of an exception, if any."""
    # Without the module, no specification was loaded.
    loading = sys.modules.get("mltk.sources.script")
    return loading.place_in_specification(error) if loading else None


def _working_directory_is_gone() -> bool:
    try:
        Path.cwd()
    except FileNotFoundError:
        return True
    return False


@contextmanager
def _errors_in_one_line(debug: bool) -> Iterator[None]:
    """Turn errors that the user can fix, and Ctrl-C, into one line on stderr and an exit code."""
    try:
        yield
    except MltkError as e:
        if debug:
            raise
        print_error(" ".join([str(e), *getattr(e, "__notes__", ())]))
        raise click.exceptions.Exit(1) from e
    except OSError as e:
        if debug:
            raise
        if e.errno == errno.ENOENT and _working_directory_is_gone():
            print_error("The working directory was removed. Change to another one, then try again.")
            raise click.exceptions.Exit(1) from e
        if e.errno not in _REFUSALS:
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
