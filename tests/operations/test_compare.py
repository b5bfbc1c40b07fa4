"""`mltk compare`: models side by side, without running anything of theirs."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from mltk.core import compare_models, evaluate_model, load_mltk_model
from mltk.errors import ArchiveFileNotFoundError, FileFormatError, ModelNotFoundError, SpecificationError
from mltk.plugins import Profiler, hookimpl
from mltk.results.profiling import ProfilingModelResults
from mltk.tflite import TfliteModel
from mltk.utils.model_archive import ModelArchive

pytestmark = pytest.mark.usefixtures("mltk_plugin_manager")

CONV = Path(__file__).parents[1] / "tflite" / "data" / "conv_int8.tflite"


def archived(trained, name):
    return json.loads(ModelArchive(trained.work / "tiny_v1.mltk.zip").read(name))


def test_a_trained_model_and_a_bare_file_are_put_side_by_side(trained):
    ours, bare = compare_models(["tiny_v1.mltk.zip", CONV]).models
    int8 = archived(trained, "eval/tflite/eval-results.json")
    model = TfliteModel.load_flatbuffer_file(trained.cache / "models/tiny_v1/tiny_v1.tflite")
    assert (ours.name, ours.version, ours.tflite_size) == ("tiny_v1", 3, model.flatbuffer_size)
    assert list(ours.evaluations) == ["h5", "tflite"]
    assert ours.evaluations["tflite"].accuracy == int8["overall_accuracy"]
    assert ours.evaluations["tflite"].roc_auc == int8["roc_auc_avg"]
    assert ours.evaluations["tflite"].class_accuracies == dict(
        zip(int8["classes"], int8["class_accuracies"], strict=True)
    )
    assert (bare.name, bare.version, bare.evaluations) == ("conv_int8", None, {})
    assert (bare.macs, bare.n_layers) == (3618, 11)


@pytest.mark.parametrize("how", ["tiny_v1", "tiny_v1.py", "tiny_v1.mltk.zip", "object"])
def test_a_model_may_be_named_in_every_way(trained, how):
    given = load_mltk_model("tiny_v1") if how == "object" else how
    (found,) = compare_models([given]).models
    (expected,) = compare_models([trained.work / "tiny_v1.mltk.zip"]).models
    assert found.evaluations == expected.evaluations
    assert found.tflite_size == expected.tflite_size


def test_results_that_are_not_in_the_archive_come_from_the_log_folder(trained):
    archive = ModelArchive(trained.work / "tiny_v1.mltk.zip")
    archive.update({}, remove=["eval/tflite/"])
    assert list(compare_models(["tiny_v1.mltk.zip"]).models[0].evaluations) == ["h5"]
    assert set(compare_models(["tiny_v1"]).models[0].evaluations) == {"h5", "tflite"}


def test_the_evaluation_of_a_bare_file_is_found(trained):
    tflite = trained.cache / "models/tiny_v1/tiny_v1.tflite"
    x, y = load_mltk_model("tiny_v1").dataset(subset="evaluation")
    np.savez("data.npz", x=x, y=y)
    accuracy = evaluate_model(str(tflite), data="data.npz").overall_accuracy
    assert compare_models([tflite]).models[0].evaluations["tflite"].accuracy == accuracy


def test_memory_is_what_the_file_says_else_what_the_default_profiler_measures(trained, mltk_plugin_manager):
    class Plugin:
        @hookimpl
        def mltk_profilers(self):
            return [Profiler("measuring", "", self.profile, default=True)]

        def profile(self, model):
            return ProfilingModelResults(model, "simulated", runtime_memory_bytes=4711)

    assert compare_models([CONV]).models[0].runtime_memory_size is None
    mltk_plugin_manager.register(Plugin(), "measuring")
    assert compare_models([CONV]).models[0].runtime_memory_size == 4711
    model = TfliteModel.load_flatbuffer_file(CONV)
    from mltk.tflite.parameters import TfliteModelParameters

    TfliteModelParameters({"runtime_memory_size": 3472}).add_to_tflite_model(model)
    model.save("said.tflite")
    assert compare_models(["said.tflite"]).models[0].runtime_memory_size == 3472


def test_nothing_of_an_archive_is_run(trained):
    mark = trained.work / "mark"
    archive = ModelArchive("tiny_v1.mltk.zip")
    archive.update({"tiny_v1.py": f"__import__('pathlib').Path({str(mark)!r}).touch()".encode()})
    Path("tiny_v1.py").unlink()
    assert compare_models(["tiny_v1.mltk.zip", "tiny_v1"]).models[0].evaluations
    assert not mark.exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"{", "h5 of tiny_v1.mltk.zip cannot be read"), (b"[1]", "are no mapping"), (b"\xff", "as JSON")],
)
def test_damaged_results_are_named(trained, content, message):
    ModelArchive("tiny_v1.mltk.zip").update({"eval/h5/eval-results.json": content})
    with pytest.raises(FileFormatError, match=message):
        compare_models(["tiny_v1.mltk.zip"])


def test_results_of_another_form_count_as_unknown(trained):
    strange = {
        "overall_accuracy": "high",
        "classes": ["a"],
        "class_accuracies": [0.5, 0.5],
        "roc_auc_avg": True,
    }
    ModelArchive("tiny_v1.mltk.zip").update({"eval/h5/eval-results.json": json.dumps(strange).encode()})
    found = compare_models(["tiny_v1.mltk.zip"]).models[0].evaluations["h5"]
    assert (found.accuracy, found.class_accuracies, found.roc_auc) == (None, None, None)


def test_what_cannot_be_compared_is_refused(write_spec):
    with pytest.raises(SpecificationError, match="nothing to compare"):
        compare_models([])
    with pytest.raises(ModelNotFoundError, match="nothing_v1"):
        compare_models([CONV, "nothing_v1"])
    write_spec()
    with pytest.raises(ArchiveFileNotFoundError, match="mltk train tiny_v1"):
        compare_models(["tiny_v1"])
    Path("damaged.tflite").write_bytes(CONV.read_bytes()[:2000])
    with pytest.raises(FileFormatError, match=r"damaged\.tflite"):
        compare_models(["damaged.tflite"])


def test_the_command_shows_a_table_or_json(trained, cli):
    shutil.copy("tiny_v1.mltk.zip", "other.mltk.zip")
    table = cli.invoke(["compare", "tiny_v1.mltk.zip", CONV]).stdout
    heading = table.splitlines()[1]
    assert [cell.strip() for cell in heading.split("|")] == ["", "", "tiny_v1", "conv_int8", ""]
    (row,) = [line for line in table.splitlines() if "Accuracy, tflite" in line]
    accuracy = archived(trained, "eval/tflite/eval-results.json")["overall_accuracy"]
    assert [cell.strip() for cell in row.split("|")][2:4] == [f"{accuracy:.3%}", "-"]
    assert "  7, h5" in table
    content = json.loads(cli.invoke(["compare", "tiny_v1", CONV, "--json"]).stdout)
    assert content == compare_models(["tiny_v1", str(CONV)]).to_dict()


def test_models_of_one_name_are_headed_by_what_was_given(trained):
    Path("new").mkdir()
    shutil.copy("tiny_v1.mltk.zip", "new/tiny_v1.mltk.zip")
    heading = str(compare_models(["tiny_v1.mltk.zip", "new/tiny_v1.mltk.zip"])).splitlines()[1]
    assert "| tiny_v1.mltk.zip | new/tiny_v1.mltk.zip |" in heading


@pytest.mark.parametrize(
    ("args", "code", "message"),
    [
        ([], 2, "Missing argument"),
        (["nothing_v1"], 1, "no model named 'nothing_v1'"),
        (["no.tflite"], 1, "no file no.tflite"),
    ],
    ids=["nothing", "name", "file"],
)
def test_a_wrong_call_is_said(cli, args, code, message):
    result = cli.invoke(["compare", *args])
    assert result.exit_code == code
    assert message in result.stderr


def test_comparing_loads_no_tensorflow(trained):
    code = """
import sys
from mltk.cli.main import main
sys.argv = ["mltk", "compare", "tiny_v1.mltk.zip"]
try:
    main()
except SystemExit as e:
    assert not e.code, e.code
assert not {"tensorflow", "keras", "matplotlib"} & set(sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
