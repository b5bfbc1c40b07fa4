"""The plugin `tflm`: measures, and runs, models with TensorFlow Lite Micro."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from mltk.plugins import Evaluator, Parameter, Profiler, Runtime, hookimpl

if TYPE_CHECKING:
    from mltk.core import EvaluationResults, ProfilingModelResults
    from mltk.model.model import MltkModel
    from mltk.plugins.types import EvaluationContext, Predictor
    from mltk.tflite import TfliteModel

mltk_api_version = 1


@hookimpl
def mltk_model_parameters(tflite_model: TfliteModel | None) -> Mapping[str, Parameter] | None:
    """Offer `runtime_memory_size`, the bytes of TFLM's tensor arena, for a model that TFLM runs."""
    if tflite_model is None:
        return None
    from mltk_plugin_tflm.arena import runtime_memory_size

    size = runtime_memory_size(tflite_model)
    return None if size is None else {"runtime_memory_size": Parameter(size)}


@hookimpl
def mltk_evaluators(mltk_model: MltkModel | None) -> Iterable[Evaluator]:
    """Offer `parity`."""
    return [
        Evaluator(
            "parity",
            "Keras, LiteRT and TFLM on the same data: accuracies, equal outputs, what each layer costs",
            _parity,
            options=("samples",),
        )
    ]


@hookimpl
def mltk_runtimes() -> Iterable[Runtime]:
    """Offer `tflm`."""
    return [
        Runtime(
            "tflm", "Evaluate the quantized model with TensorFlow Lite Micro's reference kernels.", _predictor
        )
    ]


@hookimpl
def mltk_profilers() -> Iterable[Profiler]:
    """Offer `tflm`, which is used where the user asks for no other."""
    return [
        Profiler(
            "tflm",
            "TensorFlow Lite Micro on this computer: arena, layers that it lacks, times",
            _profile,
            default=True,
        )
    ]


def _parity(context: EvaluationContext) -> EvaluationResults:
    from mltk_plugin_tflm.parity import evaluate

    return evaluate(context)


def _predictor(tflite_model: TfliteModel, name: str) -> Predictor:
    from mltk_plugin_tflm.predictor import TflmPredictor

    return TflmPredictor(tflite_model, name)


def _profile(tflite_model: TfliteModel) -> ProfilingModelResults:
    from mltk_plugin_tflm.profiler import profile

    return profile(tflite_model)
