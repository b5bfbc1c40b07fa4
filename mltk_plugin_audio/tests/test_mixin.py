"""Models that inherit `AudioDatasetMixin`, loaded through the hook."""

from __future__ import annotations

import logging
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest

import mltk.core as mltk_core
from mltk.errors import DatasetError, SpecificationError
from mltk.plugins import AugmentationStep, get_plugin_manager, hookimpl
from mltk_plugin_audio import (
    AudioDatasetMixin,
    AudioFeatureGeneratorSettings,
    ParallelAudioDataGenerator,
)


class AudioModel(
    mltk_core.MltkModel, mltk_core.TrainMixin, AudioDatasetMixin, mltk_core.EvaluateClassifierMixin
):
    pass


@pytest.fixture
def make_model(tmp_path):
    def make(**properties):
        model = AudioModel(tmp_path / "audio_model.py")
        model.classes = ["yes", "no"]
        model.batch_size = 4
        model.datagen = ParallelAudioDataGenerator(validation_split=0.5, loudness_range=(0.5, 1.5))
        for name, value in properties.items():
            setattr(model, name, value)
        return model

    return make


def test_the_mixin_is_importable_under_the_names_of_the_reference():
    assert mltk_core.AudioDatasetMixin is AudioDatasetMixin
    from mltk.core.model import AudioDatasetMixin as from_model

    assert from_model is AudioDatasetMixin


def test_training_data_of_a_folder(make_model, recordings):
    model = make_model(dataset=str(recordings()))
    model.load_dataset("training", logger=logging.getLogger("test"))
    assert (model.x.samples, model.validation_data.samples) == (8, 8)
    assert model.class_counts["training"] == {"yes": 4, "no": 4}
    assert (model.x.batch_size, model.x.seed) == (4, model.seed)
    x, y = model.x[0]
    assert x.shape == (4, *model.input_shape) and y.shape == (4, 2)
    assert model.datagen_context.train_datagen is model.x
    summary = model.summarize_dataset()
    for expected in ("yes", "loudness_range: (0.5, 1.5)", "Recordings for validation: the same"):
        assert expected in summary
    model.unload_dataset()
    assert model.x is None


@pytest.mark.parametrize("as_function", [True, False])
def test_a_function_or_module_may_give_the_folder(make_model, recordings, as_function):
    root = recordings()
    seen = {}

    def load_data(subset="?", **kwargs):
        seen.update(kwargs, subset=subset)
        return str(root)

    model = make_model(dataset=load_data if as_function else SimpleNamespace(load_data=load_data))
    model.load_dataset("training")
    assert model.x.samples == 8
    assert seen["subset"] == "training" and seen["mltk_model"] is model


def test_evaluation_uses_the_held_out_files_in_order_and_without_augmentation(make_model, recordings):
    model = make_model(dataset=str(recordings()))
    model.load_dataset("training")
    held_out = sorted(model.validation_data.filenames)
    trained = set(model.x.filenames)
    model.load_dataset("evaluation")
    assert sorted(model.x.filenames) == held_out and not trained & set(held_out)
    assert model.validation_data is None
    x, y = (np.concatenate(part) for part in zip(*model.x, strict=True))
    assert y.argmax(axis=1).tolist() == [0] * 4 + [1] * 4
    model.eval_augment = True
    model.load_dataset("evaluation")
    assert not np.array_equal(np.concatenate([x for x, _ in model.x]), x)
    model.load_dataset("evaluation", max_samples_per_class=2, classes=["no"])
    assert (model.x.samples, set(model.x.classes.tolist())) == (2, {1})


def test_calibration_data_is_not_augmented(make_model, recordings):
    model = make_model(dataset=str(recordings()))
    model.load_dataset("validation")
    assert model.x is None and not model.validation_data.augmented


def test_test_mode_reads_three_samples_of_each_class_without_threads(make_model, recordings):
    model = make_model(dataset=str(recordings({"yes": 12, "no": 12})))
    model.enable_test_mode()
    model.load_dataset("training", test=True)
    assert (model.x.samples, model.x.batch_size, model.x.workers) == (6, 3, 0)
    assert (model.datagen.debug, model.datagen.batch_size) == (False, None)


