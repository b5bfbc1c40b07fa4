"""Listening to a recording or a microphone with a model."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import click
import numpy as np
import soundfile

from mltk.core import TfliteModelParameters, load_tflite_model
from mltk.errors import MltkError, SpecificationError
from mltk.tflite.interpreter import LiteRtPredictor
from mltk.utils.files import atomic_path
from mltk_plugin_audio._spectrogram_image import write_picture
from mltk_plugin_audio.frontend import AudioFeatureGeneratorSettings
from mltk_plugin_audio.streaming.detection import Detection, DetectionSettings, Detector
from mltk_plugin_audio.streaming.labels import read_labels
from mltk_plugin_audio.streaming.long_recordings import read_blocks
from mltk_plugin_audio.streaming.metrics import Outcome
from mltk_plugin_audio.streaming.model import StreamingModel, listen

__all__ = [
    "count_errors",
    "listen",
    "listen_to_microphone",
    "load_model",
    "read_file",
    "record_to",
    "write_spectrogram",
]


def load_model(
    model: str,
    classes: Sequence[str] | None = None,
    frontend: Mapping[str, object] | None = None,
    **settings: int | None,
) -> tuple[StreamingModel, Detector]:
    """Return the `.tflite` of a model as a model of streams, and its detector.

    Args:
        model: Name, specification, archive or `.tflite` file.
        classes: Names of the classes that replace those of the `.tflite`.
        frontend: Settings `fe.*` that replace those of the `.tflite`.
        **settings: Detection settings that replace those of the `.tflite` unless they are `None`.
    """
    tflite_model = load_tflite_model(model)
    parameters = TfliteModelParameters.load_from_tflite_model(tflite_model)
    if frontend:
        settings_of_file = AudioFeatureGeneratorSettings.from_parameters(parameters)
        settings_of_file.update(frontend)
        parameters.update(settings_of_file)
    names = classes or parameters.get("classes")
    if not names or (not classes and parameters.dtype("classes") != "str_list"):
        raise SpecificationError(
            f"{tflite_model.source} does not name its classes (parameter classes): give them with --classes A,B,…"
        )
    detection = DetectionSettings.from_parameters(parameters, **settings)
    predictor = LiteRtPredictor(tflite_model)
    streaming = StreamingModel(predictor, parameters, detection, source=tflite_model.source)
    return streaming, Detector(detection, names)


def write_spectrogram(
    folder: str, detection: Detection, classes: Sequence[str], model: StreamingModel
) -> None:
    """Write a picture of the spectrogram at a detection."""
    # Class names may look like paths, e.g. `../..`.
    label = re.sub(r"[^\w.-]+", "_", classes[detection.class_id])
    write_picture(Path(folder) / f"{detection.time_ms:08d}-{label}.png", model.spectrogram)


@contextmanager
def record_to(
    path: str | None, rate: int
) -> Iterator[Callable[[Iterator[np.ndarray]], Iterator[np.ndarray]]]:
    """Yield a function that passes blocks through and writes them to a file if there is a path."""
    if path is None:
        yield iter
        return
    with (
        atomic_path(path) as temporary,
        soundfile.SoundFile(temporary, "w", rate, 1, subtype="PCM_16", format="WAV") as file,
    ):

        def record(blocks: Iterator[np.ndarray]) -> Iterator[np.ndarray]:
            for block in blocks:
                file.write(block)
                yield block

        yield record


def count_errors(
    found: Sequence[Detection], labels: str, model: StreamingModel, detector: Detector
) -> dict[str, int]:
    """Compare detections with a label file, and return the numbers of events, hits and false accepts."""
    settings, classes = detector.settings, detector.classes
    tolerance_ms = model.frontend.sample_length_ms + settings.average_window_duration_ms + settings.hop_ms
    outcome = Outcome(len(classes))
    outcome.add(found, read_labels(labels, classes), tolerance_ms)
    return {name: int(getattr(outcome, name).sum()) for name in ("events", "hits", "false_accepts")}


def read_file(path: str, rate: int, silence: int) -> Iterator[np.ndarray]:
    """Yield a recording and then `silence` samples of zeros, because the device continues to listen."""
    yield from read_blocks(path, rate)
    yield np.zeros(silence, np.int16)


def listen_to_microphone(rate: int, hop_ms: int, microphone: str | None) -> Iterator[np.ndarray]:
    """Return endless blocks of one hop from the microphone."""
    try:
        import sounddevice
    except ImportError as e:
        raise MltkError(
            "Listening to a microphone needs another package: pip install 'mltk-plugin-audio[mic]'. "
            "Or give a recording: --wav FILE."
        ) from e
    except OSError as e:
        raise MltkError(f"The microphone cannot be used: {e}. On Debian: apt install libportaudio2.") from e
    device = int(microphone) if microphone is not None and microphone.isdigit() else microphone
    size = hop_ms * rate // 1000

    def blocks() -> Iterator[np.ndarray]:
        try:
            with sounddevice.RawInputStream(
                samplerate=rate, blocksize=size, channels=1, dtype="int16", device=device
            ) as stream:
                while True:
                    data, overflowed = stream.read(size)
                    if overflowed:
                        click.echo(
                            "Sound was lost: the model runs longer than one hop. Increase --latency.",
                            err=True,
                        )
                    yield np.frombuffer(data, np.int16)
        except (sounddevice.PortAudioError, ValueError) as e:
            raise MltkError(f"The microphone cannot be used: {e}") from e

    return blocks()
