"""Apply what plugins offer: order stages, collect report rows, apply command options."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

from mltk.errors import MltkError, did_you_mean
from mltk.plugins.current import get_plugin_manager
from mltk.plugins.types import CommandOption, Model, ReportContext, ReportSection, Stage

BUILTIN_STAGES = ("train", "archive", "quantize", "evaluate")
"""Names of the built-in stages of the training pipeline, in order."""


def inherits(model: object, name: str) -> bool:
    """Return True if the class of a model inherits a class, without importing the module of that class.

    Args:
        model: A model specification, or `None`.
        name: Import string `package.module:Class` of a class, in the module that defines it.
    """
    module_name, _, class_name = name.partition(":")
    # A class that inherits another has imported its module.
    module = sys.modules.get(module_name)
    found = vars(module).get(class_name) if module is not None else None
    return isinstance(found, type) and isinstance(model, found)


def order_stages(offers: Mapping[str, Stage]) -> list[Stage]:
    """Return the stages of the training pipeline in the order in which they run.

    The built-in stages have a fixed order. Another stage runs directly after the stage of `after`, or directly before
    the stage of `before`; a stage with neither runs last. Stages at the same place keep the order of their plugins.

    Raises:
        MltkError: `after` or `before` names a stage that does not exist, both are set, or stages wait for each other.
    """
    order = [name for name in BUILTIN_STAGES if name in offers]
    waiting = [stage for name, stage in offers.items() if name not in order]
    for stage in waiting:
        _check_place(stage, offers)
    order += [stage.name for stage in waiting if not (stage.after or stage.before)]
    waiting = [stage for stage in waiting if stage.name not in order]
    while waiting:
        ready = [stage for stage in waiting if (stage.after or stage.before) in order]
        if not ready:
            names = " and ".join(f"'{stage.name}'" for stage in waiting)
            raise MltkError(f"The stages {names} wait for each other. Change their 'after' or 'before'.")
        # Each is inserted directly after its neighbor, so the first must be inserted last.
        for stage in reversed(ready):
            if stage.after:
                order.insert(order.index(stage.after) + 1, stage.name)
        for stage in ready:
            if stage.before:
                order.insert(order.index(stage.before), stage.name)
        waiting = [stage for stage in waiting if stage.name not in order]
    return [offers[name] for name in order]


def _check_place(stage: Stage, offers: Mapping[str, Stage]) -> None:
    if stage.after and stage.before:
        raise MltkError(f"The stage '{stage.name}' has both 'after' and 'before'. Set one of them.")
    neighbor = stage.after or stage.before
    if neighbor and neighbor not in offers:
        raise MltkError(
            f"The stage '{stage.name}' refers to the stage '{neighbor}', which does not exist."
            f"{did_you_mean(neighbor, offers)}"
        )


def report_lines(context: ReportContext) -> list[tuple[str, str]]:
    """Return the rows of all report sections for the summary of a training run; the built-in ones first.

    A section that raises causes one warning.
    """
    rows: list[tuple[str, str]] = []
    for plugin, section in _sections(context):
        with _reported(plugin, section.name):
            rows += [(str(label), str(text)) for label, text in section.lines(context)]
    return rows


def report_figures(context: ReportContext) -> dict[str, float | int | str]:
    """Return the figures of all report sections for a comparison, by label.

    A section that raises causes one warning.
    """
    figures: dict[str, float | int | str] = {}
    for plugin, section in _sections(context):
        with _reported(plugin, section.name):
            figures.update(section.figures(context))
    return figures


def _sections(context: ReportContext) -> list[tuple[str, ReportSection]]:
    answers = get_plugin_manager().call_each("mltk_report_sections", mltk_model=context.mltk_model)
    answers.sort(key=lambda answer: not answer.plugin.startswith("mltk."))
    return [(plugin, section) for plugin, sections in answers for _, section in sections]


@contextmanager
def _reported(plugin: str, section: str) -> Iterator[None]:
    try:
        yield
    # A report must not fail because of one section.
    except Exception as e:  # noqa: BLE001
        manager = get_plugin_manager()
        manager.report(
            f"The report section '{section}' of {manager.describe(plugin)} failed: {type(e).__name__}: {e}", e
        )


@dataclass
class GivenOption:
    """An option of a plugin that the user gave to the running command."""

    option: CommandOption
    value: object
    is_applied: bool = False


_given: ContextVar[list[GivenOption]] = ContextVar("mltk_given_options")


@contextmanager
def command_options_given(given: list[GivenOption]) -> Iterator[None]:
    """Apply these options to each model that is loaded within the block, see `CommandOption`."""
    token = _given.set(given)
    try:
        for each in given:
            if not each.option.needs_model:
                each.is_applied = True
                each.option.apply(each.value, None)
        yield
    finally:
        _given.reset(token)
    for each in given:
        if not each.is_applied:
            get_plugin_manager().report(
                f"The option {each.option.option.opts[0]} had no effect: the command loaded no specification."
            )


def apply_command_options(model: Model) -> None:
    """Apply the plugins' options of the running command to a specification that was just loaded."""
    for each in _given.get([]):
        if each.option.needs_model:
            each.is_applied = True
            each.option.apply(each.value, model)
