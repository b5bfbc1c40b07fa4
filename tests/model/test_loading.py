import os
import subprocess
import sys
from pathlib import Path

import pytest

from mltk.core import MltkModel, list_mltk_models, load_mltk_model
from mltk.errors import FileFormatError, ModelNotFoundError, SpecificationError, TrustError
from mltk.sources.search import find_model_specification_file
from mltk.utils.model_archive import ModelArchive

LIGHT_SPEC = """
# @mltk_model
from mltk.core import MltkModel, TrainMixin

class MyModel(MltkModel, TrainMixin):
    pass

my_model = MyModel()
my_model.version = 2
"""


def put(folder: Path, name: str, text: str = LIGHT_SPEC) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    path.write_text(text)
    return path


@pytest.mark.parametrize(
    ("text", "listed"),
    [
        ("# @mltk_model\n", True),
        ("x = 1\n   @mltk_model here\n", True),
        ("x = 1  # @mltk_model", True),
        ("#@mltk_model\n", True),
        ("# my@mltk_model\n", False),
        ("# @mltk_models\n", False),
        ("# nothing\n", False),
    ],
    ids=[
        "line",
        "indented",
        "last-line-without-newline",
        "without-space",
        "part-of-word",
        "longer-word",
        "no-tag",
    ],
)
def test_tag_in_the_text_makes_a_script_a_model(private_home, text, listed):
    put(
        private_home,
        "m_v1.py",
        text + "raise SystemExit('listing must not import')" * ("x = 1" not in text and "\n" in text),
    )
    assert ("m_v1" in list_mltk_models()) is listed


def test_search_path_order_is_settings_current_folder_variable(private_home, tmp_path, monkeypatch):
    settings, variable = tmp_path / "a", tmp_path / "b"
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / "user_settings.yaml").write_text(f"model_paths: [{settings}]\n")
    monkeypatch.setenv("MLTK_MODEL_PATHS", str(variable))
    last = put(variable / "deep" / "deeper", "m_v1.py")
    assert find_model_specification_file("m_v1") == str(last)
    middle = put(private_home, "m_v1.py")
    assert find_model_specification_file("m_v1") == str(middle)
    first = put(settings / "sub", "m_v1.py")
    assert find_model_specification_file("m_v1") == str(first)


def test_current_folder_is_not_searched_recursively(private_home):
    put(private_home / "sub", "m_v1.py")
    assert find_model_specification_file("m_v1") is None
    assert "m_v1" not in list_mltk_models()


def test_listing_stops_after_five_levels_but_finding_by_name_does_not(tmp_path, monkeypatch):
    monkeypatch.setenv("MLTK_MODEL_PATHS", str(tmp_path / "models"))
    put(tmp_path / "models/1/2/3/4/5", "near_v1.py")
    far = put(tmp_path / "models/1/2/3/4/5/6", "far_v1.py")
    names = list_mltk_models()
    assert "near_v1" in names
    assert "far_v1" not in names
    assert find_model_specification_file("far_v1") == str(far)


def test_links_that_go_in_circles_end(tmp_path, monkeypatch):
    models = tmp_path / "models"
    put(models / "a", "m_v1.py")
    (models / "a" / "again").symlink_to(models)
    monkeypatch.setenv("MLTK_MODEL_PATHS", str(models))
    assert list_mltk_models().count("m_v1") == 1


def test_pipes_devices_and_large_files_are_passed_over(private_home):
    os.mkfifo(private_home / "pipe_v1.py")
    os.mkfifo(private_home / "pipe_v1.mltk.zip")
    (private_home / "endless_v1.py").symlink_to("/dev/zero")
    (private_home / "itself_v1.py").symlink_to("itself_v1.py")
    large = put(private_home, "large_v1.py", "# @mltk_model\n")
    os.truncate(large, 20 << 30)
    # In a process of its own: it would wait for ever, or take all memory.
    code = """if True:
        import resource
        from mltk.core import list_mltk_models, load_mltk_model
        names = ("pipe_v1", "endless_v1", "itself_v1", "large_v1")
        resource.setrlimit(resource.RLIMIT_AS, (4 << 30, 4 << 30))
        print([name for name in list_mltk_models() if name in names])
        for name in names:
            try:
                load_mltk_model(name)
            except Exception as e:
                print(type(e).__name__, e)
    """
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    lines = result.stdout.splitlines()
    assert lines[0] == "[]", result.stderr
    assert [line.split()[0] for line in lines[1:]] == ["ModelNotFoundError"] * 3 + ["SpecificationError"]
    assert "larger than 8 MB" in lines[-1]


