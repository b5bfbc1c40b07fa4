"""`mltk doctor`: reading what nobody may run."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from mltk._namespace import known_plugins
from mltk.errors import ArchiveFileNotFoundError, FileFormatError, ModelNotFoundError, SpecificationError
from mltk.utils.model_archive import ModelArchive
from mltk_plugin_migrate.doctor import Finding, examine, examine_text

GOOD = """
import mltk.core as mltk_core
class MyModel(mltk_core.MltkModel, mltk_core.TrainMixin):
    pass
my_model = MyModel()
my_model.epochs = 3
"""
MARK = "open('mark', 'w').close()\nraise SystemExit('ran')\n"


def write(name, text):
    Path(name).write_text(text, encoding="utf-8")
    return Path(name)


def rules(report):
    return [f.rule for f in report.findings]


def test_a_finding_has_line_and_column_in_characters():
    text = GOOD + "words = 'äöü€'; my_model.epoch = 1\n"
    (finding,) = examine_text(text.encode()).findings
    assert finding == Finding(
        line=7,
        column=17,
        severity="error",
        rule="model-attribute",
        message="'epoch' is not a property of my_model. Did you mean 'epochs'?",
    )
    assert text.splitlines()[6][16:].startswith("my_model.epoch")


def test_a_property_of_a_mixin_that_is_not_inherited_is_named():
    report = examine_text((GOOD + "my_model.eval_shuffle = True\n").encode())
    assert (
        "It belongs to EvaluateClassifierMixin, which MyModel does not inherit." in report.findings[0].message
    )


def test_findings_come_in_the_order_of_the_lines():
    report = examine_text(
        b"import tf_keras\nmodel = x = 1\nmodel.fit(x, workers=2, max_queue_size=3)\nimport tensorflow_addons\n"
    )
    places = [(f.line, f.column) for f in report.findings]
    assert places == sorted(places)
    assert (report.count("error"), report.runs) == (4, False)


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        (b"x = 1\ny = (\n", 2, "Invalid Python: '(' was never closed."),
        (b"print 'x'\n", 1, "Invalid Python: "),
        (b"\x00", 1, "Invalid Python: "),
        (b"# coding: no-such-encoding\n", 1, "Invalid Python: "),
        (b"x = '\xff'\n", 1, "Invalid Python: "),
        (b"(" * 50_000, 1, "Invalid Python: "),
        (b"-" * 200_000 + b"1", 1, "Invalid Python: it is nested too deeply."),
    ],
    ids=["open", "python 2", "null", "encoding", "bytes", "parentheses", "deep"],
)
def test_what_is_no_python_is_one_line(text, line, message):
    (finding,) = examine_text(text).findings
    assert (finding.rule, finding.severity, finding.line) == ("syntax", "error", line)
    assert finding.message.startswith(message)
    assert "\n" not in finding.message


WORDS = [
    "my_model", "tf", "keras", "import", "from", "mltk", "mltk.core", "as", "MltkModel", "class", "def", "x", "y",
    "(", ")", "[", "]", "{", "}", ":", "=", ".", ",", "\n", "\n    ", "lambda", "return", "for", "in", "if", "'lr'",
    "'a'", "f'{x}'", "1", "None", "dict", "fit", "workers", "optimizer", "lr", "checkpoint", "layers", "*", "**",
    "@", "Input", "with", "try", "except", "update", "numpy", "float", "_", "é", "global x", "await", "del", ":=",
]  # fmt: skip


@given(
    st.one_of(
        st.binary(), st.text().map(str.encode), st.lists(st.sampled_from(WORDS)).map(" ".join).map(str.encode)
    )
)
@example("\ud800".encode("utf-8", "surrogatepass"))
@example(b"class A(A): pass\nclass B(C): pass\nclass C(B): pass\n")
@example(b"import mltk.core as m\nclass A(m.MltkModel, m.MltkModel): pass\na = A()\na.b\n")
@example(b"from mltk.core import *\nimport mltk\nmltk = mltk.mltk.mltk\n")
@example(b"a = b\nb = a\na.c()\n")
@example(b"hasattr(x, 1)\nmy.update(**{})\nx: int\nx[{}] = 1\n{**{}}\nopt.lr\n")
@settings(max_examples=300, deadline=None)
def test_no_text_is_too_odd(text):
    report = examine_text(text)
    for finding in report.findings:
        assert finding.line >= 1 and finding.column >= 1
        assert finding.message and "\n" not in finding.message


def test_long_expressions_are_no_problem():
    chained = (
        b"from tensorflow import keras\nimport tensorflow as tf\nx = keras.Input((1,))\ny = x"
        + b" + x" * 2000
    )
    assert "keras-symbolic-operation" in rules(examine_text(chained + b"\ntf.abs(y)\n"))
    assert examine_text(b"x = 1\nx" + b".f()" * 200 + b"\n").runs


# What is read


def test_a_name_a_path_and_an_archive_give_the_same():
    write("good_v1.py", GOOD + "my_model.epoch = 1\n")
    ModelArchive("good_v1.mltk.zip").update(
        {"good_v1.py": b"__mltk_version__ = '0.20.0'\n\n" + Path("good_v1.py").read_bytes()}
    )
    findings = examine("good_v1.py").findings
    assert [(f.line, f.rule) for f in findings] == [(7, "model-attribute")]
    assert examine("good_v1").findings == findings
    archived = examine("good_v1.mltk.zip")
    assert archived.findings == findings
    assert archived.path == "good_v1.mltk.zip/good_v1.py"


def test_modules_beside_the_specification_are_there():
    folder = Path("shelf")
    folder.mkdir()
    write(folder / "my_helper.py", "")
    text = (
        GOOD
        + "import my_helper\nfrom mltk.models.shelf.my_helper import x\nfrom mltk.models.shelf import my_helper\n"
    )
    spec = write(folder / "spec_v1.py", text)
    assert examine(spec).runs
    assert rules(examine_text(text.encode())) == ["package-missing", "mltk-name", "mltk-name"]


def test_what_cannot_be_read_is_one_line(tmp_path):
    with pytest.raises(ModelNotFoundError, match=r"no file no\.py"):
        examine("no.py")
    with pytest.raises(ModelNotFoundError, match="no model named 'nothing_v1'"):
        examine("nothing_v1")
    write("x.h5", "")
    with pytest.raises(SpecificationError, match=r"x\.h5 is not a model specification"):
        examine("x.h5")
    write("bad.mltk.zip", "no zip")
    with pytest.raises(FileFormatError, match="not a readable model archive"):
        examine("bad.mltk.zip")
    ModelArchive("empty.mltk.zip").update({"x": b""})
    with pytest.raises(ArchiveFileNotFoundError, match=r"does not contain 'empty\.py'"):
        examine("empty.mltk.zip")
    Path("large.py").write_bytes(b"#" * (5 << 20))
    with pytest.raises(FileFormatError, match="too large for a specification"):
        examine("large.py")


def test_the_name_of_the_file_must_be_a_models():
    assert rules(examine(write("my-model.py", GOOD))) == ["model-name"]
    assert examine(write("my_model.py", GOOD)).findings == ()
    assert "model-name" not in rules(examine(write("no-model.py", "import os\n")))


def test_a_file_of_commands_is_told_of_plugins():
    text = "from mltk import cli\n@cli.root_cli.command('mine')\ndef mine(): pass\n"
    assert "command-file" in rules(examine(write("mine_mltk_cli.py", text)))
    assert "command-file" not in rules(examine(write("mine.py", text)))


@pytest.mark.parametrize("name", ["mltk.core.AudioDatasetMixin", "mltk.core.preprocess.utils.image"])
def test_a_plugin_that_is_not_there_is_named_with_how_to_install_it(name, monkeypatch):
    monkeypatch.setattr("mltk._namespace.provided", dict)
    module, _, attribute = name.rpartition(".")
    # Another test may have imported it.
    monkeypatch.delitem(sys.modules, name, raising=False)
    if attribute in vars(sys.modules.get(module, sys)):
        monkeypatch.delattr(sys.modules[module], attribute)
    for text in (f"from {module} import {attribute}\n", f"import {module} as m\nx = m.{attribute}\n"):
        (finding,) = [f for f in examine_text(text.encode()).findings if f.rule == "plugin-missing"]
        assert finding.severity == "error"
        assert f"'{name}' is provided by the plugin '{known_plugins()['names'][name]}'" in finding.message


def test_a_blocked_plugin_is_said_to_be_blocked(monkeypatch):
    pytest.importorskip("mltk_plugin_image")
    monkeypatch.setenv("MLTK_BLOCK_PLUGINS", "*")
    (finding,) = [
        f
        for f in examine_text(b"from mltk.core import ImageDatasetMixin\n").findings
        if f.rule == "plugin-missing"
    ]
    assert "installed but blocked" in finding.message


# The command


def test_the_command_prints_a_line_for_each_finding_and_a_verdict(mltk_cli):
    good = write("good_v1.py", GOOD)
    bad = write("bad_v1.py", GOOD + "my_model.epoch = 1\nMyModel.layers[0].output_shape\n")
    result = mltk_cli.invoke(["doctor", good, bad])
    assert result.exit_code == 1
    assert result.stdout.splitlines() == [
        "good_v1.py: 0 errors, 0 differences, 0 hints. It will run.",
        "bad_v1.py:7:1: error: 'epoch' is not a property of my_model. Did you mean 'epochs'? [model-attribute]",
        "bad_v1.py:8:1: error: Layers of Keras 3 have no 'output_shape'. Use .input.shape or .output.shape; of a layer "
        "that is called several times, keep the tensors. (judged by its looks) [keras-layer-shape]",
        "bad_v1.py: 2 errors, 0 differences, 0 hints. It will not run as it is.",
    ]
    assert mltk_cli.invoke(["doctor", good]).exit_code == 0
    assert mltk_cli.invoke(["doctor"]).exit_code == 2
    assert (
        mltk_cli.invoke(["doctor", good, "nothing.py"]).stderr
        == "mltk: error: There is no file nothing.py.\n"
    )


def test_json_is_for_programs(mltk_cli):
    bad = write("bad_v1.py", GOOD + "my_model.epoch = 1\n")
    result = mltk_cli.invoke(["doctor", "--json", bad])
    assert result.exit_code == 1
    assert json.loads(result.stdout) == [
        {
            "path": "bad_v1.py",
            "findings": [
                {
                    "line": 7,
                    "column": 1,
                    "severity": "error",
                    "rule": "model-attribute",
                    "message": "'epoch' is not a property of my_model. Did you mean 'epochs'?",
                    "heuristic": False,
                }
            ],
            "runs": False,
        }
    ]


def test_neither_the_specification_nor_tensorflow_is_imported():
    write("helper.py", MARK)
    write(
        "marked_v1.py",
        MARK + "import helper\nimport mltk.core as c\nfrom mltk.core import *\nc.KerasModel\n" + GOOD,
    )
    ModelArchive("marked_v1.mltk.zip").update({"marked_v1.py": Path("marked_v1.py").read_bytes()})
    code = """
import sys
from mltk.cli.main import root_cli
root_cli(["doctor", "marked_v1.py", "marked_v1.mltk.zip"], standalone_mode=False)
print([m for m in ("tensorflow", "keras", "helper", "marked_v1") if sys.modules.get(m)])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout.splitlines()[-1] == "[]", done.stderr
    assert not Path("mark").exists()


def test_our_own_specifications_will_run():
    root = Path(__file__).parents[3]
    folders = [*root.glob("*/src/*/specs"), *root.glob("plugins/*/src/*/specs")]
    specs = [path for folder in folders for path in folder.glob("*.py") if path.name != "__init__.py"]
    assert specs
    for path in specs:
        assert [f for f in examine(path).findings if f.severity == "error"] == [], path
