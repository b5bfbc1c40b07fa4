"""MIT Impulse Response Survey: impulse responses of 271 places.

- Source: James Traer and Josh McDermott, "Statistics of natural reverberation enable perceptual separation of sound
  and space", 2016, https://mcdermottlab.mit.edu/Reverb/IR_Survey.html
- Licence: CC BY 4.0.

Use the folder as `ParallelAudioDataGenerator(impulse_response_dir=…)`.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from scipy.signal import fftconvolve

from mltk_plugin_audio._files import read_recording
from mltk_plugin_audio._noise_and_rooms import list_recordings
from mltk_plugin_audio._signal import to_float
from mltk_plugin_audio.datasets.utils import download_archive, resample_folder

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
    """Download, extract and resample the impulse responses, unless already done.

    `sample_rate_hz` is the sample rate of the result. See
    `mltk_plugin_audio.datasets.utils.download_archive` for the other arguments.

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
    return resample_folder(f"{folder}/Audio", f"{folder}/{_RESAMPLED}{sample_rate_hz}", sample_rate_hz)


def load_dataset(dataset_dir: str | os.PathLike[str]) -> list[np.ndarray]:
    """Read all impulse responses of a folder as float32 `(n,)`, sorted by name.

    Args:
        dataset_dir: Folder returned by `download`, or the `dest_dir` passed to it.
    """
    folder = next(iter(sorted(Path(dataset_dir).glob(f"{_RESAMPLED}*"))), Path(dataset_dir))
    return [to_float(read_recording(path)[0]) for path in list_recordings(folder)]


def apply_ir(audio: np.ndarray, ir: np.ndarray) -> np.ndarray:
    """Convolve a recording with an impulse response; return float32 `(len(audio) + len(ir) - 1,)`."""
    return np.asarray(fftconvolve(np.asarray(audio, np.float32), np.asarray(ir, np.float32)), np.float32)


def apply_random_ir(audio: np.ndarray, ir_samples: Sequence[np.ndarray], seed: int = 42) -> np.ndarray:
    """Convolve a recording with one of several impulse responses, drawn from the seed."""
    return apply_ir(audio, ir_samples[int(np.random.default_rng(seed).integers(len(ir_samples)))])
