"""Rules about what Keras 3 and TensorFlow removed or changed."""

from __future__ import annotations

import re

from mltk_plugin_migrate.doctor.checks import imports, symbolic
from mltk_plugin_migrate.doctor.patterns import (
    Argument,
    Attribute,
    Check,
    FileName,
    Key,
    Method,
    Name,
    Setting,
    Text,
)
from mltk_plugin_migrate.doctor.rules.rule import Rule

_FIT = (".fit", ".evaluate", ".predict", ".fit_generator")


def _is_given(value: object) -> bool:
    """Tell whether a value is, or may be, something else than nothing; what is no literal counts as given."""
    return value not in (None, (), [], False, 0)


def _is_not_weights(path: str) -> bool:
    return not path.endswith(".weights.h5")


def _is_no_model_file(path: str) -> bool:
    return not path.endswith((".keras", ".h5"))


RULES: tuple[Rule, ...] = (
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
        Name((*imports.KERAS_2_PACKAGES, "tensorflow.python.keras")),
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
        Check(symbolic.symbolic_operations),
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
)
