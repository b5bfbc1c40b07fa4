from __future__ import annotations

import contextlib
import json
import re
import subprocess
import sys

import numpy as np
import pytest
import soundfile

from mltk.tflite import TfliteModelParameters
from mltk_plugin_audio.frontend import AudioFeatureGeneratorSettings

LOW, HIGH = 500.0, 2500.0


@pytest.fixture
def recording(tones):
    return tones.write("day.wav", tones.sound(6, (1.0, 0.6, LOW), (3.0, 0.6, HIGH)))


def test_a_recording_is_classified(mltk_cli, write_model, recording):
    result = mltk_cli.invoke(["classify_audio", write_model(), "--wav", recording])
    assert result.exit_code == 0
    lines = [line.split() for line in result.stdout.splitlines()]
    assert [line[2] for line in lines] == ["low", "high"]
    assert 1.3 <= float(lines[0][0]) <= 1.8
    assert int(lines[0][4]) > 150


def test_classes_and_front_end_of_a_bare_file_are_options(mltk_cli, write_model, recording):
    expected = mltk_cli.invoke(["classify_audio", write_model(), "--wav", recording]).stdout
    bare = write_model("bare.tflite", leave_out=("classes", "fe."))
    command = ["classify_audio", bare, "--wav", recording]
    result = mltk_cli.invoke(command)
    assert result.exit_code == 1 and "--classes A,B" in result.stderr
    command += ["--classes", "low,high,_silence_"]
    result = mltk_cli.invoke(command)
    assert result.exit_code == 1 and "--frontend" in result.stderr
    for name, value in TfliteModelParameters.load_from_tflite_file(write_model()).items():
        if name.startswith("fe."):
            command += ["--frontend", f"{name.removeprefix('fe.')}={value}"]
    result = mltk_cli.invoke([*command, "--frontend", "pcan_enable=false"])
    assert (result.exit_code, result.stdout) == (0, expected)
    wrong = mltk_cli.invoke([*command, "--frontend", "window=30"])
    assert wrong.exit_code == 1 and "no setting 'window'" in wrong.stderr
    # Options win over what is in the file.
    named = mltk_cli.invoke(["classify_audio", write_model(), "--wav", recording, "--classes", "a,b,_c"])
    assert [line.split()[2] for line in named.stdout.splitlines()] == ["a", "b"]


def test_detections_are_json_lines(mltk_cli, write_model, recording):
    result = mltk_cli.invoke(["classify_audio", write_model(), "--wav", recording, "--json"])
    found = [json.loads(line) for line in result.stdout.splitlines()]
    assert [(d["class"], d["class_id"]) for d in found] == [("low", 0), ("high", 1)]
    assert all(d["time_ms"] % 100 == 0 and 150 < d["score"] <= 255 for d in found)


def test_options_take_precedence_over_model_parameters(mltk_cli, write_model, recording):
    def count(*options):
        result = mltk_cli.invoke(["classify_audio", write_model(), "--wav", recording, *options])
        assert result.exit_code == 0
        return len(result.stdout.splitlines())

    assert count("-t", "255") == 0
    assert count("-c", "0", "-s", "0") > 4
    assert count("-c", "0", "-s", "0", "-l", "20") > count("-c", "0", "-s", "0")
    assert count("-w", "100", "-c", "3") == 0
    assert count("--clear") == 2


def test_words_at_the_end_and_clips_shorter_than_a_window_are_heard(mltk_cli, write_model, tones):
    short = tones.write("short.wav", tones.sound(0.45, (0.0, 0.45, HIGH)))
    result = mltk_cli.invoke(["classify_audio", write_model(), "--wav", short, "-t", "60"])
    assert [line.split()[2] for line in result.stdout.splitlines()] == ["high"]


def test_other_rates_widths_and_channels_are_converted(mltk_cli, write_model, tones):
    sound = tones.sound(3, (1.0, 0.6, LOW))
    wide = np.interp(np.arange(3 * 44100) / 44100, np.arange(len(sound)) / 16000, sound)
    path = tones.write("cd.wav", np.stack([wide, 0 * wide], axis=1), 44100, "PCM_24")
    result = mltk_cli.invoke(["classify_audio", write_model(), "--wav", path])
    assert [line.split()[2] for line in result.stdout.splitlines()] == ["low"]


