"""Run one measurement: `python measure.py CASE KEY=VALUE …` prints the figures as JSON in the last line.

It runs with mltk and with the reference, so it only uses names that exist in both.
"""

from __future__ import annotations

import json
import statistics
import sys
import time


def image_batches(data: str, workers: str, epochs: str) -> dict[str, float]:
    """Augmentation of `image_example1` on JPEG files."""
    from mltk.core.preprocess.image.parallel_generator import ParallelImageDataGenerator

    start = time.perf_counter()
    generator = ParallelImageDataGenerator(
        cores=int(workers),
        max_batches_pending=8,
        rotation_range=35,
        width_shift_range=5,
        height_shift_range=5,
        brightness_range=(0.50, 1.70),
        contrast_range=(0.50, 1.70),
        noise=["gauss", "poisson", "s&p"],
        samplewise_center=True,
        samplewise_std_normalization=True,
        horizontal_flip=True,
        vertical_flip=True,
    )
    iterator = generator.flow_from_directory(
        data,
        target_size=(96, 96),
        color_mode="grayscale",
        classes=["rock", "paper", "scissors"],
        batch_shape=(32, 96, 96, 1),
        batch_size=32,
        seed=1,
    )
    return _rates(iterator, int(epochs), start)


def audio_batches(data: str, workers: str, epochs: str, changes: str = "") -> dict[str, float]:
    """Settings of `audio_example1`; with `changes`, also random loudness, speed and pitch."""
    from mltk.core.preprocess.audio.audio_feature_generator import AudioFeatureGeneratorSettings
    from mltk.core.preprocess.audio.parallel_generator import ParallelAudioDataGenerator

    start = time.perf_counter()
    settings = AudioFeatureGeneratorSettings()
    settings.sample_rate_hz = 16000
    settings.sample_length_ms = 1200
    settings.window_size_ms = 30
    settings.window_step_ms = 20
    settings.filterbank_n_channels = 49
    settings.filterbank_upper_band_limit = 3999.0
    settings.filterbank_lower_band_limit = 125.0
    settings.noise_reduction_enable = True
    settings.noise_reduction_min_signal_remaining = 0.03
    more = (
        {"loudness_range": (0.5, 1.5), "speed_range": (0.8, 1.3), "pitch_range": (-3, 3)} if changes else {}
    )
    generator = ParallelAudioDataGenerator(
        dtype="int8",
        frontend_settings=settings,
        cores=int(workers),
        max_batches_pending=32,
        unknown_class_percentage=2,
        silence_class_percentage=0.2,
        offset_range=(0.0, 1.0),
        trim_threshold_db=20,
        noise_colors=None,
        bg_noise_range=(0.0, 0.3),
        bg_noise_dir="_background_noise_",
        **more,
    )
    classes = ["up", "down", "left", "right", "_unknown_", "_silence_"]
    iterator = generator.flow_from_directory(data, classes=classes, batch_size=32, seed=1)
    return _rates(iterator, int(epochs), start)


def _rates(iterator, epochs: int, start: float) -> dict[str, float]:
    # The iterator of mltk ends after an epoch, that of the reference is infinite.
    n = len(iterator)
    rates = []
    first = 0.0
    stream = iter(iterator)
    for _ in range(epochs):
        begin = time.perf_counter()
        samples = 0
        for _ in range(n):
            try:
                batch = next(stream)
            except StopIteration:
                stream = iter(iterator)
                batch = next(stream)
            first = first or time.perf_counter() - start
            samples += len(batch[0])
        rates.append(samples / (time.perf_counter() - begin))
    iterator.shutdown()
    return {"first_batch_s": first, "first_epoch": rates[0], "samples_per_s": statistics.median(rates[1:])}


def evaluate_int8(spec: str, samples: str) -> dict[str, float]:
    """Evaluate the `.tflite` of a trained model in this process."""
    import os

    os.environ["MLTK_BENCHMARK_SAMPLES"] = samples
    import mltk.core as mltk_core

    model = mltk_core.load_mltk_model(spec)
    start = time.perf_counter()
    mltk_core.evaluate_model(model, tflite=True, update_archive=False)
    seconds = time.perf_counter() - start
    return {"samples_per_s": int(samples) / seconds, "seconds": seconds}


def quantize(spec: str) -> dict[str, float]:
    """Convert a trained model to float32 and int8 in this process."""
    import mltk.core as mltk_core

    model = mltk_core.load_mltk_model(spec)
    start = time.perf_counter()
    mltk_core.quantize_model(model, update_archive=False)
    return {"seconds": time.perf_counter() - start}


def list_models() -> dict[str, float]:
    """List the models of the search path twice; the first call of a process is measured separately."""
    from mltk.core import list_mltk_models

    seconds = []
    for _ in range(6):
        start = time.perf_counter()
        list(list_mltk_models())
        seconds.append(time.perf_counter() - start)
    return {"first_s": seconds[0], "seconds": statistics.median(seconds[1:])}


CASES = {f.__name__: f for f in (image_batches, audio_batches, evaluate_int8, quantize, list_models)}

if __name__ == "__main__":
    arguments = dict(argument.split("=", 1) for argument in sys.argv[2:])
    figures = CASES[sys.argv[1]](**arguments)
    print(json.dumps(figures), flush=True)
