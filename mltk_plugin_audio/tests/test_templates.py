"""Specifications that `mltk new` writes for sounds."""

from pathlib import Path

import numpy as np
import pytest

from mltk.core import load_mltk_model
from mltk.operations.create import create_specification


@pytest.fixture(autouse=True)
def work_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def create(data, tmp_path, template=None):
    created = create_specification("sounds_v1", data, folder=tmp_path, template=template)
    model = load_mltk_model(str(created.path))
    model.load_dataset("training")
    return created, model, model.build_model_function(model)


def test_recordings_with_background_noise_make_a_keyword_model(recordings, tmp_path):
    created, model, network = create(recordings(noise=True), tmp_path)
    assert created.template == "keyword"
    assert model.classes == ["maybe", "never", "no", "yes"]
    assert network.output_shape == (None, 4)
    assert model.datagen.bg_noise_dir == "_background_noise_"


def test_other_sounds_keep_their_voice_and_are_drawn_equally_often(recordings, tmp_path):
    created, model, _ = create(recordings({"low": 9, "high": 3}), tmp_path, template="sound")
    assert created.template == "sound"
    assert model.datagen.balanced_classes
    assert "vtlp" not in model.datagen.probabilities


def test_the_network_gets_the_features_of_the_device(recordings, tmp_path):
    _, model, _ = create(recordings(), tmp_path)
    x, y = next(iter(model.x))
    assert model.tflite_converter["input_range"] == (-128, 127)
    assert -128 < np.median(x) < 127
    assert x.max() < 127, "features are not saturated"
    assert y.shape[1] == 4


def test_clips_are_as_long_as_most_recordings(recordings, tmp_path):
    _, model, _ = create(recordings(seconds=1.9), tmp_path)
    assert model.datagen.frontend_settings.sample_length_ms == 1900


def test_the_lines_of_the_readme_make_a_detector_of_some_words(recordings, tmp_path):
    created = create_specification("sounds_v1", recordings(noise=True), folder=tmp_path)
    readme = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
    lines = readme.split("```python\n")[1].split("```")[0].replace('"up", "down"', '"yes", "no"')
    created.path.write_text(created.path.read_text() + lines)
    model = load_mltk_model(str(created.path))
    model.load_dataset("training")
    counts = model.class_counts["training"]
    assert list(counts) == ["yes", "no", "_unknown_", "_silence_"]
    assert counts["_unknown_"] == counts["yes"]
    assert model.build_model_function(model).output_shape == (None, 4)


@pytest.mark.slow
def test_the_specification_trains_as_it_is(recordings, tmp_path, mltk_cli):
    create_specification("sounds_v1", recordings(noise=True), folder=tmp_path)
    done = mltk_cli.invoke(["train", str(tmp_path / "sounds_v1.py"), "--test"])
    assert done.exit_code == 0, done.stderr
    assert "int8" in done.stdout
