"""`mltk ssh`."""

from __future__ import annotations

import click

from mltk.cli import get_logger
from mltk.errors import MltkError
from mltk.sources.loading import load_mltk_model
from mltk.sources.search import user_settings


@click.command(
    "ssh",
    context_settings={"allow_interspersed_args": False, "help_option_names": ["--help"]},
)
@click.option(
    "-h",
    "--host",
    metavar="[USER@]HOST[:PORT][/FOLDER]",
    help="Host name, address, or a Host of ~/.ssh/config (default: from the settings file).",
)
@click.option(
    "-i", "--identity_file", "--identity-file", "key", metavar="KEY", help="File of the private key."
)
@click.option("-p", "--port", type=click.IntRange(1, 65535), help="Port of the SSH server.")
@click.option("--password", is_flag=True, help="Let ssh ask for a password on the terminal.")
@click.option(
    "--resume", is_flag=True, help="Follow the command that was started before, and copy the results back."
)
@click.option(
    "--wait/--no-wait", default=True, help="Wait for the command to finish (default), or only start it."
)
@click.option(
    "--force",
    is_flag=True,
    help="Stop an active command on the model, or discard its results, to start this one.",
)
@click.option("--clean", is_flag=True, help="Remove the model's folder on the other machine first.")
@click.option("-v", "--verbose", is_flag=True, help="Show more details.")
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED, metavar="COMMAND [ARGS]...")
@click.pass_context
def ssh_command(
    context: click.Context,
    host: str | None,
    key: str | None,
    port: int | None,
    password: bool,
    resume: bool,
    wait: bool,
    force: bool,
    clean: bool,
    verbose: bool,
    command: tuple[str, ...],
) -> None:
    """Run an mltk command on another machine and copy logs and archive back.

    COMMAND is a command on a model with a specification: mltk ssh -h gpu train my_model --epochs 50.
    It continues if the connection ends; Ctrl-C asks whether to kill it.
    """
    from mltk_plugin_ssh._command import read_command

    remote_command = read_command(context, command)
    get_logger(verbose=verbose)
    from mltk_plugin_ssh._session import Options, run
    from mltk_plugin_ssh._settings import gather_settings

    if resume and (force or clean):
        raise MltkError("--resume continues a command, but --force and --clean discard it. Use one of them.")
    section = user_settings().get("ssh") or {}
    # Check the settings before loading the specification, which may take long.
    gather_settings(section, None, host, port, key, password)
    model = load_mltk_model(remote_command.script, test=remote_command.test)
    settings = gather_settings(section, model, host, port, key, password)
    context.exit(run(model, remote_command, settings, Options(resume, wait, force, clean)))
