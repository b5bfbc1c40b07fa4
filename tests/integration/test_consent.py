"""Looking at a stranger's files runs nothing from them."""

import shutil
import webbrowser
from pathlib import Path

import pytest

from mltk.testing.pytest_plugin import MltkCli
from mltk.utils.model_archive import ModelArchive

CONV = Path(__file__).parents[1] / "tflite" / "data" / "conv_int8.tflite"
NAME = "stranger_v1"


@pytest.fixture(scope="module")
def keras_files(tmp_path_factory):
    """A Keras model whose Lambda layer leaves a mark when it is loaded, in both formats."""
    import keras

    folder = tmp_path_factory.mktemp("keras")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLTK_TEST_MARK", str(folder / "mark"))
        model = keras.Sequential([keras.Input((2,)), keras.layers.Lambda(_lambda()), keras.layers.Dense(1)])
        model.save(folder / f"{NAME}.keras")
        model.save(folder / f"{NAME}.h5")
    return folder


def _lambda():
    # A lambda, not a function by name: its code is what the file holds.
    return lambda x: (
        __import__("os").makedirs(__import__("os").environ["MLTK_TEST_MARK"], exist_ok=True),
        x,
    )[1]


@pytest.fixture
def mark(monkeypatch, tmp_path):
    path = tmp_path / "mark"
    monkeypatch.setenv("MLTK_TEST_MARK", str(path))
    return path


@pytest.fixture
def stranger(keras_files, private_home, mark):
    """An archive, and the files in it, that leave a mark when something of them runs."""
    specification = f"import os\nos.makedirs({str(mark)!r})\nraise SystemExit('ran')\n"
    for ending in (".keras", ".h5"):
        shutil.copy(keras_files / f"{NAME}{ending}", private_home)
    shutil.copy(CONV, private_home / f"{NAME}.tflite")
    ModelArchive(private_home / f"{NAME}.mltk.zip").update(
        {
            f"{NAME}.py": specification.encode(),
            "helper.py": specification.encode(),
            "conftest.py": specification.encode(),
            f"{NAME}.h5.summary.txt": b"A model.",
            **{
                f"{NAME}{ending}": private_home / f"{NAME}{ending}" for ending in (".keras", ".h5", ".tflite")
            },
        }
    )
    return private_home


ARCHIVE = f"{NAME}.mltk.zip"
# With the exit codes: 1 where there is nothing to show, or a Lambda layer is refused.
LOOKS = [
    (0, ["summarize", ARCHIVE]),
    (0, ["summarize", ARCHIVE, "--tflite"]),
    (0, ["summarize", NAME, "--tflite"]),
    (0, ["summarize", f"{NAME}.tflite"]),
    (1, ["summarize", f"{NAME}.keras"]),
    (1, ["summarize", f"{NAME}.h5"]),
    (0, ["profile", ARCHIVE]),
    (0, ["profile", NAME]),
    (0, ["profile", f"{NAME}.tflite"]),
    (0, ["update_params", ARCHIVE, "a=1"]),
    (0, ["update_params", f"{NAME}.tflite", "a=1"]),
    (1, ["compile", ARCHIVE, "-a", "none"]),
    (0, ["view", ARCHIVE, "-p", "0"]),
    (0, ["view", ARCHIVE, "-p", "0", "--tflite"]),
    (0, ["view", NAME, "-p", "0"]),
    (0, ["view", f"{NAME}.keras", "-p", "0"]),
    (0, ["view", f"{NAME}.h5", "-p", "0"]),
    (1, ["tensorboard", ARCHIVE]),
    (1, ["tensorboard", NAME]),
    (0, ["doctor", ARCHIVE]),
    (0, ["doctor", NAME, "--json"]),
    (0, ["plugins", "list"]),
]
NEED_CONSENT = [
    ["train", ARCHIVE],
    ["quantize", ARCHIVE],
    ["evaluate", ARCHIVE],
    ["custom", ARCHIVE, "x"],
    ["summarize", ARCHIVE, "--build"],
    ["profile", ARCHIVE, "--build"],
    ["view", ARCHIVE, "--build"],
    ["quantize", NAME],
]
# A yes that nobody gave must not be read from a pipe.
ANSWER = "y\n"


@pytest.mark.parametrize(
    ("exit_code", "words"), LOOKS, ids=lambda x: " ".join(x) if isinstance(x, list) else ""
)
def test_looking_runs_nothing(exit_code, words, stranger, mark, monkeypatch):
    def interrupt(url):
        raise KeyboardInterrupt

    if words[0] == "view":
        pytest.importorskip("netron")
        # The page is served by then; this ends the command.
        monkeypatch.setattr(webbrowser, "open", interrupt)
    before = sorted(Path.cwd().iterdir())
    result = MltkCli(stranger).invoke(words, input=ANSWER)
    assert not mark.exists()
    assert result.exit_code == exit_code, result.stderr
    assert sorted(Path.cwd().iterdir()) == before


@pytest.mark.parametrize("words", NEED_CONSENT, ids=" ".join)
def test_what_would_run_something_asks_first_and_says_what(words, stranger, mark):
    result = MltkCli(stranger).invoke(words, input=ANSWER)
    assert not mark.exists()
    assert result.exit_code == 1
    assert f"{NAME}.py" in result.stderr or "cannot be built" in result.stderr
    assert len(result.stderr.splitlines()) == 1


def test_with_consent_it_runs_so_these_tests_can_fail(stranger, mark):
    result = MltkCli(stranger).invoke(["quantize", ARCHIVE, "--trust"])
    assert mark.is_dir()
    assert "ends the program" in result.stderr


@pytest.mark.parametrize("ending", [".keras", ".h5"])
def test_the_keras_files_leave_a_mark_when_they_are_trusted(stranger, mark, ending):
    from mltk.core import load_tflite_or_keras_model

    load_tflite_or_keras_model(f"{NAME}{ending}", trust=True)
    assert mark.is_dir()
