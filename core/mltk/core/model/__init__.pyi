from keras import Model

from mltk.model.event import MltkModelEvent as MltkModelEvent
from mltk.model.mixins.data_generator import DataGeneratorDatasetMixin as DataGeneratorDatasetMixin
from mltk.model.mixins.dataset import DatasetMixin as DatasetMixin
from mltk.model.mixins.dataset import MltkDataset as MltkDataset
from mltk.model.mixins.evaluate import EvaluateClassifierMixin as EvaluateClassifierMixin
from mltk.model.mixins.evaluate import EvaluateMixin as EvaluateMixin
from mltk.model.mixins.train import TrainMixin as TrainMixin
from mltk.model.model import MltkModel as MltkModel
from mltk.model.operation import get_active_model as get_active_model
from mltk.model.operation import pop_active_model as pop_active_model
from mltk.model.operation import push_active_model as push_active_model
from mltk.model.operation import trigger_model_event as trigger_model_event
from mltk.operations.quantize import load_tflite_model as load_tflite_model
from mltk.sources.loading import load_mltk_model as load_mltk_model
from mltk.sources.loading import load_mltk_model_with_path as load_mltk_model_with_path
from mltk.sources.loading import load_tflite_or_keras_model as load_tflite_or_keras_model
from mltk.sources.search import find_model_specification_file as find_model_specification_file
from mltk.sources.search import list_mltk_models as list_mltk_models

KerasModel = Model
