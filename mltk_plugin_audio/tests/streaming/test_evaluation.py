from __future__ import annotations

import dataclasses
import json
import logging

import numpy as np
import pytest

from mltk.errors import DatasetError, EvaluationError, SpecificationError
from mltk.plugins import EvaluationContext
from mltk_plugin_audio.plugin import STREAMING_OPTIONS, mltk_commands, mltk_evaluators
from mltk_plugin_audio.streaming import StreamingOptions
from mltk_plugin_audio.streaming.evaluation import evaluate

LOW, HIGH = 500.0, 2500.0

SPEC = """
# @mltk_model
from mltk.core import EvaluateClassifierMixin, MltkModel
from mltk_plugin_audio import AudioDatasetMixin, AudioFeatureGeneratorSettings, ParallelAudioDataGenerator


class Tones(MltkModel, AudioDatasetMixin, EvaluateClassifierMixin):
    pass


my_model = Tones()
my_model.streaming_evaluation = OPTIONS
my_model.dataset = "DATASET"
my_model.classes = ["low", "high", "_silence_"]
frontend = AudioFeatureGeneratorSettings(
    sample_length_ms=500, window_size_ms=30, window_step_ms=20, filterbank_n_channels=16,
    filterbank_upper_band_limit=4000.0,
)
my_model.datagen = ParallelAudioDataGenerator(frontend_settings=frontend)
"""


@pytest.fixture
def context(tmp_path, tones, write_model):
    """Make what the evaluator gets, for the model of tones: `context(options, with_model=True, **parameters)`."""
    from mltk.core import load_mltk_model
    from mltk.tflite.interpreter import LiteRtPredictor

    def make(options=None, with_model=True, **parameters):
        options = options or {}
        mltk_model = None
        if with_model:
            for i in range(6):
                tones.write(f"low/{i}.wav", tones.sound(0.6, (0.05, 0.5, LOW)))
                tones.write(f"high/{i}.wav", tones.sound(0.6, (0.05, 0.5, HIGH)))
            path = tmp_path / "tones.py"
            path.write_text(SPEC.replace("DATASET", str(tones.folder)).replace("OPTIONS", repr(options)))
            mltk_model = load_mltk_model(path)

        def batches():
            mltk_model.load_dataset("evaluation")
            yield from mltk_model.x

        out = tmp_path / "results"
        out.mkdir()
        return EvaluationContext(
            predictor=LiteRtPredictor(write_model(**parameters), name="tones"),
            batches=batches,
            output_dir=out,
            logger=logging.getLogger("mltk.test"),
            model=mltk_model,
            options={"max_samples_per_class": -1} | ({} if with_model else options),
        )

    made = []
    yield lambda *args, **kwargs: made.append(make(*args, **kwargs)) or made[-1]
    for each in made:
        if each.model is not None:
            each.model.unload_dataset()


def test_clips_are_made_into_a_recording_and_all_are_found(context):
    given = context({"snr_db": 60})
    results = evaluate(given)
    assert results["events"] == [6, 6, 0]
    assert results["hits"] == [6, 6, 0]
    assert results["false_accepts"] == [0, 0, 0]
    assert results["false_reject_rate"] == 0
    assert results["false_accepts_per_hour"] == 0
    # Heard at the next hop at most 0.3 s after a tone of 0.5 s that fills the window.
    assert -200 <= results["latency_ms_median"] <= results["latency_ms_p95"] <= 300
    assert 0 < results["recommended_threshold"] < 255
    files = {path.name for path in given.output_dir.iterdir()}
    assert files == {
        "eval-results.json",
        "summary.txt",
        "evaluation clips.txt",
        "tones-streaming.png",
        "tones-streaming_thresholds.png",
    }
    stored = json.loads((given.output_dir / "eval-results.json").read_text())
    assert stored["model_type"] == "streaming"
    assert len(stored["curve_false_accepts_per_hour"]) == 256
    assert stored["by_class"]["low"]["events"] == 6
    assert "Listened: 0.02 h with 12 words" in str(results)


