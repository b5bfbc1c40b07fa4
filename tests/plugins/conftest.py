"""Fake distributions on disk, and a way to run code with only some of them installed."""

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from importlib_metadata import entry_points


class SitePackages:
    """A folder on `sys.path` with distributions written by hand."""

    def __init__(self, folder: Path):
        self.folder = folder

    def write(self, path: str, text: str) -> Path:
        file = self.folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(textwrap.dedent(text))
        return file

    def add(self, distribution, *, plugins=None, namespace=None, version="1.0", summary=""):
        """Write the metadata of a distribution with these entry points."""
        info = f"{distribution.replace('-', '_')}-{version}.dist-info"
        self.write(
            f"{info}/METADATA",
            f"Metadata-Version: 2.1\nName: {distribution}\nVersion: {version}\n{summary}",
        )
        groups = {"mltk.plugins": plugins or {}, "mltk.namespace": namespace or {}}
        lines = []
        for group, entries in groups.items():
            lines += [f"[{group}]", *(f"{name} = {value}" for name, value in entries.items())]
        self.write(f"{info}/entry_points.txt", "\n".join(lines))

    def add_plugin(self, name, source, *, distribution=None, version="1.0", namespace=None):
        """Write a distribution with one plugin module."""
        distribution = distribution or f"dist-{name}"
        module = f"fake_{distribution.replace('-', '_')}"
        self.write(f"{module}.py", source)
        self.add(distribution, plugins={name: module}, version=version, namespace=namespace)

    def run(self, *args, env=None):
        """Run Python with this folder first on the path; the plugins of this environment are blocked."""
        names = ",".join(e.name for e in entry_points(group="mltk.plugins"))
        path = os.pathsep.join(filter(None, (str(self.folder), os.environ.get("PYTHONPATH"))))
        variables = {**os.environ, "PYTHONPATH": path, "MLTK_BLOCK_PLUGINS": names, **(env or {})}
        return subprocess.run(
            [sys.executable, *args],
            capture_output=True,
            text=True,
            env=variables,
            cwd=self.folder,
            check=False,
        )

    def python(self, code, env=None):
        """Run code that must end well, and return what it printed."""
        done = self.run("-c", textwrap.dedent(code), env=env)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def mltk(self, *args, env=None):
        return self.run("-m", "mltk", *args, env=env)


@pytest.fixture
def site(tmp_path):
    folder = tmp_path / "site"
    folder.mkdir()
    return SitePackages(folder)
