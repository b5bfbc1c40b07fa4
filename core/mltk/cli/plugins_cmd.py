"""`mltk plugins`: list, check and create plugins."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path

import click

from mltk._namespace import (
    GROUP,
    install_hint,
    is_blocked,
    known_plugins,
    provided,
    taken_names,
    unmatched_blocks,
)
from mltk.cli._console import print_info, print_table, print_text, print_warning
from mltk.cli.main import find_commands
from mltk.errors import MltkError, did_you_mean
from mltk.keras.environment import native_stderr, prepare_environment
from mltk.plugins import PluginManager, PluginRecord, Setting, get_plugin_manager
from mltk.plugins._scaffold import PluginNames, write_plugin
from mltk.plugins.validation import hook_kind, hook_signatures

WIDTH = 100
"""Maximum width of the table of plugins."""


@click.group("plugins")
def plugins_command() -> None:
    """List, check and create plugins."""


json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


@plugins_command.command("list")
@json_option
@click.option("--all", "with_builtins", is_flag=True, help="Include mltk's own plugins.")
@click.option("--hook", metavar="NAME", help="Show only plugins that implement this hook.")
def list_command(as_json: bool, with_builtins: bool, hook: str | None) -> None:
    """List the installed plugins, including those that are not used, with the reason."""
    records = [record for record in _load().records() if with_builtins or not record.builtin]
    if hook is not None:
        _require_hook(hook)
        records = [record for record in records if hook in record.hooks]
    if as_json:
        _print_json([_to_dict(record) for record in records])
    elif not records:
        print_info("No plugins are installed." if hook is None else f"No plugin implements {hook}.")
    else:
        _print_records(records)
    for message in filter(None, (unmatched_blocks(), *taken_names())):
        print_warning(message)


def _print_records(records: Sequence[PluginRecord]) -> None:
    """Print a table of at most `WIDTH` columns; long texts continue in the rows below."""
    rows = [(r.name, r.distribution or "", r.version or "", r.status) for r in records]
    headings = ("Name", "Distribution", "Version", "Status")
    used = sum(max(map(len, column)) + 2 for column in zip(headings, *rows, strict=True))
    wrapped: list[tuple[str, ...]] = []
    for row, record in zip(rows, records, strict=True):
        text = record.error or ", ".join(record.hooks)
        first, *more = textwrap.wrap(text, max(WIDTH - used, 30), break_on_hyphens=False) or [""]
        wrapped += [(*row, first), *(("", "", "", "", line) for line in more)]
    print_table((*headings, "Hooks or error"), wrapped)


@plugins_command.command("show")
@click.argument("name")
@json_option
def show_command(name: str, as_json: bool) -> None:
    """Show details of a plugin: its settings, the names it provides, and the traceback of a broken one."""
    manager = _load()
    records = [record for record in manager.records() if record.name == name]
    if not records:
        known = [record.name for record in manager.records()]
        raise MltkError(f"There is no plugin '{name}'.{did_you_mean(name, known)}{_install_hint(name)}")
    details = [{**_to_dict(record), **_describe(record, manager)} for record in records]
    if as_json:
        _print_json(details)
        return
    for shown in details:
        width = max(map(len, shown))
        for key, value in shown.items():
            if key == "details" or value in (None, [], "", False):
                continue
            text = "\n".join(map(str, value)) if isinstance(value, list) else str(value)
            print_text(f"{key.ljust(width)}  " + text.replace("\n", "\n" + " " * (width + 2)))
        if shown["details"]:
            print_text(f"\n{str(shown['details']).rstrip()}")


@plugins_command.command("hooks")
@json_option
def hooks_command(as_json: bool) -> None:
    """List the hooks in call order, with the plugins that implement them."""
    records = _load().records()
    rows = [
        (hook, hook_kind(hook), arguments, [record.name for record in records if hook in record.hooks])
        for hook, arguments in hook_signatures().items()
    ]
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
    """Check all plugins; exit with code 1 if there is a problem.

    Every plugin must load, every public name that it provides must resolve (which imports it), and no two plugins may
    use the same name.
    """
    manager = _load()
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
    help="Folder to create; by default 'mltk_plugin_NAME' in the working directory.",
)
def new_command(name: str, folder: Path | None) -> None:
    """Create a working plugin (an evaluator) as a starting point."""
    names = PluginNames.from_user(name, taken=[record.name for record in _load().records()])
    folder = folder or Path(names.package)
    write_plugin(names, folder)
    print_info(f"Wrote the plugin '{names.name}' to {folder}. Next:")
    print_info(f"  pip install -e {folder}")
    print_info("  mltk plugins list")
    print_info(f"  pytest {folder / 'tests'}")


def _load() -> PluginManager:
    """Return the plugins: without warnings, which these commands print themselves, and never strict."""
    return get_plugin_manager(strict=False, warn=False)


def _to_dict(record: PluginRecord) -> dict[str, object]:
    return {**asdict(record), "hooks": list(record.hooks)}


def _describe(record: PluginRecord, manager: PluginManager) -> dict[str, object]:
    """Return the summary of the distribution, the plugin's settings, and the public names that it provides."""
    from importlib_metadata import PackageNotFoundError, metadata

    names = [
        name for name, e in provided().items() if e.dist is not None and e.dist.name == record.distribution
    ]
    try:
        summary = metadata(record.distribution).get("Summary") if record.distribution else None
    except PackageNotFoundError:
        summary = None
    settings = []
    if "mltk_settings" in record.hooks:
        prefix = f"{record.name}."
        offers = manager.collect_offers("mltk_settings").values()
        settings = [_describe_setting(s) for s in offers if s.name.startswith(prefix)]
    return {"summary": summary, "settings": settings, "provides": sorted(names)}


