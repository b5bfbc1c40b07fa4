from mltk.keras.environment import import_tensorflow as import_tensorflow
from mltk.keras.environment import seed_everything as seed_everything
from mltk.keras.metrics import keras_model_metrics as keras_model_metrics
from mltk.keras.predictor import KerasPredictor as KerasPredictor
from mltk.keras.saving import load_keras_model as load_keras_model
from mltk.keras.saving import save_keras_model as save_keras_model
