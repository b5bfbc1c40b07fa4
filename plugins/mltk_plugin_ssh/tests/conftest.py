"""An SSH server on loopback, and what `mltk ssh` needs to use it."""

from __future__ import annotations

import getpass
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml


@pytest.fixture(autouse=True)
def interrupts():
    """Let Ctrl-C reach what the tests start: a shell's background jobs begin with it ignored, and hand that on."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


TOOL = """
# @mltk_model
import os
import time
from pathlib import Path

from helper_of_tool import GREETING
from mltk.core import MltkModel


class MyModel(MltkModel):
    pass


my_model = MyModel()


@my_model.cli.command("work")
def work(code: int = 0, wait: bool = False, damage: bool = False):
    if "EXTRA" in os.environ:
        Path("extra.py").write_text("print('foreign')")
        Path("extra.txt").write_text("asked for")
    print(GREETING, "begun", os.environ.get("PURPOSE", ""), my_model.archive.names(), flush=True)
    Path("begun").touch()
    while wait and not Path("go").exists():
        time.sleep(0.05)
    if not code:
        Path(my_model.create_log_dir("train"), "note.txt").write_text("there")
        my_model.archive.update({**my_model.specification_member(), "made.txt": b"there"})
    if damage:
        path = Path(my_model.archive_path)
        path.write_bytes(path.read_bytes()[:-30])
    print("done")
    raise SystemExit(code)
"""


@dataclass
class Server:
    """A running sshd."""

    folder: Path
    port: int
    process: subprocess.Popen[bytes]

    def end_connections(self) -> None:
        """Kill the processes that serve connections, as a network that breaks down would end them."""
        for status in Path("/proc").glob("[0-9]*/stat"):
            try:
                fields = status.read_text().rpartition(")")[2].split()
            except OSError:
                continue
            if int(fields[1]) == self.process.pid:
                os.kill(int(status.parent.name), signal.SIGKILL)


def _sshd() -> str:
    program = shutil.which("sshd", path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin")
    if program is None:
        pytest.skip("there is no sshd on this machine (Debian: apt-get install openssh-server)")
    for tool in ("ssh", "ssh-keygen", "bash", "flock", "setsid", "tar"):
        if shutil.which(tool) is None:
            pytest.skip(f"there is no {tool} on this machine")
    return program


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    program = _sshd()
    folder = tmp_path_factory.mktemp("sshd")
    if os.geteuid() == 0:
        # Where sshd, run by root, puts itself for what needs no rights.
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
    for name in ("host_key", "key", "other_key", "noisy_key"):
        command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / name)]
        subprocess.run(command, check=True)
    noisy = (
        'command="echo Welcome; eval \\"$SSH_ORIGINAL_COMMAND\\"" ' + (folder / "noisy_key.pub").read_text()
    )
    (folder / "authorized_keys").write_text((folder / "key.pub").read_text() + noisy)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    settings = {
        "Port": port,
        "ListenAddress": "127.0.0.1",
        "HostKey": folder / "host_key",
        "AuthorizedKeysFile": folder / "authorized_keys",
        "PidFile": "none",
        # The folder above is writable for others.
        "StrictModes": "no",
        "UsePAM": "no",
        "PasswordAuthentication": "no",
        "KbdInteractiveAuthentication": "no",
        "PermitRootLogin": "prohibit-password",
        "MaxStartups": "100",
    }
    (folder / "sshd_config").write_text("".join(f"{name} {value}\n" for name, value in settings.items()))
    with (folder / "sshd.log").open("wb") as log:
        process = subprocess.Popen([program, "-D", "-e", "-f", folder / "sshd_config"], stderr=log)
    try:
        deadline = time.monotonic() + 30
        while True:
            try:
                socket.create_connection(("127.0.0.1", port)).close()
                break
            except OSError:
                if process.poll() is not None or time.monotonic() > deadline:
                    pytest.skip(f"sshd does not run here: {(folder / 'sshd.log').read_text()[:500]}")
                time.sleep(0.05)
        yield Server(folder, port, process)
    finally:
        process.terminate()
        process.wait()


@dataclass
class There:
    """The other machine, as far as a test sees it: folders of the test's own."""

    server: Server
    root: Path
    settings_file: Path

    @property
    def models(self) -> Path:
        """The folder for all models."""
        return self.root / "models"

    def known(self, line: str) -> None:
        """Make a line the only known host key; `HOST` stands for the server's name in it."""
        text = line.replace("HOST", f"[127.0.0.1]:{self.server.port}")
        (self.root / "known_hosts").write_text(text)

    def log_in_with(self, key: str) -> None:
        """Use another of the server's keys."""
        path = self.root / "ssh_config"
        path.write_text(
            path.read_text().replace(str(self.server.folder / "key"), str(self.server.folder / key))
        )

    def configure(self, **settings: object) -> None:
        """Set entries of the section `ssh` of the settings file."""
        section = yaml.safe_load(self.settings_file.read_text())["ssh"] if self.settings_file.exists() else {}
        self.settings_file.write_text(yaml.safe_dump({"ssh": {**section, **settings}}))


@pytest.fixture
def there(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mltk_cli) -> There:
    """Let `mltk ssh` connect to the server without further options; the specifications are in `here`."""
    root = tmp_path / "there"
    root.mkdir()
    machine = There(server, root, tmp_path / "settings.yaml")
    key_type, key = (server.folder / "host_key.pub").read_text().split()[:2]
    machine.known(f"HOST {key_type} {key}\n")
    (root / "ssh_config").write_text(
        f"Host there\n  HostName 127.0.0.1\n  Port {server.port}\n  User {getpass.getuser()}\n"
        f"  IdentityFile {server.folder / 'key'}\n  IdentitiesOnly yes\n"
        f"  UserKnownHostsFile {root / 'known_hosts'}\n  GlobalKnownHostsFile none\n"
    )
    machine.configure(
        config_path=str(root / "ssh_config"),
        connection={"hostname": "there"},
        python=sys.executable,
        remote_dir=str(machine.models),
        environment={"MLTK_CACHE_DIR": str(root / "cache")},
    )
    monkeypatch.setenv("MLTK_USER_SETTINGS_PATH", str(machine.settings_file))
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    return machine


@pytest.fixture
def tool(there: There) -> Path:
    """A specification that needs no TensorFlow, with a command of its own: `mltk custom tool work`."""
    Path("helper_of_tool.py").write_text("GREETING = 'hello'\n")
    path = Path("tool.py").resolve()
    path.write_text(TOOL)
    yield path
    # Each test has its own of that name.
    sys.modules.pop("helper_of_tool", None)
