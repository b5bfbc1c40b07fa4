"""Measure audio batches in clips per second: without augmentation, with noise, and with all augmentation.

    python benchmarks/audio_batches.py ../shared/data/kws_fsdd

Recordings of one second at 16 kHz, in memory after a first epoch; batches of 32; spectrograms of 98 × 32.
"""

from __future__ import annotations

import argparse
import time

import numpy as np

from mltk_plugin_audio import ParallelAudioDataGenerator

WORDS = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]
NOISE = {
    "noise_colors": "all",
    "noise_color_range": (0.0, 0.1),
    "bg_noise_dir": "_background_noise_",
    "bg_noise_range": (0.0, 0.3),
    "loudness_range": (0.5, 1.5),
}
EVERYTHING = {
    **NOISE,
    "speed_range": (0.9, 1.1),
    "pitch_range": (-0.1, 0.1),
    "vtlp_range": (0.9, 1.1),
    "frequency_masks": (2, 4),
    "time_masks": (2, 10),
    "time_shift_range_ms": (-100, 100),
}
SETTINGS = {
    "samples only": {"frontend_enabled": False, "sample_shape": (16000,)},
    "spectrograms": {},
    "noise": NOISE,
    "everything": EVERYTHING,
}


def clips_per_second(root: str, threads: int, passes: int, settings: dict) -> float:
    generator = ParallelAudioDataGenerator(cores=threads, **settings)
    rates = []
    with generator.flow_from_directory(root, WORDS) as iterator:
        list(iterator)
        for _ in range(passes):
            start = time.perf_counter()
            n = sum(len(x) for x, _ in iterator)
            rates.append(n / (time.perf_counter() - start))
    return float(np.median(rates))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data")
    parser.add_argument("--passes", type=int, default=5)
    options = parser.parse_args()
    for name, settings in SETTINGS.items():
        rates = [clips_per_second(options.data, t, options.passes, settings) for t in (1, 2)]
        print(f"{name:13} 1 thread {rates[0]:7,.0f}   2 threads {rates[1]:7,.0f} clips/s", flush=True)


if __name__ == "__main__":
    main()
