"""Network and settings of the reference's `audio_example1`, 3 epochs; for mltk and the reference."""

# @mltk_model
import os

import tensorflow as tf

import mltk.core as mltk_core
from mltk.core.preprocess.audio.audio_feature_generator import AudioFeatureGeneratorSettings
from mltk.core.preprocess.audio.parallel_generator import ParallelAudioDataGenerator


class MyModel(
    mltk_core.MltkModel,
    mltk_core.TrainMixin,
    mltk_core.AudioDatasetMixin,
    mltk_core.EvaluateClassifierMixin,
):
    """A classifier of words."""


my_model = MyModel()
my_model.epochs = 3
my_model.batch_size = 64
my_model.dataset = os.environ.get("MLTK_BENCHMARK_DATA", "")
my_model.classes = ["up", "down", "left", "right", "_unknown_", "_silence_"]
my_model.class_weights = "balanced"
my_model.tflite_converter["optimizations"] = [tf.lite.Optimize.DEFAULT]
my_model.tflite_converter["supported_ops"] = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
my_model.tflite_converter["inference_input_type"] = tf.int8
my_model.tflite_converter["inference_output_type"] = tf.int8
my_model.tflite_converter["representative_dataset"] = "generate"

settings = AudioFeatureGeneratorSettings()
settings.sample_rate_hz = 16000
settings.sample_length_ms = 1200
settings.window_size_ms = 30
settings.window_step_ms = 20
settings.filterbank_n_channels = 49
settings.filterbank_upper_band_limit = 3999.0
settings.filterbank_lower_band_limit = 125.0
settings.noise_reduction_enable = True
settings.noise_reduction_min_signal_remaining = 0.03

my_model.datagen = ParallelAudioDataGenerator(
    dtype="int8",
    frontend_settings=settings,
    cores=2,
    max_batches_pending=32,
    validation_split=0.15,
    validation_augmentation_enabled=False,
    unknown_class_percentage=2,
    silence_class_percentage=0.2,
    offset_range=(0.0, 1.0),
    trim_threshold_db=20,
    noise_colors=None,
    bg_noise_range=(0.0, 0.3),
    bg_noise_dir="_background_noise_",
)


def build(model):
    layers = tf.keras.layers
    network = tf.keras.Sequential(name=model.name)
    network.add(
        layers.DepthwiseConv2D(
            7, depth_multiplier=8, strides=2, padding="same", input_shape=model.input_shape
        )
    )
    network.add(layers.BatchNormalization())
    network.add(layers.Activation("relu"))
    network.add(layers.Conv2D(24, 3, strides=2))
    network.add(layers.BatchNormalization())
    network.add(layers.Activation("relu"))
    network.add(layers.MaxPooling2D(2))
    network.add(layers.Conv2D(20, 3))
    network.add(layers.BatchNormalization())
    network.add(layers.Activation("relu"))
    network.add(layers.MaxPooling2D(2))
    network.add(layers.Flatten())
    network.add(layers.Dense(model.n_classes, activation="softmax"))
    network.compile(loss="categorical_crossentropy", optimizer="adam", metrics=["accuracy"])
    return network


my_model.build_model_function = build
