"""Model specifications that `mltk new` writes for sound."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from string import Template

import numpy as np

from mltk.data import FolderLayout, describe_parts, read_layout
from mltk.errors import DatasetError
from mltk.plugins import Draft, DraftRequest
from mltk_plugin_audio._files import FILE_FORMATS, read_recording
from mltk_plugin_audio._signal import to_float

AUDIO_FORMATS = FILE_FORMATS
"""Suffixes of the recordings that can be read."""

BACKGROUND = "_background_noise_"
"""Folder of recordings of background noise, as in Speech Commands."""

_STEPS = 1000
"""Batches of a training run."""


@dataclass(frozen=True)
class Survey:
    """What a sample of the recordings is like."""

    rate: int
    """Median sample rate in Hz."""
    seconds: float
    """Length that nine tenths of the recordings do not exceed."""
    bandwidth: float
    """Frequency in Hz below which the recordings have 99.9 % of their power, in the median."""
    voiced: float
    """Share of the recordings with a pitch between 70 and 400 Hz, as speech has."""


def draft_keywords(request: DraftRequest) -> Draft | None:
    """Return the specification of a keyword model; `None` if there are no two classes of recordings."""
    return _draft(request, speech=True)


def draft_events(request: DraftRequest) -> Draft | None:
    """Return the specification of a model of sound events; `None` if there are no two classes of recordings."""
    return _draft(request, speech=False)


def _draft(request: DraftRequest, speech: bool) -> Draft | None:
    layout = read_layout(request.data, AUDIO_FORMATS)
    if layout is None or len(layout.files) < 2:
        return None
    survey = survey_recordings(layout.sample())
    parts = describe_parts(layout)
    rate = 16000 if survey.rate >= 16000 else 8000
    length = 1000 if survey.seconds <= 1.05 else min(3000, round(survey.seconds * 10) * 100)
    batch_size = 64 if layout.count >= 300 else 32
    kind = "Keywords" if speech else "Sound events"
    low, high, band_reason = _choose_band(survey, rate, speech)
    values = {
        "name": request.name,
        "title": f"{kind}: {len(layout.files)} classes.",
        "about": f"Written by `mltk new` for {layout.count:,} training recordings.\n{parts.summary}",
        "description": f"{kind}: {len(layout.files)} classes, {length / 1000:g} s at {rate / 1000:g} kHz, int8",
        "dataset": request.dataset,
        "classes": _write_classes(layout, speech),
        "parts": parts.code,
        "rate": rate,
        "length": length,
        "length_reason": f"Nine tenths of the recordings have at most {survey.seconds:.2f} s.",
        "window": 30 if speech else 32,
        "low": f"{low:.1f}",
        "high": f"{high:.1f}",
        "band_reason": band_reason,
        "augmentation_reason": (
            "other voices, speeds, places and backgrounds"
            if speech
            else "other pitches, places and backgrounds; the sound itself keeps its character"
        ),
        "augmentation": _write_augmentation(layout, speech),
        "validation_split": parts.validation_split,
        "epochs": max(20, round(_STEPS * batch_size / max(1, layout.count * (1 - parts.validation_split)))),
        "batch_size": batch_size,
        "average": max(300, length // 2),
    }
    findings = [
        f"{layout.count:,} training recordings in {len(layout.files)} classes, {survey.rate / 1000:g} kHz; "
        f"clips of {length} ms, {low:g} to {high:g} Hz",
        parts.summary,
    ]
    speaks = survey.voiced > 0.5 or (request.data / BACKGROUND).is_dir()
    text = Template(Path(__file__).with_name("audio.py.tmpl").read_text(encoding="utf-8")).substitute(values)
    return Draft(text, findings, suitability=0.7 if speech == speaks else 0.3)


def survey_recordings(paths: Sequence[Path]) -> Survey:
    """Listen to recordings; those that cannot be read are skipped.

    Raises:
        DatasetError: None can be read; the reason is that of the first.
    """
    found, reason = [], None
    for path in paths:
        try:
            samples, rate = read_recording(path)
        except DatasetError as e:
            reason = reason or e
            continue
        found.append((rate, len(samples) / rate, *_analyze(to_float(samples[: 4 * rate]), rate)))
    if not found:
        raise reason or DatasetError("There is no recording to listen to.")
    rates, seconds, bandwidths, voiced = np.array(found).T
    return Survey(
        rate=int(np.median(rates)),
        seconds=float(np.quantile(seconds, 0.9)),
        bandwidth=float(np.median(bandwidths)),
        voiced=float(np.mean(voiced)),
    )


def _analyze(samples: np.ndarray, rate: int) -> tuple[float, bool]:
    """Return the bandwidth of a recording in Hz, and whether its loudest 50 ms have a pitch."""
    power = np.abs(np.fft.rfft(samples)) ** 2
    total = np.cumsum(power[1:])
    bandwidth = np.searchsorted(total, 0.999 * total[-1]) / len(power) * rate / 2
    window = round(0.05 * rate)
    starts = range(0, max(1, len(samples) - window), window // 2)
    loudest = max(starts, key=lambda i: float(np.square(samples[i : i + window]).sum()))
    frame = samples[loudest : loudest + window]
    spectrum = np.abs(np.fft.rfft(frame, 2 * window)) ** 2
    correlation = np.fft.irfft(spectrum)[:window]
    lags = correlation[rate // 400 : rate // 70]
    return float(bandwidth), bool(len(lags) and lags.max() > 0.5 * max(correlation[0], 1e-12))


def _choose_band(survey: Survey, rate: int, speech: bool) -> tuple[float, float, str]:
    low = 125.0 if speech else 60.0
    highest = rate / 2 - 100 if not speech else min(7500.0, rate / 2 - 200)
    if speech and survey.bandwidth < 0.9 * 4000 and survey.rate >= 16000:
        return low, 3800.0, "The recordings have no sound above 4 kHz, as from a telephone."
    return low, highest, "The band of speech." if speech else "Almost the whole band."


def _write_classes(layout: FolderLayout, speech: bool) -> str:
    lines = [f"my_model.classes = {layout.classes}"]
    if speech:
        lines += [
            "# For a detector that runs all the time: name only the words to detect, and add '_unknown_' (all other",
            "# folders) and '_silence_'.",
        ]
    return "\n".join(lines)


def _write_augmentation(layout: FolderLayout, speech: bool) -> str:
    settings = {
        "trim_threshold_db": 40.0 if speech else 0.0,
        "offset_range": (0.0, 1.0),
        "loudness_range": (0.3, 1.3),
        "time_shift_range_ms": (-80, 80),
        "pitch_range": (-0.35, 0.35) if speech else (-0.3, 0.3),
        "noise_colors": ["white", "pink", "brown"],
        "noise_color_range": (0.0, 0.02),
    }
    probabilities = {"pitch": 0.7, "noise_color": 0.5}
    if speech:
        settings |= {"speed_range": (0.8, 1.25), "vtlp_range": (0.85, 1.18)}
        probabilities |= {"speed": 0.7, "vtlp": 0.7}
    if (layout.training / BACKGROUND).is_dir():
        settings |= {"bg_noise_dir": BACKGROUND, "bg_noise_snr_db_range": (5, 30)}
        probabilities["bg_noise"] = 0.5
    lines = [f"    {name}={value!r},".replace("'", '"') for name, value in settings.items()]
    if not speech:
        lines.append("    balanced_classes=True,")
    return "\n".join([*lines, f"    probabilities={probabilities!r},".replace("'", '"')])
