"""Write `docs/api.md`, the reference of all public names, from their docstrings.

Run it after changing a public name or the first line of its docstring: `python tests/plugins/make_api_page.py`.
"""

import ast
import inspect
from importlib import import_module
from itertools import pairwise
from pathlib import Path

TARGET = Path(__file__).parents[2] / "docs" / "api.md"
PACKAGES = ("mltk.core", "mltk.plugins", "mltk.data", "mltk.tflite", "mltk.testing", "mltk.cli")

HEAD = """# Reference

All public names, with the first line of their docstrings. `help(name)` shows the complete docstring. Other modules may
change with any release.
"""


def render():
    """Return the text of the page."""
    parts = [HEAD]
    for name in PACKAGES:
        package = import_module(name)
        parts.append(f"\n## `{name}`\n\n| name | |\n| --- | --- |\n")
        parts += [
            f"| `{member}` | {summarize(package, member)} |\n" for member in sorted(vars(package)["__all__"])
        ]
    return "".join(parts)


def summarize(package, name):
    """Return the first line of the documentation of a public name."""
    value = getattr(package, name)
    if inspect.isclass(value) or inspect.isroutine(value) or inspect.ismodule(value):
        text = inspect.getdoc(value) or comment_below(package, name)
    else:
        text = comment_below(package, name) or f"`{value!r}`"
    return text.partition("\n")[0].replace("|", "\\|")


def comment_below(package, name):
    """Return the string below the assignment of a module-level name, in the package or the module it comes from."""
    stub = Path(package.__file__).with_suffix(".pyi")
    tree = ast.parse(stub.read_text(encoding="utf-8") if stub.exists() else inspect.getsource(package))
    sources = [
        n.module for n in tree.body if isinstance(n, ast.ImportFrom) for a in n.names if a.name == name
    ]
    for module in [*sources, package.__name__]:
        body = ast.parse(inspect.getsource(import_module(module))).body
        for statement, following in pairwise(body):
            targets = getattr(statement, "targets", [getattr(statement, "target", None)])
            if name in [getattr(target, "id", None) for target in targets] and isinstance(
                following, ast.Expr
            ):
                return following.value.value
    return ""


if __name__ == "__main__":
    TARGET.write_text(render(), encoding="utf-8")