def test_labels_tell_right_from_wrong(mltk_cli, write_model, recording):
    labels = recording.with_suffix(".csv")
    labels.write_text("1.0,1.6,low\n4.5,5.0,high\n")
    result = mltk_cli.invoke(["classify_audio", write_model(), "--wav", recording, "--labels", labels])
    assert "1 of 2 words detected, 1 false accepts" in result.stdout


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"leave_out": ("fe.",)}, "no settings of an audio front end"),
        ({"leave_out": ("classes",)}, "does not name its classes"),
        ({"detection_threshold_list": [1, 2]}, "2 thresholds for 3 classes"),
        ({"suppression_ms": "long"}, "'suppression_ms' must be an integer"),
        ({"classes": 5}, "does not name its classes"),
        ({"classes": [1, 2, 3]}, "does not name its classes"),
        ({"detection_threshold_list": 5}, "must be a list, got 5"),
        ({"samplewise_norm.rescale": "x"}, "must be a number, got 'x'"),
        ({"fe.filterbank_n_channels": 10_000_000}, "at most 4096"),
    ],
)
def test_an_unsuitable_model_gives_a_one_line_error(mltk_cli, write_model, recording, parameters, message):
    result = mltk_cli.invoke(["classify_audio", write_model(**parameters), "--wav", recording])
    assert result.exit_code == 1
    assert message in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1


def test_class_names_cannot_escape_the_folder_or_control_the_terminal(
    mltk_cli, write_model, recording, tmp_path
):
    names = ["x/../../../../out", "\x1b[2Jhigh", "_silence_"]
    pictures = tmp_path / "deep" / "pictures"
    before = set(tmp_path.rglob("*"))
    model = write_model(classes=names)
    result = mltk_cli.invoke(["classify_audio", model, "--wav", recording, "--dump-spectrograms", pictures])
    assert result.exit_code == 0, result.stderr
    assert "\x1b" not in result.stdout
    assert "\\x1b[2Jhigh" in result.stdout
    written = set(tmp_path.rglob("*.png")) - before
    assert len(written) == 2
    assert {path.parent for path in written} == {pictures}


def test_wrong_input_gives_a_one_line_error(mltk_cli, write_model, tmp_path):
    for wav in (tmp_path / "none.wav", write_model("model.wav")):
        result = mltk_cli.invoke(["classify_audio", write_model(), "--wav", wav])
        assert result.exit_code == 1
        assert wav.name in result.stderr
        assert len(result.stderr.strip().splitlines()) == 1


def test_a_missing_microphone_package_gives_a_one_line_hint(mltk_cli, write_model, monkeypatch):
    monkeypatch.setitem(sys.modules, "sounddevice", None)
    result = mltk_cli.invoke(["classify_audio", write_model()])
    assert result.exit_code == 1
    assert "pip install 'mltk-plugin-audio[mic]'" in result.stderr
    assert "--wav" in result.stderr


class Microphone:
    """Replacement of the package `sounddevice` that returns a recording and then raises `KeyboardInterrupt`."""

    PortAudioError = OSError

    def __init__(self, samples):
        self.pcm = (32767 * samples).astype(np.int16)
        self.asked = {}

    def RawInputStream(self, **asked):
        self.asked = asked
        return contextlib.nullcontext(self)

    def read(self, n):
        if not len(self.pcm):
            raise KeyboardInterrupt
        block, self.pcm = self.pcm[:n], self.pcm[n:]
        return block.tobytes(), False


def test_a_microphone_is_listened_to_until_it_is_interrupted(mltk_cli, write_model, tones, monkeypatch):
    microphone = Microphone(tones.sound(6, (1.0, 0.6, LOW), (3.0, 0.6, HIGH)))
    monkeypatch.setitem(sys.modules, "sounddevice", microphone)
    result = mltk_cli.invoke(["classify_audio", write_model(), "-m", "2"])
    assert result.exit_code == 0
    assert [line.split()[2] for line in result.stdout.splitlines()] == ["low", "high"]
    assert microphone.asked == {
        "samplerate": 16000,
        "blocksize": 1600,
        "channels": 1,
        "dtype": "int16",
        "device": 2,
    }


def test_what_was_heard_is_written_and_repeats_the_detections(
    mltk_cli, write_model, tones, monkeypatch, tmp_path
):
    microphone = Microphone(tones.sound(6, (1.0, 0.6, LOW), (3.0, 0.6, HIGH)))
    pcm = microphone.pcm
    monkeypatch.setitem(sys.modules, "sounddevice", microphone)
    heard, pictures = tmp_path / "heard.wav", tmp_path / "pictures"
    live = mltk_cli.invoke(["classify_audio", write_model(), "-x", heard, "-z", pictures, "--json"])
    assert live.exit_code == 0, live.stderr
    assert np.array_equal(soundfile.read(heard, dtype="int16")[0], pcm)
    found = [json.loads(line) for line in live.stdout.splitlines()]
    names = [f"{d['time_ms']:08d}-{d['class']}.png" for d in found]
    assert sorted(path.name for path in pictures.iterdir()) == names
    again = mltk_cli.invoke(["classify_audio", write_model(), "--wav", heard, "--json"])
    assert again.stdout == live.stdout