def _describe_setting(setting: Setting) -> str:
    types = setting.type if isinstance(setting.type, tuple) else (setting.type,)
    kind = " or ".join(t.__name__ for t in types)
    choices = f", one of {', '.join(map(repr, setting.choices))}" if setting.choices else ""
    return f"{setting.name} ({kind}{choices}; default {setting.default!r}): {setting.summary}"


def _install_hint(plugin: str) -> str:
    distribution = known_plugins()["plugins"].get(plugin)
    return f" {install_hint(distribution.replace('-', '_'))}" if distribution else ""


def _problems(manager: PluginManager) -> Iterable[str]:
    records = manager.records()
    for record in records:
        if record.status in ("broken", "incompatible"):
            yield f"The plugin '{record.name}' ({record.distribution} {record.version}): {record.error}"
    if message := unmatched_blocks():
        yield message
    yield from _namespace_problems()
    for hook in hook_signatures():
        arguments = hook_signatures()[hook]
        if (
            arguments not in ((), ("mltk_model",))
            or hook_kind(hook) == "first answer"
            or hook == "mltk_stages"
        ):
            continue
        try:
            if hook == "mltk_commands":
                find_commands(manager)
            elif hook_kind(hook) == "offers":
                manager.collect_offers(hook, **dict.fromkeys(arguments))
            else:
                manager.call_each(hook, **dict.fromkeys(arguments))
        except MltkError as e:
            yield str(e)
    yield from manager.reports


def _namespace_problems() -> Iterable[str]:
    from importlib_metadata import entry_points

    prepare_environment()
    for entry_point in entry_points(group=GROUP):
        distribution = entry_point.dist.name if entry_point.dist else entry_point.value
        if is_blocked(entry_point):
            continue
        if not entry_point.name.startswith("mltk."):
            yield f"'{entry_point.name}' of {distribution} is not a name of mltk and is never looked up."
            continue
        try:
            with native_stderr():
                entry_point.load()
        # Foreign code may raise anything, which is the result of the check.
        except (Exception, SystemExit) as e:  # noqa: BLE001
            yield f"'{entry_point.name}' of {distribution} cannot be imported: {type(e).__name__}: {e}"
    yield from taken_names()


def _require_hook(name: str) -> None:
    if name not in hook_signatures():
        raise click.BadParameter(
            f"there is no hook '{name}'.{did_you_mean(name, hook_signatures())}", param_hint="--hook"
        )


def _print_json(value: object) -> None:
    print_info(json.dumps(value, indent=2, default=str))
