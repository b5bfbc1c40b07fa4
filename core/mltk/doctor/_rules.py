"""The rules: what to look for in a specification written for `silabs-mltk`, and what to say about it.

The facts about Keras are those of Keras 3.15 under TensorFlow 2.21, each tried out.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from mltk.doctor import _checks
from mltk.doctor._findings import Severity
from mltk.doctor._match import (
    Argument,
    Attribute,
    Check,
    FileName,
    Key,
    Method,
    Name,
    Pattern,
    Positional,
    Setting,
    Text,
)


@dataclass(frozen=True)
class Rule:
    """One thing that is worth saying."""

    name: str
    severity: Severity
    pattern: Pattern
    message: str
    """What is so and what to do; `{fields}` are what the pattern found."""
    heuristic: bool = False
    """Whether it goes by the looks of the code."""


def _has_float(value: object) -> bool:
    return isinstance(value, tuple | list) and any(isinstance(v, float) for v in value)


def _is_given(value: object) -> bool:
    """Tell whether a value is, or may be, something else than nothing; what is no literal counts as given."""
    return value not in (None, (), [], False, 0)


def _is_noise(value: object) -> bool:
    names = [value] if isinstance(value, str) else value
    return isinstance(names, Iterable) and not {"gauss", "poisson", "speckle"}.isdisjoint(names)


def _is_not_weights(path: str) -> bool:
    return not path.endswith(".weights.h5")


def _is_no_model_file(path: str) -> bool:
    return not path.endswith((".keras", ".h5"))


_AUDIO = ("*.ParallelAudioDataGenerator",)
_IMAGE = ("*.ParallelImageDataGenerator",)
_FIT = (".fit", ".evaluate", ".predict", ".fit_generator")

_NUMPY_REMOVED = (
    *("Inf", "NINF", "NaN", "PINF", "infty"),
    *("complex", "float", "int", "object", "str"),
    *("complex_", "float_", "string_", "unicode_"),
    *("alltrue", "asfarray", "cast", "cumproduct", "find_common_type", "in1d", "msort", "product"),
    *("round_", "sometrue", "trapz"),
)

RULES: tuple[Rule, ...] = (
    # Keras 3: what is gone
    Rule(
        "keras-optimizer-lr",
        "error",
        Attribute(re.compile(r"(?:^|[._])opt(?:imizer)?(?:\(\))?$"), ("lr",)),
        "Optimizers of Keras 3 have no 'lr'. Use '{owner}.learning_rate'.",
    ),
    Rule(
        "keras-lr-argument",
        "error",
        Argument(("keras.optimizers.*",), ("lr",)),
        "Optimizers of Keras 3 take no 'lr'. Write learning_rate={value!r}.",
    ),
    Rule(
        "keras-decay-argument",
        "differs",
        Argument(("keras.optimizers.*",), ("decay",), _is_given),
        "Keras 3 ignores 'decay'. Give a schedule as learning_rate, e.g. keras.optimizers.schedules.InverseTimeDecay.",
    ),
    Rule(
        "keras-legacy-optimizer",
        "error",
        Name(("keras.optimizers.legacy", "keras.optimizers.experimental")),
        "'{name}' is not part of Keras 3. Use the class of that name in keras.optimizers.",
    ),
    Rule(
        "keras-optimizer-method",
        "error",
        Attribute(
            re.compile(r"(?:^|[._])optimizer$"),
            ("minimize", "get_weights", "set_weights", "get_gradients", "get_updates"),
        ),
        "Optimizers of Keras 3 have no '{name}'. Compute gradients with tf.GradientTape and call "
        "{owner}.apply_gradients; the state is {owner}.variables.",
    ),
    Rule(
        "keras-reduction-auto",
        "error",
        Name(("keras.losses.Reduction.AUTO",)),
        "Losses of Keras 3 refuse Reduction.AUTO. Leave it out, or write 'sum_over_batch_size'.",
    ),
    Rule(
        "keras-learning-phase",
        "error",
        Name(
            (
                "keras.backend.learning_phase",
                "keras.backend.set_learning_phase",
                "keras.backend.learning_phase_scope",
                "keras.backend.symbolic_learning_phase",
                "keras.backend.in_train_phase",
                "keras.backend.in_test_phase",
            )
        ),
        "'{name}' is not part of Keras 3. Give layers the argument training=.",
    ),
    Rule(
        "keras-removed-layer",
        "error",
        Name(("keras.layers.LocallyConnected*", "keras.layers.CuDNN*")),
        "'{name}' is not part of Keras 3. Write a layer of your own, or use another one.",
    ),
    Rule(
        "keras-removed-module",
        "error",
        Name(
            (
                "keras.callbacks.experimental",
                "keras.engine",
                "keras.estimator",
                "keras.experimental",
                "keras.layers.experimental",
                "keras.mixed_precision.experimental",
                "keras.utils.conv_utils",
                "keras.utils.data_utils",
                "keras.utils.generic_utils",
                "keras.utils.layer_utils",
                "keras.utils.losses_utils",
                "keras.utils.np_utils",
                "keras.utils.tf_utils",
                "tensorflow.contrib",
                "tensorflow.estimator",
            )
        ),
        "Keras 3 and current TensorFlow have no '{name}'. What you need of it may be in keras.layers or keras.utils.",
    ),
    Rule(
        "keras-removed-function",
        "error",
        Name(
            (
                "keras.backend.function",
                "keras.backend.get_session",
                "keras.backend.manual_variable_initialization",
                "keras.backend.placeholder",
                "keras.backend.set_session",
                "keras.utils.GeneratorEnqueuer",
                "keras.utils.OrderedEnqueuer",
                "keras.utils.multi_gpu_model",
            )
        ),
        "'{name}' is not part of Keras 3. Take it out, or rewrite what needs it.",
    ),
    Rule(
        "tensorflow-1",
        "error",
        Name(
            (
                "tensorflow.Session",
                "tensorflow.compat.v1.Session",
                "tensorflow.compat.v1.disable_eager_execution",
                "tensorflow.compat.v1.disable_v2_behavior",
                "tensorflow.compat.v1.keras",
                "tensorflow.global_variables_initializer",
                "tensorflow.placeholder",
            )
        ),
        "'{name}' is of TensorFlow 1, which Keras 3 does not work with. Rewrite it for eager execution.",
    ),
    Rule(
        "keras-2-package",
        "error",
        Name((*_checks.KERAS_2_PACKAGES, "tensorflow.python.keras")),
        "'{name}' is of Keras 2: its layers, optimizers and losses do not work in Keras 3. Use those of keras.",
    ),
    Rule(
        "keras-2-variable",
        "error",
        Text("TF_USE_LEGACY_KERAS"),
        "mltk works with Keras 3 and stops where TF_USE_LEGACY_KERAS is set. Take it out.",
    ),
    Rule(
        "keras-removed-method",
        "error",
        Method(
            (
                "fit_generator",
                "evaluate_generator",
                "predict_generator",
                "predict_classes",
                "predict_proba",
                "get_output_at",
            )
        ),
        "Models of Keras 3 have no '{name}'. Use fit, evaluate or predict, which take generators too.",
    ),
    Rule(
        "keras-fit-workers",
        "error",
        Argument(_FIT, ("workers", "use_multiprocessing", "max_queue_size")),
        "Keras 3 takes no '{name}' here. Give it to the constructor of the keras.utils.PyDataset, or leave it out.",
    ),
    Rule(
        "train-kwargs",
        "error",
        Setting("train_kwargs", ("workers", "use_multiprocessing", "max_queue_size")),
        "Keras 3's fit() takes no '{key}'. Leave it out; generators of mltk have 'cores'.",
    ),
    Rule(
        "keras-save-format",
        "error",
        Argument(
            (".save", ".save_weights", "keras.models.save_model"),
            ("save_format",),
            lambda v: v not in ("h5", "keras"),
        ),
        "Keras 3 refuses save_format={value!r}. Leave it out, and let the file name end with .keras or .h5.",
    ),
    Rule(
        "keras-weights-name",
        "error",
        FileName((".save_weights",), _is_not_weights),
        "Keras 3 writes weights only to names that end with .weights.h5, not to {value!r}.",
    ),
    Rule(
        "keras-checkpoint-weights-name",
        "error",
        FileName(("keras.callbacks.ModelCheckpoint",), _is_not_weights, {"save_weights_only": (True,)}),
        "With save_weights_only=True, the name must end with .weights.h5, not {value!r}.",
    ),
    Rule(
        "keras-checkpoint-name",
        "error",
        FileName(
            ("keras.callbacks.ModelCheckpoint",), _is_no_model_file, {"save_weights_only": (None, False)}
        ),
        "The name of a checkpoint must end with .keras, not {value!r}.",
    ),
    Rule(
        "keras-checkpoint-argument",
        "error",
        Argument(("keras.callbacks.ModelCheckpoint",), ("options", "period", "load_weights_on_restart")),
        "ModelCheckpoint of Keras 3 takes no '{name}'. Leave it out; save_freq says how often.",
    ),
    Rule(
        "keras-layer-argument",
        "error",
        Argument(
            ("keras.layers.*",), ("weights", "fused", "time_major", "renorm_clipping", "virtual_batch_size")
        ),
        "Layers of Keras 3 take no '{name}'. Leave it out; weights are set with set_weights().",
    ),
    Rule(
        "keras-layer-shape",
        "error",
        Attribute(
            re.compile(r"(?:layers\[\]|get_layer\(\)|(?:^|[._])(?:layer|lyr))$"),
            ("input_shape", "output_shape"),
        ),
        "Layers of Keras 3 have no '{name}'. Use .input.shape or .output.shape; of a layer that is called "
        "several times, keep the tensors.",
        heuristic=True,
    ),
    Rule(
        "keras-symbolic-operation",
        "error",
        Check(_checks.symbolic_operations),
        "'{name}' is called on a symbolic tensor, which Keras 3 refuses. Use the function of keras.ops, or put the "
        "call into a Layer or keras.layers.Lambda.",
        heuristic=True,
    ),
    Rule(
        "keras-history-lr",
        "error",
        Key(re.compile(r"(?:^|[._])history$"), "lr"),
        "The history of Keras 3 has no 'lr'. Its name is 'learning_rate'.",
    ),
    # Other libraries
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
        Check(_checks.renamed_arguments),
        "Current audiomentations have other names for {old}. Write {new}.",
    ),
    Rule(
        "audiomentations-old-argument",
        "hint",
        Check(_checks.translated_arguments),
        "Current audiomentations have other names for {old}, which install_pip_package translates. Write {new}.",
    ),
    Rule(
        "cv2-cv2",
        "error",
        Check(_checks.cv2_of_cv2),
        "Current OpenCV has no module 'cv2.cv2'. Write: import cv2",
    ),
    # mltk: what must be installed, or is not there
    Rule("plugin-missing", "error", Check(_checks.plugins_missing), "{problem}"),
    Rule("mltk-name", "error", Check(_checks.mltk_names_unknown), "{problem}"),
    Rule(
        "package-missing",
        "error",
        Check(_checks.packages_missing),
        "The package '{package}'{later} is not installed. Install it with: pip install {distribution}",
    ),
    Rule(
        "pip-asks",
        "differs",
        Check(_checks.packages_installed_by_the_script),
        "install_pip_package asks before it installs '{package}', and stops where nobody can answer. Install it "
        "beforehand (pip install {package}), or set MLTK_INSTALL_PACKAGES=always.",
    ),
    Rule(
        "model-attribute",
        "error",
        Check(_checks.unknown_attributes),
        "'{name}' is not a property of {variable}.{hint}",
    ),
    Rule(
        "model-name",
        "error",
        Check(_checks.wrong_file_name),
        "The file name is the model's name, and '{name}' has other characters than letters, digits and '_'. Rename it.",
    ),
    Rule(
        "several-models",
        "error",
        Check(_checks.several_models),
        "The script makes a second model, '{second}' beside '{first}'; mltk refuses to choose. Keep one in the file.",
    ),
    Rule(
        "no-model",
        "hint",
        Check(_checks.no_model),
        "No model is made here; it was read as a module that specifications import.",
    ),
    Rule(
        "command-file",
        "error",
        Check(_checks.command_file),
        "Files of this name are not looked for: plugins add commands. See mltk plugins new and the hook mltk_commands.",
    ),
    Rule(
        "converter-setting",
        "error",
        Check(_checks.converter_settings_unknown),
        "The converter has no setting '{key}', which the reference passed over in silence.{hint}",
    ),
    Rule(
        "callback-setting",
        "error",
        Check(_checks.callback_settings_unknown),
        "The Keras callback of my_model.{property} has no argument '{key}'.{hint}",
    ),
    # mltk: what was put right, so that results differ
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
        Check(_checks.unequal_shifts),
        "width_shift_range moves sideways, height_shift_range up and down; the reference had them the wrong way round.",
    ),
    Rule(
        "binary-metrics",
        "differs",
        Check(_checks.binary_classes),
        "The curves and areas of the first of two classes are right now, and so differ; the accuracy does not.",
    ),
    Rule(
        "schedule-and-plateau",
        "differs",
        Check(_checks.schedule_and_plateau),
        "lr_schedule is set too, and switches this off, as the reference documents; there, both acted. Keep one.",
    ),
    Rule(
        "weights-best",
        "differs",
        Check(_checks.minimized_monitor),
        "Of '{value}' less is better: '--weights best' takes the smallest; the reference took the largest, the worst.",
    ),
    Rule(
        "several-abnormal-classes",
        "differs",
        Check(_checks.several_abnormal_classes),
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
    # A better way
    Rule(
        "hardware",
        "hint",
        Check(_checks.hardware_accelerators),
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
"""All rules, in no order that matters."""
