"""`mltk plugins`: list, check and create plugins."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mltk.cli._console import print_info, print_table, print_text

if TYPE_CHECKING:
    from mltk.plugins import PluginManager, PluginRecord


@click.group("plugins")
def plugins_command() -> None:
    """List, check and create plugins."""


json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


@plugins_command.command("list")
@json_option
@click.option("--all", "with_builtins", is_flag=True, help="Show mltk's own plugins too.")
@click.option("--hook", metavar="NAME", help="Show only plugins that implement this hook.")
def list_command(as_json: bool, with_builtins: bool, hook: str | None) -> None:
    """Show the installed plugins: also those that are not used, and why."""
    records = [record for record in _manager().records() if with_builtins or not record.builtin]
    if hook is not None:
        _require_hook(hook)
        records = [record for record in records if hook in record.hooks]
    if as_json:
        _print_json([_public(record) for record in records])
    elif not records:
        print_info("No plugins are installed." if hook is None else f"No plugin implements {hook}.")
    else:
        print_table(
            ("Name", "Distribution", "Version", "Status", "Hooks, or what is wrong"),
            [
                (r.name, r.distribution or "", r.version or "", r.status, r.error or ", ".join(r.hooks))
                for r in records
            ],
        )


@plugins_command.command("show")
@click.argument("name")
@json_option
def show_command(name: str, as_json: bool) -> None:
    """Show all about one plugin, with the traceback of a broken one."""
    from mltk.errors import MltkError, did_you_mean

    manager = _manager()
    records = [record for record in manager.records() if record.name == name]
    if not records:
        known = [record.name for record in manager.records()]
        raise MltkError(f"There is no plugin '{name}'.{did_you_mean(name, known)}")
    if as_json:
        _print_json([{**_public(record), **_extras(record)} for record in records])
        return
    for record in records:
        shown = {**_public(record), **_extras(record)}
        width = max(map(len, shown))
        for key, value in shown.items():
            if key == "details" or value in (None, [], ""):
                continue
            text = "\n".join(value) if isinstance(value, list) else str(value)
            print_text(f"{key.ljust(width)}  " + text.replace("\n", "\n" + " " * (width + 2)))
        if record.details:
            print_text("\n" + record.details.rstrip())


@plugins_command.command("hooks")
@json_option
def hooks_command(as_json: bool) -> None:
    """Show the hooks in call order, and who implements them."""
    from mltk.plugins._checks import EACH, hook_signatures, is_first_answer

    records = _manager().records()
    rows = []
    for hook, arguments in hook_signatures().items():
        kind = "each by itself" if hook in EACH else "first answer" if is_first_answer(hook) else "offers"
        rows.append((hook, kind, arguments, [record.name for record in records if hook in record.hooks]))
    if as_json:
        _print_json([dict(zip(("name", "kind", "arguments", "plugins"), row, strict=True)) for row in rows])
        return
    print_table(
        ("Hook", "Result", "Arguments", "Plugins"),
        [(hook, kind, ", ".join(arguments), ", ".join(plugins)) for hook, kind, arguments, plugins in rows],
    )


@plugins_command.command("check")
@click.pass_context
def check_command(ctx: click.Context) -> None:
    """Look for problems: exit code 1 if there is any.

    Every plugin must load, every public name that it provides must resolve (which imports it), and no two
    may want the same name.
    """
    manager = _manager()
    problems = list(_problems(manager))
    for problem in problems:
        print_text(problem)
    count = sum(not record.builtin for record in manager.records())
    found = f"{len(problems)} problem{'s' * (len(problems) != 1)}" if problems else "no problem"
    print_info(f"{count} plugin{'s' * (count != 1)}, {found}.")
    if problems:
        ctx.exit(1)


@plugins_command.command("new")
@click.argument("name")
@click.option(
    "--dir",
    "folder",
    type=click.Path(path_type=Path),
    metavar="FOLDER",
    help="The folder to make; 'mltk_plugin_NAME' in the working directory by default.",
)
def new_command(name: str, folder: Path | None) -> None:
    """Write a working plugin, an evaluator, to start from."""
    from mltk.plugins._scaffold import PluginNames, write_plugin

    names = PluginNames.from_user(name, taken=[record.name for record in _manager().records()])
    folder = folder or Path(names.package)
    write_plugin(names, folder)
    print_info(f"Wrote the plugin '{names.name}' to {folder}. Next:")
    print_info(f"  pip install -e {folder}")
    print_info("  mltk plugins list")
    print_info(f"  pytest {folder / 'tests'}")


def _manager() -> PluginManager:
    """Return the plugins, also where `MLTK_STRICT_PLUGINS` would end the command that says what is wrong."""
    from mltk.plugins import get_plugin_manager

    return get_plugin_manager(strict=False)


def _public(record: PluginRecord) -> dict[str, Any]:
    return {**asdict(record), "hooks": list(record.hooks)}


def _extras(record: PluginRecord) -> dict[str, Any]:
    """Return what the distribution says about itself, and the public names that it provides."""
    from importlib_metadata import PackageNotFoundError, metadata

    from mltk._namespace import provided

    names = [
        name for name, e in provided().items() if e.dist is not None and e.dist.name == record.distribution
    ]
    try:
        summary = metadata(record.distribution)["Summary"] if record.distribution else None
    except PackageNotFoundError:
        summary = None
    return {"summary": summary, "provides": sorted(names)}


def _problems(manager: PluginManager) -> Iterable[str]:
    from mltk._namespace import blocked_plugins
    from mltk.cli.main import plugin_commands
    from mltk.errors import MltkError, did_you_mean

    records = manager.records()
    for record in records:
        if record.status in ("broken", "incompatible"):
            yield f"The plugin '{record.name}' ({record.distribution} {record.version}): {record.error}"
    names = {n for r in records if not r.builtin for n in (r.name, r.distribution) if n} | {"*"}
    for blocked in sorted(blocked_plugins() - names):
        yield f"MLTK_BLOCK_PLUGINS names '{blocked}', which is not installed.{did_you_mean(blocked, names)}"
    yield from _namespace_problems()
    plugin_commands(manager)
    for hook in ("mltk_runtimes", "mltk_profilers", "mltk_compilers"):
        try:
            manager.collect_offers(hook)
        except MltkError as e:
            yield str(e)
    yield from manager.reports


def _namespace_problems() -> Iterable[str]:
    from importlib_metadata import entry_points

    from mltk._namespace import GROUP, is_blocked

    owners: dict[str, list[str]] = {}
    for entry_point in entry_points(group=GROUP):
        distribution = entry_point.dist.name if entry_point.dist else entry_point.value
        owners.setdefault(entry_point.name, []).append(distribution)
        if is_blocked(entry_point):
            continue
        if not entry_point.name.startswith("mltk."):
            yield f"'{entry_point.name}' of {distribution} is not a name of mltk and is never looked up."
            continue
        try:
            entry_point.load()
        # Foreign code is imported, and anything it raises is the finding.
        except (Exception, SystemExit) as e:  # noqa: BLE001
            yield f"'{entry_point.name}' of {distribution} cannot be imported: {type(e).__name__}: {e}"
    for name, distributions in owners.items():
        if len(distributions) > 1:
            yield f"'{name}' is provided by {' and '.join(sorted(distributions))}; only the first is used."


def _require_hook(name: str) -> None:
    from mltk.errors import did_you_mean
    from mltk.plugins._checks import hook_signatures

    if name not in hook_signatures():
        raise click.BadParameter(
            f"there is no hook '{name}'.{did_you_mean(name, hook_signatures())}", param_hint="--hook"
        )


def _print_json(value: object) -> None:
    import json

    print_info(json.dumps(value, indent=2))
