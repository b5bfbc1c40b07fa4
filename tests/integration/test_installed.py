"""What users get: wheels, installed away from the repository; and editable installs, used from its root."""

from __future__ import annotations

import json
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import mltk
from mltk.utils.model_archive import ModelArchive

pytestmark = pytest.mark.slow

REPOSITORY = Path(__file__).resolve().parents[2]

CONTENT = {
    "mltk_core": {
        "mltk/py.typed",
        "mltk/plugins/hookspecs.py",
        "mltk/plugins/_template/pyproject.toml.tmpl",
        "mltk/plugins/_template/src/PACKAGE/plugin.py.tmpl",
        "mltk/plugins/_template/src/PACKAGE/py.typed.tmpl",
        "mltk/plugins/_template/tests/test_NAME.py.tmpl",
        "mltk/testing/pytest_plugin.py",
    },
    "mltk_plugin_audio": {
        "mltk_plugin_audio/py.typed",
        "mltk_plugin_audio/plugin.py",
        "mltk_plugin_audio/specs/command_words_v1.py",
        "mltk_plugin_audio/datasets/data/yes.ogg",
        "mltk_plugin_audio/datasets/data/pink_noise.ogg",
        "mltk_plugin_audio/datasets/data/voices.txt",
        "mltk_plugin_audio/datasets/data/NOTICE.txt",
    },
    "mltk_plugin_image": {
        "mltk_plugin_image/py.typed",
        "mltk_plugin_image/plugin.py",
        "mltk_plugin_image/specs/digits_v1.py",
        "mltk_plugin_image/datasets/data/digits.npz",
        "mltk_plugin_image/datasets/data/NOTICE.txt",
    },
    "mltk_plugin_example": {"mltk_plugin_example/py.typed", "mltk_plugin_example/plugin.py"},
}


@pytest.mark.parametrize("name", CONTENT)
def test_wheel_has_the_package_whole_and_nothing_else(wheels, name):
    package = "mltk" if name == "mltk_core" else name
    names = set(zipfile.ZipFile(wheels[name]).namelist())
    assert names >= CONTENT[name]
    assert {n.split("/")[0] for n in names} == {package, f"{name}-{mltk.__version__}.dist-info"}
    assert not [n for n in names if "__pycache__" in n or n.endswith((".pyc", ".so"))]
    # The template is allowed its tests, which are no modules.
    assert not [n for n in names if n.endswith(".py") and Path(n).name.startswith(("test_", "conftest"))]
    source = {
        "mltk": REPOSITORY / "core",
        "mltk_plugin_audio": REPOSITORY / "mltk_plugin_audio" / "src",
        "mltk_plugin_image": REPOSITORY / "mltk_plugin_image" / "src",
        "mltk_plugin_example": REPOSITORY / "plugins" / "example" / "src",
    }[package]
    modules = {p.relative_to(source).as_posix() for p in (source / package).rglob("*.py")}
    assert modules == {n for n in names if n.endswith(".py")}


@pytest.mark.parametrize(
    ("name", "source"), [("mltk_plugin_image", "OpenCV"), ("mltk_plugin_audio", "espeak")]
)
def test_licence_of_the_embedded_data_is_in_the_wheel(wheels, name, source):
    with zipfile.ZipFile(wheels[name]) as wheel:
        notice = wheel.read(f"{name}/datasets/data/NOTICE.txt").decode()
    assert "Apache" in notice
    assert source in notice


def test_installed_packages_are_those_of_the_wheels(installed, tmp_path):
    code = """
import mltk, mltk_plugin_audio, mltk_plugin_example, mltk_plugin_image
print(*(p.__file__ for p in (mltk, mltk_plugin_audio, mltk_plugin_example, mltk_plugin_image)))
"""
    done = installed.run("-c", code, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.split()) == 4
    assert all(Path(path).is_relative_to(installed.folders[0]) for path in done.stdout.split())


def test_installed_command_knows_its_version_and_plugins(installed, tmp_path):
    version = installed.mltk("--version", cwd=tmp_path)
    assert (version.stdout.strip(), version.stderr) == (mltk.__version__, "")
    listed = installed.mltk("plugins", "list", "--json", cwd=tmp_path)
    assert listed.stderr == ""
    plugins = {p["name"]: p["status"] for p in json.loads(listed.stdout)}
    assert plugins == {"audio": "active", "example": "active", "image": "active"}
    checked = installed.mltk("plugins", "check", cwd=tmp_path)
    assert checked.returncode == 0, checked.stdout + checked.stderr


