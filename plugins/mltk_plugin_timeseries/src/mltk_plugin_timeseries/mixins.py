"""`TimeSeriesDatasetMixin`: the properties of a model whose samples are windows of sensor recordings."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from mltk.errors import SpecificationError
from mltk.model.attributes import Attribute
from mltk.model.mixins.data_generator import DataGeneratorDatasetMixin
from mltk.model.model import MltkModel
from mltk_plugin_timeseries._settings import TimeSeriesSettings

Datagen = TypeVar("Datagen")


def _check_datagen(value: Datagen) -> Datagen:
    if not isinstance(value, TimeSeriesSettings):
        raise SpecificationError(
            f"my_model.datagen must be a ParallelTimeSeriesDataGenerator, got a {type(value).__name__}."
        )
    return value


class TimeSeriesDatasetMixin(DataGeneratorDatasetMixin):
    """Reads windows of recordings from a folder with one folder per class, or from arrays.

    `dataset` is the folder; or a function, or a module with a function `load_data`, that returns the folder, or windows
    as `((x_train, y_train), (x_test, y_test))` or four such arrays, `x` of shape `(n, rows, channels)`. The test arrays
    are for validation and evaluation; if the generator has a `validation_split`, they are for evaluation only.
    `input_shape` is `(rows, channels)`: that of a window.
    """

    samples_name = "Windows"

    datagen = Attribute(
        "timeseries.datagen",
        convert=_check_datagen,
        doc="A `ParallelTimeSeriesDataGenerator`; reads the validation data too, unless the next is set.",
    )
    validation_datagen = Attribute(
        "timeseries.validation_datagen",
        default=None,
        convert=_check_datagen,
        doc="Generator of the validation data.",
    )
    channel_statistics = Attribute(
        "timeseries.channel_statistics",
        default=None,
        doc="Mean and standard deviation of each channel of the training data, once data are loaded.",
    )


if TYPE_CHECKING:

    class TimeSeriesModel(MltkModel, TimeSeriesDatasetMixin):
        """A specification that inherits `TimeSeriesDatasetMixin`."""
else:
    TimeSeriesModel = MltkModel
