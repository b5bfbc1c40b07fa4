"""Options that plugins add to commands, see the hook `mltk_command_options`."""

from __future__ import annotations

import copy

import click
from click.core import ParameterSource

from mltk.plugins import CommandOption, GivenOption, command_options_given, get_plugin_manager


def with_plugin_options(name: str, command: click.Command) -> click.Command:
    """Return the command with the options that plugins offer for it; groups are returned unchanged."""
    if isinstance(command, click.Group):
        return command
    options = _offered_options(name, command)
    if not options:
        return command
    # The imported command must not get the options twice.
    extended = copy.copy(command)
    extended.params = [*command.params, *(offer.option for offer in options)]
    run = command.callback

    def callback(**values: object) -> object:
        context = click.get_current_context()
        given = []
        for offer in options:
            key = str(offer.option.name)
            value = values.pop(key)
            if context.get_parameter_source(key) not in (ParameterSource.DEFAULT, None):
                given.append(GivenOption(offer, value))
        with command_options_given(given):
            return run(**values) if run else None

    extended.callback = callback
    return extended


def _offered_options(name: str, command: click.Command) -> list[CommandOption]:
    """Return the offers for a command, without those whose names are taken."""
    manager = get_plugin_manager()
    taken = {word for parameter in command.params for word in (*parameter.opts, parameter.name)} | {"--help"}
    found = []
    for plugin, offers in manager.call_each("mltk_command_options"):
        for _, offer in offers:
            if offer.command.replace("-", "_") != name.replace("-", "_"):
                continue
            words = {*offer.option.opts, *offer.option.secondary_opts, offer.option.name}
            if words & taken:
                manager.report(
                    f"The option {offer.option.opts[0]} of {manager.describe(plugin)} is left out: "
                    f"the command '{name}' already has an option of that name."
                )
                continue
            taken |= words
            found.append(offer)
    return found
