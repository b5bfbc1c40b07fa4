"""Recordings and their augmented variants, as rows of pictures."""

from __future__ import annotations

import copy
import math
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from mltk.core import load_mltk_model
from mltk.data import batch_rng, resolve_data
from mltk.errors import SpecificationError
from mltk_plugin_audio import ParallelAudioDataGenerator
from mltk_plugin_audio._augmentation import TransformValue
from mltk_plugin_audio._files import read_recording
from mltk_plugin_audio._noise_and_rooms import find_folder
from mltk_plugin_audio._signal import resample, to_float
from mltk_plugin_audio.cli._drawing import Panel, Row
from mltk_plugin_audio.frontend import AudioFeatureGeneratorSettings, AudioFeatureStream
from mltk_plugin_audio.mixins import AudioDatasetMixin


def load_datagen(model: str, trust: bool) -> ParallelAudioDataGenerator:
    """Return a copy of the data generator of a model, with absolute paths of noise and impulse responses."""
    mltk_model = load_mltk_model(model, trust=trust)
    if not isinstance(mltk_model, AudioDatasetMixin):
        raise SpecificationError(
            f"The model '{mltk_model.name}' has no recordings: it does not inherit AudioDatasetMixin."
        )
    datagen: ParallelAudioDataGenerator = copy.copy(mltk_model.datagen)
    for name in ("bg_noise_dir", "impulse_response_dir"):
        folder = getattr(datagen, name)
        if folder is not None and not Path(folder).is_dir():
            # A path relative to the data set, which may be downloaded only if it is needed.
            dataset = resolve_data(mltk_model, "training", False)
            setattr(datagen, name, str(find_folder(name, folder, str(dataset))))
    return datagen


def make_rows(
    files: Sequence[str], datagen: ParallelAudioDataGenerator | None, augment: int, seed: int
) -> tuple[list[Row], AudioFeatureGeneratorSettings]:
    """Return one row per file, and the settings of their front end.

    Args:
        files: Recordings.
        datagen: Generator of augmented variants; `None` shows the recordings only.
        augment: Number of augmented variants.
        seed: Seed of the variants.
    """
    settings = datagen.frontend_settings if datagen is not None else AudioFeatureGeneratorSettings()
    return [_make_row(i, file, settings, datagen, augment, seed) for i, file in enumerate(files)], settings


def _make_row(
    number: int,
    file: str,
    settings: AudioFeatureGeneratorSettings,
    datagen: ParallelAudioDataGenerator | None,
    augment: int,
    seed: int,
) -> Row:
    recorded, rate = read_recording(file)
    samples = to_float(recorded)
    seconds = len(samples) / rate
    panels = [_make_panel("as recorded", resample(samples, rate, settings.sample_rate_hz), settings)]
    if datagen is not None:
        rng = batch_rng(seed, 0, number, "view")
        transforms = [datagen.default_transform, *(datagen.get_random_transform(rng) for _ in range(augment))]
        for i, transform in enumerate(transforms):
            clip = datagen.apply_transform(samples, rate, transform, rng=rng)
            title = _describe(transform) if i else "input of the model"
            panels.append(_make_panel(title, clip, settings))
    return Row(f"{'/'.join(Path(file).parts[-2:])}, {seconds:.2f} s, {rate:,} Hz", panels, Path(file).name)


def _make_panel(title: str, samples: np.ndarray, settings: AudioFeatureGeneratorSettings) -> Panel:
    return Panel(title, samples, AudioFeatureStream(settings).process(samples, np.uint16))


def _describe(transform: Mapping[str, TransformValue]) -> str:
    """Return a text with the changes of a transform."""
    parts = [
        f"{label} {value:+.1f}{unit}" if unit else f"{label} ×{value:.2f}"
        for name, label, unit, unchanged in (
            ("speed_factor", "speed", "", 1),
            ("pitch_factor", "pitch", " semitones", 0),
            ("vtlp_factor", "vocal tract", "", 1),
            ("time_shift_ms", "shift", " ms", 0),
            ("loudness_factor", "loudness", "", 1),
        )
        if (value := transform[name]) != unchanged
    ]
    if transform["impulse_response"]:
        parts.append(f"room {transform['impulse_response']}")
    if transform["noise_color"] != "none":
        parts.append(f"{transform['noise_color']} noise ×{transform['noise_color_factor']:.2f}")
    if transform["bg_noise"]:
        snr = float(transform["bg_noise_snr_db"] or 0)
        level = f"×{transform['bg_noise_factor']:.2f}" if math.isnan(snr) else f"at {snr:.0f} dB SNR"
        parts.append(f"{transform['bg_noise']} {level}")
    return "\n".join(textwrap.wrap(", ".join(parts) or "another position", 54)[:3])
