"""The public API: `import mltk.core as mltk_core`.

Every name is imported when it is first used, so that what only reads a `.tflite` never imports TensorFlow.
Names that plugins provide (`ImageDatasetMixin`, …) are found in the installed plugins.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mltk._namespace import lazy_names

if TYPE_CHECKING:
    import keras

    from mltk.core.compare_models import ModelComparison as ModelComparison
    from mltk.core.compare_models import compare_models as compare_models
    from mltk.core.compile_model import compile_model as compile_model
    from mltk.core.evaluate_classifier import evaluate_classifier as evaluate_classifier
    from mltk.core.evaluate_model import evaluate_model as evaluate_model
    from mltk.core.evaluation.classifier import ClassifierEvaluationResults as ClassifierEvaluationResults
    from mltk.core.evaluation.results import EvaluationResults as EvaluationResults
    from mltk.core.logging import get_mltk_logger as get_mltk_logger
    from mltk.core.logging import set_mltk_logger as set_mltk_logger
    from mltk.core.model import DataGeneratorDatasetMixin as DataGeneratorDatasetMixin
    from mltk.core.model import DatasetMixin as DatasetMixin
    from mltk.core.model import EvaluateClassifierMixin as EvaluateClassifierMixin
    from mltk.core.model import EvaluateMixin as EvaluateMixin
    from mltk.core.model import MltkDataset as MltkDataset
    from mltk.core.model import MltkModel as MltkModel
    from mltk.core.model import MltkModelEvent as MltkModelEvent
    from mltk.core.model import TrainMixin as TrainMixin
    from mltk.core.model import list_mltk_models as list_mltk_models
    from mltk.core.model import load_mltk_model as load_mltk_model
    from mltk.core.model import load_mltk_model_with_path as load_mltk_model_with_path
    from mltk.core.model import load_tflite_model as load_tflite_model
    from mltk.core.model import load_tflite_or_keras_model as load_tflite_or_keras_model
    from mltk.core.profile_model import profile_model as profile_model
    from mltk.core.profiling_results import ProfilingModelResults as ProfilingModelResults
    from mltk.core.quantize_model import quantize_model as quantize_model
    from mltk.core.summarize_model import summarize_model as summarize_model
    from mltk.core.tflite_model import TfliteActivation as TfliteActivation
    from mltk.core.tflite_model import TfliteAddLayer as TfliteAddLayer
    from mltk.core.tflite_model import TfliteAddLayerOptions as TfliteAddLayerOptions
    from mltk.core.tflite_model import TfliteConv2dLayer as TfliteConv2dLayer
    from mltk.core.tflite_model import TfliteConv2DLayerOptions as TfliteConv2DLayerOptions
    from mltk.core.tflite_model import TfliteDepthwiseConv2dLayer as TfliteDepthwiseConv2dLayer
    from mltk.core.tflite_model import TfliteDepthwiseConv2DLayerOptions as TfliteDepthwiseConv2DLayerOptions
    from mltk.core.tflite_model import TfliteDequantizeLayer as TfliteDequantizeLayer
    from mltk.core.tflite_model import TfliteFullyConnectedLayer as TfliteFullyConnectedLayer
    from mltk.core.tflite_model import TfliteFullyConnectedLayerOptions as TfliteFullyConnectedLayerOptions
    from mltk.core.tflite_model import TfliteLayer as TfliteLayer
    from mltk.core.tflite_model import TfliteLayerOptions as TfliteLayerOptions
    from mltk.core.tflite_model import TfliteModel as TfliteModel
    from mltk.core.tflite_model import TfliteMulLayer as TfliteMulLayer
    from mltk.core.tflite_model import TfliteMulLayerOptions as TfliteMulLayerOptions
    from mltk.core.tflite_model import TfliteOpCode as TfliteOpCode
    from mltk.core.tflite_model import TflitePadding as TflitePadding
    from mltk.core.tflite_model import TflitePadLayer as TflitePadLayer
    from mltk.core.tflite_model import TflitePool2DLayerOptions as TflitePool2DLayerOptions
    from mltk.core.tflite_model import TflitePooling2dLayer as TflitePooling2dLayer
    from mltk.core.tflite_model import TfliteQuantization as TfliteQuantization
    from mltk.core.tflite_model import TfliteQuantizeLayer as TfliteQuantizeLayer
    from mltk.core.tflite_model import TfliteReshapeLayer as TfliteReshapeLayer
    from mltk.core.tflite_model import TfliteShape as TfliteShape
    from mltk.core.tflite_model import TfliteTensor as TfliteTensor
    from mltk.core.tflite_model import TfliteTransposeConvLayer as TfliteTransposeConvLayer
    from mltk.core.tflite_model import TfliteTransposeConvLayerOptions as TfliteTransposeConvLayerOptions
    from mltk.core.tflite_model_parameters import TFLITE_METADATA_TAG as TFLITE_METADATA_TAG
    from mltk.core.tflite_model_parameters import TfliteModelParameters as TfliteModelParameters
    from mltk.core.train_model import train_model as train_model
    from mltk.core.training_results import TrainingResults as TrainingResults
    from mltk.core.update_model_parameters import update_model_parameters as update_model_parameters
    from mltk.core.view_model import view_model as view_model

    KerasModel = keras.Model

_MODEL = "mltk.core.model"
_TFLITE = "mltk.core.tflite_model"

_NAMES = {
    "ClassifierEvaluationResults": "mltk.core.evaluation.classifier",
    "DataGeneratorDatasetMixin": _MODEL,
    "DatasetMixin": _MODEL,
    "EvaluateClassifierMixin": _MODEL,
    "EvaluateMixin": _MODEL,
    "EvaluationResults": "mltk.core.evaluation.results",
    "KerasModel": "keras:Model",
    "MltkDataset": _MODEL,
    "MltkModel": _MODEL,
    "MltkModelEvent": _MODEL,
    "ModelComparison": "mltk.core.compare_models",
    "ProfilingModelResults": "mltk.core.profiling_results",
    "TFLITE_METADATA_TAG": "mltk.core.tflite_model_parameters",
    "TfliteActivation": _TFLITE,
    "TfliteAddLayer": _TFLITE,
    "TfliteAddLayerOptions": _TFLITE,
    "TfliteConv2DLayerOptions": _TFLITE,
    "TfliteConv2dLayer": _TFLITE,
    "TfliteDepthwiseConv2DLayerOptions": _TFLITE,
    "TfliteDepthwiseConv2dLayer": _TFLITE,
    "TfliteDequantizeLayer": _TFLITE,
    "TfliteFullyConnectedLayer": _TFLITE,
    "TfliteFullyConnectedLayerOptions": _TFLITE,
    "TfliteLayer": _TFLITE,
    "TfliteLayerOptions": _TFLITE,
    "TfliteModel": _TFLITE,
    "TfliteModelParameters": "mltk.core.tflite_model_parameters",
    "TfliteMulLayer": _TFLITE,
    "TfliteMulLayerOptions": _TFLITE,
    "TfliteOpCode": _TFLITE,
    "TflitePadLayer": _TFLITE,
    "TflitePadding": _TFLITE,
    "TflitePool2DLayerOptions": _TFLITE,
    "TflitePooling2dLayer": _TFLITE,
    "TfliteQuantization": _TFLITE,
    "TfliteQuantizeLayer": _TFLITE,
    "TfliteReshapeLayer": _TFLITE,
    "TfliteShape": _TFLITE,
    "TfliteTensor": _TFLITE,
    "TfliteTransposeConvLayer": _TFLITE,
    "TfliteTransposeConvLayerOptions": _TFLITE,
    "TrainMixin": _MODEL,
    "TrainingResults": "mltk.core.training_results",
    "compare_models": "mltk.core.compare_models",
    "compile_model": "mltk.core.compile_model",
    "evaluate_classifier": "mltk.core.evaluate_classifier",
    "evaluate_model": "mltk.core.evaluate_model",
    "get_mltk_logger": "mltk.core.logging",
    "list_mltk_models": _MODEL,
    "load_mltk_model": _MODEL,
    "load_mltk_model_with_path": _MODEL,
    "load_tflite_model": _MODEL,
    "load_tflite_or_keras_model": _MODEL,
    "profile_model": "mltk.core.profile_model",
    "quantize_model": "mltk.core.quantize_model",
    "set_mltk_logger": "mltk.core.logging",
    "summarize_model": "mltk.core.summarize_model",
    "train_model": "mltk.core.train_model",
    "update_model_parameters": "mltk.core.update_model_parameters",
    "view_model": "mltk.core.view_model",
}

__all__ = [*_NAMES]

__getattr__, __dir__ = lazy_names(__name__, _NAMES)
