"""`mltk ssh-keygen`."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import click

from mltk.errors import MltkError


@click.command("ssh-keygen")
@click.argument("name")
@click.option(
    "-t",
    "--type",
    "kind",
    type=click.Choice(["ed25519", "rsa"], case_sensitive=False),
    default="ed25519",
    show_default=True,
)
@click.option(
    "-o", "--output", default="~/.ssh", show_default=True, metavar="DIR", help="Folder for the files."
)
@click.option(
    "-l",
    "--length",
    type=click.IntRange(2048, 16384),
    default=3072,
    show_default=True,
    help="Bits of an rsa key.",
)
def ssh_keygen_command(name: str, kind: str, output: str, length: int) -> None:
    """Make a key pair id_NAME, id_NAME.pub to log in to another machine with.

    On a terminal, ssh-keygen asks for a passphrase; otherwise there is none.
    """
    if not re.fullmatch(r"[A-Za-z0-9_.-]+", name):
        raise MltkError(f"'{name}' cannot be the name of a key: use letters, digits, '_', '-' and '.'.")
    if shutil.which("ssh-keygen") is None:
        raise MltkError(
            "There is no 'ssh-keygen' on this machine. Install OpenSSH's client (openssh-client)."
        )
    folder = Path(output).expanduser()
    path = folder / f"id_{name}"
    for existing in (path, path.with_name(f"{path.name}.pub")):
        if existing.exists():
            raise MltkError(f"There is a file {existing} already. Choose another name, or remove it.")
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    arguments = ["ssh-keygen", "-q", "-t", kind, "-f", str(path), "-C", name]
    if kind == "rsa":
        arguments += ["-b", str(length)]
    if not sys.stdin.isatty():
        arguments += ["-N", ""]
    done = subprocess.run(arguments, check=False, stderr=subprocess.PIPE, text=True)
    if done.returncode:
        raise MltkError(f"ssh-keygen failed: {done.stderr.strip() or f'exit code {done.returncode}'}")
    click.echo(f"Private key: {path}")
    click.echo(f"Public key:  {path}.pub")
    click.echo(path.with_name(f"{path.name}.pub").read_text(encoding="utf-8").strip())
    click.echo(f"Bring it to the machine with: ssh-copy-id -i {path}.pub [USER@]HOST", err=True)