def test_a_validation_generator_of_its_own(make_model, recordings):
    model = make_model(
        dataset=str(recordings()), validation_datagen=ParallelAudioDataGenerator(rescale=1 / 1000)
    )
    model.load_dataset("training")
    assert model.validation_data[0][0].max() <= 1 < model.x[0][0].max()


def test_special_classes_and_a_shuffled_order(make_model, recordings):
    root = recordings()
    model = make_model(
        dataset=str(root), classes=["yes", "_unknown_", "_silence_"], shuffle_dataset_enabled=True
    )
    before = sorted(root.rglob("*"))
    model.load_dataset("training")
    assert model.class_counts["training"] == {"yes": 4, "_unknown_": 4, "_silence_": 2}
    assert sorted(root.rglob("*")) == before


def test_the_input_shape_follows_from_the_front_end(make_model):
    model = make_model()
    assert model.input_shape == model.audio_input_shape == (98, 32, 1)
    assert model.attributes["dataset.input_shape"] == (98, 32, 1)
    model.datagen.sample_length_ms = 500
    assert model.input_shape == (48, 32, 1)
    model.datagen = ParallelAudioDataGenerator(add_channel_dimension=False)
    assert model.input_shape == (98, 32)


def test_the_input_shape_cannot_be_set_while_the_front_end_is_enabled(make_model, tmp_path):
    model = make_model()
    with pytest.raises(SpecificationError, match=r"follows from the front end: it is \(98, 32, 1\)"):
        model.input_shape = (10, 10, 1)
    with pytest.raises(SpecificationError, match="frontend_enabled=False"):
        model.audio_input_shape = (10, 10, 1)
    other = AudioModel(tmp_path / "other.py")
    with pytest.raises(SpecificationError, match=r"my_model\.datagen"):
        _ = other.input_shape
    other.input_shape = (10, 10, 1)
    with pytest.raises(SpecificationError, match="follows from the front end"):
        other.datagen = ParallelAudioDataGenerator()


@pytest.mark.parametrize("before", [True, False])
def test_without_front_end_the_input_shape_is_given(make_model, recordings, tmp_path, before):
    model = AudioModel(tmp_path / "raw.py")
    model.classes = ["yes", "no"]
    datagen = ParallelAudioDataGenerator(frontend_enabled=False, sample_shape=(16000, 1))
    if before:
        model.input_shape = (16000, 1)
        model.datagen = datagen
    else:
        model.datagen = datagen
        assert model.input_shape == (16000, 1)
        model.input_shape = (16000, 1)
    model.dataset = str(recordings())
    model.load_dataset("training")
    assert model.input_shape == (16000, 1) == model.x[0][0].shape[1:]


def test_settings_of_the_front_end_are_seen_through_the_model(make_model):
    model = make_model()
    assert model.frontend_settings is model.datagen.frontend_settings
    assert (model.sample_rate_hz, model.sample_length_ms) == (16000, 1000)
    with pytest.raises(AttributeError):
        model.sample_rate_hz = 8000


def test_parameters_tell_the_device_about_front_end_and_normalisation(make_model):
    model = make_model(
        datagen=ParallelAudioDataGenerator(
            frontend_settings=AudioFeatureGeneratorSettings(window_step_ms=20),
            rescale=0.5,
            samplewise_std_normalization=True,
        )
    )
    model.populate_model_parameters()
    expected = ["samplewise_norm.rescale", "samplewise_norm.mean_and_std"]
    assert list(model.model_parameters) == [*expected, *AudioFeatureGeneratorSettings()]
    assert model.model_parameters["fe.window_step_ms"] == 20
    assert model.model_parameters["samplewise_norm.mean_and_std"] is True


def test_a_parameter_of_the_specification_wins(make_model):
    model = make_model()
    model.model_parameters["fe.sample_rate_hz"] = 8000
    model.populate_model_parameters()
    assert model.model_parameters["fe.sample_rate_hz"] == 8000


def test_without_front_end_there_are_no_parameters_of_it(make_model):
    model = make_model(datagen=ParallelAudioDataGenerator(frontend_enabled=False, sample_shape=(16000,)))
    model.populate_model_parameters()
    assert list(model.model_parameters) == ["samplewise_norm.rescale", "samplewise_norm.mean_and_std"]


