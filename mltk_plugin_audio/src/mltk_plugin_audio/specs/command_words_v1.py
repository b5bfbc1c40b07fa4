"""Command words: left, right, up, down, stop and go, for a microphone at 16 kHz; trained on synthetic speech.

The model is trained on words from a speech synthesizer (espeak-ng) that are part of the audio plugin, with 24 of 30
voices, and evaluated on the other 6. It is an example of a keyword model; its accuracy says nothing about real speech.
To recognize people, replace the data set by `speech_commands_v2`; nothing else needs to change.

    mltk train command_words_v1
    mltk summarize command_words_v1 --tflite
    mltk evaluate command_words_v1 --tflite
"""

# @mltk_model
import math

import numpy as np
import tensorflow as tf

from mltk.core import AudioDatasetMixin, EvaluateClassifierMixin, MltkModel, TrainMixin
from mltk.core.preprocess.audio.audio_feature_generator import AudioFeatureGeneratorSettings
from mltk.core.preprocess.audio.parallel_generator import ParallelAudioDataGenerator
from mltk.datasets.audio import synthetic_commands


class CommandWordsModel(MltkModel, TrainMixin, AudioDatasetMixin, EvaluateClassifierMixin):
    """A classifier of one-second recordings."""


my_model = CommandWordsModel()

# General
my_model.version = 1
my_model.description = "Command words (synthetic speech), 1 s at 16 kHz, int8"

# Training
my_model.epochs = 120
my_model.batch_size = 16
my_model.optimizer = "adam"
my_model.loss = "categorical_crossentropy"
my_model.metrics = ["accuracy"]


def cosine(epoch: int, rate: float) -> float:
    """Decrease the learning rate from 0.004 to 0 along half a cosine (Loshchilov & Hutter, 2017)."""
    return 0.002 * (1 + math.cos(math.pi * epoch / my_model.epochs))


my_model.lr_schedule = cosine
my_model.checkpoint["monitor"] = "val_accuracy"
my_model.train_callbacks = [tf.keras.callbacks.TerminateOnNaN()]

# Data set: yes, no, on and off are unknown words
my_model.dataset = synthetic_commands
my_model.class_mode = "categorical"
my_model.classes = ["left", "right", "up", "down", "stop", "go", "_unknown_", "_silence_"]
my_model.class_weights = "balanced"

# Front end: int8 features from -128 to 127, as the firmware computes them from the microphone
frontend = AudioFeatureGeneratorSettings()
frontend.sample_rate_hz = 16000
frontend.sample_length_ms = 1000
frontend.window_size_ms = 30
frontend.window_step_ms = 20
frontend.filterbank_n_channels = 40
frontend.noise_reduction_enable = True
frontend.noise_reduction_min_signal_remaining = 0.4

# Augmentation
my_model.datagen = ParallelAudioDataGenerator(
    cores=1.0,
    frontend_settings=frontend,
    frontend_dtype=np.int8,
    dtype=np.float32,
    validation_split=0.2,
    validation_augmentation_enabled=False,
    unknown_class_percentage=2.0,
    silence_class_percentage=0.5,
    offset_range=(0.0, 1.0),
    trim_threshold_db=30,
    loudness_range=(0.4, 1.3),
    speed_range=(0.85, 1.15),
    pitch_range=(-0.3, 0.3),
    vtlp_range=(0.85, 1.15),
    noise_colors=["white", "pink", "brown"],
    noise_color_range=(0.0, 0.02),
    bg_noise_dir="_background_noise_",
    bg_noise_range=(0.0, 0.15),
    frequency_masks=(1, 3),
    time_masks=(1, 3),
    probabilities={"speed": 0.5, "pitch": 0.5, "vtlp": 0.5, "noise_color": 0.5, "bg_noise": 0.7},
)

# Conversion: int8 only, including input and output
my_model.tflite_converter["optimizations"] = [tf.lite.Optimize.DEFAULT]
my_model.tflite_converter["supported_ops"] = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
my_model.tflite_converter["inference_input_type"] = tf.int8
my_model.tflite_converter["inference_output_type"] = tf.int8
my_model.tflite_converter["representative_dataset"] = "generate"

# Parameters of the firmware: detection from the outputs of successive windows
my_model.model_parameters["average_window_duration_ms"] = 600
my_model.model_parameters["detection_threshold"] = 180
my_model.model_parameters["suppression_ms"] = 900
my_model.model_parameters["minimum_count"] = 2
my_model.model_parameters["volume_gain"] = 0
my_model.model_parameters["latency_ms"] = 100
my_model.model_parameters["verbose_model_output_logs"] = False


def build_model(model: CommandWordsModel) -> tf.keras.Model:
    """Return a model with a convolution over frequencies and three depthwise separable convolutions over time."""
    layers = tf.keras.layers
    network = tf.keras.Sequential(name=model.name)

    def normalize() -> None:
        # An epoch has 13 steps: with the default momentum, the moving averages would lag behind the weights.
        network.add(layers.BatchNormalization(momentum=0.9))
        network.add(layers.ReLU())

    network.add(layers.InputLayer(model.input_shape))
    network.add(layers.Conv2D(24, (5, 8), strides=(2, 4), padding="same", use_bias=False))
    normalize()
    for filters, strides in ((48, 2), (64, 1), (64, 1)):
        network.add(layers.DepthwiseConv2D(3, strides=strides, padding="same", use_bias=False))
        normalize()
        network.add(layers.Conv2D(filters, 1, use_bias=False))
        normalize()
    network.add(layers.AveragePooling2D((1, network.output_shape[2])))
    network.add(layers.MaxPooling2D((network.output_shape[1], 1)))
    network.add(layers.Flatten())
    network.add(layers.Dropout(0.1))
    network.add(layers.Dense(model.n_classes, activation="softmax"))
    network.compile(loss=model.loss, optimizer=model.optimizer, metrics=model.metrics)
    return network


my_model.build_model_function = build_model
