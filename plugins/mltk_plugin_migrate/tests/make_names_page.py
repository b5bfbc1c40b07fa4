"""Write `docs/reference-names.md`: which names of silabs-mltk are here, and why others are not.

Run it after changing public names: `python plugins/mltk_plugin_migrate/tests/make_names_page.py`.
"""

from collections import defaultdict
from importlib import import_module
from pathlib import Path

from mltk.errors import ReferenceNameError

LIST = Path(__file__).with_name("reference_names.txt")
TARGET = Path(__file__).parents[3] / "docs" / "reference-names.md"
HEAD = """# Names of silabs-mltk

{available} of {total} public names of silabs-mltk 0.20 can be imported from the same place, if the plugins that
provide them are installed. The {absent} others raise an error with the reason. `mltk doctor` names those that a
specification uses.

## Absent names

| reason or replacement | names |
| --- | --- |
{reasons}

## Available names

| module | names |
| --- | --- |
{modules}
"""


def read_names():
    """Return the public names by module; the module itself is the empty name."""
    lines = [line for line in LIST.read_text(encoding="utf-8").splitlines() if not line.startswith("#")]
    return {module: ["", *names.split()] for module, _, names in (line.partition(":") for line in lines)}


def problem_with(module, name):
    """Return why a name cannot be imported, as the error says; `None` if it can."""
    try:
        imported = import_module(module)
        if name:
            try:
                getattr(imported, name)
            except AttributeError:
                import_module(f"{module}.{name}")
    except ReferenceNameError as error:
        return str(error)
    return None


def render():
    """Return the text of the page."""
    available, absent = defaultdict(list), defaultdict(list)
    for module, names in read_names().items():
        for name in names:
            full = f"{module}.{name}".rstrip(".")
            problem = problem_with(module, name)
            if problem is None:
                available[module].append(name)
            else:
                absent[problem.partition("not part of mltk: ")[2]].append(full)
    return HEAD.format(
        available=sum(map(len, available.values())),
        total=sum(map(len, read_names().values())),
        absent=sum(map(len, absent.values())),
        reasons="\n".join(f"| {reason} | {_shorten(names)} |" for reason, names in sorted(absent.items())),
        modules="\n".join(
            f"| `{m}` | {', '.join(f'`{n}`' for n in names if n)} |" for m, names in available.items()
        ),
    )


def _shorten(names):
    """Return names in Markdown, without those below others."""
    tops = [name for name in names if not any(name.startswith(f"{other}.") for other in names)]
    return ", ".join(f"`{name}`" for name in tops)


if __name__ == "__main__":
    TARGET.write_text(render(), encoding="utf-8")
