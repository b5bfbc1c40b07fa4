"""The plugin `timeseries`: loads the data of models that inherit `TimeSeriesDatasetMixin`."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, TypeGuard

from mltk.plugins import LoadedDataset, Parameter, Subset, Template, hookimpl, import_on_call

if TYPE_CHECKING:
    from mltk.model.model import MltkModel
    from mltk_plugin_timeseries.mixins import TimeSeriesModel

mltk_api_version = 1


@hookimpl
def mltk_templates() -> list[Template]:
    """Offer the kind of specification that `mltk new` can write for recordings of sensors."""
    draft = import_on_call("mltk_plugin_timeseries.templates:draft_classifier")
    return [Template("timeseries", "Classifier of sensor recordings in a folder for each class.", draft)]


@hookimpl
def mltk_load_dataset(
    mltk_model: MltkModel, subset: Subset, test: bool, options: Mapping[str, object]
) -> LoadedDataset | None:
    """Load a folder of recordings."""
    if not _is_time_series_model(mltk_model):
        return None
    from mltk_plugin_timeseries._loading import load_recordings

    return load_recordings(mltk_model, subset, test, options)


@hookimpl
def mltk_model_parameters(mltk_model: MltkModel) -> Mapping[str, Parameter] | None:
    """Tell the device how to make and normalize windows."""
    if not _is_time_series_model(mltk_model):
        return None
    from mltk_plugin_timeseries._loading import make_parameters

    return make_parameters(mltk_model)


def _is_time_series_model(mltk_model: MltkModel) -> TypeGuard[TimeSeriesModel]:
    # A model that inherits the mixin has imported its module. Importing it for other models would take time.
    mixins = sys.modules.get("mltk_plugin_timeseries.mixins")
    return mixins is not None and isinstance(mltk_model, mixins.TimeSeriesDatasetMixin)