def test_steps_of_other_plugins_take_part_in_training_only(make_model, recordings):
    class Blackout:
        @hookimpl
        def mltk_augmentations(self, subset, domain):
            if subset == "training" and domain in ("audio", "spectrogram"):
                factor = 1 if domain == "audio" else 0
                return [AugmentationStep(f"{domain}-out", "after", lambda batch, rng: batch * factor)]
            return None

    manager = get_plugin_manager()
    plugin = Blackout()
    manager.register(plugin, "blackout")
    try:
        model = make_model(dataset=str(recordings()))
        model.load_dataset("training")
    finally:
        manager.unregister(plugin)
    assert model.x[0][0].max() == 0 < model.validation_data[0][0].max()
    summary = model.summarize_dataset()
    assert "augmentation_steps: ['audio-out', 'spectrogram-out']" in summary


@pytest.mark.parametrize("on_model", [True, False])
def test_a_specification_disables_steps_by_name(make_model, recordings, on_model):
    class Zeros:
        @hookimpl
        def mltk_augmentations(self, subset, domain):
            return (
                [AugmentationStep("zeros", "after", lambda batch, rng: batch * 0)]
                if domain == "audio"
                else None
            )

    disabled = ["zeros", "audio_transforms"]
    plain = {"frontend_enabled": False, "sample_shape": (16000,), "trim_threshold_db": None}
    noisy = {"noise_colors": ["white"], "noise_color_range": (0.1, 0.1)}
    datagen = ParallelAudioDataGenerator(
        **plain, **noisy, disabled_augmentations=[] if on_model else disabled
    )
    manager = get_plugin_manager()
    plugin = Zeros()
    manager.register(plugin, "zeros")
    try:
        model = make_model(dataset=str(recordings()), datagen=datagen)
        if on_model:
            model.disabled_augmentations = disabled
        model.load_dataset("training")
        x = model.x[0][0]
        model.disabled_augmentations = ["zeroes"]
        with pytest.raises(SpecificationError, match="Did you mean 'zeros'"):
            model.load_dataset("training")
    finally:
        manager.unregister(plugin)
    # The tones of 0.5 s come first, without noise, and are followed by padding.
    assert np.abs(x[:, :8000]).max(axis=1).min() > 0.2 and not x[:, 8000:].any()


def test_fingerprints_identify_the_data(make_model, recordings):
    def fingerprint(**properties):
        model = make_model(dataset=str(root), **properties)
        model.load_dataset("training")
        return model.dataset_fingerprint

    root = recordings()
    first = fingerprint()
    assert first == fingerprint(seed=7)
    (root / "yes" / "a_nohash_0.wav").unlink()
    assert first != fingerprint()


def test_a_data_set_with_its_own_loader_is_ignored(make_model):
    model = make_model(dataset=SimpleNamespace(load_dataset=lambda subset, test, mltk_model: (1, 2)))
    model.load_dataset("training")
    assert (model.x, model.y) == (1, 2)


@pytest.mark.parametrize(
    ("dataset", "message"), [("/no/such/folder", "/no/such/folder"), (lambda: 5, "type int")]
)
def test_unusable_data_gives_one_error(make_model, dataset, message):
    with pytest.raises(DatasetError, match=message):
        make_model(dataset=dataset).load_dataset("training")


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("datagen", object(), "ParallelAudioDataGenerator"),
        ("class_mode", "categorial", "Did you mean 'categorical'"),
    ],
)
def test_wrong_properties_are_refused_where_they_are_set(make_model, name, value, message):
    with pytest.raises(SpecificationError, match=message):
        setattr(make_model(), name, value)


def test_the_plugin_module_is_light():
    heavy = ("numpy", "numba", "scipy", "soundfile", "tensorflow")
    code = f"import sys, mltk_plugin_audio.plugin; sys.exit(any(m in sys.modules for m in {heavy}))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_other_models_are_answered_without_importing_anything(monkeypatch):
    from mltk_plugin_audio import plugin

    monkeypatch.delitem(sys.modules, "mltk_plugin_audio.mixins")
    assert plugin.mltk_load_dataset(object(), "training", False, {}) is None
    assert plugin.mltk_model_parameters(object()) is None
    assert "mltk_plugin_audio.mixins" not in sys.modules


