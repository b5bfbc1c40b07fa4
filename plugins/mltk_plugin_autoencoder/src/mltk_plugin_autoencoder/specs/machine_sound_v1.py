"""A fan that sounds wrong: an autoencoder for the sound of a machine, trained on generated sounds.

Learns from 240 seconds of a simulated fan that is sound, and is tested on three faults that it never heard: a damaged
bearing, a blade that rubs, overspeed. The device computes the same spectrogram (the parameters `fe.*`), runs the model
once in a second, and compares the score with the parameter `anomaly_threshold`. For a machine of your own, replace the
data set by a folder with the folders `train/normal`, `test/normal` and `test/<fault>`.

    mltk train machine_sound_v1
    mltk evaluate machine_sound_v1 --tflite --dump
    mltk summarize machine_sound_v1 --tflite
"""

# @mltk_model
import math

import numpy as np
import tensorflow as tf

from mltk.core import AudioDatasetMixin, EvaluateAutoEncoderMixin, MltkModel, TrainMixin
from mltk.core.preprocess.audio.audio_feature_generator import AudioFeatureGeneratorSettings
from mltk.core.preprocess.audio.parallel_generator import ParallelAudioDataGenerator
from mltk_plugin_autoencoder.datasets import fan_sounds


class MachineSoundModel(MltkModel, TrainMixin, AudioDatasetMixin, EvaluateAutoEncoderMixin):
    """An autoencoder of the spectrogram of one second."""


my_model = MachineSoundModel()

# General
my_model.version = 1
my_model.description = "Anomalies in the sound of a fan (synthetic), 1 s at 16 kHz, int8"

# Training
my_model.epochs = 120
my_model.batch_size = 8
my_model.optimizer = "adam"
my_model.loss = "mse"
my_model.metrics = ["mae"]


def cosine(epoch: int, rate: float) -> float:
    """Let the learning rate fall from 0.003 to 0 along half a cosine (Loshchilov & Hutter, 2017)."""
    return 0.0015 * (1 + math.cos(math.pi * epoch / my_model.epochs))


my_model.lr_schedule = cosine
my_model.checkpoint["monitor"] = "loss"

# Data set: normal sounds to train with, all classes to evaluate
my_model.dataset = fan_sounds
my_model.class_mode = "input"
my_model.classes = ["normal"]
my_model.eval_classes = list(fan_sounds.CLASSES)

# Front end: long windows, so that the tones of the shaft stay apart
frontend = AudioFeatureGeneratorSettings()
frontend.sample_rate_hz = fan_sounds.RATE
frontend.sample_length_ms = 1000
frontend.window_size_ms = 64
frontend.window_step_ms = 32
frontend.filterbank_n_channels = 64
frontend.filterbank_lower_band_limit = 50.0
frontend.filterbank_upper_band_limit = 7900.0

# Each spectrogram gets mean 0 and deviation 1: how loud the machine is at the microphone does not matter.
my_model.datagen = ParallelAudioDataGenerator(
    cores=1.0,
    frontend_settings=frontend,
    frontend_dtype=np.float32,
    disable_random_transforms=True,
    samplewise_center=True,
    samplewise_std_normalization=True,
)


# Evaluation
def band_error(original: np.ndarray, decoded: np.ndarray) -> float:
    """Return the mean square of the error that each frequency has on average over the second.

    A fault shifts the level of some frequencies a little, which is lost in the noise of a single frame.
    """
    return float(np.mean(np.mean(original - decoded, axis=0) ** 2))


my_model.scoring_function = band_error
my_model.max_false_positive_rate = 0.05
my_model.threshold_parameter = "anomaly_threshold"

# Conversion: all int8, input and output too
my_model.tflite_converter["optimizations"] = [tf.lite.Optimize.DEFAULT]
my_model.tflite_converter["supported_ops"] = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
my_model.tflite_converter["inference_input_type"] = tf.int8
my_model.tflite_converter["inference_output_type"] = tf.int8
my_model.tflite_converter["representative_dataset"] = "generate"


def build_model(model: MachineSoundModel) -> tf.keras.Model:
    """Return a network that reconstructs the mean spectrum of a clip from eight values, for each frame alike."""
    layers = tf.keras.layers
    frames, frequencies, channels = model.input_shape
    network = tf.keras.Sequential(name=model.name)
    network.add(layers.InputLayer(model.input_shape))
    network.add(layers.AveragePooling2D((frames, 1)))
    network.add(layers.Flatten())
    network.add(layers.Dense(64, activation="relu"))
    network.add(layers.Dense(8))
    network.add(layers.Dense(64, activation="relu"))
    network.add(layers.Dense(frequencies * channels))
    network.add(layers.Reshape((1, frequencies, channels)))
    # UpSampling2D becomes TILE, which TensorFlow Lite Micro does not have.
    network.add(layers.Resizing(frames, frequencies, interpolation="nearest"))
    network.compile(loss=model.loss, optimizer=model.optimizer, metrics=model.metrics)
    return network


my_model.build_model_function = build_model
