"""Files with clips of a generator, to listen to and to look at."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from mltk.data import BatchPosition
from mltk.utils.files import atomic_path
from mltk_plugin_audio._batches import AudioBatches
from mltk_plugin_audio.utils import write_audio_file


def write_preview(batches: AudioBatches, classes: Sequence[str], out_dir: Path, n: int) -> list[str]:
    """Write the first `n` clips of the first epoch; see `ParallelAudioDataGenerator.preview`."""
    position = BatchPosition(0, 0, batches.order(0)[:n])
    transforms = batches.draw_transforms(position)
    clips = batches.make_clips(position, transforms)
    generator = batches.generator
    written: list[str] = []
    stems = [
        f"{i:0{len(str(n))}}-{classes[batches.labels.ids[index]]}-{Path(batches.names[index]).stem}"
        for i, index in enumerate(position.indices)
    ]
    for stem, clip in zip(stems, clips, strict=True):
        path = out_dir / f"{stem}.wav"
        written.append(str(write_audio_file(str(path), np.ravel(clip), generator.sample_rate_hz)))
    if generator.frontend_enabled:
        spectrograms = batches.make_spectrograms(clips, position, transforms)
        for stem, spectrogram in zip(stems, spectrograms, strict=True):
            written.append(write_picture(out_dir / f"{stem}.png", spectrogram))
    return written


def write_picture(path: Path, spectrogram: np.ndarray) -> str:
    """Write a spectrogram `(frames, channels)` as a PNG file: time to the right, high frequencies at the top."""
    from matplotlib import colormaps, image

    values = np.asarray(spectrogram, np.float32).reshape(len(spectrogram), -1).T[::-1]
    extent = float(np.ptp(values)) or 1.0
    pixels = colormaps["magma"]((values - values.min()) / extent)
    with atomic_path(path) as temporary:
        image.imsave(temporary, np.repeat(np.repeat(pixels, 4, axis=0), 4, axis=1))
    return str(path)
