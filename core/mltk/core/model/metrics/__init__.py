"""How many multiplications and operations one inference of a model takes."""

from mltk.core.model.metrics.keras_metrics import keras_model_metrics
from mltk.core.model.metrics.tflite_metrics import tflite_layer_metrics, tflite_model_metrics
from mltk.core.model.metrics.types import LayerMetrics, ModelMetrics

__all__ = [
    "LayerMetrics",
    "ModelMetrics",
    "keras_model_metrics",
    "tflite_layer_metrics",
    "tflite_model_metrics",
]
