"""Files that travel between this project and the reference, which runs in an environment of its own.

benchmarks/install_reference.sh FOLDER
MLTK_REFERENCE_PYTHON=FOLDER/bin/python pytest plugins/mltk_plugin_migrate/tests/dropin
"""

import importlib.util
import json
import os
import subprocess
import zipfile
from pathlib import Path

import numpy as np
import pytest

from mltk.core import TfliteModel, TfliteModelParameters, load_mltk_model, train_model
from mltk.keras.saving import load_keras_model, save_keras_model

ROOT = Path(__file__).parents[4]
PYTHON = os.environ.get("MLTK_REFERENCE_PYTHON", "")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not PYTHON, reason="MLTK_REFERENCE_PYTHON names no environment of the reference"),
    pytest.mark.timeout(1200),
]

PARAMETERS = {
    "bool": True,
    "small": 7,
    "large": 70_000,
    "huge": 2**40,
    "negative": -129,
    "half": 0.5,
    "zero": 0.0,
    "below_zero": -1.5,
    "text": "grüße",
    "names": ["a", "b"],
    "numbers": [1, -2, 300],
    "factors": [0.25, 1.5],
    "bytes": {"hex": "00ff10"},
}


def ask(requests):
    """Return the reference's answers."""
    done = subprocess.run(
        [PYTHON, str(Path(__file__).with_name("reference_side.py"))],
        input=json.dumps(requests),
        capture_output=True,
        text=True,
        check=False,
    )
    lines = [line for line in done.stdout.splitlines() if line.startswith("RESULT")]
    assert lines, done.stderr[-3000:]
    return json.loads(lines[-1].removeprefix("RESULT"))


def plain(parameters):
    return {k: v.hex() if isinstance(v, bytes) else v for k, v in parameters.items()}


@pytest.fixture(scope="module")
def shipped(tmp_path_factory):
    """The `.tflite` files of the archives that the reference ships."""
    folder = tmp_path_factory.mktemp("shipped")
    code = "import importlib.util as u; print(u.find_spec('mltk').submodule_search_locations[0])"
    package = subprocess.run([PYTHON, "-c", code], capture_output=True, text=True, check=True).stdout.strip()
    files = []
    for archive in sorted(Path(package, "models").rglob("*.mltk.zip")):
        name = archive.name.removesuffix(".mltk.zip") + ".tflite"
        with zipfile.ZipFile(archive) as file:
            files.append(Path(file.extract(name, folder)))
    assert len(files) == 16
    return files


def test_parameters_of_the_shipped_models_are_read_alike_and_written_byte_for_byte(shipped, tmp_path):
    given = {k: bytes.fromhex(v["hex"]) if isinstance(v, dict) else v for k, v in PARAMETERS.items()}
    theirs = [str(tmp_path / f"theirs_{path.name}") for path in shipped]
    ours = [str(tmp_path / f"ours_{path.name}") for path in shipped]
    for path, target in zip(shipped, ours, strict=True):
        parameters = TfliteModelParameters.load_from_tflite_file(str(path))
        parameters.update(given)
        parameters.add_to_tflite_file(str(path), output=target)
    answers = ask(
        {
            "read": [*map(str, shipped), *ours],
            "write": [[str(path), target, PARAMETERS] for path, target in zip(shipped, theirs, strict=True)],
        }
    )["read"]
    for path, our_file, their_file in zip(shipped, ours, theirs, strict=True):
        for name in (str(path), our_file):
            model = TfliteModel.load_flatbuffer_file(name)
            assert answers[name] == {
                "parameters": plain(TfliteModelParameters.load_from_tflite_model(model)),
                "description": model.description,
                "layers": [layer.opcode_str for layer in model.layers],
            }
        assert Path(our_file).read_bytes() == Path(their_file).read_bytes()


def test_the_reference_uses_our_archive(write_spec):
    path = write_spec()
    results = train_model(path)
    answers = ask({"archive": [results.model_archive_path]})["archive"][results.model_archive_path]
    model = load_mltk_model(path)
    assert answers["specification"] == 3
    assert answers["parameters"] == plain(
        TfliteModelParameters.load_from_tflite_file(model.tflite_log_dir_path)
    )
    predicted = load_keras_model(model.h5_log_dir_path).predict_on_batch(np.ones((1, 8, 8, 1), np.float32))
    assert answers["h5"] == pytest.approx(predicted[0].tolist(), abs=1e-5)


def test_the_reference_reads_our_h5_files(tmp_path):
    spec = importlib.util.spec_from_file_location("written", ROOT / "tests/keras/test_keras2_config.py")
    written = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(written)
    expected = {}
    for i, network in enumerate(written.networks()):
        network.compile("adam", "mse", metrics=["mae"])
        path = str(tmp_path / f"{i}.h5")
        save_keras_model(network, path)
        x = [np.ones((1, *t.shape[1:]), np.float32) for t in network.inputs]
        expected[path] = network.predict(x if len(x) > 1 else x[0], verbose=0)[0]
    answers = ask({"h5": list(expected)})["h5"]
    for path, prediction in expected.items():
        np.testing.assert_allclose(answers[path], prediction, atol=1e-5)