def test_recordings_with_labels_are_counted_per_hour(context, tones):
    minutes = tones.sound(120, (10.0, 0.6, LOW), (50.0, 0.6, HIGH), (90.0, 0.6, LOW))
    path = tones.write("home.wav", minutes)
    path.with_suffix(".txt").write_text("10.0\t10.6\tlow\n50.0\t50.6\tlow\n")
    results = evaluate(context({"recordings": [str(path)]}, with_model=False))
    # The second is heard as the other class, and the third was not said: two in two minutes.
    assert results["hours"] == pytest.approx(1 / 30)
    assert results["false_accepts"] == [1, 1, 0]
    assert results["false_accepts_per_hour"] == pytest.approx(60)
    low, high = results["false_accepts_per_hour_limits_95"]
    assert low < 60 < high
    assert results["false_reject_rate"] == 0.5
    assert results["by_class"]["high"]["false_reject_rate"] is None


def test_a_recording_without_labels_only_has_false_accepts(context, tones):
    path = tones.write("night.wav", tones.sound(30, (10.0, 0.6, LOW)))
    given = context({"recordings": str(path)}, with_model=False)
    results = evaluate(given)
    assert results["false_accepts"] == [1, 0, 0]
    assert results["recommended_threshold"] is None
    assert not (given.output_dir / "tones-streaming.png").exists()
    assert json.loads((given.output_dir / "eval-results.json").read_text())["false_reject_rate"] is None


def test_short_recordings_cause_a_warning(context, tones, caplog):
    path = tones.write("night.wav", tones.sound(30))
    with caplog.at_level("WARNING"):
        evaluate(context({"recordings": str(path)}, with_model=False))
    assert "too few to estimate 0.5 false accepts per hour" in caplog.text


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"recording": "a.wav"}, "no option 'recording'. Did you mean 'recordings'"),
        ({"gap_ms": (3, 1)}, "gap_ms"),
        ({"max_minutes": 0}, "max_minutes"),
        ({"max_minutes": "long"}, "max_minutes must be a number, got 'long'"),
        ({"recordings": 3}, "recordings must be a path"),
        ({"background": 3}, "background must be a path"),
        ({"tolerance_ms": -1}, "tolerance_ms"),
        ({"threshold": 200}, "no option 'threshold'. Did you mean 'detection_threshold'"),
        ({"detection_threshold": 256}, "'detection_threshold' must be an integer from 0 to 255"),
    ],
)
def test_errors_name_wrong_options(options, message):
    with pytest.raises(SpecificationError) as error:
        StreamingOptions.from_mapping(options)
    assert message in str(error.value)


def test_the_command_line_knows_the_options():
    assert tuple(f.name for f in dataclasses.fields(StreamingOptions)) == STREAMING_OPTIONS


def test_wrong_options_in_a_specification_are_rejected_on_assignment(context):
    with pytest.raises(SpecificationError, match="no option 'recording'") as error:
        context({"recording": "a.wav"})
    assert "\n" not in str(error.value)


def test_options_take_precedence_over_specification_and_parameters(context, tones):
    minutes = tones.sound(60, (10.0, 0.6, LOW))
    path = tones.write("long/home.wav", minutes)
    given = context({"recordings": "nowhere.wav", "detection_threshold": 0})
    given = dataclasses.replace(given, options={"recordings": path, "detection_threshold": 254})
    results = evaluate(given)
    assert results["recordings"] == ["home.wav"]
    assert results["settings"]["detection_threshold"] == 254
    assert results["settings"]["suppression_ms"] == 1000


