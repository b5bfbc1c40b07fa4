"""`TimeSeriesSettings`: the settings of a time series generator, and what they describe."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mltk.data import GeneratorSettings, check_choice, check_integer, check_number, normalize_batch
from mltk.errors import DatasetError, SpecificationError, did_you_mean
from mltk.plugins import AugmentationStep
from mltk_plugin_timeseries._augmentation import RandomTransforms
from mltk_plugin_timeseries._files import ReadingRules
from mltk_plugin_timeseries._resampling import ResamplingRules
from mltk_plugin_timeseries._statistics import ChannelStatistics
from mltk_plugin_timeseries._windows import SHORT_RECORDINGS, Windowing

DOMAIN = "timeseries"
"""Domain of the augmentation steps."""

BUILT_IN_STEP = "timeseries_transforms"
"""Name of the augmentation step of the built-in random transforms."""


@dataclass(kw_only=True, eq=False)
class TimeSeriesSettings(GeneratorSettings):
    """Settings of a time series generator.

    Raises:
        SpecificationError: A setting does not exist, has the wrong type, or is out of range.
    """

    window_length: int | None = None
    """Rows of a window; `None`: those of `my_model.input_shape`, or of the argument of `flow_from_directory`."""
    window_overlap: float = 0.0
    """Part of a window that the next one of the same recording repeats: from 0 to below 1."""
    short_recordings: str | None = None
    """Recordings that are shorter than a window: `pad` continues them with their last row, `skip` leaves them out,
    `refuse` stops; `None` pads, with a warning. The end of a longer recording that does not fill a window is left
    out."""
    split_recordings: bool = False
    """Let `validation_split` take the first part of each recording, instead of the first files: for classes that have
    few, long recordings. A model is then tested on people and devices that it knows."""
    channels: Sequence[str] | None = None
    """Names of the columns to read, in the order of the model's input; `None`: all, in the order of the first file."""
    time_column: str | None = None
    """Name of the column with times: numbers, or dates in ISO 8601."""
    time_unit: float = 1.0
    """Seconds of one unit of the time column: 0.001 for milliseconds. Dates have a unit of their own."""
    sample_rate: float | None = None
    """Rows per second of the windows, in Hz: recordings with a time column or a `recorded_rate` are resampled to it,
    with a filter that removes what would alias. `None` keeps the rate, which must then be the same in all files."""
    recorded_rate: float | None = None
    """Rows per second of recordings without a time column, in Hz; `None` means `sample_rate`."""
    irregular: str = "refuse"
    """Recordings whose times are not regular, or that lack rows: `refuse`, or `resample` by linear interpolation."""
    missing: str = "refuse"
    """Recordings that lack values (empty cells, NaN): `refuse`, or `interpolate` linearly."""
    max_gap: int = 10
    """Most successive rows that `resample` and `interpolate` fill; a longer gap is refused."""
    featurewise_center: bool = False
    """Subtract the mean of each channel of the training data."""
    featurewise_std_normalization: bool = False
    """Divide by the standard deviation of each channel of the training data; turns `featurewise_center` on."""
    jitter: float = 0.0
    """Standard deviation of noise, relative to that of each channel of the training data."""
    scale: float = 0.0
    """Standard deviation of the change of each channel's amplitude: 0.1 for about 10 %, around the channel's mean."""
    magnitude_warp: float = 0.0
    """The same for a change of the amplitude during the window."""
    drift: float = 0.0
    """Standard deviation of a slow offset, relative to that of each channel of the training data."""
    time_warp: float = 0.0
    """Standard deviation of the relative speed, which changes during the window: 0.1 for about 10 %."""
    shift: float = 0.0
    """Largest shift to either side, as a fraction of the window; the ends are continued with their values."""
    cutout: float = 0.0
    """Longest stretch of the window to replace by the channels' means, as a fraction of the window."""
    rotation: float = 0.0
    """Standard deviation, in radians, of the angle by which three-axis sensors are turned about a random axis. Needs
    `rotation_axes`."""
    rotation_axes: Sequence[Sequence[str | int]] = ()
    """Names or numbers of the channels of each three-axis sensor: `[("acc_x", "acc_y", "acc_z")]`. They turn
    together, as the sensors of one device do."""
    warp_knots: int = 4
    """Random values in a window for `time_warp`, `magnitude_warp` and `drift`: more of them make faster changes."""

    def __post_init__(self) -> None:
        self.statistics: ChannelStatistics | None = None
        """Mean and standard deviation of each channel of the training data."""
        self.channel_names: tuple[str, ...] = ()
        """Names of the channels that an iterator reads."""
        self.featurewise_center |= self.featurewise_std_normalization
        super().__post_init__()

    def check(self) -> None:
        """Check all settings; called again for each new iterator, since settings may be changed.

        Raises:
            SpecificationError: A setting has the wrong type, or is out of range.
        """
        super().check()
        if self.cutmix:
            raise SpecificationError("cutmix is for images; mixup and cutout are for time series.")
        self.windowing(1)
        self.reading_rules()
        self.random_transforms()

    def windowing(self, window_length: int | None) -> Windowing:
        """Return how recordings are cut.

        Args:
            window_length: Used unless the setting `window_length` is given.

        Raises:
            SpecificationError: One of these settings has the wrong type, or is out of range, or neither length is
                given.
        """
        length = window_length if self.window_length is None else self.window_length
        if length is None:
            raise SpecificationError("The length of a window is not known: set window_length.")
        overlap = check_number("window_overlap", self.window_overlap, minimum=0)
        if overlap >= 1:
            raise SpecificationError(f"window_overlap must be below 1, got {self.window_overlap}.")
        return Windowing(
            check_integer("window_length", length, minimum=1),
            overlap,
            check_choice("short_recordings", self.short_recordings, SHORT_RECORDINGS),
        )

    def reading_rules(self) -> ReadingRules:
        """Return how files are read.

        Raises:
            SpecificationError: One of these settings has the wrong type, or is out of range.
        """
        if isinstance(self.channels, str):
            raise SpecificationError(f"channels must be a list of names, got '{self.channels}'.")
        if self.time_column is not None and self.recorded_rate is not None:
            raise SpecificationError("Set time_column or recorded_rate, not both.")
        return ReadingRules(
            channels=None if self.channels is None else tuple(map(str, self.channels)),
            time_column=self.time_column,
            time_unit=_check_positive("time_unit", self.time_unit),
            resampling=ResamplingRules(
                sample_rate=_check_rate("sample_rate", self.sample_rate),
                recorded_rate=_check_rate("recorded_rate", self.recorded_rate),
                irregular=check_choice("irregular", self.irregular, ("refuse", "resample")),
                missing=check_choice("missing", self.missing, ("refuse", "interpolate")),
                max_gap=check_integer("max_gap", self.max_gap, minimum=0),
            ),
        )

    def random_transforms(self) -> RandomTransforms:
        """Return the random transforms that the settings describe.

        Raises:
            SpecificationError: One of these settings has the wrong type, or is out of range.
        """
        for axes in self.rotation_axes:
            if isinstance(axes, str) or len(axes) != 3 or len(set(axes)) != 3:
                raise SpecificationError(f"rotation_axes must have three channels each, got {axes!r}.")
        if check_number("rotation", self.rotation, minimum=0) and not self.rotation_axes:
            raise SpecificationError("rotation needs rotation_axes, such as [('acc_x', 'acc_y', 'acc_z')].")
        known = self.channel_names
        statistics = self.statistics
        return RandomTransforms(
            rotation=self.rotation,
            axes=tuple(self._find_axes(axes) for axes in self.rotation_axes) if known else (),
            shift=check_number("shift", self.shift, minimum=0, maximum=1),
            time_warp=check_number("time_warp", self.time_warp, minimum=0, maximum=1),
            scale=check_number("scale", self.scale, minimum=0),
            magnitude_warp=check_number("magnitude_warp", self.magnitude_warp, minimum=0),
            drift=check_number("drift", self.drift, minimum=0),
            jitter=check_number("jitter", self.jitter, minimum=0),
            cutout=check_number("cutout", self.cutout, minimum=0, maximum=1),
            knots=check_integer("warp_knots", self.warp_knots, minimum=2),
            center=None if statistics is None else statistics.mean,
            unit=None if statistics is None else statistics.std,
        )

    def _find_axes(self, axes: Sequence[str | int]) -> tuple[int, int, int]:
        known = self.channel_names
        numbers = []
        for axis in axes:
            if isinstance(axis, str) and axis in known:
                numbers.append(known.index(axis))
            elif isinstance(axis, int) and 0 <= axis < len(known):
                numbers.append(axis)
            else:
                raise SpecificationError(
                    f"rotation_axes names the channel '{axis}', which the recordings do not have."
                    f"{did_you_mean(str(axis), known)} Channels: {', '.join(known)}."
                )
        x, y, z = numbers
        return x, y, z

    def built_in_steps(self) -> Sequence[AugmentationStep]:
        """Return the random transforms as one augmentation step."""
        transforms = self.random_transforms()
        return (AugmentationStep(BUILT_IN_STEP, "transform", transforms, domain=DOMAIN, stream="transform"),)

    @property
    def needs_statistics(self) -> bool:
        """`True` if a setting refers to the mean or the deviation of the training data."""
        relative = (self.jitter, self.drift, self.scale, self.magnitude_warp, self.cutout)
        return self.featurewise_center or any(relative)

    def standardize_batch(self, x: np.ndarray) -> np.ndarray:
        """Return a batch of windows, float32 `(n, rows, channels)`, standardized.

        Raises:
            DatasetError: The statistics are not known, or are those of other channels.
        """
        if self.featurewise_center:
            if self.statistics is None:
                raise DatasetError(
                    "featurewise_center needs the mean of the training data: call datagen.fit(x)."
                )
            self.statistics.check(x.shape[2])
            x = x - self.statistics.mean
            if self.featurewise_std_normalization:
                x = x / self.statistics.std
        if not (self.rescale or self.samplewise_center):
            return np.asarray(x, np.float32)
        return normalize_batch(x, self.rescale, self.samplewise_center, self.samplewise_std_normalization)


def _check_rate(name: str, value: float | None) -> float | None:
    return None if value is None else _check_positive(name, value)


def _check_positive(name: str, value: object) -> float:
    number = check_number(name, value, minimum=0)
    if not number:
        raise SpecificationError(f"{name} must be above 0, got {value!r}.")
    return number
