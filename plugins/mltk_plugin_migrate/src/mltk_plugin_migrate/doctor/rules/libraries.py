"""Rules about NumPy, librosa, audiomentations and OpenCV."""

from __future__ import annotations

from mltk_plugin_migrate.doctor.checks import imports
from mltk_plugin_migrate.doctor.patterns import Check, Name, Positional
from mltk_plugin_migrate.doctor.rules.rule import Rule

_NUMPY_REMOVED = (
    *("Inf", "NINF", "NaN", "PINF", "infty"),
    *("complex", "float", "int", "object", "str"),
    *("complex_", "float_", "string_", "unicode_"),
    *("alltrue", "asfarray", "cast", "cumproduct", "find_common_type", "in1d", "msort", "product"),
    *("round_", "sometrue", "trapz"),
)

RULES: tuple[Rule, ...] = (
    Rule(
        "numpy-removed-name",
        "error",
        Name(tuple(f"numpy.{name}" for name in _NUMPY_REMOVED)),
        "NumPy 2 has no '{name}'. Use the built-in type, or the name in lower case or without the final '_'; trapz is "
        "trapezoid, in1d is isin.",
    ),
    Rule(
        "librosa-positional",
        "error",
        Positional(
            {
                "librosa.effects.pitch_shift": 1,
                "librosa.effects.time_stretch": 1,
                "librosa.feature.melspectrogram": 0,
                "librosa.feature.mfcc": 0,
                "librosa.filters.mel": 0,
                "librosa.load": 1,
                "librosa.resample": 1,
                "librosa.stft": 1,
            }
        ),
        "{call} takes {limit} argument without its name. Name the others, e.g. orig_sr=, target_sr=, sr=, rate=.",
    ),
    Rule(
        "audiomentations-argument",
        "error",
        Check(imports.renamed_arguments),
        "Current audiomentations have other names for {old}. Write {new}.",
    ),
    Rule(
        "audiomentations-old-argument",
        "hint",
        Check(imports.translated_arguments),
        "Current audiomentations have other names for {old}, which install_pip_package translates. Write {new}.",
    ),
    Rule(
        "cv2-cv2",
        "error",
        Check(imports.cv2_of_cv2),
        "Current OpenCV has no module 'cv2.cv2'. Write: import cv2",
    ),
)
