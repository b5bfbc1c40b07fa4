"""A model with known outputs, which distinguishes a low tone from a high one."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

RATE = 16000
CLASSES = ["low", "high", "_silence_"]
FRONTEND = {
    "fe.sample_rate_hz": RATE,
    "fe.sample_length_ms": 500,
    "fe.window_size_ms": 30,
    "fe.window_step_ms": 20,
    "fe.filterbank_n_channels": 16,
    "fe.filterbank_upper_band_limit": 4000.0,
}
SETTINGS = {
    "average_window_duration_ms": 300,
    "minimum_count": 3,
    "detection_threshold": 150,
    "suppression_ms": 1000,
    "latency_ms": 100,
}


@dataclass
class Tones:
    """Writer of recordings with tones."""

    folder: Path

    def sound(self, seconds: float, *tones: tuple[float, float, float]) -> np.ndarray:
        """Return faint noise with tones: start and length in seconds, and frequency in Hz."""
        x = np.random.default_rng(0).normal(0, 1e-4, round(seconds * RATE))
        for start, length, hertz in tones:
            t = np.arange(round(length * RATE))
            x[round(start * RATE) :][: len(t)] += 0.3 * np.sin(2 * np.pi * hertz * t / RATE)
        return x.astype(np.float32)

    def write(self, name: str, samples: np.ndarray, rate: int = RATE, subtype: str = "PCM_16") -> Path:
        import soundfile

        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, samples, rate, subtype=subtype)
        return path


@pytest.fixture
def tones(tmp_path):
    return Tones(tmp_path / "sounds")


LOW, HIGH = 500.0, 2500.0


@pytest.fixture(scope="session")
def tone_flatbuffer() -> bytes:
    """A float32 model that compares the loudness of two bands, without parameters."""
    import keras
    import tensorflow as tf

    from mltk_plugin_audio.frontend import AudioFeatureGenerator, AudioFeatureGeneratorSettings

    frontend = AudioFeatureGeneratorSettings(FRONTEND)
    generator = AudioFeatureGenerator(frontend)
    t = np.arange(frontend.sample_length)
    sines = [0.3 * np.sin(2 * np.pi * hertz * t / RATE).astype(np.float32) for hertz in (LOW, HIGH)]
    peaks = [int(generator.process_sample(sine).mean(axis=0).argmax()) for sine in sines]
    rows, channels = frontend.spectrogram_shape
    weights = np.zeros((rows, channels, 3), np.float32)
    for class_id, peak in enumerate(peaks):
        weights[:, peak, class_id] = 0.05 / rows
    layers = keras.layers
    model = keras.Sequential(
        [layers.Input((rows, channels, 1)), layers.Flatten(), layers.Dense(3, activation="softmax")]
    )
    # Silence wins until a band is as loud as half of a window full of the tone makes it.
    loud = float(generator.process_sample(sines[0]).mean(axis=0).max())
    model.layers[-1].set_weights([weights.reshape(-1, 3), np.array([0, 0, 0.05 * loud * 0.6], np.float32)])
    return tf.lite.TFLiteConverter.from_keras_model(model).convert()


@pytest.fixture
def write_model(tone_flatbuffer, tmp_path):
    """Write the model with parameters: `write_model(name, leave_out=…, **more)`."""
    from mltk.tflite.parameters import TfliteModelParameters

    def write(name: str = "tones.tflite", leave_out: tuple[str, ...] = (), **more) -> Path:
        values = {"classes": CLASSES, **FRONTEND, **SETTINGS, **more}
        values = {k: v for k, v in values.items() if not any(k.startswith(prefix) for prefix in leave_out)}
        path = tmp_path / name
        path.write_bytes(TfliteModelParameters(values).add_to_tflite_flatbuffer(tone_flatbuffer))
        return path

    return write


@pytest.fixture
def listen_to(write_model):
    """Make a `StreamingModel` and a `Detector` of the model of tones: `listen_to(**parameters)`."""
    from mltk.tflite.interpreter import LiteRtPredictor
    from mltk.tflite.parameters import TfliteModelParameters
    from mltk_plugin_audio.streaming import DetectionSettings, Detector, StreamingModel

    def make(**more):
        path = write_model(**more)
        parameters = TfliteModelParameters.load_from_tflite_file(path)
        settings = DetectionSettings.from_parameters(parameters)
        return StreamingModel(LiteRtPredictor(path), parameters, settings), Detector(settings, CLASSES)

    return make
