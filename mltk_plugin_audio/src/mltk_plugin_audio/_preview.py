"""Files with clips of a generator, to listen to and to look at."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from mltk.data import BatchPosition
from mltk_plugin_audio._batches import AudioBatches
from mltk_plugin_audio._spectrogram_image import write_picture
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
