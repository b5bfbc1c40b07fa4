"""Public names, command, models and import time of the plugin."""

import pytest

import mltk_plugin_tfdata
from mltk.core import evaluate_model, load_mltk_model, train_model
from mltk.testing import assert_imports_light


@pytest.mark.parametrize("module", ["mltk_plugin_tfdata", "mltk_plugin_tfdata.plugin"])
def test_loading_it_is_quick(module):
    assert_imports_light(module)


def test_the_names_of_the_reference_resolve():
    from mltk.core.preprocess.utils import tf_dataset
    from mltk.datasets.accelerometer import tflm_magic_wand

    for name in ("load_audio_directory", "load_image_directory", "parallel_process", "enable_numpy_behavior"):
        assert callable(getattr(tf_dataset, name))
    assert callable(tflm_magic_wand.load_data)
    for name in mltk_plugin_tfdata.__all__:
        assert getattr(mltk_plugin_tfdata, name) is not None


def test_the_command_is_listed_and_explains_itself(mltk_cli):
    assert "tfdata-service" in mltk_cli.invoke(["--help"]).stdout
    text = mltk_cli.invoke(["tfdata-service", "--help"]).stdout
    assert "dispatcher" in text
    assert "a network that you trust" in " ".join(text.split())


@pytest.mark.slow
@pytest.mark.parametrize("name", ["gestures_v1", "shapes_v1"])
def test_shipped_models_run_from_data_to_int8(name):
    model = load_mltk_model(f"{name}-test")
    model.tflite_converter["generate_unquantized"] = False
    assert len(train_model(model).history["loss"]) == 3
    assert evaluate_model(model, tflite=True).n_samples == 16
