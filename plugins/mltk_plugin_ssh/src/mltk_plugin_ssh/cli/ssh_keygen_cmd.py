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
@click.option("-o", "--output", default="~/.ssh", show_default=True, metavar="DIR", help="Output folder.")
@click.option(
    "-l",
    "--length",
    type=click.IntRange(2048, 16384),
    default=3072,
    show_default=True,
    help="Length of an rsa key in bits.",
)
def ssh_keygen_command(name: str, kind: str, output: str, length: int) -> None:
    """Create the SSH key pair id_NAME, id_NAME.pub.

    On a terminal, ssh-keygen asks for a passphrase; otherwise the key has none.
    """
    if not re.fullmatch(r"[A-Za-z0-9_.-]+", name):
        raise MltkError(f"'{name}' is not a valid key name: use letters, digits, '_', '-' and '.'.")
    if shutil.which("ssh-keygen") is None:
        raise MltkError(
            "'ssh-keygen' was not found on this machine. Install the OpenSSH client (openssh-client)."
        )
    folder = Path(output).expanduser()
    path = folder / f"id_{name}"
    for existing in (path, path.with_name(f"{path.name}.pub")):
        if existing.exists():
            raise MltkError(f"The file {existing} already exists. Choose another name, or remove the file.")
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
    click.echo(f"Copy it to the machine with: ssh-copy-id -i {path}.pub [USER@]HOST", err=True)
