"""Wheels, an interpreter that knows only what is installed from them, and models on folders of pictures."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import venv
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from mltk.testing.pytest_plugin import CliResult, MltkCli

REPOSITORY = Path(__file__).resolve().parents[2]
PROJECTS = {
    "mltk_core": REPOSITORY,
    "mltk_plugin_audio": REPOSITORY / "mltk_plugin_audio",
    "mltk_plugin_image": REPOSITORY / "mltk_plugin_image",
    "mltk_plugin_example": REPOSITORY / "plugins" / "example",
}
# Left out of the installed environment: our own distributions, editable or not, and what runs at start-up.
_OURS = ("mltk", "_mltk", "_editable_impl_mltk", "__editable__")


@dataclass(frozen=True)
class Installed:
    """An interpreter of its own with the dependencies of this one, and distributions that were unpacked from wheels.

    Attributes:
        python: The interpreter.
        folders: What `pip install --target` filled, in the order of the search path.
    """

    python: Path
    folders: tuple[Path, ...]

    def environment(self, cwd: Path, **variables: str) -> dict[str, str]:
        kept = {n: v for n, v in os.environ.items() if not n.startswith(("MLTK_", "PYTHON", "VIRTUAL_ENV"))}
        return {
            **kept,
            "PYTHONPATH": os.pathsep.join(map(str, self.folders)),
            # matplotlib and Keras write settings of their own into it.
            "HOME": str(cwd / "home"),
            "MLTK_CACHE_DIR": str(cwd / "cache"),
            **variables,
        }

    def run(self, *args: object, cwd: Path, **variables: str) -> subprocess.CompletedProcess[str]:
        """Run the interpreter with arguments; environment variables may be given by name."""
        return subprocess.run(
            [str(self.python), *map(str, args)],
            cwd=cwd,
            env=self.environment(cwd, **variables),
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )

    def mltk(self, *args: object, cwd: Path, **variables: str) -> subprocess.CompletedProcess[str]:
        """Run the command `mltk` that pip wrote."""
        return self.run(self.folders[0] / "bin" / "mltk", *args, cwd=cwd, **variables)

    def and_also(self, folder: Path) -> Installed:
        return Installed(self.python, (*self.folders, folder))


@pytest.fixture(scope="session")
def build_wheel() -> Callable[[Path, Path], Path]:
    """Build the wheel of a project: `build_wheel(project, into)`."""

    def build(project: Path, into: Path) -> Path:
        command = [
            sys.executable,
            "-m",
            "build",
            "--wheel",
            "--no-isolation",
            "--outdir",
            str(into),
            str(project),
        ]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return max(into.glob("*.whl"), key=lambda path: path.stat().st_mtime_ns)

    return build


@pytest.fixture(scope="session")
def wheels(tmp_path_factory: pytest.TempPathFactory, build_wheel) -> Mapping[str, Path]:
    """The wheel of every distribution of the repository, by the start of its file name."""
    into = tmp_path_factory.mktemp("wheels")
    return {name: build_wheel(project, into) for name, project in PROJECTS.items()}


@pytest.fixture(scope="session")
def pip_install() -> Callable[[Path, Iterable[Path]], None]:
    """Install wheels or projects into a folder: `pip_install(folder, sources)`; nothing is downloaded."""

    def install(folder: Path, sources: Iterable[Path]) -> None:
        options = [
            "--no-deps",
            "--no-index",
            "--no-build-isolation",
            "--disable-pip-version-check",
            "--no-compile",
        ]
        command = [
            sys.executable,
            "-m",
            "pip",
            "install",
            *options,
            "--target",
            str(folder),
            *map(str, sources),
        ]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr

    return install


@pytest.fixture(scope="session")
def bare_python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An interpreter with the dependencies of this one, and without mltk.

    A folder of links and not the real one, because the metadata of the editable installs in that would be found.
    """
    root = tmp_path_factory.mktemp("python")
    venv.EnvBuilder(with_pip=False, symlinks=True).create(root)
    packages = Path(sysconfig.get_path("purelib", "venv", {"base": str(root), "platbase": str(root)}))
    for folder in {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}:
        for entry in Path(folder).iterdir():
            if entry.suffix != ".pth" and not entry.name.startswith(_OURS) and entry.name != "__pycache__":
                (packages / entry.name).symlink_to(entry)
    return root / "bin" / "python"


@pytest.fixture(scope="session")
def installed(tmp_path_factory, wheels, pip_install, bare_python) -> Installed:
    """All distributions, installed from their wheels."""
    folder = tmp_path_factory.mktemp("installed")
    pip_install(folder, wheels.values())
    return Installed(bare_python, (folder,))