def test_a_bare_tflite_listens_to_a_folder(mltk_cli, write_model, tones, tmp_path):
    path = tones.write("b.wav", tones.sound(20, (5.0, 0.6, LOW)))
    path.with_suffix(".txt").write_text("5.0\t5.6\tlow\n")
    tones.write("a.flac", tones.sound(20, (5.0, 0.6, HIGH)))
    command = ["evaluate", write_model(), "--evaluator", "streaming", "-o", tmp_path / "out"]
    result = mltk_cli.invoke([*command, "--option", f"recordings={tones.folder}"])
    assert result.exit_code == 0, result.stderr
    assert "with 1 words" in result.stdout
    assert "- false accepts: 1, 90 per hour" in result.stdout
    stored = json.loads((tmp_path / "out" / "streaming" / "eval-results.json").read_text())
    assert stored["recordings"] == ["a.flac", "b.wav"]
    assert stored["hits"] == [1, 0, 0]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ([], "'tones' has no evaluation clips"),
        (["--option", "recordings=EMPTY"], "has no recordings"),
        (["--option", "recording=x"], "Did you mean 'recordings'"),
        (["--option", "gap_ms=5"], "gap_ms must be a pair"),
    ],
)
def test_a_bare_tflite_without_usable_options_gives_a_one_line_error(
    mltk_cli, write_model, tmp_path, options, message
):
    (tmp_path / "empty").mkdir()
    options = [option.replace("EMPTY", str(tmp_path / "empty")) for option in options]
    result = mltk_cli.invoke(["evaluate", write_model(), "--evaluator", "streaming", *options])
    assert result.exit_code == 1
    assert message in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1


def test_a_missing_recording_is_named(context):
    with pytest.raises(DatasetError, match=r"no recording nowhere\.wav"):
        evaluate(context({"recordings": ["nowhere.wav"]}, with_model=False))


def test_a_recording_shorter_than_a_hop_gives_a_one_line_error(context, tones):
    path = tones.write("blip.wav", tones.sound(0.05))
    with pytest.raises(EvaluationError, match="shorter than 100 ms"):
        evaluate(context({"recordings": [path]}, with_model=False))


def test_a_wrong_number_of_classes_gives_a_one_line_error(context, tones):
    path = tones.write("day.wav", tones.sound(2))
    with pytest.raises(EvaluationError, match="returns 3 scores, but names 2 classes"):
        evaluate(context({"recordings": [path]}, with_model=False, classes=["low", "high"]))


def test_the_evaluator_is_offered_for_audio_models_and_is_not_a_default(context, tmp_path):
    from mltk.core import load_mltk_model

    path = tmp_path / "other.py"
    path.write_text("# @mltk_model\nfrom mltk.core import MltkModel\n\nmy_model = MltkModel()\n")
    for model in (context().model, None):
        (evaluator,) = mltk_evaluators(model)
        assert (evaluator.name, evaluator.default) == ("streaming", False)
    assert mltk_evaluators(load_mltk_model(path)) is None
    assert [command.load().name for command in mltk_commands()] == ["classify-audio", "view-audio"]


def test_variants_of_a_models_augmentation_are_drawn(mltk_cli, context, tones, tmp_path):
    context()
    path = tones.write("low/0.wav", tones.sound(0.6, (0.05, 0.5, LOW)))
    result = mltk_cli.invoke(
        ["view_audio", path, "--model", tmp_path / "tones.py", "--augment", "2", "-o", tmp_path / "a.html"]
    )
    assert result.exit_code == 0, result.stderr
    assert (tmp_path / "a.html").read_text().count("data:image/png") == 4


def test_long_recordings_are_read_in_blocks(context):
    import tracemalloc

    from mltk_plugin_audio.streaming import DetectionSettings, StreamingModel
    from mltk_plugin_audio.streaming.evaluation import get_parameters
    from mltk_plugin_audio.streaming.model import score_blocks

    given = context(with_model=False)
    parameters, _ = get_parameters(given.predictor, None)
    model = StreamingModel(given.predictor, parameters, DetectionSettings.from_parameters(parameters))
    block = np.random.default_rng(0).normal(0, 0.01, 160_000).astype(np.float32)
    model.process(block)
    tracemalloc.start()
    results = sum(len(times) for times, _ in score_blocks(model, (block for _ in range(60))))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert results == 6000
    # The samples of these ten minutes alone are 38 MB.
    assert peak < 5e6
