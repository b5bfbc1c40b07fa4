"""Write the table of plugins in README.md from the descriptions in their pyproject.toml files.

With `--check`, exit with 1 if the table is not up to date.
"""

import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
BEGIN, END = "<!-- plugins: written by `make readme` -->\n", "<!-- end of plugins -->"


def table() -> str:
    """Return the rows of the table, one per plugin."""
    rows = ["| plugin | description |", "| --- | --- |"]
    for path in sorted([*ROOT.glob("mltk_plugin_*/pyproject.toml"), *ROOT.glob("plugins/*/pyproject.toml")]):
        project = tomllib.loads(path.read_text(encoding="utf-8"))["project"]
        folder = path.parent.relative_to(ROOT).as_posix()
        rows.append(f"| [{project['name']}]({folder}/README.md) | {project['description']} |")
    return "\n".join(rows) + "\n"


def main() -> int:
    """Write or check the table."""
    readme = ROOT / "README.md"
    text = readme.read_text(encoding="utf-8")
    before, rest = text.split(BEGIN)
    updated = before + BEGIN + table() + END + rest.split(END)[1]
    if "--check" not in sys.argv:
        readme.write_text(updated, encoding="utf-8")
    elif updated != text:
        print("README.md: the table of plugins is out of date; run `make readme`.", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
