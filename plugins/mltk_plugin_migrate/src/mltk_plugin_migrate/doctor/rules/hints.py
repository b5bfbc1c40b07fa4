"""Rules about better ways."""

from __future__ import annotations

from mltk_plugin_migrate.doctor.checks import script
from mltk_plugin_migrate.doctor.patterns import Argument, Check, Name
from mltk_plugin_migrate.doctor.rules.rule import Rule

_AUDIO = ("*.ParallelAudioDataGenerator",)
_IMAGE = ("*.ParallelImageDataGenerator",)

RULES: tuple[Rule, ...] = (
    Rule(
        "hardware",
        "hint",
        Check(script.hardware_accelerators),
        "The accelerator '{name}' needs a plugin that offers it: see mltk profile --list and mltk compile --list.",
    ),
    Rule(
        "generator-processes",
        "hint",
        Argument((*_AUDIO, *_IMAGE), ("disable_gpu_in_subprocesses",)),
        "There are no subprocesses any more: '{name}' has no effect and can go.",
    ),
    Rule(
        "keras-image-generator",
        "hint",
        Name(("keras.preprocessing.image.ImageDataGenerator",)),
        "Keras calls it deprecated. ParallelImageDataGenerator has its parameters, is seeded, and faster.",
    ),
    Rule(
        "data-counter",
        "hint",
        Name(("tensorflow.data.experimental.Counter",)),
        "TensorFlow calls it deprecated. Write tf.data.Dataset.counter().",
    ),
    Rule(
        "tflite-interpreter",
        "hint",
        Name(("tensorflow.lite.Interpreter",)),
        "TensorFlow calls it deprecated. Use TfliteModel.predict, or ai_edge_litert.interpreter.Interpreter.",
    ),
)
