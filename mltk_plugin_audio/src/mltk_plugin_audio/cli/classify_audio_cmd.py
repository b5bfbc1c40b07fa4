"""The command `mltk classify-audio`."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import click

from mltk.cli import (
    get_logger,
    model_argument,
    parse_assignment,
    print_text,
    require_model,
    verbose_option,
)

if TYPE_CHECKING:
    from mltk_plugin_audio.streaming import Detection


_HARDWARE = ("accelerator", "device", "port", "app", "sensitivity")
"""Options of silabs-mltk that are about a board."""
DUMPED_AUDIO = "dumped_audio.wav"
DUMPED_SPECTROGRAMS = "dumped_spectrograms"


def _milliseconds(ctx: click.Context, param: click.Parameter, value: str | None) -> int | None:
    """Return a time such as `1200`, `1200ms` or `1.2s` as whole milliseconds."""
    if value is None:
        return None
    found = re.fullmatch(r"(\d+(?:\.\d+)?) ?(ms|s)?", value.strip())
    if found is None:
        raise click.BadParameter(f"'{value}' is not a time such as 1200, 1200ms or 1.2s.")
    return round(float(found[1]) * (1000 if found[2] == "s" else 1))


def _read_frontend(ctx: click.Context, param: click.Parameter, value: tuple[str, ...]) -> dict[str, object]:
    """Return settings of the front end by name, `fe.` in front or not."""
    settings: dict[str, object] = {}
    for text in value:
        name, given = parse_assignment(text)
        words = {"true": True, "false": False}
        settings[f"fe.{name.removeprefix('fe.')}"] = words.get(str(given).lower(), given)
    return settings


def _refuse_hardware(ctx: click.Context, param: click.Parameter, value: object) -> None:
    if value:
        raise click.UsageError(
            f"This command runs on this computer, not on a board: leave out {param.opts[0]}. The application "
            "audio_classifier of Silicon Labs runs the same .tflite on a board."
        )


def _hardware_options(command: Callable[..., None]) -> Callable[..., None]:
    for name in _HARDWARE:
        option = click.option(
            f"--{name}", is_flag=name == "device", hidden=True, expose_value=False, callback=_refuse_hardware
        )
        command = option(command)
    return command


@click.command("classify-audio")
@model_argument
@click.option(
    "--wav",
    type=click.Path(dir_okay=False),
    metavar="FILE",
    help="Listen to this recording (WAV, FLAC, OGG or MP3) instead of a microphone.",
)
@click.option(
    "-w",
    "--window",
    "--window_duration",
    "window_duration",
    metavar="MS",
    callback=_milliseconds,
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
    "-s",
    "--suppression",
    metavar="MS",
    callback=_milliseconds,
    help="Do not detect the same class again for this time.",
)
@click.option("-l", "--latency", metavar="MS", callback=_milliseconds, help="Run the model this often.")
@click.option("-u", "--volume", type=int, metavar="N", help="Multiply samples by N.")
@click.option(
    "--classes", metavar="A,B,…", help="Names of the classes, for a .tflite that does not hold them."
)
@click.option(
    "--frontend",
    "frontend",
    multiple=True,
    metavar="NAME=VALUE",
    callback=_read_frontend,
    help="Setting of the front end, for a .tflite that does not hold it, e.g. window_size_ms=30; may be repeated.",
)
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
    is_flag=False,
    flag_value=DUMPED_AUDIO,
    metavar="[FILE]",
    help=f"Write the sound to a WAV file, at the sample rate of the model; by default {DUMPED_AUDIO}.",
)
@click.option(
    "-z",
    "--dump-spectrograms",
    "--dump-raw-spectrograms",
    "dump_spectrograms",
    type=click.Path(file_okay=False),
    is_flag=False,
    flag_value=DUMPED_SPECTROGRAMS,
    metavar="[DIR]",
    help=f"Write a picture of the spectrogram at each detection; by default to {DUMPED_SPECTROGRAMS}.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object per line.")
@click.option("--test", is_flag=True, help="Try the command with a second of silence, without a microphone.")
@_hardware_options
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
    classes: str | None,
    frontend: dict[str, object],
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
    the settings in the .tflite, which the device uses. A .tflite without parameters needs --classes and --frontend.
    """
    require_model(model)
    logger = get_logger(verbose=verbose)
    if wav is None and labels is not None:
        raise click.UsageError("--labels needs a recording: give --wav, too.")
    import numpy as np

    from mltk_plugin_audio.cli import _listening

    streaming, detector = _listening.load_model(
        model,
        classes.split(",") if classes else None,
        frontend,
        average_window_duration_ms=window_duration,
        minimum_count=count,
        detection_threshold=threshold,
        suppression_ms=suppression,
        latency_ms=latency,
        volume_gain=volume,
    )
    settings, names = detector.settings, detector.classes
    logger.debug("%s", settings)
    rate = streaming.frontend.sample_rate_hz
    if wav is not None:
        blocks = _listening.read_file(wav, rate, streaming.frontend.sample_length)
    elif test:
        blocks = iter([np.zeros(rate, np.int16)])
    else:
        blocks = _listening.listen_to_microphone(rate, settings.hop_ms, microphone)
        click.echo("Listening; end with Ctrl-C.", err=True)
    found: list[Detection] = []
    with _listening.record_to(dump_audio, rate) as record:
        try:
            for detection in _listening.listen(
                streaming,
                detector,
                record(blocks),
                clear_on_detection=clear,
                by_hop=dump_spectrograms is not None,
            ):
                _show(detection, names, as_json)
                found.append(detection)
                if dump_spectrograms is not None:
                    _listening.write_spectrogram(dump_spectrograms, detection, names, streaming)
        except KeyboardInterrupt:
            if wav is not None:
                raise
    if labels is not None:
        counts = _listening.count_errors(found, labels, streaming, detector)
        click.echo(
            json.dumps(counts)
            if as_json
            else "{hits} of {events} words detected, {false_accepts} false accepts".format(**counts)
        )


def _show(detection: Detection, classes: Sequence[str], as_json: bool) -> None:
    label = classes[detection.class_id]
    if as_json:
        line = {"time_ms": detection.time_ms, "class": label, "class_id": detection.class_id}
        click.echo(json.dumps(line | {"score": detection.score}))
        return
    print_text(
        f"{detection.time_ms / 1000:9.3f} s  {label:<{max(map(len, classes))}}  score {detection.score}"
    )