@pytest.fixture(scope="session")
def core_alone(tmp_path_factory, wheels, pip_install, bare_python) -> Installed:
    """`mltk-core` without any plugin."""
    folder = tmp_path_factory.mktemp("core")
    pip_install(folder, [wheels["mltk_core"]])
    return Installed(bare_python, (folder,))


@pytest.fixture
def cli(private_home: Path) -> MltkCli:
    """Runs `mltk` commands in this process, with the test's own folder and cache."""
    return MltkCli(private_home)


@pytest.fixture
def refused(cli: MltkCli, tmp_path: Path) -> Callable[..., str]:
    """Run a command that must fail: `refused(*args)` gives its one line, and checks that it left no file behind.

    With `log=True`, what an operation tells of its progress may come before the line.
    """

    def run(*args: object, log: bool = False) -> str:
        before = files_of(tmp_path)
        result: CliResult = cli.invoke([str(arg) for arg in args])
        line = the_error(result.exit_code, result.stderr, log)
        after = files_of(tmp_path)
        assert not [name for name in after if ".tmp" in name]
        changed = {name for name in {*before, *after} if before.get(name) != after.get(name)}
        assert not [
            n for n in changed if n.endswith((".mltk.zip", ".tflite", ".h5", ".keras", "eval-results.json"))
        ]
        return line

    return run


@pytest.fixture(scope="session")
def only_error() -> Callable[..., str]:
    """Check exit code and stderr of a command that must fail, and give its line: `only_error(code, stderr)`.

    With `log=True`, what an operation tells of its progress may come before it.
    """
    return the_error


def the_error(exit_code: int, stderr: str, log: bool = False) -> str:
    *logged, line = stderr.splitlines()
    assert exit_code == 1, stderr
    assert line.startswith("mltk: error: "), stderr
    assert log or not logged, stderr
    assert not [text for text in logged if "error" in text.lower() or "Traceback" in text], stderr
    return line.removeprefix("mltk: error: ")


@pytest.fixture(scope="session")
def snapshot() -> Callable[[Path], dict[str, tuple[int, int]]]:
    """Give size and time of change of every file below a folder, compiled modules aside."""
    return files_of


def files_of(folder: Path) -> dict[str, tuple[int, int]]:
    return {
        path.relative_to(folder).as_posix(): (path.stat().st_size, path.stat().st_mtime_ns)
        for path in folder.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }


PICTURES_SPEC = """
# @mltk_model
import tensorflow as tf
from mltk.core import EvaluateClassifierMixin, ImageDatasetMixin, MltkModel, TrainMixin
from mltk.core.preprocess.image.parallel_generator import ParallelImageDataGenerator


class Pictures(MltkModel, TrainMixin, ImageDatasetMixin, EvaluateClassifierMixin):
    pass


my_model = Pictures()
my_model.epochs = 2
my_model.batch_size = 16
my_model.dataset = "{folder}"
my_model.class_mode = "categorical"
my_model.classes = ["bright", "dark"]
my_model.input_shape = (16, 16, 3)
my_model.datagen = ParallelImageDataGenerator(
    cores={cores},
    rotation_range=15,
    width_shift_range=0.1,
    zoom_range=0.2,
    brightness_range=(0.7, 1.3),
    noise=["gauss", "s&p"],
    horizontal_flip=True,
    rescale=1 / 255,
    validation_split=0.2,
)


def build(model):
    layers = tf.keras.layers
    network = tf.keras.Sequential(
        [
            layers.InputLayer(model.input_shape),
            layers.Conv2D(4, 3, strides=2, activation="relu"),
            layers.Flatten(),
            layers.Dropout(0.2),
            layers.Dense(model.n_classes, activation="softmax"),
        ]
    )
    network.compile(loss=model.loss, optimizer=model.optimizer, metrics=model.metrics)
    return network


my_model.build_model_function = build
"""


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """A folder with 30 bright and 30 dark JPEG files, in a folder for each class."""
    import numpy as np
    from PIL import Image

    rng = np.random.default_rng(1)
    root = tmp_path / "pictures"
    for name, mean in (("bright", 170), ("dark", 80)):
        (root / name).mkdir(parents=True)
        for i in range(30):
            pixels = rng.normal(mean, 25, (20, 20, 3)).clip(0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(root / name / f"{i:02d}.jpg")
    return root


@pytest.fixture
def write_pictures_spec(write_spec, pictures) -> Callable[..., Path]:
    """Write the specification of a model on `pictures`: `write_pictures_spec(name, cores=…, more=…)`."""

    def write(name: str = "pictures_v1", cores: object = 2, more: str = "") -> Path:
        return write_spec(name, PICTURES_SPEC.format(folder=pictures.as_posix(), cores=cores), more)

    return write