def test_archives_are_listed_and_those_of_trial_runs_only_on_request(private_home):
    (private_home / "one.mltk.zip").touch()
    (private_home / "two-test.mltk.zip").touch()
    assert {"one", "two"} & set(list_mltk_models()) == {"one"}
    assert list_mltk_models(test=True) == ["two"]


def test_missing_folders_on_the_path_are_passed_over(monkeypatch):
    monkeypatch.setenv("MLTK_MODEL_PATHS", os.pathsep.join(["/nowhere/at/all", ""]))
    list_mltk_models()


def test_settings_file_that_is_no_yaml_is_named(tmp_path):
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / "user_settings.yaml").write_text("a: [1\n")
    with pytest.raises(FileFormatError, match=r"user_settings\.yaml cannot be read as YAML"):
        list_mltk_models()


def test_model_loads_by_name_by_path_and_as_itself(private_home):
    path = put(private_home, "m_v1.py")
    by_name = load_mltk_model("m_v1")
    by_path = load_mltk_model(str(path))
    assert (by_name.name, by_name.version) == (by_path.name, by_path.version) == ("m_v1", 2)
    assert by_name.model_specification_path == str(path)
    assert load_mltk_model(by_name) is by_name


def test_suffix_test_puts_the_model_into_test_mode(private_home):
    put(private_home, "m_v1.py")
    assert load_mltk_model("m_v1-test").test_mode_enabled
    assert not load_mltk_model("m_v1").test_mode_enabled


def test_script_is_run_again_unless_told_otherwise(private_home):
    path = put(private_home, "m_v1.py")
    first = load_mltk_model(path)
    assert load_mltk_model(path, reload=False) is first
    path.write_text(LIGHT_SPEC + "my_model.version = 9\n")
    assert load_mltk_model(path).version == 9


def test_script_imports_modules_beside_it(private_home):
    put(private_home, "helper_of_m_v1.py", "VERSION = 8\n")
    put(
        private_home,
        "m_v1.py",
        LIGHT_SPEC + "from helper_of_m_v1 import VERSION\nmy_model.version = VERSION\n",
    )
    assert load_mltk_model("m_v1").version == 8


def test_script_in_a_package_may_import_relatively(private_home):
    put(private_home / "pack_of_specs", "__init__.py", "")
    put(private_home / "pack_of_specs", "common.py", "VERSION = 6\n")
    path = put(
        private_home / "pack_of_specs",
        "m_v1.py",
        LIGHT_SPEC + "from .common import VERSION\nmy_model.version = VERSION\n",
    )
    assert load_mltk_model(path).version == 6


def test_script_named_like_a_library_does_not_replace_it(private_home):
    path = put(private_home, "json.py")
    assert load_mltk_model(path).name == "json"
    import json

    assert json.dumps(1) == "1"
    sys.path.remove(str(private_home))


def test_same_name_in_two_folders_are_two_models(private_home, tmp_path):
    one = put(tmp_path / "a", "m_v1.py", LIGHT_SPEC + "my_model.version = 1\n")
    two = put(tmp_path / "b", "m_v1.py", LIGHT_SPEC + "my_model.version = 2\n")
    assert (load_mltk_model(one).version, load_mltk_model(two).version, load_mltk_model(one).version) == (
        1,
        2,
        1,
    )


def test_alias_of_the_model_is_still_one_model(private_home):
    put(private_home, "m_v1.py", LIGHT_SPEC + "mltk_model = my_model\n")
    assert load_mltk_model("m_v1").version == 2


