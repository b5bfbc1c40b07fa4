"""What a stranger wrote into a file is shown, and neither obeyed by the terminal nor taken at its word."""

import json
import re
import zipfile
from pathlib import Path

import pytest

from mltk.errors import FileFormatError, MltkError, ModelNotFoundError
from mltk.testing.pytest_plugin import MltkCli
from mltk.tflite import TfliteModel
from mltk.tflite.parameters import TfliteModelParameters
from mltk.utils.model_archive import ModelArchive
from mltk.utils.string_formatting import printable

CONV = Path(__file__).parents[1] / "tflite" / "data" / "conv_int8.tflite"
# Clears the screen, sets the window's title, does both with one byte each, turns writing round, and ends a line.
EVIL = "evil\x1b[2J\x1b]0;title\x07\x9b2J\u202egnp.exe\rover\x08\x00é漢"
ACTS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]")


@pytest.fixture
def evil_model(private_home):
    """An archive and a `.tflite` in it that hold such a text wherever there is room for one."""
    model = TfliteModel(CONV.read_bytes(), "evil.tflite")
    model.description = EVIL
    model.flatbuffer_subgraph.tensors[0].name = EVIL.encode()
    parameters = TfliteModelParameters(
        {"name": EVIL, "classes": [EVIL, "b", "c"], EVIL: EVIL, "author": EVIL, "date": EVIL}
    )
    parameters.add_to_tflite_model(model)
    model.save()
    specification = f"# @mltk_model\nfrom mltk.core import MltkModel\nimport nothing_{'x'}\n"
    results = f'{{"classes": ["{EVIL.encode("unicode_escape").decode()}"], "class_accuracies": [0.5]}}'
    ModelArchive(private_home / "evil.mltk.zip").update(
        {
            "evil.py": (specification + f"# {EVIL}\nmy_model = MltkModel(); '{EVIL}").encode(),
            "evil.tflite": Path("evil.tflite"),
            "evil.h5.summary.txt": EVIL.encode(),
            "eval/tflite/eval-results.json": results.replace("\\x", "\\u00").encode(),
        }
    )
    return private_home


@pytest.mark.parametrize(
    "words",
    [
        ["summarize", "evil.tflite"],
        ["summarize", "evil.mltk.zip"],
        ["summarize", "evil.mltk.zip", "--tflite"],
        ["profile", "evil.tflite", "--full-summary"],
        ["compare", "evil.tflite", "evil.mltk.zip"],
        ["compare", "evil.tflite", "--json"],
        ["update_params", "evil.tflite", "a=1"],
        ["update_params", "evil.mltk.zip", f"a={EVIL.replace(chr(0), '')}"],
        ["doctor", "evil.mltk.zip"],
        ["quantize", "evil.mltk.zip"],
    ],
    ids=" ".join,
)
def test_names_and_descriptions_do_nothing_to_the_terminal(words, evil_model):
    result = MltkCli(evil_model).invoke(words)
    assert result.exit_code in (0, 1), result.stderr
    assert result.stdout + result.stderr
    assert not ACTS.search(result.stdout), ascii(result.stdout)
    assert not ACTS.search(result.stderr), ascii(result.stderr)


def test_messages_and_tables_do_nothing_to_the_terminal(capsys):
    from mltk.cli import print_error, print_table, print_text, print_warning

    for show in (print_error, print_text, print_warning):
        show(EVIL)
    # What `mltk plugins list` shows: names of others' distributions, and their errors.
    print_table(("Name",), [(EVIL,)])
    shown = "".join(capsys.readouterr())
    assert shown.count("evil\\x1b[2J") == 4
    assert not ACTS.search(shown), ascii(shown)


def test_what_is_shown_keeps_other_scripts_and_lines():
    assert printable("é漢字 \N{ZERO WIDTH JOINER}🙂") == "é漢字 \N{ZERO WIDTH JOINER}🙂"
    assert printable("a\n\tb\x1b", lines=True) == "a\n\tb\\x1b"
    assert printable("a\nb\ud800") == r"a\nb\ud800"
    error = MltkError("one\ntwo\x1b[0m")
    assert (str(error), error.args) == (r"one\ntwo\x1b[0m", (r"one\ntwo\x1b[0m",))
    assert str(ModelNotFoundError("a\rb")) == r"a\rb"


@pytest.mark.parametrize("value", [5, -1, 0.5, "x", b"\xff", [1, 2], ["a"], [0.5], True], ids=repr)
def test_parameters_of_the_wrong_type_are_described_or_refused_in_one_line(value, private_home):
    keys = ("name", "version", "classes", "hash", "date", "runtime_memory_size", "author", "description")
    parameters = TfliteModelParameters(dict.fromkeys(keys, value))
    parameters.add_to_tflite_file(CONV, "m.tflite")
    for words in (["summarize"], ["profile"], ["compare"], ["update_params"]):
        more = ["a=1"] if words == ["update_params"] else []
        result = MltkCli(private_home).invoke([*words, "m.tflite", *more])
        assert result.exit_code in (0, 1)
        assert result.exit_code == 0 or len(result.stderr.splitlines()) == 1, result.stderr


