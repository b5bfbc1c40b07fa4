"""The plugin `wandb`: tells Weights & Biases what happens to models that inherit `WeightsAndBiasesMixin`."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from mltk.plugins import hookimpl

if TYPE_CHECKING:
    from mltk.model.event import MltkModelEvent
    from mltk.model.model import MltkModel

mltk_api_version = 1


@hookimpl
def mltk_event(mltk_model: MltkModel, event: MltkModelEvent, details: Mapping[str, Any]) -> None:
    """Open a run, log to it, upload to it; only for operations that may post-process."""
    # A model that inherits the mixin has imported it; importing it for every other model would take time.
    mixins = sys.modules.get("mltk_plugin_wandb.mixins")
    if mixins is None or not isinstance(mltk_model, mixins.WeightsAndBiasesMixin):
        return
    from mltk_plugin_wandb._session import follow

    follow(mltk_model, event, details)