def test_model_of_another_specification_may_be_imported(private_home):
    put(private_home, "base_v1.py")
    put(private_home, "m_v1.py", "from base_v1 import my_model as base\n" + LIGHT_SPEC)
    assert load_mltk_model("m_v1").name == "m_v1"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (LIGHT_SPEC + "x = = 1\n", r"broken_v1\.py, line \d+: invalid syntax"),
        (
            LIGHT_SPEC + "my_model.epoch = 1\n",
            r"broken_v1\.py, line 10: 'epoch' is not a property.*Did you mean 'epochs'",
        ),
        (LIGHT_SPEC + "1 / 0\n", r"broken_v1\.py, line 10: ZeroDivisionError"),
        (LIGHT_SPEC + "import no_such_module\n", r"broken_v1\.py, line 10: No module named 'no_such_module'"),
        ("# @mltk_model\n", "creates no MltkModel instance"),
        (LIGHT_SPEC + "other = MyModel()\n", "creates 2 models, 'my_model' and 'other'"),
    ],
    ids=["syntax", "typo", "exception", "import", "none", "two"],
)
def test_wrong_script_is_one_line_that_says_where(private_home, text, message):
    put(private_home, "broken_v1.py", text)
    with pytest.raises(SpecificationError, match=message) as error:
        load_mltk_model("broken_v1")
    assert "\n" not in str(error.value)
    if "line" in message:
        assert "broken_v1" not in sys.modules


def test_unknown_name_has_near_matches(private_home):
    put(private_home, "keyword_v1.py")
    with pytest.raises(ModelNotFoundError, match="Did you mean 'keyword_v1'"):
        load_mltk_model("keywrd_v1")


@pytest.mark.parametrize("name", ["x.py", "x.tflite", "x.h5", "x.zip"])
def test_missing_file_is_a_file_not_found_error(name):
    with pytest.raises(FileNotFoundError, match=f"There is no file {name}"):
        load_mltk_model(name)


def test_name_with_a_dash_is_refused():
    with pytest.raises(ValueError, match="only letters, digits and '_'"):
        load_mltk_model("my-model")


def archive_of(private_home: Path, text: str, name: str = "m_v1") -> Path:
    path = private_home / "elsewhere" / f"{name}.mltk.zip"
    ModelArchive(path).update({f"{name}.py": text.encode()})
    return path


def test_specification_in_an_archive_runs_only_when_trusted(private_home):
    mark = private_home / "mark"
    path = archive_of(private_home, f"__import__('pathlib').Path({str(mark)!r}).touch()\n" + LIGHT_SPEC)
    with pytest.raises(TrustError, match=r"would run the Python code in it \('m_v1.py'\)"):
        load_mltk_model(path)
    assert not mark.exists()
    model = load_mltk_model(path, trust=True)
    assert mark.exists()
    assert (model.name, model.archive_path) == ("m_v1", str(path))


def test_archived_specification_of_the_reference_with_a_future_import_loads(private_home):
    path = archive_of(
        private_home, "__mltk_version__ = '0.20.0'\n\nfrom __future__ import annotations\n" + LIGHT_SPEC
    )
    assert load_mltk_model(path, trust=True).version == 2


@pytest.mark.parametrize(
    "head", ["", "from __future__ import annotations\n", '"""Doc."""\nfrom __future__ import annotations\n']
)
def test_specification_comes_back_from_the_archive_and_names_the_version(private_home, head):
    put(private_home, "m_v1.py", head + LIGHT_SPEC)
    model = load_mltk_model("m_v1")
    model.add_archive_file("__mltk_model_spec__")
    text = model.archive.read("m_v1.py").decode()
    assert "__mltk_version__ = '" in text
    assert text.startswith("__mltk_version__ = '") is (not head)
    compile(text, "m_v1.py", "exec")
    assert load_mltk_model(model.archive_path, trust=True).version == 2


