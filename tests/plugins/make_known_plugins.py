"""Write `core/mltk/known_plugins.json`, the names that the project's own plugins provide.

Run it after changing the entry points, commands or models of a plugin: `python tests/plugins/make_known_plugins.py`.
"""

import ast
import json
import tomllib
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]
TARGET = REPOSITORY / "core" / "mltk" / "known_plugins.json"


def collect_known_plugins():
    """Return the names that the projects in the repository declare, with their distributions."""
    known = {"plugins": {}, "packages": {}, "names": {}, "models": {}, "commands": {}}
    for file in sorted(REPOSITORY.glob("*/pyproject.toml")) + sorted(
        REPOSITORY.glob("plugins/*/pyproject.toml")
    ):
        project = tomllib.loads(file.read_text(encoding="utf-8")).get("project", {})
        entries = project.get("entry-points", {})
        if "mltk.plugins" not in entries or file.parent.name == "example":
            continue
        distribution = project["name"]
        known["plugins"].update(dict.fromkeys(entries["mltk.plugins"], distribution))
        known["names"].update(dict.fromkeys(entries.get("mltk.namespace", ()), distribution))
        for package in file.parent.glob("src/*"):
            if (package / "__init__.py").is_file():
                known["packages"][package.name] = distribution
                known["models"].update(dict.fromkeys(_models(package), distribution))
                known["commands"].update(dict.fromkeys(_commands(package / "plugin.py"), distribution))
    return {kind: dict(sorted(names.items())) for kind, names in known.items()}


def _models(package):
    return [path.stem for path in package.glob("specs/**/*.py") if not path.stem.startswith("_")]


def _commands(module):
    """Return the names of the commands in a hook module, as they are written in `Command("name", …)`."""
    for node in ast.walk(ast.parse(module.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "Command":
            yield ast.literal_eval(node.args[0]).replace("-", "_")


def render(known):
    """Return the text of the file."""
    return json.dumps(known, indent=1) + "\n"


if __name__ == "__main__":
    TARGET.write_text(render(collect_known_plugins()), encoding="utf-8")
