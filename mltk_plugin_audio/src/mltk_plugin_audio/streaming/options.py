"""The options of the streaming evaluation, as a specification or the command line gives them."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from mltk.data import settings
from mltk.errors import DatasetError, SpecificationError, did_you_mean
from mltk_plugin_audio._files import FILE_FORMATS
from mltk_plugin_audio.streaming.detection import DetectionSettings
from mltk_plugin_audio.streaming.recordings import Composition


@dataclass(frozen=True)
class StreamingOptions:
    """What may be put into `my_model.streaming_evaluation`, or be given with `mltk evaluate --option`."""

    recordings: tuple[str | os.PathLike[str], ...] = ()
    """Files, or folders with files, each with its labels beside it (see `read_labels`); without any, one recording is
    made of the evaluation clips."""
    wanted_false_accepts_per_hour: float = 0.5
    """A threshold is recommended for this rate."""
    tolerance_ms: float | None = None
    """How long after its end a word may be detected; by default as long as it takes part in what is averaged."""
    max_minutes: float = Composition.max_minutes
    gap_ms: tuple[float, float] = Composition.gap_ms
    snr_db: float = Composition.snr_db
    background: str | os.PathLike[str] | None = None
    """See `Composition`; by default the background noise of the model's data generator."""
    average_window_duration_ms: int | None = None
    """In place of the model parameter of this name, see `DetectionSettings`; likewise those that follow."""
    minimum_count: int | None = None
    detection_threshold: int | None = None
    suppression_ms: int | None = None
    latency_ms: int | None = None
    volume_gain: int | None = None

    @classmethod
    def from_mapping(cls, values: Mapping[str, Any]) -> StreamingOptions:
        """Take the options from a mapping of names to values.

        Raises:
            SpecificationError: A name is unknown, or a value is not usable.
        """
        known = [f.name for f in fields(cls)]
        for name in values:
            if name not in known:
                raise SpecificationError(
                    f"The streaming evaluation has no option '{name}'.{did_you_mean(name, known)} "
                    f"Known: {', '.join(known)}."
                )
        given: dict[str, Any] = dict(values)
        recordings = given.get("recordings")
        given["recordings"] = _paths("recordings", () if recordings is None else recordings)
        if given.get("background") is not None:
            _paths("background", given["background"])
        if given.get("tolerance_ms") is not None:
            settings.number("tolerance_ms", given["tolerance_ms"], least=0)
        options = cls(**given)
        settings.number("wanted_false_accepts_per_hour", options.wanted_false_accepts_per_hour, least=0)
        settings.number("max_minutes", options.max_minutes, least=0.01)
        settings.number("snr_db", options.snr_db)
        settings.ascending("gap_ms", options.gap_ms, least=0)
        DetectionSettings.from_parameters({}, **options.detection())
        return options

    def detection(self) -> dict[str, int | None]:
        """Return what is given in place of model parameters; `None` for what is not."""
        names = {f.name for f in fields(DetectionSettings)}
        return {f.name: getattr(self, f.name) for f in fields(self) if f.name in names}

    def files(self) -> list[Path]:
        """Return the recordings, those of a folder in the order of their names.

        Raises:
            DatasetError: A folder has none.
        """
        found: list[Path] = []
        for path in map(Path, self.recordings):
            if not path.is_dir():
                found.append(path)
                continue
            inside = [p for p in sorted(path.iterdir()) if p.suffix.lower() in FILE_FORMATS]
            if not inside:
                raise DatasetError(
                    f"The folder '{path}' has no recordings. Looked for: {', '.join(FILE_FORMATS)}."
                )
            found += inside
        return found


def _paths(name: str, value: Any) -> tuple[str | os.PathLike[str], ...]:
    paths = (value,) if isinstance(value, str | os.PathLike) else value
    if not isinstance(paths, Sequence) or not all(isinstance(p, str | os.PathLike) for p in paths):
        raise SpecificationError(f"{name} must be a path, or a list of paths, not {value!r}.")
    return tuple(paths)
