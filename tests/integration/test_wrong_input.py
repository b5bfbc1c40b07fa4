"""Wrong input at the command line: one line that says what, where and what to do; exit code 1; nothing half-written."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

MODEL = "from mltk.core import MltkModel\nclass MyModel(MltkModel):\n    pass\n"
TFLITE = Path(__file__).resolve().parents[1] / "tflite" / "data" / "conv_int8.tflite"


def test_name_that_no_model_has_gets_near_matches(refused, write_spec):
    write_spec("keyword_v1")
    assert refused("train", "keywrod_v1") == (
        "There is no model named 'keywrod_v1' on the model search path. Did you mean 'keyword_v1'?"
    )


@pytest.mark.parametrize("command", ["train", "evaluate", "quantize", "summarize", "update_params"])
def test_every_command_refuses_a_model_that_is_not_there(refused, command):
    assert "no model named 'nothing'" in refused(command, "nothing")
    assert refused(command, "nothing.py") == "There is no file nothing.py."


def test_name_with_a_dash(refused, write_spec):
    write_spec("my-model")
    assert "'my-model'" in refused("train", "my-model")
    assert "my-model" in refused("train", "my-model.py")


def test_syntax_error_names_file_and_line(refused, write_spec):
    path = write_spec("broken_v1", MODEL + "my_model = MyModel(\nmy_model.epochs = = 3\n")
    line = refused("train", "broken_v1")
    assert line.startswith((f"{path}, line 4: ", f"{path}, line 5: "))


def test_error_in_the_specification_names_file_and_line(refused, write_spec):
    path = write_spec("broken_v1", MODEL + "my_model = MyModel()\nmy_model.version = undefined\n")
    assert refused("train", "broken_v1") == f"{path}, line 5: NameError: name 'undefined' is not defined"


@pytest.mark.parametrize(
    ("made", "message"),
    [
        ("", "creates no MltkModel instance"),
        ("a = MyModel()\nb = MyModel()\n", "creates 2 models, 'a' and 'b'"),
    ],
    ids=["none", "two"],
)
def test_a_specification_makes_exactly_one_model(refused, write_spec, made, message):
    path = write_spec("count_v1", MODEL + made)
    line = refused("train", "count_v1")
    assert str(path) in line
    assert message in line


def test_folder_in_the_place_of_the_archive(refused, write_spec):
    folder = write_spec("tiny_v1").with_suffix(".mltk.zip")
    folder.mkdir()
    assert str(folder) in refused("train", "tiny_v1")


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: b"",
        lambda data: b"no flatbuffer",
        lambda data: data[: len(data) // 2],
        lambda data: bytes(8) + data,
    ],
    ids=["empty", "text", "half", "shifted"],
)
def test_damaged_tflite(refused, private_home, damage):
    import numpy as np

    path = private_home / "damaged.tflite"
    path.write_bytes(damage(TFLITE.read_bytes()))
    np.savez(private_home / "data.npz", x=np.zeros((4, 8, 8, 1), np.float32), y=np.zeros(4, np.int64))
    assert "damaged.tflite" in refused("summarize", "damaged.tflite")
    assert "damaged.tflite" in refused("evaluate", "damaged.tflite", "--data", "data.npz")


def test_missing_class_folder(refused, write_pictures_spec, pictures):
    (pictures / "dark").rename(pictures / "gloomy")
    write_pictures_spec()
    line = refused("train", "pictures_v1")
    assert "'dark'" in line
    assert str(pictures) in line


def test_empty_class_folder(refused, write_pictures_spec, pictures):
    for path in (pictures / "dark").iterdir():
        path.unlink()
    write_pictures_spec()
    line = refused("train", "pictures_v1")
    assert line.startswith("The class 'dark' has no samples")
    assert str(pictures) in line


def test_truncated_picture_among_good_ones_is_named(refused, write_pictures_spec, pictures):
    path = pictures / "dark" / "17.jpg"
    path.write_bytes(path.read_bytes()[:-200])
    write_pictures_spec()
    assert str(path) in refused("train", "pictures_v1", log=True)


def test_text_called_png_is_named(refused, write_pictures_spec, pictures):
    path = pictures / "bright" / "99.png"
    path.write_text("not a picture")
    write_pictures_spec()
    assert str(path) in refused("train", "pictures_v1", log=True)


def test_model_without_a_build_function(refused, write_pictures_spec):
    write_pictures_spec(
        more="\nfrom mltk.core import MltkModel\ndel my_model.attributes.stored['train.build_model_function']\n"
    )
    assert "has no build_model_function" in refused("train", "pictures_v1")


def test_model_whose_outputs_do_not_fit_the_classes(refused, write_pictures_spec):
    spec = write_pictures_spec()
    spec.write_text(spec.read_text().replace("Dense(model.n_classes,", "Dense(3,"))
    assert "3 outputs but 2 classes (bright, dark)" in refused("train", "pictures_v1")


@pytest.mark.parametrize(
    ("setting", "messages"),
    [
        ("my_model.tflite_converter['optimisations'] = []", ["'optimisations'", "'optimizations'"]),
        (
            "my_model.tflite_converter['supported_ops'] = ['TFLITE_BUILTINS_INT9']",
            ["INT9", "TFLITE_BUILTINS_INT8"],
        ),
        ("my_model.epoch = 3", ["'epoch'", "'epochs'"]),
        ("my_model.epochs = 'many'", ["epochs"]),
    ],
)
def test_setting_that_does_not_exist_gets_near_matches(refused, write_pictures_spec, setting, messages):
    write_pictures_spec(more=f"\n{setting}\n")
    line = refused("train", "pictures_v1")
    for message in messages:
        assert message in line


@pytest.mark.parametrize(
    ("setting", "messages"),
    [
        ("my_model.early_stopping['patients'] = 3", ["'patients'", "'patience'"]),
        ("my_model.reduce_lr_on_plateau['factr'] = 3", ["'factr'", "'factor'"]),
        ("my_model.train_kwargs['step_per_epoch'] = 3", ["'step_per_epoch'", "'steps_per_epoch'"]),
    ],
)
def test_argument_that_keras_does_not_take_gets_near_matches(refused, write_pictures_spec, setting, messages):
    write_pictures_spec(more=f"\n{setting}\n")
    line = refused("train", "pictures_v1", log=True)
    for message in messages:
        assert message in line


def test_cache_that_is_a_file(refused, write_pictures_spec, private_home, monkeypatch):
    write_pictures_spec()
    cache = private_home / "cache"
    cache.write_text("")
    monkeypatch.setenv("MLTK_CACHE_DIR", str(cache))
    assert refused("train", "pictures_v1").startswith(f"'{cache}' cannot be mltk's folder: it is a file.")


def test_process_ends_with_code_1_and_one_line(write_spec, only_error):
    path = write_spec("broken_v1", MODEL + "my_model = MyModel()\nmy_model.epoch = \n")
    done = subprocess.run(
        [sys.executable, "-m", "mltk", "train", "broken_v1"], capture_output=True, text=True, check=False
    )
    assert only_error(done.returncode, done.stderr).startswith(f"{path}, line 5: ")