@pytest.mark.parametrize("command", [["--help"], ["plugins", "list"], ["plugins", "hooks"]], ids=" ".join)
def test_start_imports_nothing_heavy(installed, tmp_path, command):
    code = f"""
import sys
from mltk.cli.main import root_cli
root_cli({command!r}, standalone_mode=False)
print("heavy:", *(m for m in ("numpy", "tensorflow", "keras", "cv2", "PIL", "numba", "soundfile") if m in sys.modules))
"""
    done = installed.run("-c", code, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "heavy:"


def test_recordings_and_specification_of_the_shipped_keyword_model_are_in_the_wheel(
    installed, tmp_path, snapshot
):
    before = snapshot(installed.folders[0])
    code = """
from mltk.core import load_mltk_model
model = load_mltk_model("command_words_v1")
model.load_dataset("training")
x, y = model.x[0]
print(model.model_specification_path, model.x.samples, *x.shape, *y.shape, sep="\\n")
model.unload_dataset()
"""
    done = installed.run("-c", code, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    specification, *numbers = done.stdout.split()
    assert Path(specification).is_relative_to(installed.folders[0])
    assert list(map(int, numbers)) == [204, 16, 49, 40, 1, 16, 8]
    assert snapshot(installed.folders[0]) == before


@pytest.fixture(scope="module")
def trained_digits(installed, tmp_path_factory, snapshot):
    """The shipped digits model, trained for an epoch by the installed command, in a folder of its own."""
    work = tmp_path_factory.mktemp("digits")
    before = snapshot(installed.folders[0])
    done = installed.mltk("train", "digits_v1", "--epochs", "1", cwd=work)
    return work, done, before, snapshot(installed.folders[0])


def test_shipped_model_trains_into_the_cache_and_leaves_the_package_as_it_was(trained_digits):
    work, done, before, after = trained_digits
    assert done.returncode == 0, done.stderr
    assert "int8" in done.stdout
    assert after == before
    archive = work / "cache" / "models" / "digits_v1" / "digits_v1.mltk.zip"
    assert str(archive) in done.stdout
    assert {"digits_v1.py", "digits_v1.h5", "digits_v1.tflite", "eval/tflite/eval-results.json"} <= set(
        ModelArchive(archive).names()
    )
    assert {p.name for p in work.iterdir()} <= {"cache", "home"}


def test_new_plugin_runs_in_evaluate_and_is_gone_without_a_trace(
    trained_digits, installed, pip_install, tmp_path, only_error
):
    work, _, _, _ = trained_digits
    made = installed.mltk("plugins", "new", "sureness", cwd=tmp_path)
    assert made.returncode == 0, made.stderr
    folder = tmp_path / "target"
    pip_install(folder, [tmp_path / "mltk_plugin_sureness"])
    with_plugin = installed.and_also(folder)

    listed = with_plugin.mltk("plugins", "list", cwd=tmp_path)
    assert "mltk-plugin-sureness" in listed.stdout
    done = with_plugin.mltk("evaluate", "digits_v1", "--evaluator", "sureness", cwd=work)
    assert done.returncode == 0, done.stderr
    assert "Expected calibration error" in done.stdout
    archive = ModelArchive(work / "cache" / "models" / "digits_v1" / "digits_v1.mltk.zip")
    results = json.loads(archive.read("eval/h5/sureness/eval-results.json"))
    assert sum(results["bin_count"]) == 2500
    assert "eval/h5/eval-results.json" in archive.names()

    blocked = with_plugin.mltk(
        "evaluate", "digits_v1", "--evaluator", "sureness", cwd=work, MLTK_BLOCK_PLUGINS="sureness"
    )
    line = only_error(blocked.returncode, blocked.stderr)
    assert line.startswith("No evaluator named 'sureness' applies to this model.")
    assert "classifier" in line
    for environment, variables in ((installed, {}), (with_plugin, {"MLTK_BLOCK_PLUGINS": "sureness"})):
        listed = environment.mltk("plugins", "list", "--json", cwd=tmp_path, **variables)
        active = {p["name"] for p in json.loads(listed.stdout) if p["status"] == "active"}
        assert active == {"audio", "example", "image"}
        assert listed.stderr == ""
    assert "sureness" not in installed.mltk("plugins", "list", "--all", cwd=tmp_path).stdout
    assert "sureness" not in installed.mltk("--help", cwd=tmp_path).stdout


INSTALL_IMAGE = (
    "'mltk.core.ImageDatasetMixin' is provided by the plugin 'mltk-plugin-image', which is not installed. "
    "Install it with: pip install mltk-plugin-image"
)


def test_core_alone_says_what_to_install_for_images(core_alone, tmp_path, only_error):
    done = core_alone.run("-c", "from mltk.core import ImageDatasetMixin", cwd=tmp_path)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].endswith(f"PluginNotInstalledError: {INSTALL_IMAGE}")

    spec = tmp_path / "pictures_v1.py"
    spec.write_text("# @mltk_model\nfrom mltk.core import ImageDatasetMixin, MltkModel\n")
    done = core_alone.mltk("train", "pictures_v1", cwd=tmp_path)
    assert only_error(done.returncode, done.stderr) == f"{spec}, line 2: {INSTALL_IMAGE}"


def test_core_alone_has_no_plugins_and_works(core_alone, tmp_path):
    done = core_alone.mltk("plugins", "list", "--json", cwd=tmp_path)
    assert (json.loads(done.stdout), done.stderr) == ([], "")
    done = core_alone.mltk("train", "digits_v1", cwd=tmp_path)
    assert (done.returncode, "no model named 'digits_v1'" in done.stderr) == (1, True)


def test_editable_installs_work_from_the_root_of_the_repository():
    code = """
import mltk.core, mltk_plugin_example, mltk_plugin_image
print(mltk_plugin_image.__file__, mltk_plugin_example.__file__, sep="\\n")
print(mltk.core.ImageDatasetMixin is mltk_plugin_image.ImageDatasetMixin)
"""
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    image, example, same = done.stdout.splitlines()
    assert Path(image).name == Path(example).name == "__init__.py"
    assert same == "True"
