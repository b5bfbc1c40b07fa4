"""The model specification: `MltkModel`, its mixins and events; finding and loading specifications."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mltk._namespace import lazy_names

if TYPE_CHECKING:
    from mltk.core.model.event import MltkModelEvent as MltkModelEvent
    from mltk.core.model.loading import find_model_specification_file as find_model_specification_file
    from mltk.core.model.loading import list_mltk_models as list_mltk_models
    from mltk.core.model.loading import load_mltk_model as load_mltk_model
    from mltk.core.model.loading import load_mltk_model_with_path as load_mltk_model_with_path
    from mltk.core.model.loading import load_tflite_model as load_tflite_model
    from mltk.core.model.loading import load_tflite_or_keras_model as load_tflite_or_keras_model
    from mltk.core.model.mixins.data_generator import DataGeneratorDatasetMixin as DataGeneratorDatasetMixin
    from mltk.core.model.mixins.dataset import DatasetMixin as DatasetMixin
    from mltk.core.model.mixins.dataset import MltkDataset as MltkDataset
    from mltk.core.model.mixins.evaluate import EvaluateClassifierMixin as EvaluateClassifierMixin
    from mltk.core.model.mixins.evaluate import EvaluateMixin as EvaluateMixin
    from mltk.core.model.mixins.train import TrainMixin as TrainMixin
    from mltk.core.model.model import MltkModel as MltkModel
    from mltk.core.model.operation import get_active_model as get_active_model
    from mltk.core.model.operation import pop_active_model as pop_active_model
    from mltk.core.model.operation import push_active_model as push_active_model
    from mltk.core.model.operation import trigger_model_event as trigger_model_event

_LOADING = "mltk.core.model.loading"
_OPERATION = "mltk.core.model.operation"

_NAMES = {
    "DataGeneratorDatasetMixin": "mltk.core.model.mixins.data_generator",
    "DatasetMixin": "mltk.core.model.mixins.dataset",
    "EvaluateClassifierMixin": "mltk.core.model.mixins.evaluate",
    "EvaluateMixin": "mltk.core.model.mixins.evaluate",
    "MltkDataset": "mltk.core.model.mixins.dataset",
    "MltkModel": "mltk.core.model.model",
    "MltkModelEvent": "mltk.core.model.event",
    "TrainMixin": "mltk.core.model.mixins.train",
    "find_model_specification_file": _LOADING,
    "get_active_model": _OPERATION,
    "list_mltk_models": _LOADING,
    "load_mltk_model": _LOADING,
    "load_mltk_model_with_path": _LOADING,
    "load_tflite_model": _LOADING,
    "load_tflite_or_keras_model": _LOADING,
    "pop_active_model": _OPERATION,
    "push_active_model": _OPERATION,
    "trigger_model_event": _OPERATION,
}

__all__ = [*_NAMES]

__getattr__, __dir__ = lazy_names(__name__, _NAMES)
