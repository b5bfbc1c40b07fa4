"""`AudioFeatureGeneratorSettings`: the settings of the audio front end as a dictionary of model parameters."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Generic, Self, TypeVar, cast, overload

import numpy as np

from mltk.errors import SpecificationError, did_you_mean
from mltk_plugin_audio.frontend._filter_bank import FilterBank, get_correction_bits, make_filter_bank

PREFIX = "fe."
_NAMES_OF_2021 = {
    "n_channels": "filterbank_n_channels",
    "lower_band_limit": "filterbank_lower_band_limit",
    "upper_band_limit": "filterbank_upper_band_limit",
    "enable_noise_reduction": "noise_reduction_enable",
    "smoothing_bits": "noise_reduction_smoothing_bits",
    "even_smoothing": "noise_reduction_even_smoothing",
    "odd_smoothing": "noise_reduction_odd_smoothing",
    "min_signal_remaining": "noise_reduction_min_signal_remaining",
    "enable_pcan": "pcan_enable",
    "gain_bits": "pcan_gain_bits",
    "enable_log": "log_scale_enable",
    "scale_shift": "log_scale_shift",
}
"""Names in models that silabs-mltk wrote before 2022."""
FFT_LENGTH = PREFIX + "fft_length"

WINDOW_LIMITS = (16, 8192)
"""Minimum and maximum window length in samples that the Fourier transform of the firmware accepts."""

_T = TypeVar("_T", bound=float)

_TEN_MILLION = 10_000_000


class _Setting(Generic[_T]):
    """A property that is stored under its name with the prefix `fe.`, in the type of its default."""

    def __init__(
        self, default: _T, doc: str, *, low: float = 0, high: float = math.inf, below: float = math.inf
    ) -> None:
        self.default = default
        self.__doc__ = doc
        self.low, self.high, self.below = low, high, below
        self.name = ""

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    @overload
    def __get__(self, instance: None, owner: type) -> Self: ...

    @overload
    def __get__(self, instance: AudioFeatureGeneratorSettings, owner: type) -> _T: ...

    def __get__(self, instance: AudioFeatureGeneratorSettings | None, owner: type) -> Self | _T:
        if instance is None:
            return self
        return cast("_T", instance[PREFIX + self.name])

    def __set__(self, instance: AudioFeatureGeneratorSettings, value: _T) -> None:
        instance[PREFIX + self.name] = value

    def convert(self, value: object) -> _T:
        """Return `value` in the type of the setting.

        Raises:
            SpecificationError: The value has the wrong type, or is outside of the range of the setting.
        """
        kind = type(self.default)
        is_number = isinstance(value, int | float | np.integer | np.floating) and math.isfinite(value)
        if kind is bool:
            if not isinstance(value, np.bool_) and not (is_number and value in (0, 1)):
                raise SpecificationError(f"{self.name} must be True or False, got {value!r}.")
            return kind(bool(value))
        if not is_number:
            raise SpecificationError(f"{self.name} must be a number, got {value!r}.")
        number = kind(cast("float", value))
        if self.low <= number <= self.high and number < self.below:
            return number
        limits = f"at least {self.low:g}"
        if self.below < math.inf:
            limits += f" and less than {self.below:g}"
        elif self.high < math.inf:
            limits += f" and at most {self.high:g}"
        hint = ""
        if self.name.endswith("_ms") and isinstance(value, float) and 0 < value < 1:
            hint = f" It is in milliseconds: did you mean {1000 * value:g}?"
        raise SpecificationError(f"{self.name} must be {limits}, got {value!r}.{hint}")


class AudioFeatureGeneratorSettings(dict[str, int | float | bool]):
    """Settings of the audio front end, the same on the computer and in the firmware.

    Each setting is a property, and an entry of the dictionary under the same name with the prefix `fe.`, so that
    `my_model.model_parameters.update(settings)` embeds all of them in the `.tflite`. A value is checked when it is
    set; integer settings drop the fraction. `validate()`, which `AudioFeatureGenerator` calls, checks the combination
    of all values.

    Args:
        other: Names and values that replace the defaults.
        **values: The same. Names are those of the properties, with or without `fe.`; `fft_length` is ignored, because
            it follows from the other settings.

    Raises:
        SpecificationError: A name is unknown, or a value has the wrong type or is out of range.
    """

    sample_rate_hz = _Setting(16000, "Samples per second.", low=1, high=_TEN_MILLION)
    sample_length_ms = _Setting(1000, "Length of a clip in milliseconds.", low=1, high=_TEN_MILLION)
    window_size_ms = _Setting(25, "Window length of one row in milliseconds.", low=1, high=_TEN_MILLION)
    window_step_ms = _Setting(10, "Step from one row to the next in milliseconds.", low=1, high=_TEN_MILLION)
    filterbank_n_channels = _Setting(
        32,
        "Number of channels of the mel filter bank, the width of the spectrogram.",
        low=1,
        high=WINDOW_LIMITS[1] // 2,
    )
    filterbank_upper_band_limit = _Setting(
        7500.0, "Upper limit of the highest channel in Hz, at most half of the sample rate."
    )
    filterbank_lower_band_limit = _Setting(125.0, "Lower limit of the lowest channel in Hz.")
    noise_reduction_enable = _Setting(
        False, "Subtract an estimate of the stationary noise from each channel."
    )
    noise_reduction_smoothing_bits = _Setting(10, "Fractional bits of the noise estimate.", high=31)
    noise_reduction_even_smoothing = _Setting(
        0.025, "Weight of a new row in the noise estimate of channels 0, 2, …", high=1
    )
    noise_reduction_odd_smoothing = _Setting(
        0.06, "Weight of a new row in the noise estimate of channels 1, 3, …", high=1
    )
    noise_reduction_min_signal_remaining = _Setting(
        0.05, "Minimum fraction that noise reduction leaves of a value.", high=1
    )
    pcan_enable = _Setting(
        False, "Normalize each channel by its noise estimate (per-channel amplitude normalization)."
    )
    pcan_strength = _Setting(0.95, "Exponent of the gain: 0 is no normalization, 1 is full normalization.")
    pcan_offset = _Setting(80.0, "Offset added to the noise estimate, so that silence is not amplified.")
    pcan_gain_bits = _Setting(21, "Fractional bits of the gain.", high=31)
    log_scale_enable = _Setting(True, "Return natural logarithms.")
    log_scale_shift = _Setting(6, "Power of two by which the logarithm is multiplied.", high=16)
    activity_detection_enable = _Setting(False, "Detect the onset of a sound in the loudness.")
    activity_detection_alpha_a = _Setting(
        0.5, "Weight of the previous value in the fast average of the loudness.", high=1
    )
    activity_detection_alpha_b = _Setting(
        0.8, "Weight of the previous value in the slow average of the loudness.", high=1
    )
    activity_detection_arm_threshold = _Setting(
        0.75, "Ratio of the fast to the slow average below which the detector is armed.", below=8
    )
    activity_detection_trip_threshold = _Setting(
        0.8, "Ratio of the fast to the slow average above which an armed detector reports activity.", below=8
    )
    dc_notch_filter_enable = _Setting(False, "Remove the constant component of the signal.")
    dc_notch_filter_coefficient = _Setting(
        0.95, "Pole of the notch filter; the closer to 1, the narrower the notch.", below=1
    )
    quantize_dynamic_scale_enable = _Setting(
        False, "Scale each int8 spectrogram by its maximum instead of a fixed range."
    )
    quantize_dynamic_scale_range_db = _Setting(
        40.0, "Range of such a spectrogram below its maximum, in dB.", high=1000
    )

    def __init__(self, other: Mapping[str, object] | None = None, /, **values: object) -> None:
        super().__init__()
        for name, setting in _SETTINGS.items():
            super().__setitem__(PREFIX + name, setting.default)
            if name == "sample_rate_hz":
                super().__setitem__(FFT_LENGTH, 0)
        self._update_fft_length()
        self.update(other or {}, **values)

    @classmethod
    def from_parameters(cls, parameters: Mapping[str, object]) -> Self:
        """Return the settings found in the parameters of a model; missing settings have their defaults.

        Args:
            parameters: Model parameters, e.g. of a `.tflite`; names that do not start with `fe.` are ignored. Those of
                the models of 2021 are understood: `fe.n_channels` is `fe.filterbank_n_channels`.

        Raises:
            SpecificationError: A value has the wrong type or is out of range.
        """
        named = {name.removeprefix(PREFIX): v for name, v in parameters.items() if name.startswith(PREFIX)}
        renamed = {_NAMES_OF_2021.get(name, name): value for name, value in named.items()}
        return cls({name: value for name, value in renamed.items() if name in _SETTINGS})

    @property
    def fft_length(self) -> int:
        """Length of the Fourier transform: the window length in samples, rounded up to a power of two."""
        return cast("int", self[FFT_LENGTH])

    @property
    def sample_length(self) -> int:
        """Length of a clip in samples."""
        return self.sample_length_ms * self.sample_rate_hz // 1000

    @property
    def window_size(self) -> int:
        """Window length in samples."""
        return self.window_size_ms * self.sample_rate_hz // 1000

    @property
    def window_step(self) -> int:
        """Step from one row to the next in samples."""
        return self.window_step_ms * self.sample_rate_hz // 1000

    @property
    def spectrogram_shape(self) -> tuple[int, int]:
        """Rows and channels of the spectrogram of one clip.

        Raises:
            SpecificationError: The step is shorter than one sample.
        """
        self._check(self.window_step > 0, f"window_step_ms={self.window_step_ms} is less than one sample")
        rows = (self.sample_length - self.window_size) // self.window_step + 1
        return max(rows, 0), self.filterbank_n_channels

    def copy(self) -> Self:
        """Return an independent copy."""
        return type(self)(self)

    def make_filter_bank(self) -> FilterBank:
        """Compute the mel filters of these settings."""
        return make_filter_bank(
            self.sample_rate_hz,
            self.fft_length,
            self.filterbank_lower_band_limit,
            self.filterbank_upper_band_limit,
            self.filterbank_n_channels,
        )

    def validate(self) -> None:
        """Check that the values are consistent.

        Raises:
            SpecificationError: They are not; the message names the settings and the reason.
        """
        missing = [name for name in _SETTINGS if PREFIX + name not in self]
        self._check(not missing, f"{', '.join(missing)} was removed")
        self._check_window()
        self._check_filter_bank()
        if self.pcan_enable:
            self._check_gain_control()

    def update(  # type: ignore[override]  # names may also come without the prefix
        self, other: Mapping[str, object] | Iterable[tuple[str, object]] = (), /, **values: object
    ) -> None:
        """Set several values.

        Args:
            other: Names and values.
            **values: The same. Names may have the prefix `fe.`; `fft_length` is ignored.

        Raises:
            SpecificationError: A name is unknown, or a value has the wrong type or is out of range.
        """
        for name, value in (dict(other) | values).items():
            if name.removeprefix(PREFIX) != "fft_length":
                self[name] = value

    def __setitem__(self, key: str, value: object) -> None:
        name = key.removeprefix(PREFIX)
        if name == "fft_length":
            raise SpecificationError("fft_length follows from sample_rate_hz and window_size_ms; set these.")
        if name not in _SETTINGS:
            raise SpecificationError(
                f"AudioFeatureGeneratorSettings has no setting '{name}'.{did_you_mean(name, _SETTINGS)}"
            )
        super().__setitem__(PREFIX + name, _SETTINGS[name].convert(value))
        if name in ("sample_rate_hz", "window_size_ms"):
            self._update_fft_length()

    def __setattr__(self, name: str, value: object) -> None:
        if not hasattr(type(self), name):
            raise AttributeError(
                f"AudioFeatureGeneratorSettings has no setting '{name}'.{did_you_mean(name, _SETTINGS)}"
            )
        super().__setattr__(name, value)

    def __ior__(self, other: Mapping[str, object]) -> Self:  # type: ignore[misc, override]  # as `update`
        self.update(other)
        return self

    def __reduce__(self) -> tuple[Callable[..., Self], tuple[dict[str, int | float | bool]]]:
        return type(self), (dict(self),)

    def _update_fft_length(self) -> None:
        super().__setitem__(FFT_LENGTH, 1 << max(self.window_size - 1, 0).bit_length())

    def _check_window(self) -> None:
        window, (shortest, longest) = self.window_size, WINDOW_LIMITS
        self._check(
            shortest <= window <= longest,
            f"window_size_ms={self.window_size_ms} at {self.sample_rate_hz} Hz is {window} samples; the front end "
            f"takes {shortest} to {longest}",
        )
        self._check(self.window_step > 0, f"window_step_ms={self.window_step_ms} is less than one sample")
        self._check(
            self.window_step_ms <= self.window_size_ms,
            f"window_step_ms={self.window_step_ms} is more than window_size_ms={self.window_size_ms}: "
            "the sound between two windows would be lost",
        )
        self._check(
            self.sample_length >= window,
            f"sample_length_ms={self.sample_length_ms} is less than window_size_ms={self.window_size_ms}: "
            "the spectrogram would be empty",
        )

    def _check_filter_bank(self) -> None:
        low, high = self.filterbank_lower_band_limit, self.filterbank_upper_band_limit
        self._check(
            low < high,
            f"filterbank_lower_band_limit={low:g} is not below filterbank_upper_band_limit={high:g}",
        )
        self._check(
            high <= self.sample_rate_hz / 2,
            f"filterbank_upper_band_limit={high:g} is above {self.sample_rate_hz / 2:g} Hz, half of the sample rate",
        )
        bank = self.make_filter_bank()
        frequencies = bank.stop - bank.start
        self._check(
            self.filterbank_n_channels <= frequencies,
            f"filterbank_n_channels={self.filterbank_n_channels} is more than the {frequencies} frequencies that a "
            f"window of {self.window_size} samples resolves between {low:g} and {high:g} Hz: use fewer channels or a "
            "longer window",
        )

    def _check_gain_control(self) -> None:
        self._check(
            self.noise_reduction_enable,
            "pcan_enable needs noise_reduction_enable, because it uses the noise estimate",
        )
        bits = get_correction_bits(self.fft_length)
        self._check(
            self.pcan_gain_bits >= bits + 12,
            f"pcan_gain_bits={self.pcan_gain_bits} must be at least {bits + 12} for this window",
        )
        self._check(
            self.noise_reduction_smoothing_bits >= bits,
            f"noise_reduction_smoothing_bits={self.noise_reduction_smoothing_bits} must be at least {bits} "
            "for this window when pcan_enable is set",
        )
        self._check(self.pcan_offset > 0, "pcan_offset must be more than 0")

    @staticmethod
    def _check(holds: bool, otherwise: str) -> None:
        if not holds:
            raise SpecificationError(f"Audio front end: {otherwise}.")


_SETTINGS: dict[str, _Setting[int] | _Setting[float] | _Setting[bool]] = {
    name: value for name, value in vars(AudioFeatureGeneratorSettings).items() if isinstance(value, _Setting)
}