def test_trial_archive_gives_a_model_in_test_mode(private_home):
    path = archive_of(private_home, LIGHT_SPEC)
    renamed = path.rename(path.with_name("m_v1-test.mltk.zip"))
    model = load_mltk_model(renamed, trust=True)
    assert model.test_mode_enabled
    assert model.name == "m_v1"


def test_listing_and_finding_import_neither_numpy_nor_tensorflow(private_home):
    put(private_home, "m_v1.py")
    code = (
        "import sys; from mltk.core import list_mltk_models; assert 'm_v1' in list_mltk_models();"
        "print([m for m in ('numpy', 'tensorflow', 'keras') if m in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


def test_model_made_in_an_interactive_session_is_called_my_model():
    code = "from mltk.core import MltkModel; print(MltkModel().name)"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "my_model"


def test_legacy_keras_is_refused(private_home, monkeypatch):
    monkeypatch.setenv("TF_USE_LEGACY_KERAS", "1")
    put(private_home, "m_v1.py")
    with pytest.raises(Exception, match="unset TF_USE_LEGACY_KERAS"):
        load_mltk_model("m_v1")


def test_legacy_keras_inside_a_script_is_named_and_does_not_stay(private_home, monkeypatch):
    monkeypatch.setenv("TF_USE_LEGACY_KERAS", "0")
    text = 'import os\nos.environ["TF_USE_LEGACY_KERAS"] = "1"\n'
    put(private_home, "m_v1.py", text + LIGHT_SPEC)
    with pytest.raises(SpecificationError, match=r"m_v1\.py, line 2: The script sets TF_USE_LEGACY_KERAS"):
        load_mltk_model("m_v1")
    put(private_home, "m_v1.py")
    assert load_mltk_model("m_v1").version == 2


def test_star_import_gives_the_names_of_plugins(private_home):
    spec = "from mltk.core import *\nclass M(MltkModel, TrainMixin, AudioDatasetMixin): pass\nm = M()\n"
    put(private_home, "m_v1.py", spec)
    code = "from mltk.core import load_mltk_model; print(load_mltk_model('m_v1').name)"

    def run(**variables):
        return subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, **variables},
        )

    assert run().stdout.strip() == "m_v1"
    blocked = run(MLTK_BLOCK_PLUGINS="audio")
    assert "m_v1.py, line 2: 'mltk.core.AudioDatasetMixin' is provided by" in blocked.stderr
    assert "which is installed but blocked" in blocked.stderr


def test_name_of_a_missing_plugin_after_a_star_import_says_what_to_install(private_home, monkeypatch):
    monkeypatch.setattr("mltk._namespace._installed_version", lambda distribution: None)
    put(private_home, "m_v1.py", LIGHT_SPEC + "class Other(AudioDatasetMixin): pass")
    with pytest.raises(SpecificationError, match=r"line 10: .*pip install mltk-plugin-audio"):
        load_mltk_model("m_v1")


@pytest.mark.slow
def test_files_beside_a_script_do_not_take_the_place_of_keras(private_home):
    put(private_home, "keras.py", "import tensorflow\nraise RuntimeError('hidden')")
    put(
        private_home,
        "m_v1.py",
        LIGHT_SPEC + "import keras\nmy_model.description = keras.layers.Dense.__name__",
    )
    code = "from mltk.core import load_mltk_model; print(load_mltk_model('m_v1.py').description)"
    # Without the folder itself on the path.
    ran = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, check=False)
    assert ran.stdout.strip() == "Dense", ran.stderr
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "keras.py hides the package 'keras'. Rename the file." in ran.stderr


def test_package_of_a_script_that_fails_is_named(private_home):
    put(private_home / "mine", "__init__.py", "x = 1\nimport nothing_like_it")
    put(private_home / "mine", "m_v1.py")
    with pytest.raises(
        SpecificationError, match=r"__init__\.py, line 2: ModuleNotFoundError: .*\(.*m_v1\.py is in"
    ):
        load_mltk_model("mine/m_v1.py")


def test_base_class_alone_is_a_model():
    assert MltkModel("alone.py").name == "alone"
