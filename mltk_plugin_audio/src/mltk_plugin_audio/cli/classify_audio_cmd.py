"""`mltk classify_audio`."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mltk.cli import get_logger, model_argument, print_text, require_model, test_option, verbose_option
from mltk.errors import MltkError, SpecificationError

if TYPE_CHECKING:
    import numpy as np

    from mltk_plugin_audio.streaming import Detection, StreamingModel


@click.command("classify_audio")
@model_argument
@click.option(
    "--wav",
    type=click.Path(dir_okay=False),
    metavar="FILE",
    help="Listen to this recording (WAV, FLAC, OGG or MP3 of any rate) instead of a microphone.",
)
@click.option(
    "-w",
    "--window_duration",
    type=int,
    metavar="MS",
    help="Average scores over this time: longer is surer, and misses more.",
)
@click.option(
    "-c", "--count", type=int, metavar="N", help="Results that are needed for an average; 0: no averages."
)
@click.option(
    "-t", "--threshold", type=int, metavar="0-255", help="Detect what has a greater average, for all classes."
)
@click.option(
    "-s", "--suppression", type=int, metavar="MS", help="Do not detect the same class again for this long."
)
@click.option("-l", "--latency", type=int, metavar="MS", help="Run the model this often.")
@click.option("-u", "--volume", type=int, metavar="N", help="Multiply samples by N.")
@click.option(
    "--clear",
    is_flag=True,
    help="Forget the sound so far after each detection, as the applications do that reset their front end.",
)
@click.option(
    "--labels",
    type=click.Path(dir_okay=False),
    metavar="FILE",
    help="What is said when (start, end, label; e.g. from Audacity): also count what is wrong.",
)
@click.option(
    "-m", "--microphone", metavar="NAME", help="Name or number of the microphone; by default the system's."
)
@click.option(
    "-x",
    "--dump-audio",
    type=click.Path(dir_okay=False),
    metavar="FILE",
    help="Write what is heard as WAV, at the model's rate.",
)
@click.option(
    "-z",
    "--dump-spectrograms",
    type=click.Path(file_okay=False),
    metavar="DIR",
    help="Write a picture of the spectrogram at each detection.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object per line.")
@test_option
@verbose_option
def classify_audio_command(
    model: str,
    wav: str | None,
    window_duration: int | None,
    count: int | None,
    threshold: int | None,
    suppression: int | None,
    latency: int | None,
    volume: int | None,
    clear: bool,
    labels: str | None,
    microphone: str | None,
    dump_audio: str | None,
    dump_spectrograms: str | None,
    as_json: bool,
    test: bool,
    verbose: bool,
) -> None:
    """Show what the quantized MODEL detects in a recording, or in what a microphone hears.

    MODEL is a name, a specification, an archive or a .tflite file; nothing is executed from an archive. Settings that
    are not given are those in the .tflite, which the device takes.
    """
    require_model(model)
    logger = get_logger(verbose=verbose)
    if wav is None and labels is not None:
        raise click.UsageError("--labels belongs to a recording: give --wav as well.")
    from mltk.sources.loading import load_tflite_model
    from mltk.tflite.interpreter import LiteRtPredictor
    from mltk.tflite.parameters import TfliteModelParameters
    from mltk_plugin_audio.streaming import DetectionSettings, Detector, StreamingModel, listen

    tflite_model = load_tflite_model(model, test=test)
    parameters = TfliteModelParameters.load_from_tflite_model(tflite_model)
    classes = parameters.get("classes")
    if not classes or parameters.dtype("classes") != "str_list":
        raise SpecificationError(f"{tflite_model.source} does not name its classes (parameter classes).")
    settings = DetectionSettings.from_parameters(
        parameters,
        average_window_duration_ms=window_duration,
        minimum_count=count,
        detection_threshold=threshold,
        suppression_ms=suppression,
        latency_ms=latency,
        volume_gain=volume,
    )
    logger.debug("%s", settings)
    streaming = StreamingModel(
        LiteRtPredictor(tflite_model), parameters, settings, source=tflite_model.source
    )
    rate = streaming.frontend.sample_rate_hz
    blocks: Iterator[np.ndarray]
    if wav is not None:
        # The device goes on listening when a recording is over.
        blocks = itertools.chain(_blocks(wav, rate), [_silence(streaming.frontend.sample_length)])
    else:
        blocks = _hear(rate, settings.hop_ms, microphone)
        click.echo("Listening; end with Ctrl-C.", err=True)
    detections = partial(
        listen,
        streaming,
        Detector(settings, classes),
        clear_on_detection=clear,
        by_hop=dump_spectrograms is not None,
    )
    found: list[Detection] = []
    with _recorder(dump_audio, rate) as recorded:
        try:
            for detection in detections(recorded(blocks)):
                _show(detection, classes, as_json)
                found.append(detection)
                if dump_spectrograms is not None:
                    _draw(detection, classes, streaming, Path(dump_spectrograms))
        except KeyboardInterrupt:
            if wav is not None:
                raise
    if labels is not None:
        _count(
            found, labels, classes, settings.average_window_duration_ms + settings.hop_ms, streaming, as_json
        )


def _show(detection: Detection, classes: list[str], as_json: bool) -> None:
    label = classes[detection.class_id]
    if as_json:
        line = {"time_ms": detection.time_ms, "class": label, "class_id": detection.class_id}
        click.echo(json.dumps(line | {"score": detection.score}))
        return
    print_text(
        f"{detection.time_ms / 1000:9.3f} s  {label:<{max(map(len, classes))}}  score {detection.score}"
    )


def _draw(detection: Detection, classes: list[str], model: StreamingModel, folder: Path) -> None:
    from mltk_plugin_audio._preview import write_picture

    # A class may be named like a path, `../..` for one.
    label = re.sub(r"[^\w.-]+", "_", classes[detection.class_id])
    write_picture(folder / f"{detection.time_ms:08d}-{label}.png", model.spectrogram)


@contextmanager
def _recorder(
    path: str | None, rate: int
) -> Iterator[Callable[[Iterator[np.ndarray]], Iterator[np.ndarray]]]:
    """Give a function that writes the blocks that pass through it; without a path, they only pass."""
    if path is None:
        yield iter
        return
    import soundfile

    from mltk.utils.files import atomic_path

    with (
        atomic_path(path) as temporary,
        soundfile.SoundFile(temporary, "w", rate, 1, subtype="PCM_16", format="WAV") as file,
    ):

        def recorded(blocks: Iterator[np.ndarray]) -> Iterator[np.ndarray]:
            for block in blocks:
                file.write(block)
                yield block

        yield recorded


def _count(
    found: list[Detection],
    labels: str,
    classes: list[str],
    late_ms: int,
    model: StreamingModel,
    as_json: bool,
) -> None:
    from mltk_plugin_audio.streaming.metrics import Outcome
    from mltk_plugin_audio.streaming.recordings import read_labels

    outcome = Outcome(len(classes))
    outcome.add(found, read_labels(labels, classes), model.frontend.sample_length_ms + late_ms)
    events, hits, wrong = (int(n.sum()) for n in (outcome.events, outcome.hits, outcome.false_accepts))
    if as_json:
        click.echo(json.dumps({"events": events, "hits": hits, "false_accepts": wrong}))
    else:
        click.echo(f"{hits} of {events} words detected, {wrong} false accepts")


def _blocks(path: str, rate: int) -> Iterator[np.ndarray]:
    from mltk_plugin_audio.streaming import read_blocks

    return read_blocks(path, rate)


def _silence(length: int) -> np.ndarray:
    import numpy as np

    return np.zeros(length, np.int16)


def _hear(rate: int, hop_ms: int, microphone: str | None) -> Iterator[np.ndarray]:
    """Return what the microphone hears, one hop at a time, without end."""
    try:
        import sounddevice
    except ImportError as e:
        raise MltkError(
            "To listen to a microphone, install its library: pip install 'mltk-plugin-audio[mic]'. "
            "Or give a recording: --wav FILE."
        ) from e
    except OSError as e:
        raise MltkError(f"The microphone cannot be used: {e}. On Debian: apt install libportaudio2.") from e
    import numpy as np

    device: Any = int(microphone) if microphone is not None and microphone.isdigit() else microphone
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
                            "Sound was lost: the model takes longer than a hop; see --latency.", err=True
                        )
                    yield np.frombuffer(data, np.int16)
        except (sounddevice.PortAudioError, ValueError) as e:
            raise MltkError(f"The microphone cannot be used: {e}") from e

    return blocks()
