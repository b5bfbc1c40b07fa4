"""Specifications that `mltk new` writes for anomaly detection, and the defects that one is trained with."""

import numpy as np
import pytest
import soundfile
from PIL import Image

from mltk.core import load_mltk_model, quantize_model
from mltk.operations.conversion.calibration import representative_samples
from mltk.operations.conversion.settings import converter_settings
from mltk.operations.create import create_specification
from mltk_plugin_autoencoder import made_defects

PARTS = ("train/normal", "test/normal", "test/anomaly")


@pytest.fixture(autouse=True)
def work_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def textures(tmp_path):
    """Folders with normal images of stripes, and abnormal ones of noise."""
    rng = np.random.default_rng(1)
    stripes = np.tile(np.sin(np.arange(32) / 2), (32, 1))
    for part in PARTS:
        (tmp_path / "textures" / part).mkdir(parents=True)
        for i in range(8):
            base = rng.normal(size=(32, 32)) if "anomaly" in part else stripes
            pixels = np.clip(128 + 40 * base + rng.normal(0, 5, (32, 32)), 0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(tmp_path / "textures" / part / f"{i}.png")
    return tmp_path / "textures"


@pytest.fixture
def hums(tmp_path):
    """Folders with recordings of a hum, abnormal ones with a whistle."""
    rng = np.random.default_rng(1)
    time = np.arange(16000) / 16000
    for part in PARTS:
        (tmp_path / "hums" / part).mkdir(parents=True)
        for i in range(8):
            x = 0.1 * np.sin(2 * np.pi * 100 * time) + 0.02 * rng.normal(size=16000)
            if "anomaly" in part:
                x += 0.1 * np.sin(2 * np.pi * 3000 * time)
            soundfile.write(tmp_path / "hums" / part / f"{i}.wav", x, 16000, subtype="PCM_16")
    return tmp_path / "hums"


def create(data, tmp_path):
    created = create_specification("watch_v1", data, folder=tmp_path)
    model = load_mltk_model(str(created.path))
    model.load_dataset("training")
    return created.template, model, model.build_model_function(model)


def test_normal_images_alone_make_a_detector_of_defects(textures, tmp_path):
    template, model, network = create(textures, tmp_path)
    assert template == "image_anomaly"
    assert model.eval_classes == ["normal", "anomaly"]
    assert network.input_shape == (None, 32, 32, 1)
    assert network.output_shape == (None, 1)
    _, y = next(iter(model.x))
    assert np.mean(y) == 0.5


def test_calibration_has_made_defects_besides_the_normal_images(textures, tmp_path):
    _, model, network = create(textures, tmp_path)
    model.unload_dataset()

    samples = np.concatenate(
        [x for (x,) in representative_samples(model, network, converter_settings(model))]
    )

    normal, made = samples[::2], samples[1::2]
    assert len(normal) == len(made) > 0
    differs = (normal != made).any(axis=(1, 2, 3))
    assert differs.sum() == round(len(made) / 2)
    # The output is calibrated for the scores of both.
    scores = network.predict(made, verbose=0)
    output = quantize_model(model, keras_model=network, output="tflite_model").outputs[0]
    lowest, highest = output.quantization.dequantize(np.array([-128, 127]))
    assert lowest <= scores.min() + 0.1
    assert highest >= scores.max() - 0.1


def test_calibration_without_such_steps_has_each_sample_once(textures, tmp_path):
    _, model, network = create(textures, tmp_path)
    model.datagen.augmentation_steps = []
    model.unload_dataset()

    samples = np.concatenate(
        [x for (x,) in representative_samples(model, network, converter_settings(model))]
    )

    model.load_dataset("validation")
    batches = model.x if model.validation_data is None else model.validation_data
    np.testing.assert_array_equal(samples, np.concatenate([x for x, _ in batches]))


def test_normal_sounds_alone_make_a_detector_of_unusual_sounds(hums, tmp_path):
    template, model, network = create(hums, tmp_path)
    assert template == "sound_anomaly"
    frames, bands, _ = model.input_shape
    assert bands == 64
    assert network.output_shape == (None, (frames - 4) * bands)
    x, _ = next(iter(model.x))
    assert x.min() > -128, "no digital silence"
    assert x.max() < 127, "no saturation"


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["textures", "hums"])
def test_the_specification_trains_as_it_is(kind, request, tmp_path, mltk_cli):
    create_specification("watch_v1", request.getfixturevalue(kind), folder=tmp_path)
    done = mltk_cli.invoke(["train", str(tmp_path / "watch_v1.py"), "--test"])
    assert done.exit_code == 0, done.stderr
    assert "int8" in done.stdout


def test_made_defects_change_half_of_the_images_and_label_them():
    rng = np.random.default_rng(3)
    x = rng.uniform(0, 255, (64, 24, 24, 1)).astype(np.float32)
    changed, y = made_defects(share=0.5).apply(x.copy(), np.zeros(64, np.float32), np.random.default_rng(5))
    differs = np.abs(changed - x).max(axis=(1, 2, 3)) > 0
    assert differs.sum() == y.sum() == 32
    np.testing.assert_array_equal(differs, y == 1)
    # A defect covers a part of the picture, and its values stay in the range of the batch.
    covered = (changed != x)[y == 1].mean(axis=(1, 2, 3))
    assert covered.min() > 0
    assert np.median(covered) < 0.5
    assert x.min() <= changed.min() <= changed.max() <= x.max()


@pytest.mark.parametrize("labels", [np.zeros((8,)), np.zeros((8, 1)), np.tile([1.0, 0.0], (8, 1))])
def test_labels_of_made_defects_keep_their_form(labels):
    x = np.random.default_rng(1).uniform(0, 1, (8, 16, 16, 3)).astype(np.float32)
    _, y = made_defects(share=0.25).apply(x, labels, np.random.default_rng(2))
    assert y.shape == labels.shape
    assert y.sum() == (8 if labels.ndim == 2 and labels.shape[1] == 2 else 2)


def test_the_same_seed_makes_the_same_defects():
    x = np.random.default_rng(1).uniform(0, 1, (8, 16, 16, 1)).astype(np.float32)
    first, second = (made_defects().apply(x.copy(), np.zeros(8), np.random.default_rng(7)) for _ in range(2))
    np.testing.assert_array_equal(first[0], second[0])
    np.testing.assert_array_equal(first[1], second[1])
