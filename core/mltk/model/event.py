"""Events of a model, for handlers and plugins."""

from __future__ import annotations

from enum import StrEnum, auto


class MltkModelEvent(StrEnum):
    """A moment in the life of a model; the keyword arguments of each are given beside it.

    Every handler also gets `mltk_model` and `logger`. A `…_dict` argument is a box whose `'value'` a handler of an
    old specification may replace; plugins use hooks that return values instead.
    """

    @staticmethod
    def _generate_next_value_(name: str, start: int, count: int, last_values: list[str]) -> str:
        return name.lower()

    BEFORE_MODEL_LOAD = auto()
    """While the model object is made; only a mixin can follow it."""
    AFTER_MODEL_LOAD = auto()
    """The specification was loaded."""

    BEFORE_LOAD_DATASET = auto()
    """subset, test, and the options given to the loader."""
    AFTER_LOAD_DATASET = auto()
    """subset, test, and the options given to the loader."""
    BEFORE_UNLOAD_DATASET = auto()
    AFTER_UNLOAD_DATASET = auto()
    SUMMARIZE_DATASET = auto()
    """summary, summary_dict."""
    SUMMARIZE_MODEL = auto()
    """summary, summary_dict."""

    TRAIN_STARTUP = auto()
    """post_process."""
    BEFORE_BUILD_TRAIN_MODEL = auto()
    AFTER_BUILD_TRAIN_MODEL = auto()
    """keras_model."""
    POPULATE_TRAIN_CALLBACKS = auto()
    """keras_callbacks: the list given to `fit`, may be edited."""
    BEFORE_TRAIN = auto()
    """fit_kwargs: the keyword arguments of `fit`, may be edited."""
    AFTER_TRAIN = auto()
    """training_history."""
    BEFORE_SAVE_TRAIN_MODEL = auto()
    """keras_model, keras_model_dict."""
    AFTER_SAVE_TRAIN_MODEL = auto()
    """keras_model, keras_model_dict."""
    BEFORE_SAVE_TRAIN_RESULTS = auto()
    """keras_model, results, output_dir."""
    AFTER_SAVE_TRAIN_RESULTS = auto()
    """keras_model, results, output_dir."""
    BEFORE_SAVE_TRAIN_ARCHIVE = auto()
    """archive_path."""
    AFTER_SAVE_TRAIN_ARCHIVE = auto()
    """archive_path."""
    TRAIN_SHUTDOWN = auto()
    """results; `None` when the training failed."""

    QUANTIZE_STARTUP = auto()
    """build, keras_model, tflite_converter_settings, post_process."""
    BEFORE_QUANTIZE = auto()
    """converter, converter_dict."""
    AFTER_QUANTIZE = auto()
    """tflite_flatbuffer, tflite_flatbuffer_dict, update_archive, keras_model, tflite_converter_settings."""
    QUANTIZE_SHUTDOWN = auto()
    """tflite_model (`None` when the conversion failed), update_archive, keras_model, tflite_converter_settings."""

    EVALUATE_STARTUP = auto()
    """tflite, max_samples_per_class, post_process."""
    EVALUATE_SHUTDOWN = auto()
    """results; `None` when the evaluation failed."""
    GENERATE_EVALUATE_PLOT = auto()
    """tflite, name, fig."""

    AFTER_PROFILE = auto()
    """results."""