@pytest.mark.slow
def test_keras_files_that_are_bombs_or_read_other_files_are_refused_in_one_line(private_home):
    h5py = pytest.importorskip("h5py")
    import keras

    from mltk.core import load_tflite_or_keras_model

    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    model.save("sound.keras")
    model.save("linked.h5")
    (private_home / "secret").write_bytes(bytes(8))
    with h5py.File("linked.h5", "r+") as file:
        found: list[str] = []
        file.visititems(lambda name, item: found.append(name) if isinstance(item, h5py.Dataset) else None)
        kernel = next(name for name in found if "kernel" in name)
        del file[kernel]
        file.create_dataset(kernel, (2, 1), "f4", external=[("secret", 0, 8)])
    with zipfile.ZipFile("sound.keras") as sound:
        content = {name: sound.read(name) for name in sound.namelist()}
    for name, config in {
        "deep.keras": b"[" * 200_000,
        "zeros.keras": bytes(200 << 20),
        "list.keras": b"[]",
        "none.keras": b"{}",
    }.items():
        with zipfile.ZipFile(name, "w", zipfile.ZIP_DEFLATED) as file:
            for member, data in (content | {"config.json": config}).items():
                file.writestr(member, data)
    Path("cut.keras").write_bytes(Path("sound.keras").read_bytes()[:-300])
    Path("cut.h5").write_bytes(Path("linked.h5").read_bytes()[:-4000])
    load_tflite_or_keras_model("sound.keras")
    for name in ("deep.keras", "zeros.keras", "list.keras", "none.keras", "cut.keras", "linked.h5", "cut.h5"):
        with pytest.raises(FileFormatError, match=re.escape(name)) as caught:
            load_tflite_or_keras_model(name)
        assert len(str(caught.value).splitlines()) == 1


def keras_variant(path: Path, change) -> Path:
    """Write a small `.keras` file whose description `change` changes."""
    import keras

    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    model.compile("adam", "mse", metrics=["mae"])
    model.save(path)
    with zipfile.ZipFile(path) as sound:
        content = {name: sound.read(name) for name in sound.namelist()}
    config = json.loads(content["config.json"])
    change(config)
    content["config.json"] = json.dumps(config).encode()
    with zipfile.ZipFile(path, "w") as file:
        for member, data in content.items():
            file.writestr(member, data)
    return path


def layer(name, **settings):
    def change(config):
        config["config"]["layers"][1] = {
            "module": "keras.layers",
            "class_name": name,
            "config": {"name": "evil", **settings},
            "registered_name": None,
        }

    return change


def metric(name, **settings):
    def change(config):
        config["compile_config"]["metrics"] = [
            {"module": "keras.metrics", "class_name": name, "config": settings, "registered_name": None}
        ]

    return change


@pytest.mark.slow
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (layer("Dense", units=10**9), "needs more than 8,000 MB"),
        (layer("Embedding", input_dim=10**9, output_dim=100), "needs more than 400,000 MB"),
        (metric("MeanIoU", num_classes=10**6), "needs more than 4,000,000 MB"),
        (metric("AUC", num_thresholds=10**9), "1,000,000,000 thresholds"),
        (layer("StringLookup", vocabulary="/etc/passwd"), "refers to another file, '/etc/passwd'"),
        (layer("TFSMLayer", filepath="/etc"), "refers to a SavedModel"),
    ],
    ids=["dense", "embedding", "metric", "thresholds", "vocabulary", "saved-model"],
)
def test_a_short_keras_file_takes_little_memory_and_reads_nothing_else(change, message, private_home):
    path = keras_variant(private_home / "evil.keras", change)
    result = MltkCli(private_home).invoke(["summarize", str(path)])
    assert result.exit_code == 1
    assert message in result.stderr
    assert len(result.stderr.splitlines()) == 1
    # The command has no such option.
    assert "--trust" not in result.stderr


@pytest.mark.slow
def test_a_short_h5_file_takes_little_memory(private_home):
    import h5py
    import keras

    from mltk.core import load_tflite_or_keras_model

    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    model.save("wide.h5")
    model.save("hollow.h5")
    with h5py.File("wide.h5", "r+") as file:
        text = file.attrs["model_config"].replace('"units": 1', '"units": 1000000000')
        file.attrs["model_config"] = text
    with h5py.File("hollow.h5", "r+") as file:
        file.create_dataset("nothing", (100_000, 100_000), "f4", chunks=(1024, 1024))
    with pytest.raises(FileFormatError, match=r"wide\.h5 describes a network that needs more than 8,000 MB"):
        load_tflite_or_keras_model("wide.h5")
    with pytest.raises(FileFormatError, match=r"hollow\.h5 has arrays of 40,000 MB"):
        load_tflite_or_keras_model("hollow.h5")


@pytest.mark.slow
def test_what_keras_refuses_is_named_and_trust_is_advised_where_it_helps(private_home):
    from mltk.core import load_tflite_or_keras_model

    refused = keras_variant(private_home / "refused.keras", layer("StringLookup", vocabulary="/etc/passwd"))
    with pytest.raises(FileFormatError, match=r"'/etc/passwd'.*trust=True"):
        load_tflite_or_keras_model(refused)
    # Not even trust lets Keras load a function that is no layer.
    no_layer = keras_variant(
        private_home / "no_layer.keras", lambda config: config.update(module="os", class_name="system")
    )
    with pytest.raises(FileFormatError) as caught:
        load_tflite_or_keras_model(no_layer)
    assert "trust" not in str(caught.value)
