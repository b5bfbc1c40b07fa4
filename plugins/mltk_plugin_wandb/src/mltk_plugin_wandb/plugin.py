"""The plugin `wandb`: logs operations to Weights & Biases for models that inherit `WeightsAndBiasesMixin`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, cast

from mltk.errors import SpecificationError
from mltk.plugins import CommandOption, Model, hookimpl, inherits

if TYPE_CHECKING:
    from mltk.model.event import MltkModelEvent
    from mltk.model.model import MltkModel
    from mltk_plugin_wandb.mixins import WandbModel, WeightsAndBiasesMixin

mltk_api_version = 1

_MIXIN = "mltk_plugin_wandb.mixins:WeightsAndBiasesMixin"


@hookimpl
def mltk_command_options() -> Iterable[CommandOption]:
    """Add `--wandb-mode` to the commands that log to a run."""
    import click

    option = click.Option(
        ["--wandb-mode"],
        type=click.Choice(["online", "offline", "disabled"]),
        help="Weights & Biases: log to the service, to a folder, or nowhere; used with --post.",
    )
    return [CommandOption(command, option, _set_mode) for command in ("train", "quantize", "evaluate")]


@hookimpl
def mltk_event(mltk_model: MltkModel, event: MltkModelEvent, details: Mapping[str, object]) -> None:
    """Log the event to the run of the model; only in operations that may post-process."""
    if not inherits(mltk_model, _MIXIN):
        return
    from mltk_plugin_wandb._session import follow

    follow(cast("WandbModel", mltk_model), event, details)


def _set_mode(mode: str, mltk_model: Model) -> None:
    if not inherits(mltk_model, _MIXIN):
        raise SpecificationError(
            f"--wandb-mode does not apply to '{mltk_model.name}': it does not inherit WeightsAndBiasesMixin."
        )
    model = cast("WeightsAndBiasesMixin", mltk_model)
    model.wandb_init_kwargs = {**model.wandb_init_kwargs, "mode": mode}
