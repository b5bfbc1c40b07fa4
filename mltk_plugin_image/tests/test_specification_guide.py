"""The examples of the guide to model specifications that users of the reference know, as they stand there."""

import numpy as np
import pytest
from PIL import Image

from mltk.core import (
    TfliteModel,
    TfliteModelParameters,
    evaluate_model,
    list_mltk_models,
    load_mltk_model,
    train_model,
)

GUIDE = '''
import tensorflow as tf
from tensorflow.keras import Sequential
from tensorflow.keras.layers import Activation, Conv2D, Dense, Flatten, InputLayer
from mltk.core import (
    MltkModel, TrainMixin, DatasetMixin, ImageDatasetMixin, EvaluateClassifierMixin, list_mltk_models
)
from mltk.core.preprocess.image.parallel_generator import ParallelImageDataGenerator
from mltk.datasets.image import rock_paper_scissors_v1

# Define a new MyModel class which inherits the
# MltkModel and several mixins
# NOTE: The name of the custom class can by anything
# @mltk_model
class MyModel(
    MltkModel,
    TrainMixin,
    ImageDatasetMixin,
    EvaluateClassifierMixin
):
    """My Model's class object"""

# Instantiate the MyModel class
my_model = MyModel()
mltk_model = my_model

# General Settings
my_model.version = 1
my_model.description = 'My model is great!'

# Training Basic Settings
my_model.epochs = 100
my_model.batch_size = 64
my_model.optimizer = 'adam'

def my_model_builder(my_model: MyModel):
    keras_model = Sequential(name=my_model.name)
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

# Set the model property to reference the model build function
my_model.build_model_function = my_model_builder

# https://keras.io/api/callbacks/reduce_lr_on_plateau/
my_model.reduce_lr_on_plateau['monitor'] = 'accuracy'
my_model.reduce_lr_on_plateau['factor'] = 0.25
my_model.reduce_lr_on_plateau['patience'] = 25

my_model.tflite_converter['optimizations'] = [tf.lite.Optimize.DEFAULT]
my_model.tflite_converter['supported_ops'] = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
my_model.tflite_converter['inference_input_type'] = tf.int8
my_model.tflite_converter['inference_output_type'] = tf.int8
my_model.tflite_converter['representative_dataset'] = 'generate'

mltk_model.dataset = rock_paper_scissors_v1
mltk_model.class_mode = 'categorical'
mltk_model.classes = ['rock', 'paper', 'scissors']
mltk_model.input_shape = (96, 96, 1)

my_model.datagen = ParallelImageDataGenerator(
    rotation_range=35,
    contrast_range=(0.50, 1.70),
    noise=['gauss', 'poisson', 's&p'],
    horizontal_flip=True,
    vertical_flip=True,
)

# Set the volume (in dB) scaler (i.e. amplitude) to apply to the microphone data. If 0 or omitted, no scaler is applied
mltk_model.model_parameters['volume_db'] = 5.0
mltk_model.model_parameters['latency_ms'] = 0
# Console logging level, set to 'debug' to enable verbose logging
mltk_model.model_parameters['log_level'] = 'info'
'''


@pytest.fixture
def guide(tmp_path, monkeypatch, mltk_plugin_manager):
    """The guide's specification, and the data set in the place that its download would fill."""
    import mltk_plugin_image.plugin

    # Alone: other installed plugins may have evaluators that this model without a softmax does not suit.
    mltk_plugin_manager.register(mltk_plugin_image.plugin, name="image")
    monkeypatch.setenv("MLTK_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my_model_v1.py").write_text(GUIDE)
    rng = np.random.default_rng(5)
    data = tmp_path / "data"
    for i, name in enumerate(("rock", "paper", "scissor")):
        (data / name).mkdir(parents=True)
        for k in range(12):
            pixels = rng.integers(0, 60, (96, 96)).astype("uint8")
            pixels[20 * i + 10 : 20 * i + 40] += 150
            Image.fromarray(pixels).save(data / name / f"{k}.jpg")
    return data


def test_name_comes_from_the_file_and_the_tag_makes_it_discoverable(guide):
    assert "my_model_v1" in list_mltk_models()
    assert load_mltk_model("my_model_v1").name == "my_model_v1"


def test_every_setting_of_the_guide_is_taken(guide):
    model = load_mltk_model("my_model_v1")
    assert (model.version, model.description, model.epochs, model.batch_size) == (
        1,
        "My model is great!",
        100,
        64,
    )
    assert model.n_classes == 3
    assert model.reduce_lr_on_plateau == {"monitor": "accuracy", "factor": 0.25, "patience": 25}


@pytest.mark.slow
def test_model_of_the_guide_trains_quantizes_and_evaluates(guide, monkeypatch):
    model = load_mltk_model("my_model_v1")
    from mltk.datasets.image import rock_paper_scissors_v1

    monkeypatch.setattr(rock_paper_scissors_v1, "load_data", lambda *args, **kwargs: str(guide))
    results = train_model(model, epochs=2)
    assert results.params["steps"] == 1
    tflite = TfliteModel.load_flatbuffer_file(model.tflite_log_dir_path)
    assert (tflite.inputs[0].dtype, tflite.outputs[0].dtype) == (np.int8, np.int8)
    parameters = TfliteModelParameters.load_from_tflite_model(tflite)
    assert (parameters["volume_db"], parameters["latency_ms"], parameters["log_level"]) == (5.0, 0, "info")
    assert parameters["classes"] == ["rock", "paper", "scissors"]
    for kind in (False, True):
        assert sum(map(sum, evaluate_model(model, tflite=kind).confusion_matrix)) == 36
