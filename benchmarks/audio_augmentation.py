"""Measure the benefit of augmentation for unseen speakers: spoken digits, leave-one-speaker-out.

    python benchmarks/audio_augmentation.py ../shared/data/kws_fsdd

Train a network with and without augmentation, six times each, and print the accuracy on the held-out speaker, for
the float model and the int8 `.tflite`.
"""

from __future__ import annotations

import argparse
import math
import os
import time
from functools import partial

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import numpy as np
import tensorflow as tf

from mltk.data.listing import list_valid_filenames_in_directory
from mltk.tflite.interpreter import LiteRtPredictor
from mltk_plugin_audio import AudioFeatureGeneratorSettings, ParallelAudioDataGenerator

WORDS = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]
SPEAKERS = ["george", "jackson", "lucas", "nicolas", "theo", "yweweler"]
FRONTEND = {"window_size_ms": 30, "window_step_ms": 20, "filterbank_n_channels": 40}
AUGMENTATION = {
    "speed_range": (0.85, 1.15),
    "pitch_range": (-0.25, 0.25),
    "vtlp_range": (0.85, 1.15),
    "loudness_range": (0.5, 1.5),
    "bg_noise_dir": "_background_noise_",
    "bg_noise_snr_db_range": (10, 30),
    "frequency_masks": (1, 4),
    "time_masks": (1, 4),
    "probabilities": {"speed": 0.5, "pitch": 0.5, "vtlp": 0.5, "bg_noise": 0.5},
}


def of_speaker(held_out, *, base_directory, search_class, split, **options):
    """List the files of the held-out speaker, or of all other speakers."""
    label, paths = list_valid_filenames_in_directory(base_directory, search_class, split=None, **options)
    validation = split[0] == 0
    return label, [p for p in paths if p.split("/")[1].startswith(held_out) == validation]


def network(shape):
    layers = keras.layers
    model = keras.Sequential([layers.Input(shape), layers.Conv2D(32, (5, 8), strides=(2, 4), padding="same")])
    for filters, strides in ((48, 2), (64, 1), (64, 1)):
        model.add(layers.BatchNormalization(momentum=0.9))
        model.add(layers.ReLU())
        model.add(layers.DepthwiseConv2D(3, strides=strides, padding="same", use_bias=False))
        model.add(layers.BatchNormalization(momentum=0.9))
        model.add(layers.ReLU())
        model.add(layers.Conv2D(filters, 1, use_bias=False))
    model.add(layers.BatchNormalization(momentum=0.9))
    model.add(layers.ReLU())
    model.add(layers.AveragePooling2D((1, model.output_shape[2])))
    model.add(layers.MaxPooling2D((model.output_shape[1], 1)))
    model.add(layers.Flatten())
    model.add(layers.Dropout(0.2))
    model.add(layers.Dense(len(WORDS), activation="softmax"))
    model.compile("adam", "categorical_crossentropy", metrics=["accuracy"])
    return model


def quantized(model, samples):
    """Convert to int8 with int8 input and output, calibrated with `samples`."""
    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.inference_input_type = converter.inference_output_type = tf.int8
    converter.representative_dataset = lambda: ([sample[None]] for sample in samples)
    return LiteRtPredictor(converter.convert(), name="int8")


def accuracies(root, speaker, epochs, augmentation):
    """Train without one speaker; return the float and int8 accuracy on this speaker."""
    keras.utils.set_random_seed(1)
    datagen = ParallelAudioDataGenerator(
        frontend_settings=AudioFeatureGeneratorSettings(**FRONTEND),
        frontend_dtype="int8",
        rescale=1 / 64,
        trim_threshold_db=30,
        validation_split=1 / 6,
        validation_augmentation_enabled=False,
        cores=1.0,
        **augmentation,
    )
    flow = partial(
        datagen.flow_from_directory,
        root,
        WORDS,
        list_valid_filenames_in_directory_function=partial(of_speaker, speaker),
    )
    rate = keras.callbacks.LearningRateScheduler(lambda e, _: 0.0015 * (1 + math.cos(math.pi * e / epochs)))
    with flow(subset="training") as train, flow(subset="validation") as test:
        model = network(train.sample_shape)
        model.fit(train.to_keras(), epochs=epochs, callbacks=[rate], verbose=0)
        int8 = quantized(model, np.concatenate([train[i][0] for i in range(10)]))
        batches = [test[i] for i in range(len(test))]

    def share(predict):
        right = [predict(x).argmax(-1) == y.argmax(-1) for x, y in batches]
        return float(np.concatenate(right).mean())

    return share(model.predict_on_batch), share(int8.predict)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data")
    parser.add_argument("--epochs", type=int, default=60)
    parser.add_argument("--speakers", nargs="+", default=SPEAKERS)
    parser.add_argument("--only", choices=["without", "with"])
    options = parser.parse_args()
    # Both use random offsets: otherwise the network learns the position of words.
    for name, augmentation in (("without", {}), ("with", AUGMENTATION)):
        if options.only not in (None, name):
            continue
        start = time.time()
        results = [accuracies(options.data, s, options.epochs, augmentation) for s in options.speakers]
        for kind, values in zip(("float", "int8"), zip(*results, strict=True), strict=True):
            each = "  ".join(f"{s} {a:.3f}" for s, a in zip(options.speakers, values, strict=True))
            print(f"{name:8} {kind:5} mean {np.mean(values):.3f}   {each}", flush=True)
        print(f"{name:8} {time.time() - start:.0f} s", flush=True)


if __name__ == "__main__":
    main()