def test_pictures_show_what_was_heard_up_to_the_detection(mltk_cli, write_model, recording, tmp_path):
    from matplotlib import image

    options = ["--wav", recording, "-z", tmp_path / "pictures"]
    assert mltk_cli.invoke(["classify_audio", write_model(), *options]).exit_code == 0
    low, high = (
        image.imread(p)[..., :3].sum(axis=(1, 2)).argmax() for p in sorted((tmp_path / "pictures").iterdir())
    )
    # High frequencies are above.
    assert high < low


def test_dumps_are_flags_too(mltk_cli, write_model, recording, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    options = ["--dump-audio", "--dump-spectrograms"]
    assert mltk_cli.invoke(["classify_audio", write_model(), "--wav", recording, *options]).exit_code == 0
    assert soundfile.info("dumped_audio.wav").samplerate == 16000
    assert len(list((tmp_path / "dumped_spectrograms").iterdir())) == 2
    assert not (tmp_path / "--dump-spectrograms").exists()


def test_times_may_have_a_unit(mltk_cli, write_model, recording):
    model = write_model()

    def found(*options):
        return mltk_cli.invoke(["classify_audio", model, "--wav", recording, *options]).stdout

    assert found("--window", "0.3s", "-l", "100 ms") == found("--window_duration", "300", "-l", "100ms")
    wrong = mltk_cli.invoke(["classify_audio", model, "--wav", recording, "-w", "long"])
    assert "'long' is not a time such as 1200" in wrong.stderr


def test_the_command_is_tried_without_a_microphone(mltk_cli, write_model):
    result = mltk_cli.invoke(["classify_audio", write_model(), "--test", "--json"])
    assert (result.exit_code, result.stdout) == (0, "")


@pytest.mark.parametrize("option", ["--device", "--accelerator=mvp", "--port=COM3", "--app=x.s37"])
def test_options_about_a_board_are_refused_with_a_reason(mltk_cli, write_model, option):
    result = mltk_cli.invoke(["classify_audio", write_model(), option])
    assert result.exit_code == 2
    assert "not on a board: leave out --" in result.stderr


def test_a_model_among_the_recordings_gives_a_hint(mltk_cli):
    result = mltk_cli.invoke(["view_audio", "command_words_v1"])
    assert result.exit_code == 2
    assert "mltk view-audio RECORDING... --model command_words_v1" in result.stderr


def test_front_end_settings_of_2021_are_understood():
    old = {"name": "x", "fe.n_channels": 20, "fe.enable_log": False, "fe.smoothing_bits": 9}
    settings = AudioFeatureGeneratorSettings.from_parameters(old)
    assert settings.filterbank_n_channels == 20
    assert settings.log_scale_enable is False
    assert settings.noise_reduction_smoothing_bits == 9


def test_classify_audio_does_not_import_tensorflow(write_model, recording):
    code = (
        "import sys; from mltk.cli.main import main\n"
        "try: main()\n"
        "finally: assert not {'tensorflow', 'keras'} & set(sys.modules), 'loaded'"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, "classify_audio", str(write_model()), "--wav", str(recording)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "low" in done.stdout


def test_recordings_are_drawn(mltk_cli, recording, tmp_path):
    result = mltk_cli.invoke(["view_audio", recording, recording, "-o", tmp_path / "pictures"])
    assert result.exit_code == 0
    assert (tmp_path / "pictures" / "audio.png").read_bytes().startswith(b"\x89PNG")


def test_a_page_holds_pictures_and_sounds(mltk_cli, recording, tmp_path):
    result = mltk_cli.invoke(["view_audio", recording, "--html", "-o", tmp_path])
    assert result.exit_code == 0
    page = (tmp_path / "audio.html").read_text()
    assert len(re.findall(r'src="data:image/png;base64,', page)) == 1
    assert len(re.findall(r'src="data:audio/wav;base64,', page)) == 1
    assert "http" not in page


def test_variants_need_a_model(mltk_cli, recording):
    result = mltk_cli.invoke(["view_audio", recording, "--augment", "2"])
    assert result.exit_code == 2
    assert "--model" in result.stderr


def test_a_file_that_is_not_a_recording_gives_a_one_line_error(mltk_cli, write_model):
    result = mltk_cli.invoke(["view_audio", write_model()])
    assert result.exit_code == 1
    assert "tones.tflite" in result.stderr
