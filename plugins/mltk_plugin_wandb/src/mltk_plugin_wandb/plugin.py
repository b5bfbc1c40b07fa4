"""The plugin `wandb`: logs operations to Weights & Biases for models that inherit `WeightsAndBiasesMixin`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from mltk.plugins import hookimpl, inherits

if TYPE_CHECKING:
    from mltk.model.event import MltkModelEvent
    from mltk.model.model import MltkModel

mltk_api_version = 1


@hookimpl
def mltk_event(mltk_model: MltkModel, event: MltkModelEvent, details: Mapping[str, object]) -> None:
    """Log the event to the run of the model; only in operations that may post-process."""
    if not inherits(mltk_model, "mltk_plugin_wandb.mixins:WeightsAndBiasesMixin"):
        return
    from mltk_plugin_wandb._session import follow

    follow(mltk_model, event, details)
