"""What the reference says and writes; runs in its own environment: `python reference_side.py < requests.json`.

Prints one line, `RESULT` and a JSON object of the answers to the requests. TensorFlow writes to stdout as well.
"""

import json
import os
import sys

os.environ["TF_USE_LEGACY_KERAS"] = "0"

import numpy as np

from mltk.core import (
    TfliteModel,
    TfliteModelParameters,
    load_mltk_model,
    load_tflite_model,
    load_tflite_or_keras_model,
)


def plain(parameters):
    return {k: v.hex() if isinstance(v, (bytes, bytearray)) else v for k, v in parameters.items()}


def value(v):
    return bytes.fromhex(v["hex"]) if isinstance(v, dict) else v


def read(path):
    model = TfliteModel.load_flatbuffer_file(path)
    return {
        "parameters": plain(TfliteModelParameters.load_from_tflite_file(path)),
        "description": model.description,
        "layers": [layer.opcode_str for layer in model.layers],
    }


def write(source, target, parameters):
    model = TfliteModelParameters.load_from_tflite_file(source)
    for k, v in parameters.items():
        model[k] = value(v)
    model.add_to_tflite_file(source, output=target)


def archive(path):
    """Use an archive in every way; the answer to each is what came of it, or the error."""
    answers = {}
    attempts = {
        "specification": lambda: load_mltk_model(path).version,
        "parameters": lambda: plain(TfliteModelParameters.load_from_tflite_model(load_tflite_model(path))),
        "h5": lambda: predict(load_tflite_or_keras_model(load_mltk_model(path), model_type="h5")),
    }
    for name, attempt in attempts.items():
        try:
            answers[name] = attempt()
        except Exception as e:
            answers[name] = f"{type(e).__name__}: {' '.join(str(e).split())[:300]}"
    return answers


def predict(keras_model):
    x = [np.ones((1, *tensor.shape[1:]), np.float32) for tensor in keras_model.inputs]
    return keras_model.predict(x if len(x) > 1 else x[0], verbose=0)[0].tolist()


def main():
    requests = json.load(sys.stdin)
    answers = {
        "read": {path: read(path) for path in requests.get("read", [])},
        "h5": {path: predict(load_tflite_or_keras_model(path)) for path in requests.get("h5", [])},
        "archive": {path: archive(path) for path in requests.get("archive", [])},
    }
    for arguments in requests.get("write", []):
        write(*arguments)
    print("RESULT" + json.dumps(answers))


if __name__ == "__main__":
    main()
