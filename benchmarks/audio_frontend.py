"""Compare the audio front end with the compiled one of the reference: time, and results for random settings.

The reference needs conflicting packages, so it runs in a process with a separate environment. Its front end needs
neither TensorFlow nor its other requirements:

    python3.10 -m venv /path/to/reference
    /path/to/reference/bin/pip install --no-deps silabs-mltk==0.20.0
    /path/to/reference/bin/pip install "numpy<2"
    python benchmarks/audio_frontend.py --reference /path/to/reference/bin/python --compare 1000

`MLTK_REFERENCE_PYTHON` can replace `--reference`. Without either, only mltk is measured.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from statistics import median

import numpy as np

BATCH = 32


class Reference:
    """The front end of the reference in another process; messages are JSON lines followed by arrays as bytes."""

    def __init__(self, python: str) -> None:
        command = [python, __file__, "--serve"]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def __enter__(self) -> Reference:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.stdin.close()
        self._process.stdout.close()
        self._process.wait()

    def process(self, settings: dict, clips: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, float]:
        """Return uint16 features, int8 features, activity flags, and the time of the uint16 features in seconds.

        Raises:
            ValueError: The reference rejects the settings.
        """
        request = {"settings": dict(settings), "clips": clips.shape}
        self._process.stdin.write(json.dumps(request).encode() + b"\n" + clips.tobytes())
        self._process.stdin.flush()
        reply = json.loads(self._process.stdout.readline())
        if "error" in reply:
            raise ValueError(reply["error"])
        shape = tuple(reply["shape"])
        raw = self._process.stdout.read(2 * int(np.prod(shape)))
        quantized = self._process.stdout.read(int(np.prod(shape)))
        return (
            np.frombuffer(raw, np.uint16).reshape(shape),
            np.frombuffer(quantized, np.int8).reshape(shape),
            np.array(reply["activity"]),
            reply["seconds"],
        )


def serve() -> None:
    """Serve requests with the front end of the reference, in its environment."""
    from importlib.util import find_spec, module_from_spec, spec_from_file_location

    # Importing the package itself would import TensorFlow.
    root = Path(find_spec("mltk").submodule_search_locations[0])
    library = next(
        (root / "core/preprocess/audio/audio_feature_generator").glob("_audio_feature_generator_wrapper.*")
    )
    spec = spec_from_file_location("_audio_feature_generator_wrapper", library)
    wrapper = module_from_spec(spec)
    spec.loader.exec_module(wrapper)
    stdin, stdout = sys.stdin.buffer, sys.stdout.buffer
    for line in stdin:
        request = json.loads(line)
        settings, shape = request["settings"], request["clips"]
        clips = np.frombuffer(stdin.read(2 * shape[0] * shape[1]), np.int16).reshape(shape)
        rate = settings["fe.sample_rate_hz"]
        step, window = (settings[f"fe.window_{name}_ms"] * rate // 1000 for name in ("step", "size"))
        rows = (shape[1] - window) // step + 1
        out = (shape[0], rows, settings["fe.filterbank_n_channels"])
        try:
            generator = wrapper.AudioFeatureGeneratorWrapper(settings)
        except ValueError as e:
            stdout.write(json.dumps({"error": str(e)}).encode() + b"\n")
            stdout.flush()
            continue
        raw, quantized, activity = np.zeros(out, np.uint16), np.zeros(out, np.int8), []
        started = time.perf_counter()
        for clip, features in zip(clips, raw, strict=True):
            generator.process_sample(clip, features)
        seconds = time.perf_counter() - started
        for clip, features in zip(clips, quantized, strict=True):
            generator.process_sample(clip, features)
            activity.append(generator.activity_was_detected())
        reply = {"shape": out, "activity": activity, "seconds": seconds}
        stdout.write(json.dumps(reply).encode() + b"\n" + raw.tobytes() + quantized.tobytes())
        stdout.flush()


def measure(reference: Reference | None, rounds: int) -> None:
    from mltk_plugin_audio.frontend import AudioFeatureGenerator, AudioFeatureGeneratorSettings

    started = time.perf_counter()
    AudioFeatureGenerator(AudioFeatureGeneratorSettings())
    seconds = time.perf_counter() - started
    print(f"first generator of the process: {seconds:.2f} s (import of numba; compilation, if not cached)")
    noise = np.random.default_rng(0).normal(scale=3000, size=(BATCH, 16000)).astype(np.int16)
    cases = {
        "defaults: 1 s, 98 x 32": {},
        "104 channels, notch, noise reduction": {
            "window_size_ms": 30,
            "filterbank_n_channels": 104,
            "noise_reduction_enable": True,
            "dc_notch_filter_enable": True,
        },
        "49 x 40, noise reduction, PCAN": {
            "window_size_ms": 30,
            "window_step_ms": 20,
            "filterbank_n_channels": 40,
            "noise_reduction_enable": True,
            "pcan_enable": True,
        },
    }
    for name, values in cases.items():
        settings = AudioFeatureGeneratorSettings(values)
        generator = AudioFeatureGenerator(settings)
        ours, theirs, singles = [], [], []
        for _ in range(rounds):
            started = time.perf_counter()
            generator.process_batch(noise, np.uint16)
            ours.append((time.perf_counter() - started) / BATCH)
            started = time.perf_counter()
            for clip in noise:
                generator.process_sample(clip, np.uint16)
            singles.append((time.perf_counter() - started) / BATCH)
            if reference:
                theirs.append(reference.process(settings, noise)[-1] / BATCH)
        line = f"{name}: {1e6 * median(ours):.0f} µs/clip in batches of {BATCH}, {1e6 * median(singles):.0f} one by one"
        if reference:
            ratio = median(a / b for a, b in zip(theirs, ours, strict=True))
            line += f"; reference {1e6 * median(theirs):.0f} µs, ratio {ratio:.1f}"
        print(line)


def random_settings(rng: np.random.Generator) -> dict[str, object]:
    rate = int(rng.choice([8000, 11025, 16000, 22050, 32000, 44100, 48000]))
    window = int(rng.choice([rng.integers(2, 10), rng.integers(10, 65), rng.integers(65, 171)]))
    step = int(rng.integers(1, window + 1))
    length = window + int(rng.integers(0, 40)) * step + int(rng.integers(0, step))
    low = float(rng.choice([0, 20, 60, 125, 300, rng.uniform(0, rate / 8)]))
    high = float(rng.choice([rate / 2, rate * 0.47, 3800, rng.uniform(low + 100, rate / 2)]))
    noise_reduction = bool(rng.random() < 0.7)
    return {
        "sample_rate_hz": rate,
        "sample_length_ms": length,
        "window_size_ms": window,
        "window_step_ms": step,
        "filterbank_n_channels": int(rng.integers(1, 110)),
        "filterbank_lower_band_limit": low,
        "filterbank_upper_band_limit": high,
        "noise_reduction_enable": noise_reduction,
        "noise_reduction_smoothing_bits": int(rng.integers(3, 16)),
        "noise_reduction_even_smoothing": float(rng.choice([0, 0.025, 1, rng.random()])),
        "noise_reduction_odd_smoothing": float(rng.choice([0, 0.06, 1, rng.random()])),
        "noise_reduction_min_signal_remaining": float(rng.choice([0, 0.05, 0.4, 1, rng.random()])),
        "pcan_enable": noise_reduction and bool(rng.random() < 0.6),
        "pcan_strength": float(rng.choice([0, 0.8, 0.95, 1, rng.random()])),
        "pcan_offset": float(rng.choice([1, 60, 80, rng.uniform(0.01, 1000)])),
        "pcan_gain_bits": int(rng.integers(17, 27)),
        "log_scale_enable": bool(rng.random() < 0.8),
        "log_scale_shift": int(rng.integers(0, 17)),
        "activity_detection_enable": bool(rng.random() < 0.5),
        "activity_detection_alpha_a": float(rng.random()),
        "activity_detection_alpha_b": float(rng.random()),
        "activity_detection_arm_threshold": float(rng.uniform(0, 1.5)),
        "activity_detection_trip_threshold": float(rng.uniform(0, 1.5)),
        "dc_notch_filter_enable": bool(rng.random() < 0.5),
        "dc_notch_filter_coefficient": float(rng.choice([0, 0.95, 0.999, rng.random()])),
        "quantize_dynamic_scale_enable": bool(rng.random() < 0.5),
        "quantize_dynamic_scale_range_db": float(rng.uniform(1, 100)),
    }


def random_clip(rng: np.random.Generator, length: int) -> np.ndarray:
    t = np.arange(length)
    scale = 10 ** rng.uniform(0, 4.6)
    kinds = [
        lambda: np.zeros(length),
        lambda: np.full(length, rng.choice([-32768, -32767, 32767, scale])),
        lambda: rng.normal(scale=scale, size=length),
        lambda: rng.choice([-32768, 32767], size=length),
        lambda: np.where(rng.random(length) < 0.01, -32768, 0),
        lambda: scale * np.sign(np.sin(rng.uniform(0, 3) * t)),
        lambda: scale * np.sin(rng.uniform(0, np.pi) * t) + rng.uniform(-8000, 8000),
        lambda: scale * np.sin(np.cumsum(np.linspace(0, rng.uniform(0, np.pi), length))),
        lambda: np.where(t < length // 2, 0, rng.normal(scale=scale, size=length)),
        # The inverse of the window, so that the input of the transform is at its limit.
        lambda: np.sign(np.sin(rng.uniform(0, 3) * t)) * scale / np.sin(np.pi * (t % 400 + 0.5) / 400) ** 2,
    ]
    return np.clip(kinds[rng.integers(len(kinds))](), -32768, 32767).astype(np.int16)


def compare(reference: Reference, count: int, seed: int) -> int:
    """Count the settings, of `count` random ones, whose results differ in any bit."""
    from mltk.errors import SpecificationError
    from mltk_plugin_audio.frontend import (
        AudioFeatureGenerator,
        AudioFeatureGeneratorSettings,
        AudioFeatureStream,
    )

    rng = np.random.default_rng(seed)
    differing = clips_compared = refused = 0
    compared = 0
    while compared < count:
        values = random_settings(rng)
        settings = AudioFeatureGeneratorSettings(values)
        clips = np.stack([random_clip(rng, settings.sample_length) for _ in range(8)])
        try:
            generator = AudioFeatureGenerator(settings)
        except SpecificationError:
            refused += 1
            continue
        compared += 1
        raw, quantized, activity, _ = reference.process(settings, clips)
        same = np.array_equal(generator.process_batch(clips, np.uint16), raw)
        same &= np.array_equal(generator.process_batch(clips, np.int8), quantized)
        for clip, features, detected in zip(clips, raw, activity, strict=True):
            same &= np.array_equal(generator.process_sample(clip, np.uint16), features)
            same &= generator.activity_was_detected() == detected
        stream = AudioFeatureStream(settings)
        chunks = np.split(clips[0], np.sort(rng.integers(0, clips.shape[1], 5)))
        same &= np.array_equal(np.concatenate([stream.process(c, np.uint16) for c in chunks]), raw[0])
        clips_compared += len(clips)
        if not same:
            differing += 1
            print("differs:", json.dumps(values))
    print(f"{compared} settings and {clips_compared} clips compared: {differing} settings differ")
    print(f"{refused} more settings were drawn that we do not accept")
    return differing


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--reference", default=os.environ.get("MLTK_REFERENCE_PYTHON"), help="its Python interpreter"
    )
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument(
        "--compare", type=int, default=0, metavar="N", help="number of random settings to compare"
    )
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.serve:
        serve()
        return 0
    if not arguments.reference:
        print("No reference: give --reference, see --help for how to install it. Our own time only.")
        measure(None, arguments.rounds)
        return 0
    with Reference(arguments.reference) as reference:
        measure(reference, arguments.rounds)
        return int(arguments.compare > 0 and compare(reference, arguments.compare, arguments.seed) > 0)


if __name__ == "__main__":
    sys.exit(main())
