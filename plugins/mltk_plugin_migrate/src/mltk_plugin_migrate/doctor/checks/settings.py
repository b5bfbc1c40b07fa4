"""Checks of the values that a specification sets on its model."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping

from mltk.errors import did_you_mean
from mltk_plugin_migrate.doctor.patterns import Match
from mltk_plugin_migrate.doctor.source import Source, constant

_MINIMIZED = re.compile("loss|err|mae|mse|mape|msle|entropy|hinge|divergence")

CONVERTER_KEYS = frozenset(
    {
        "allow_custom_ops",
        "canonicalizing_inf_as_min_max_float",
        "dense_per_channel",
        "exclude_conversion_metadata",
        "experimental_enable_resource_variables",
        "experimental_lower_to_saved_model",
        "experimental_new_converter",
        "experimental_new_dynamic_range_quantizer",
        "experimental_new_quantizer",
        "experimental_use_stablehlo_quantizer",
        "generate_quantization_report",
        "generate_unquantized",
        "inference_input_type",
        "inference_output_type",
        "legalize_custom_tensor_list_ops",
        "optimizations",
        "representative_dataset",
        "representative_dataset_max_samples",
        "serialize_debug_metadata",
        "supported_ops",
        "target_spec",
        "unfold_batchmatmul",
    }
)
"""Settings of the converter: mltk's own, and attributes of `tf.lite.TFLiteConverter` that are of use."""

CALLBACK_KEYS: Mapping[str, frozenset[str]] = {
    "checkpoint": frozenset(
        {
            "filepath",
            "initial_value_threshold",
            "mode",
            "monitor",
            "save_best_only",
            "save_freq",
            "save_weights_only",
            "verbose",
        }
    ),
    "early_stopping": frozenset(
        {
            "baseline",
            "min_delta",
            "mode",
            "monitor",
            "patience",
            "restore_best_weights",
            "start_from_epoch",
            "verbose",
        }
    ),
    "reduce_lr_on_plateau": frozenset(
        {
            "cooldown",
            "epsilon",
            "factor",
            "min_delta",
            "min_lr",
            "mode",
            "monitor",
            "patience",
            "verbose",
        }
    ),
    "lr_schedule": frozenset({"schedule", "verbose"}),
    "tensorboard": frozenset(
        {
            "embeddings_freq",
            "embeddings_metadata",
            "histogram_freq",
            "log_dir",
            "profile_batch",
            "update_freq",
            "write_graph",
            "write_images",
            "write_steps_per_second",
        }
    ),
}
"""Arguments of Keras' callbacks."""


def converter_settings_unknown(source: Source) -> Iterator[Match]:
    """Yield keys of `tflite_converter` that neither mltk nor TensorFlow's converter has."""
    for setting in source.settings:
        if setting.attribute == "tflite_converter" and setting.key and setting.key not in CONVERTER_KEYS:
            yield setting.node, {"key": setting.key, "hint": did_you_mean(setting.key, CONVERTER_KEYS)}


def callback_settings_unknown(source: Source) -> Iterator[Match]:
    """Yield arguments of callback properties that Keras' callback does not have."""
    for setting in source.settings:
        known = CALLBACK_KEYS.get(setting.attribute)
        if known is None or setting.key is None or setting.key in known:
            continue
        if setting.key == "options" and constant(setting.value) is None:
            # The reference's default, which mltk drops.
            continue
        yield (
            setting.node,
            {
                "property": setting.attribute,
                "key": setting.key,
                "hint": did_you_mean(setting.key, known),
            },
        )


def schedule_and_plateau(source: Source) -> Iterator[Match]:
    """Yield `reduce_lr_on_plateau` where `lr_schedule` is set too."""
    given = {s.attribute for s in source.settings if not _is_off(s.value)}
    if "lr_schedule" in given:
        for setting in source.settings:
            if setting.attribute == "reduce_lr_on_plateau" and not _is_off(setting.value):
                yield setting.node, {}
                return


def _is_off(value: ast.expr | None) -> bool:
    if isinstance(value, ast.Constant):
        return value.value is None
    return isinstance(value, ast.Dict) and not value.keys


def minimized_monitor(source: Source) -> Iterator[Match]:
    """Yield `checkpoint['monitor']` of which less is better."""
    for setting in source.settings:
        if setting.attribute == "checkpoint" and setting.key == "monitor":
            monitor = constant(setting.value)
            if isinstance(monitor, str) and _MINIMIZED.search(monitor):
                yield setting.node, {"value": monitor}


def several_abnormal_classes(source: Source) -> Iterator[Match]:
    """Yield the classes of an anomaly detector that has more than one abnormal class."""
    if not any(
        base.endswith(".EvaluateAutoEncoderMixin")
        for name in source.models.values()
        for base in source.bases(name)
    ):
        return
    for setting in source.settings:
        if setting.attribute in ("classes", "eval_classes") and setting.key is None:
            classes = constant(setting.value)
            if isinstance(classes, list | tuple) and len(classes) > 2:
                yield setting.node, {}


def binary_classes(source: Source) -> Iterator[Match]:
    """Yield `class_mode = 'binary'` of a model that is judged as a classifier."""
    bases = [base for name in source.models.values() for base in source.bases(name)]
    if any(base.endswith(".EvaluateClassifierMixin") for base in bases):
        for setting in source.settings:
            if setting.attribute == "class_mode" and constant(setting.value) == "binary":
                yield setting.node, {}


def unequal_shifts(source: Source) -> Iterator[Match]:
    """Yield image generators that shift differently in width and height."""
    for node in source.nodes:
        if isinstance(node, ast.Call) and _is_generator(source, node, "ParallelImageDataGenerator"):
            given = {k.arg: k.value for k in node.keywords if k.arg}
            width, height = given.get("width_shift_range"), given.get("height_shift_range")
            shifts = [constant(v) or 0 for v in (width, height)]
            if shifts[0] != shifts[1]:
                yield width or height or node, {}


def _is_generator(source: Source, call: ast.Call, name: str) -> bool:
    return (source.dotted(call.func) or "").rpartition(".")[2] == name
