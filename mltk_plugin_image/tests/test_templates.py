"""Specifications that `mltk new` writes for images."""

import numpy as np
import pytest
from PIL import Image

from mltk.core import load_mltk_model
from mltk.operations.create import create_specification


@pytest.fixture(autouse=True)
def work_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def write_images(tmp_path):
    """Return a function that writes images into a folder `pictures`."""

    def write(classes, size, mode="L", count=6):
        rng = np.random.default_rng(1)
        shape = size[::-1] if mode == "L" else (*size[::-1], 3)
        for folder in classes:
            (tmp_path / "pictures" / folder).mkdir(parents=True)
            for i in range(count):
                pixels = rng.integers(0, 256, shape, dtype=np.uint8)
                Image.fromarray(pixels).save(tmp_path / "pictures" / folder / f"{i}.png")
        return tmp_path / "pictures"

    return write


def create(data, tmp_path):
    created = create_specification("shapes_v1", data, folder=tmp_path)
    model = load_mltk_model(str(created.path))
    model.load_dataset("training")
    return created, model, model.build_model_function(model)


def test_small_gray_images_keep_their_size(write_images, tmp_path):
    data = write_images(["rock", "paper"], size=(20, 28))
    created, model, network = create(data, tmp_path)
    assert created.template == "image"
    assert model.classes == ["paper", "rock"]
    assert network.input_shape == (None, *model.input_shape) == (None, 28, 20, 1)
    assert network.output_shape == (None, 2)
    assert "12" in created.draft.findings[0]


def test_color_images_with_a_test_folder(write_images, tmp_path):
    data = write_images([f"{part}/{name}" for part in ("train", "test") for name in "abc"], (64, 64), "RGB")
    created, model, network = create(data, tmp_path)
    assert network.input_shape[3] == 3
    assert network.output_shape == (None, 3)
    assert any("18 test files" in line for line in created.draft.findings)
    model.load_dataset("evaluation")
    assert sum(len(x) for x, _ in model.x) == 18


def test_the_batches_are_mixed_and_scaled_as_the_device_does(write_images, tmp_path):
    _, model, _ = create(write_images(["rock", "paper"], (32, 32)), tmp_path)
    x, y = next(iter(model.x))
    assert 0 <= x.min() < x.max() <= 1
    assert ((y > 0) & (y < 1)).any(), "mixup and cutmix give a sample shares of two classes"
    assert model.tflite_converter["input_range"] == (0, 1)


def test_one_class_of_images_is_not_classified(write_images, tmp_path):
    from mltk.plugins import DraftRequest
    from mltk_plugin_image.templates import draft_classifier

    data = write_images(["only"], (32, 32))
    assert draft_classifier(DraftRequest("shapes_v1", data, "pictures")) is None


@pytest.mark.slow
def test_the_specification_trains_as_it_is(write_images, tmp_path, mltk_cli):
    data = write_images(["train/rock", "train/paper", "test/rock", "test/paper"], (24, 24), count=8)
    create_specification("shapes_v1", data, folder=tmp_path)
    done = mltk_cli.invoke(["train", str(tmp_path / "shapes_v1.py"), "--test"])
    assert done.exit_code == 0, done.stderr
    assert "int8" in done.stdout
