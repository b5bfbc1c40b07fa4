"""`mltk doctor`."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from mltk.cli import print_info, print_text
from mltk.utils.string_formatting import printable

if TYPE_CHECKING:
    from mltk_plugin_migrate.doctor import Report, Severity

_COLORS = {"error": "red", "differs": "yellow", "hint": "cyan"}
_COUNTED: dict[Severity, str] = {"error": "error", "differs": "difference", "hint": "hint"}


@click.command("doctor")
@click.argument("specs", nargs=-1, required=True, metavar="SPEC...")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_context
def doctor_command(ctx: click.Context, specs: tuple[str, ...], as_json: bool) -> None:
    """Say what each SPEC, written for silabs-mltk, needs to run here, and where its results will differ.

    SPEC is a name, a specification (.py) or an archive. It is read, not run. The exit code is 1 if one of them
    will not run as it is.
    """
    from mltk_plugin_migrate.doctor import examine

    reports = [examine(spec) for spec in specs]
    if as_json:
        import json

        print_info(json.dumps([{**asdict(r), "runs": r.runs} for r in reports], indent=2))
    else:
        for report in reports:
            _print(report)
    if not all(report.runs for report in reports):
        ctx.exit(1)


def _print(report: Report) -> None:
    for finding in report.findings:
        severity = click.style(finding.severity, fg=_COLORS[finding.severity], bold=True)
        probably = " (judged by its looks)" if finding.heuristic else ""
        place = printable(f"{report.path}:{finding.line}:{finding.column}")
        print_info(f"{place}: {severity}: {printable(finding.message)}{probably} [{finding.rule}]")
    summary = ", ".join(_number(report.count(severity), what) for severity, what in _COUNTED.items())
    verdict = "It will run." if report.runs else "It will not run as it is."
    print_text(f"{report.path}: {summary}. {verdict}")


def _number(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"
