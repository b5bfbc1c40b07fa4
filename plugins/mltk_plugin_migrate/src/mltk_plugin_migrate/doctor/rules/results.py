"""Rules about results that differ because mltk corrects what silabs-mltk did."""

from __future__ import annotations

import re
from collections.abc import Iterable

from mltk_plugin_migrate.doctor.checks import settings
from mltk_plugin_migrate.doctor.patterns import Argument, Attribute, Check, Method, Text
from mltk_plugin_migrate.doctor.rules.rule import Rule

_AUDIO = ("*.ParallelAudioDataGenerator",)
_IMAGE = ("*.ParallelImageDataGenerator",)


def _has_float(value: object) -> bool:
    return isinstance(value, tuple | list) and any(isinstance(v, float) for v in value)


def _is_given(value: object) -> bool:
    """Tell whether a value is, or may be, something else than nothing; what is no literal counts as given."""
    return value not in (None, (), [], False, 0)


def _is_noise(value: object) -> bool:
    names = [value] if isinstance(value, str) else value
    return isinstance(names, Iterable) and not {"gauss", "poisson", "speckle"}.isdisjoint(names)


RULES: tuple[Rule, ...] = (
    Rule(
        "audio-pitch",
        "differs",
        Argument(_AUDIO, ("pitch_range",), _has_float),
        "Floats are fractions of an octave, drawn continuously: (0.9, 1.1) is 10.8 to 13.2 semitones up for every "
        "clip. For a tenth of an octave to either side write (-0.1, 0.1); for semitones, whole numbers.",
    ),
    Rule(
        "audio-vocal-tract",
        "differs",
        Argument(_AUDIO, ("vtlp_range",), _is_given),
        "The vocal tract is perturbed, along frequency; the reference never did. Training gets harder: leave it out "
        "for the old results.",
    ),
    Rule(
        "audio-background-noise",
        "differs",
        Argument(_AUDIO, ("bg_noise_dir",), _is_given),
        "Background noise is mixed in; the reference never did. Choose its strength with bg_noise_snr_db_range, or "
        "leave it out for the old results.",
    ),
    Rule(
        "audio-speed",
        "differs",
        Argument(_AUDIO, ("speed_range",), _is_given),
        "The speed is drawn continuously, and may be 1; the reference took steps of 0.1.",
    ),
    Rule(
        "audio-noise-color",
        "differs",
        Argument(_AUDIO, ("noise_color_range",), _is_given),
        "The noise has the slope of its colour, and the range is its root mean square: it may be stronger than before.",
    ),
    Rule(
        "image-noise",
        "differs",
        Argument(_IMAGE, ("noise",), _is_noise),
        "Noise shows: 4 to 10 % of the range of values, where the reference's was invisible. noise_strength scales it.",
    ),
    Rule(
        "image-shift",
        "differs",
        Check(settings.unequal_shifts),
        "width_shift_range moves sideways, height_shift_range up and down; the reference had them the wrong way round.",
    ),
    Rule(
        "binary-metrics",
        "differs",
        Check(settings.binary_classes),
        "The curves and areas of the first of two classes are right now, and so differ; the accuracy does not.",
    ),
    Rule(
        "schedule-and-plateau",
        "differs",
        Check(settings.schedule_and_plateau),
        "lr_schedule is set too, and switches this off, as the reference documents; there, both acted. Keep one.",
    ),
    Rule(
        "weights-best",
        "differs",
        Check(settings.minimized_monitor),
        "Of '{value}' less is better: '--weights best' takes the smallest; the reference took the largest, the worst.",
    ),
    Rule(
        "several-abnormal-classes",
        "differs",
        Check(settings.several_abnormal_classes),
        "The overall figures of the evaluation are over all abnormal classes; the reference's, of the last one only.",
    ),
    Rule(
        "float32-tflite",
        "differs",
        Text(".float32.tflite"),
        "This file holds float32 weights; the reference's were quantized. It is larger, its results are float ones.",
    ),
    Rule(
        "float32-tflite-path",
        "differs",
        Attribute(re.compile(r"model$"), ("unquantized_tflite_log_dir_path",)),
        "This file holds float32 weights; the reference's were quantized. It is larger, its results are float ones.",
    ),
    Rule(
        "frontend-arguments",
        "differs",
        Argument(("*.AudioFeatureGeneratorSettings",), ("*",)),
        "Arguments of the constructor take effect; the reference ignored '{name}' here.",
    ),
    Rule(
        "event-handler",
        "differs",
        Method(("add_event_handler",)),
        "A handler that raises makes the command end with exit code 1, when everything else is done and kept.",
    ),
)
