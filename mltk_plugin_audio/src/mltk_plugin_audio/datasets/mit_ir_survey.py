"""MIT Impulse Response Survey: how 271 places sound.

- Source: James Traer and Josh McDermott, "Statistics of natural reverberation enable perceptual separation of sound
  and space", 2016, https://mcdermottlab.mit.edu/Reverb/IR_Survey.html
- Licence: CC BY 4.0.

The folder can be given to `ParallelAudioDataGenerator(impulse_response_dir=…)`.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from mltk_plugin_audio._files import FILE_FORMATS, as_float, read_recording

from .utils import download_archive, resampled_copy

DOWNLOAD_URL = "https://mcdermottlab.mit.edu/Reverb/IRMAudio/Audio.zip"
VERIFY_SHA1 = "de04f5be419c12f4f847f65d7ef8e2356b73aa38"

_RESAMPLED = "resampled_"


def download(
    dest_dir: str | os.PathLike[str] | None = None,
    dest_subdir: str = "datasets/mit_ir_survey",
    logger: logging.Logger | None = None,
    clean_dest_dir: bool = True,
    sample_rate_hz: int = 16000,
) -> str:
    """Download, extract and resample the impulse responses, unless that was done before.

    Args:
        dest_dir: A new or empty folder; `None` means `dest_subdir` in mltk's own folder.
        dest_subdir: Path below mltk's own folder.
        logger: Where to report; `None` means mltk's own.
        clean_dest_dir: Replace what was extracted there before; else add to it.
        sample_rate_hz: Wanted rate.

    Returns:
        The folder with one WAV file for each place.
    """
    folder = download_archive(
        "mit_ir_survey",
        DOWNLOAD_URL,
        VERIFY_SHA1,
        dest_dir,
        dest_subdir,
        archive_fname="mit_ir_survey.zip",
        clean_dest_dir=clean_dest_dir,
        logger=logger,
    )
    return resampled_copy(f"{folder}/Audio", f"{folder}/{_RESAMPLED}{sample_rate_hz}", sample_rate_hz)


def load_dataset(dataset_dir: str | os.PathLike[str]) -> list[np.ndarray]:
    """Read all impulse responses of a folder, sorted by name: float32 `(n,)` each.

    Args:
        dataset_dir: What `download` returned, or the `dest_dir` that it was given.
    """
    folder = next(iter(sorted(Path(dataset_dir).glob(f"{_RESAMPLED}*"))), Path(dataset_dir))
    files = sorted(p for p in folder.iterdir() if p.suffix.lower() in FILE_FORMATS)
    return [as_float(read_recording(path)[0]) for path in files]


def apply_ir(audio: np.ndarray, ir: np.ndarray) -> np.ndarray:
    """Return a recording as it would sound in a place: float32 `(len(audio) + len(ir) - 1,)`."""
    from scipy.signal import fftconvolve

    return np.asarray(fftconvolve(np.asarray(audio, np.float32), np.asarray(ir, np.float32)), np.float32)


def apply_random_ir(audio: np.ndarray, ir_samples: Sequence[np.ndarray], seed: int = 42) -> np.ndarray:
    """Return a recording as it would sound in one of several places, drawn from the seed."""
    return apply_ir(audio, ir_samples[int(np.random.default_rng(seed).integers(len(ir_samples)))])
