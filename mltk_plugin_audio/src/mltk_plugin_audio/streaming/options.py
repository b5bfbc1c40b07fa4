"""Options of the streaming evaluation, from a specification or the command line."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, TypeAlias, cast

from mltk.data import check_number, check_range
from mltk.errors import DatasetError, SpecificationError, did_you_mean
from mltk_plugin_audio._files import FILE_FORMATS
from mltk_plugin_audio._noise_and_rooms import list_recordings
from mltk_plugin_audio.streaming.composition import Composition
from mltk_plugin_audio.streaming.detection import DetectionSettings

_Paths: TypeAlias = tuple[str | os.PathLike[str], ...]


@dataclass(frozen=True)
class StreamingOptions:
    """Options for `my_model.streaming_evaluation` and `mltk evaluate --option`."""

    recordings: _Paths = ()
    """Files, or folders of files, with their labels beside them (see `read_labels`). Without recordings, one
    recording is composed of the evaluation clips."""
    wanted_false_accepts_per_hour: float = 0.5
    """Rate for which a threshold is recommended."""
    tolerance_ms: float | None = None
    """Time after the end of a word in which it may be detected; by default the time in which it affects averages."""
    max_minutes: float = Composition.max_minutes
    """See `Composition`, also for the next two."""
    gap_ms: tuple[float, float] = Composition.gap_ms
    snr_db: float = Composition.snr_db
    background: str | os.PathLike[str] | None = None
    """See `Composition`; by default the background noise of the data generator."""
    average_window_duration_ms: int | None = None
    """Replaces the model parameter, like the fields below; see `DetectionSettings`."""
    minimum_count: int | None = None
    detection_threshold: int | None = None
    suppression_ms: int | None = None
    latency_ms: int | None = None
    volume_gain: int | None = None

    def __post_init__(self) -> None:
        if self.tolerance_ms is not None:
            check_number("tolerance_ms", self.tolerance_ms, minimum=0)
        if self.background is not None:
            _to_paths("background", self.background)
        check_number("wanted_false_accepts_per_hour", self.wanted_false_accepts_per_hour, minimum=0)
        check_number("max_minutes", self.max_minutes, minimum=0.01)
        check_number("snr_db", self.snr_db)
        check_range("gap_ms", self.gap_ms, minimum=0)
        DetectionSettings.from_parameters({}, **self.get_detection_settings())

    @classmethod
    def from_mapping(cls, values: Mapping[str, object]) -> StreamingOptions:
        """Create the options from names and values.

        Raises:
            SpecificationError: A name is unknown, or a value is invalid.
        """
        known = [f.name for f in fields(cls)]
        for name in values:
            if name not in known:
                raise SpecificationError(
                    f"The streaming evaluation has no option '{name}'.{did_you_mean(name, known)} "
                    f"Known: {', '.join(known)}."
                )
        recordings = values.get("recordings")
        given = dict(values, recordings=() if recordings is None else _to_paths("recordings", recordings))
        return cls(**cast("dict[str, Any]", given))  # `__post_init__` checks the types.

    def get_detection_settings(self) -> dict[str, int | None]:
        """Return the values that replace model parameters; `None` for those that do not."""
        names = {f.name for f in fields(DetectionSettings)}
        return {f.name: getattr(self, f.name) for f in fields(self) if f.name in names}

    def list_files(self) -> list[Path]:
        """Return the recordings; those of a folder are sorted by name.

        Raises:
            DatasetError: A folder has no recordings.
        """
        found: list[Path] = []
        for path in map(Path, self.recordings):
            inside = list_recordings(path) if path.is_dir() else [path]
            if not inside:
                raise DatasetError(
                    f"The folder '{path}' has no recordings. Looked for: {', '.join(FILE_FORMATS)}."
                )
            found += inside
        return found


def _to_paths(name: str, value: object) -> _Paths:
    paths = (value,) if isinstance(value, str | os.PathLike) else value
    if not isinstance(paths, Sequence) or not all(isinstance(p, str | os.PathLike) for p in paths):
        raise SpecificationError(f"{name} must be a path, or a list of paths, got {value!r}.")
    return tuple(paths)
