"""Check the converter settings of a specification."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypedDict

from mltk.errors import SpecificationError, did_you_mean
from mltk.keras.environment import import_tensorflow
from mltk.keras.private import get_converter_settings
from mltk.model.mixins.train import CONVERTER_DEFAULTS
from mltk.sources.places import place_of
from mltk.utils.logging import get_mltk_logger

if TYPE_CHECKING:
    from collections.abc import Mapping

    import tensorflow as tf

    from mltk.model.full_model import FullModel

# Settings that mltk handles; every other key must be an attribute of the converter.
OWN_KEYS = frozenset(
    {
        "optimizations",
        "supported_ops",
        "inference_input_type",
        "inference_output_type",
        "representative_dataset",
        "representative_dataset_max_samples",
        "input_range",
        "generate_unquantized",
        "generate_quantization_report",
        "dense_per_channel",
        # TensorFlow's old converter does not take models of Keras 3; its old quantizer still exists.
        "experimental_new_converter",
    }
)


class ConverterSettings(TypedDict, total=False):
    """Checked settings; those that only the converter knows (`allow_custom_ops`, …) are stored beside these."""

    optimizations: list[tf.lite.Optimize]
    supported_ops: list[tf.lite.OpsSet]
    inference_input_type: tf.DType
    inference_output_type: tf.DType
    representative_dataset: Any
    representative_dataset_max_samples: int
    input_range: tuple[float, float] | None
    generate_unquantized: bool
    generate_quantization_report: bool
    dense_per_channel: bool
    experimental_new_converter: bool


def converter_settings(
    mltk_model: FullModel, override: Mapping[str, object] | None = None
) -> ConverterSettings:
    """Return the checked settings of a specification, with TensorFlow's own enums and types.

    Args:
        mltk_model: The specification; its settings stay unchanged.
        override: Settings merged over those of the specification.

    Raises:
        SpecificationError: A key or a name is unknown; the message has the valid ones.
    """
    import_tensorflow()
    import tensorflow as tf

    given = {**(mltk_model.tflite_converter or {}), **(override or {})}
    # An assigned dict replaces the defaults: a setting that it does not have is off.
    settings: Any = {**dict.fromkeys(OWN_KEYS), **given}
    converter_attributes = get_converter_settings()
    for key in given:
        if key not in OWN_KEYS and key not in converter_attributes:
            known = sorted(OWN_KEYS | converter_attributes)
            raise SpecificationError(
                f"{place_of(mltk_model, key)}my_model.tflite_converter has '{key}', which is not a setting of the "
                f"converter.{did_you_mean(key, known)} The usual ones are: {', '.join(sorted(CONVERTER_DEFAULTS))}."
            )
    if settings["experimental_new_converter"] is False:
        get_mltk_logger().warning(
            "my_model.tflite_converter['experimental_new_converter'] = False is ignored: "
            "TensorFlow's old converter does not take models of Keras 3."
        )
    settings["optimizations"] = _to_enums(settings["optimizations"], tf.lite.Optimize, "optimizations")
    settings["supported_ops"] = _to_enums(settings["supported_ops"], tf.lite.OpsSet, "supported_ops")
    for key in ("inference_input_type", "inference_output_type"):
        settings[key] = _to_dtype(settings[key], key)
    _check_representative_dataset(settings)
    settings["input_range"] = _check_input_range(settings["input_range"])
    return settings  # type: ignore[no-any-return]  # its values were checked above


def float32_settings(settings: ConverterSettings) -> ConverterSettings:
    """Return settings with which the converter does not quantize."""
    import tensorflow as tf

    return {
        **settings,
        "optimizations": [],
        "supported_ops": [tf.lite.OpsSet.TFLITE_BUILTINS],
        "inference_input_type": tf.float32,
        "inference_output_type": tf.float32,
    }


def _check_representative_dataset(settings: dict[str, Any]) -> None:
    """Check the settings that concern calibration, and fill in the number of samples."""
    import tensorflow as tf

    wanted = settings["representative_dataset"]
    if wanted is not None and wanted != "generate" and not callable(wanted):
        raise SpecificationError(
            f"my_model.tflite_converter['representative_dataset'] is {wanted!r}; "
            f"it may be 'generate', a function without arguments that yields lists of one sample, or None."
        )
    limit = settings["representative_dataset_max_samples"]
    if limit is None:
        settings["representative_dataset_max_samples"] = CONVERTER_DEFAULTS[
            "representative_dataset_max_samples"
        ]
    elif isinstance(limit, bool) or not isinstance(limit, int) or limit < 1:
        raise SpecificationError(
            f"my_model.tflite_converter['representative_dataset_max_samples'] must be at least 1, not {limit!r}."
        )
    if (
        wanted is None
        and tf.lite.OpsSet.TFLITE_BUILTINS_INT8 in settings["supported_ops"]
        and settings["optimizations"]
    ):
        raise SpecificationError(
            "my_model.tflite_converter asks for int8 operations (TFLITE_BUILTINS_INT8) but has no "
            "representative_dataset to calibrate them with. Set it to 'generate'."
        )


def _check_input_range(value: object) -> tuple[float, float] | None:
    if value is None:
        return None
    try:
        low, high = (float(bound) for bound in value)  # type: ignore[attr-defined]  # a TypeError is right
    except (TypeError, ValueError):
        low = high = 0.0
    if not low < high:
        raise SpecificationError(
            f"my_model.tflite_converter['input_range'] is {value!r}; it must be the minimum and the maximum of the "
            f"model's input, such as (-128, 127)."
        )
    return low, high


def _to_enums(values: object, enum: Any, key: str) -> list[Any]:
    """Return members of TensorFlow's `enum` by name."""
    given = [values] if isinstance(values, (str, enum)) else list(values or [])  # type: ignore[call-overload]  # a TypeError is right
    members = {member.name: member for member in enum}
    result = []
    for value in given:
        name = getattr(value, "name", None) or str(value).rpartition(".")[2]
        if isinstance(value, enum):
            result.append(value)
        elif name.upper() in members:
            result.append(members[name.upper()])
        else:
            raise SpecificationError(
                f"my_model.tflite_converter['{key}'] has '{value}'.{did_you_mean(name.upper(), members)} "
                f"It may be: {', '.join(members)}."
            )
    return result


def _to_dtype(value: object, key: str) -> tf.DType:
    import tensorflow as tf

    allowed = ("float32", "int8", "uint8", "int16", "int32")
    try:
        dtype = tf.as_dtype("float32" if value is None else value)
    except TypeError:
        dtype = None
    if dtype is None or dtype.name not in allowed:
        raise SpecificationError(
            f"my_model.tflite_converter['{key}'] is {value!r}. It may be: {', '.join(allowed)}."
        )
    return dtype
