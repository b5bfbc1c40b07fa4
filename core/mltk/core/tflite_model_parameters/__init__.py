"""Parameters that travel with a model, inside its `.tflite` file."""

from mltk.core.tflite_model_parameters._dictionary import DTYPES
from mltk.core.tflite_model_parameters.defaults import add_default_parameters
from mltk.core.tflite_model_parameters.parameters import TFLITE_METADATA_TAG, TfliteModelParameters

__all__ = ["DTYPES", "TFLITE_METADATA_TAG", "TfliteModelParameters", "add_default_parameters"]
