"""The command `mltk classify_audio`."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, cast

import click

from mltk.cli import get_logger, model_argument, print_text, require_model, test_option, verbose_option
from mltk.errors import MltkError, SpecificationError

if TYPE_CHECKING:
    import numpy as np

    from mltk.core import TfliteModel, TfliteModelParameters
    from mltk_plugin_audio.streaming import Detection, StreamingModel


@click.command("classify_audio")
@model_argument
@click.option(
    "--wav",
    type=click.Path(dir_okay=False),
    metavar="FILE",
    help="Listen to this recording (WAV, FLAC, OGG or MP3) instead of a microphone.",
)
@click.option(
    "-w",
    "--window_duration",
    type=int,
    metavar="MS",
    help="Average scores over this time; a longer time gives fewer false accepts and more misses.",
)
@click.option(
    "-c", "--count", type=int, metavar="N", help="Minimum number of results for an average; 0: no averages."
)
@click.option(
    "-t",
    "--threshold",
    type=int,
    metavar="0-255",
    help="Threshold that an average must exceed, for all classes.",
)
@click.option(
    "-s", "--suppression", type=int, metavar="MS", help="Do not detect the same class again for this time."
)
@click.option("-l", "--latency", type=int, metavar="MS", help="Run the model this often.")
@click.option("-u", "--volume", type=int, metavar="N", help="Multiply samples by N.")
@click.option(
    "--clear",
    is_flag=True,
    help="Clear the spectrogram after each detection, like applications that reset their front end.",
)
@click.option(
    "--labels",
    type=click.Path(dir_okay=False),
    metavar="FILE",
    help="Label file (start, end, label; e.g. from Audacity): also count hits and false accepts.",
)
@click.option(
    "-m",
    "--microphone",
    metavar="NAME",
    help="Name or number of the microphone; by default that of the system.",
)
@click.option(
    "-x",
    "--dump-audio",
    type=click.Path(dir_okay=False),
    metavar="FILE",
    help="Write the sound to a WAV file, at the sample rate of the model.",
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
    """Show the classes that the quantized MODEL detects in a recording or in the sound of a microphone.

    MODEL is a name, a specification, an archive or a .tflite file; no code from an archive runs. Options default to
    the settings in the .tflite, which the device uses.
    """
    require_model(model)
    logger = get_logger(verbose=verbose)
    if wav is None and labels is not None:
        raise click.UsageError("--labels needs a recording: give --wav, too.")
    from mltk.tflite.interpreter import LiteRtPredictor
    from mltk_plugin_audio.streaming import DetectionSettings, Detector, StreamingModel, listen

    tflite_model, parameters, classes = _load_model(model, test)
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
    if wav is not None:
        blocks = _read_file(wav, rate, streaming.frontend.sample_length)
    else:
        blocks = _listen_to_microphone(rate, settings.hop_ms, microphone)
        click.echo("Listening; end with Ctrl-C.", err=True)
    found: list[Detection] = []
    with _recorder(dump_audio, rate) as record:
        try:
            for detection in listen(
                streaming,
                Detector(settings, classes),
                record(blocks),
                clear_on_detection=clear,
                by_hop=dump_spectrograms is not None,
            ):
                _show(detection, classes, as_json)
                found.append(detection)
                if dump_spectrograms is not None:
                    _draw(detection, classes, streaming, Path(dump_spectrograms))
        except KeyboardInterrupt:
            if wav is not None:
                raise
    if labels is not None:
        late_ms = settings.average_window_duration_ms + settings.hop_ms
        _count(found, labels, classes, late_ms, streaming, as_json)


def _load_model(model: str, test: bool) -> tuple[TfliteModel, TfliteModelParameters, list[str]]:
    """Return the `.tflite`, its parameters and its classes."""
    from mltk.core import TfliteModelParameters, load_tflite_model

    tflite_model = cast("TfliteModel", load_tflite_model(model, test=test))
    parameters = TfliteModelParameters.load_from_tflite_model(tflite_model)
    classes = parameters.get("classes")
    if not classes or parameters.dtype("classes") != "str_list":
        raise SpecificationError(f"{tflite_model.source} does not name its classes (parameter classes).")
    return tflite_model, parameters, classes


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

    # Class names may look like paths, e.g. `../..`.
    label = re.sub(r"[^\w.-]+", "_", classes[detection.class_id])
    write_picture(folder / f"{detection.time_ms:08d}-{label}.png", model.spectrogram)


@contextmanager
def _recorder(
    path: str | None, rate: int
) -> Iterator[Callable[[Iterator[np.ndarray]], Iterator[np.ndarray]]]:
    """Yield a function that passes blocks through and writes them to a file if there is a path."""
    if path is None:
        yield iter
        return
    import soundfile

    from mltk.utils.files import atomic_path

    with (
        atomic_path(path) as temporary,
        soundfile.SoundFile(temporary, "w", rate, 1, subtype="PCM_16", format="WAV") as file,
    ):

        def record(blocks: Iterator[np.ndarray]) -> Iterator[np.ndarray]:
            for block in blocks:
                file.write(block)
                yield block

        yield record


def _count(
    found: list[Detection],
    labels: str,
    classes: list[str],
    late_ms: int,
    model: StreamingModel,
    as_json: bool,
) -> None:
    from mltk_plugin_audio.streaming.labels import read_labels
    from mltk_plugin_audio.streaming.metrics import Outcome

    outcome = Outcome(len(classes))
    outcome.add(found, read_labels(labels, classes), model.frontend.sample_length_ms + late_ms)
    events, hits, wrong = (int(n.sum()) for n in (outcome.events, outcome.hits, outcome.false_accepts))
    if as_json:
        click.echo(json.dumps({"events": events, "hits": hits, "false_accepts": wrong}))
    else:
        click.echo(f"{hits} of {events} words detected, {wrong} false accepts")


def _read_file(path: str, rate: int, silence: int) -> Iterator[np.ndarray]:
    """Yield a recording and then `silence` samples of zeros, because the device continues to listen."""
    import numpy as np

    from mltk_plugin_audio.streaming import read_blocks

    yield from read_blocks(path, rate)
    yield np.zeros(silence, np.int16)


def _listen_to_microphone(rate: int, hop_ms: int, microphone: str | None) -> Iterator[np.ndarray]:
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
    import numpy as np

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
