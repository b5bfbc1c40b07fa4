from keras import Model
from keras.utils import PyDataset
from keras.utils import array_to_img as array_to_img
from keras.utils import img_to_array as img_to_array
from keras.utils import load_img as load_img
from tensorflow.keras.preprocessing.image import ImageDataGenerator as ImageDataGenerator
from tensorflow.keras.preprocessing.image import Iterator

from mltk.keras.saving import load_keras_model as load_keras_model

DataSequence = PyDataset
ImageIterator = Iterator
KerasModel = Model
