"""Hooks of the plugin `tflm`, which measures and runs models with TensorFlow Lite Micro."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from mltk.plugins import Compiler, Evaluator, Parameter, Profiler, Runtime, Setting, hookimpl, import_on_call

if TYPE_CHECKING:
    from mltk.model.model import MltkModel
    from mltk.tflite import TfliteModel

mltk_api_version = 1


@hookimpl
def mltk_settings() -> Iterable[Setting]:
    """Return the setting `tflm.parity_tolerance`."""
    return [
        Setting(
            "tflm.parity_tolerance",
            "Maximum difference of outputs between LiteRT and TFLM in the evaluator 'parity', in quantization steps; "
            "a larger one is an error. Without it, differences are only reported.",
            float,
            convert=_not_negative,
        )
    ]


@hookimpl
def mltk_model_parameters(tflite_model: TfliteModel | None) -> Mapping[str, Parameter] | None:
    """Return `runtime_memory_size`, the size of the tensor arena of TFLM in bytes, if TFLM can run the model."""
    if tflite_model is None:
        return None
    from mltk_plugin_tflm.arena import runtime_memory_size

    size = runtime_memory_size(tflite_model)
    return None if size is None else {"runtime_memory_size": Parameter(size)}


@hookimpl
def mltk_evaluators(mltk_model: MltkModel | None) -> Iterable[Evaluator]:
    """Return the evaluator `parity`."""
    return [
        Evaluator(
            "parity",
            "Compare Keras, LiteRT and TFLM: accuracy, equal outputs, quantization error per layer",
            import_on_call("mltk_plugin_tflm.parity:evaluate"),
            options=("samples",),
        )
    ]


@hookimpl
def mltk_runtimes() -> Iterable[Runtime]:
    """Return the runtime `tflm`."""
    return [
        Runtime(
            "tflm",
            "Evaluate the quantized model with the reference kernels of TensorFlow Lite Micro.",
            import_on_call("mltk_plugin_tflm.predictor:TflmPredictor"),
        )
    ]


@hookimpl
def mltk_profilers() -> Iterable[Profiler]:
    """Return the profiler `tflm`, the default."""
    return [
        Profiler(
            "tflm",
            "TensorFlow Lite Micro on this computer: arena size, unsupported layers, times",
            import_on_call("mltk_plugin_tflm.profiler:profile"),
            default=True,
        )
    ]


@hookimpl
def mltk_compilers() -> Iterable[Compiler]:
    """Return the compiler `c-array`."""
    return [
        Compiler(
            "c-array",
            "Write the .tflite as an array of a C or C++ header, for TFLM.",
            _write_array,
            ending=".h",
        )
    ]


def _not_negative(value: float) -> float:
    if not value >= 0:
        raise ValueError("the tolerance must be at least 0")
    return value


def _write_array(tflite_model: TfliteModel, variable: str = "model") -> bytes:
    from mltk_plugin_tflm.c_array import write_array

    return write_array(tflite_model, variable)