GUIDE = '''
from mltk.core import AudioDatasetMixin, EvaluateClassifierMixin, MltkModel, TrainMixin
from mltk.core.preprocess.audio.parallel_generator import ParallelAudioDataGenerator
from mltk.datasets.audio.speech_commands import speech_commands_v2
import tensorflow as tf
from tensorflow.keras import Sequential
from tensorflow.keras.layers import *

# @mltk_model
class MyModel(
MltkModel,
TrainMixin,
AudioDatasetMixin,
EvaluateClassifierMixin
):
    """My Model's class object"""

my_model = MyModel()
mltk_model = my_model
my_model.version = 1
my_model.description = 'My model is great!'
my_model.epochs = 2
my_model.batch_size = 64
my_model.optimizer = 'adam'

def my_model_builder(my_model: MyModel):
    keras_model = Sequential()
    keras_model.add(InputLayer(my_model.input_shape))
    keras_model.add(Conv2D(
        filters=8,
        kernel_size=(10, 8),
        use_bias=True,
        padding="same",
        strides=(2,2))
    )
    keras_model.add(Activation('relu'))
    keras_model.add(Flatten())
    keras_model.add(Dense(units=my_model.n_classes))
    keras_model.compile(
        loss=my_model.loss,
        optimizer=my_model.optimizer,
        metrics=my_model.metrics
    )
    return keras_model

my_model.build_model_function = my_model_builder
my_model.tflite_converter['optimizations'] = [tf.lite.Optimize.DEFAULT]
my_model.tflite_converter['supported_ops'] = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
my_model.tflite_converter['inference_input_type'] = tf.int8
my_model.tflite_converter['inference_output_type'] = tf.int8
my_model.tflite_converter['representative_dataset'] = 'generate'

mltk_model.dataset = speech_commands_v2
mltk_model.class_mode = 'categorical'
mltk_model.classes = ['up', 'down', 'left', 'right']

mltk_model.datagen = ParallelAudioDataGenerator(
unknown_class_percentage=3.0,
silence_class_percentage=0.2,
offset_range=(0.0,1.0),
trim_threshold_db=20,
noise_colors=None,
bg_noise_range=(0.0,0.3),
bg_noise_dir='_background_noise_'
)

# Set the volume (in dB) scaler (i.e. amplitude) to apply to the microphone data. If 0 or omitted, no scaler is applied
mltk_model.model_parameters['volume_db'] = 5.0
'''


@pytest.mark.slow
def test_the_audio_snippets_of_the_guide_train_as_they_stand(
    tmp_path, recordings, monkeypatch, mltk_plugin_manager
):
    import mltk_plugin_audio.plugin
    from mltk.core import TfliteModel, TfliteModelParameters, load_mltk_model, train_model
    from mltk.datasets.audio.speech_commands import speech_commands_v2

    mltk_plugin_manager.register(mltk_plugin_audio.plugin, name="audio")
    root = recordings({"up": 6, "down": 6, "left": 6, "right": 6, "bed": 6}, noise=True)
    monkeypatch.setattr(speech_commands_v2, "load_data", lambda *args, **kwargs: str(root))
    (tmp_path / "guide_v1.py").write_text(GUIDE)
    model = load_mltk_model(str(tmp_path / "guide_v1.py"))
    results = train_model(model)
    assert len(results.history["loss"]) == 2
    tflite = TfliteModel.load_flatbuffer_file(model.tflite_log_dir_path)
    assert (tuple(tflite.inputs[0].shape[1:]), tflite.inputs[0].dtype) == ((98, 32, 1), np.int8)
    parameters = TfliteModelParameters.load_from_tflite_model(tflite)
    assert (parameters["volume_db"], parameters["fe.sample_rate_hz"]) == (5.0, 16000)


def test_the_shipped_specification_is_labelled_synthetic_and_loads_its_data():
    from mltk.core import load_mltk_model

    model = load_mltk_model("command_words_v1")
    assert "synthetic" in model.description
    assert model.input_shape == (49, 40, 1)
    model.load_dataset("training")
    x, y = model.x[0]
    assert x.shape == (16, 49, 40, 1) and y.shape == (16, 8)
    assert -128 <= x.min() < x.max() <= 127
    counts = model.class_counts["training"]
    assert counts == {**dict.fromkeys(model.classes[:6], 24), "_unknown_": 48, "_silence_": 12}
    model.unload_dataset()
