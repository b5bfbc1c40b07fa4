"""The page for users of the reference says what is so."""

import re
from pathlib import Path

import pytest

from mltk._namespace import known_plugins
from mltk.cli.main import builtin_commands
from mltk_plugin_migrate.doctor.rules import RULES

DOCS = Path(__file__).parents[3] / "docs"
PAGE = (DOCS / "migrating.md").read_text(encoding="utf-8")


def test_every_plugin_that_provides_names_of_the_reference_is_named():
    assert set(known_plugins()["names"].values()) <= set(re.findall(r"mltk-plugin-\w+", PAGE))


def test_rules_that_are_shown_exist():
    shown = re.findall(r"\[([a-z0-9-]+)\]$", PAGE, flags=re.MULTILINE)
    assert len(shown) == 2
    assert set(shown) <= {rule.name for rule in RULES}


@pytest.mark.parametrize("command", builtin_commands())
def test_every_command_is_on_the_page(command):
    assert re.search(rf"`(mltk )?{command.replace('-', '[-_]')}\b", PAGE)


def test_links_lead_somewhere():
    for target in re.findall(r"\]\(([^)]+)\)", PAGE):
        name, _, anchor = target.partition("#")
        text = (DOCS / name).read_text(encoding="utf-8")
        headings = re.findall(r"^#+ (.*)$", text, flags=re.MULTILINE)
        anchors = {re.sub(r"[^\w -]", "", h).lower().replace(" ", "-") for h in headings}
        assert not anchor or anchor in anchors
