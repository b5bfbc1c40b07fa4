"""`mltk new`."""

from __future__ import annotations

import click

from mltk.cli._console import print_info, print_table
from mltk.errors import MltkError


@click.command("new")
@click.argument("name", required=False)
@click.option("--data", metavar="FOLDER", help="Folder of the data set.")
@click.option("--template", metavar="NAME", help="Kind of specification; chosen by the data by default.")
@click.option("--force", is_flag=True, help="Replace an existing file.")
@click.option("--list", "list_templates", is_flag=True, help="List the templates.")
def new_command(
    name: str | None, data: str | None, template: str | None, force: bool, list_templates: bool
) -> None:
    """Look at a data set, and write the specification NAME.py for it into the current folder.

    The file says what was chosen and why. Change it as you like, then train it.
    """
    from mltk.operations.create import create_specification, find_templates

    if list_templates:
        templates = find_templates()
        print_table(("Template", "Summary"), [(t.name, t.summary) for t in templates.values()])
        return
    if name is None or data is None:
        raise MltkError("Give a name and a data set: mltk new my_model_v1 --data FOLDER.")
    created = create_specification(name, data, template, overwrite=force)
    for line in created.draft.findings:
        print_info(f"  {line}")
    print_info(f"Wrote {created.path.name} (template '{created.template}'). Next:")
    print_info(f"  mltk train {created.path.stem}")
