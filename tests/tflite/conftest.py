from pathlib import Path

import pytest

DATA = Path(__file__).parent / "data"


@pytest.fixture
def model_path():
    """Gives the path of a model of the data folder."""
    return lambda name: DATA / f"{name}.tflite"


@pytest.fixture
def load(model_path):
    """Loads a model of the data folder."""
    from mltk.tflite import TfliteModel

    return lambda name="conv_int8": TfliteModel.load_flatbuffer_file(model_path(name))
