"""`mltk ssh`."""

from __future__ import annotations

import click

from mltk.cli import get_logger


@click.command(
    "ssh",
    context_settings={"allow_interspersed_args": False, "help_option_names": ["--help"]},
)
@click.option(
    "-h",
    "--host",
    metavar="[USER@]HOST[:PORT][/FOLDER]",
    help="The machine: a name, an address, or a Host of ~/.ssh/config. By default that of the settings file.",
)
@click.option(
    "-i", "--identity_file", "--identity-file", "key", metavar="KEY", help="File of the private key."
)
@click.option("-p", "--port", type=click.IntRange(1, 65535), help="Port of the SSH server.")
@click.option("--password", is_flag=True, help="Let ssh ask for a password on the terminal.")
@click.option(
    "--resume", is_flag=True, help="Follow the command that was started before, and bring its results back."
)
@click.option(
    "--wait/--no-wait", default=True, help="Wait for the end of the command (default); or only start it."
)
@click.option(
    "--force",
    is_flag=True,
    help="End a command on the model that is active there, or discard its results, to start this one.",
)
@click.option("--clean", is_flag=True, help="Remove the model's folder there first.")
@click.option("-v", "--verbose", is_flag=True, help="Show more of what happens.")
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
    """Run an mltk command on another machine, and bring logs and archive back.

    COMMAND is one on a model with a specification, with its own arguments: mltk ssh -h gpu train my_model --epochs 50.
    It goes on there when the connection ends; Ctrl-C asks whether to kill it.
    """
    from mltk_plugin_ssh._command import read_command

    remote_command = read_command(context, command)
    get_logger(verbose=verbose)
    from mltk.errors import MltkError
    from mltk.sources.loading import load_mltk_model
    from mltk.sources.search import user_settings
    from mltk_plugin_ssh._session import Options, run
    from mltk_plugin_ssh._settings import gather_settings

    if resume and (force or clean):
        raise MltkError("--resume goes on with a command; --force and --clean discard it. Give one of them.")
    section = user_settings().get("ssh") or {}
    # Before the specification is loaded, which may take long.
    gather_settings(section, None, host, port, key, password)
    model = load_mltk_model(remote_command.script, test=remote_command.test)
    settings = gather_settings(section, model, host, port, key, password)
    context.exit(run(model, remote_command, settings, Options(resume, wait, force, clean)))
