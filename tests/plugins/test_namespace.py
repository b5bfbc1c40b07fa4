"""Every trap of names that live in another distribution."""

import runpy
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from mltk import _namespace
from mltk._namespace import install_hint, known_plugins, provided_mixins


@pytest.fixture
def toy(site):
    """A distribution that provides an attribute, and a module with children."""
    site.write("mltk_plugin_toy/__init__.py", "")
    site.write("mltk_plugin_toy/plugin.py", "")
    site.write(
        "mltk_plugin_toy/mixins.py",
        """
        class ToyMixin:
            pass
        """,
    )
    site.write(
        "mltk_plugin_toy/preprocess/__init__.py",
        """
        LIMIT = 1

        class Shape:
            pass

        def limit():
            return LIMIT
        """,
    )
    site.write(
        "mltk_plugin_toy/preprocess/generator.py",
        """
        from mltk_plugin_toy.preprocess import Shape
        __all__ = ["Circle", "load_data"]

        class Circle(Shape):
            pass

        def load_data():
            return "data"
        """,
    )
    site.add(
        "mltk-plugin-toy",
        plugins={"toy": "mltk_plugin_toy.plugin"},
        namespace={
            "mltk.core.ToyMixin": "mltk_plugin_toy.mixins:ToyMixin",
            "mltk.core.model.ToyMixin": "mltk_plugin_toy.mixins:ToyMixin",
            "mltk.core.preprocess.toy": "mltk_plugin_toy.preprocess",
            "mltk.core.preprocess.utils.toy": "mltk_plugin_toy.preprocess.generator",
            "mltk.datasets.toy": "mltk_plugin_toy.preprocess",
        },
    )
    return site


def test_attributes_of_core_come_from_the_plugin(toy):
    assert toy.python(
        """
        from mltk.core import ToyMixin
        from mltk.core.model import ToyMixin as same
        import mltk.core as mltk_core
        print(ToyMixin is same is mltk_core.ToyMixin, ToyMixin.__module__)
        """
    ).split() == ["True", "mltk_plugin_toy.mixins"]


@pytest.mark.parametrize(
    "statement",
    [
        "import mltk.core.preprocess.toy.generator as g",
        "from mltk.core.preprocess.toy import generator as g",
        "from mltk.core.preprocess.utils import toy as g",
        "from mltk.datasets.toy import generator as g",
        "import mltk.datasets.toy.generator; g = mltk.datasets.toy.generator",
        "import mltk.datasets; import mltk_plugin_toy.preprocess.generator; g = mltk.datasets.toy.generator",
    ],
)
def test_modules_and_their_children_are_found_however_they_are_imported(toy, statement):
    assert toy.python(f"{statement}\nprint(g.load_data(), g.Circle.__module__)") == (
        "data mltk_plugin_toy.preprocess.generator"
    )


def test_classes_are_the_same_under_both_names_and_pickle(toy):
    assert (
        toy.python(
            """
        import pickle
        from mltk.core.preprocess.toy.generator import Circle
        from mltk.datasets.toy import Shape
        import mltk_plugin_toy.preprocess.generator as real
        assert Circle is real.Circle and isinstance(Circle(), Shape)
        assert type(pickle.loads(pickle.dumps(Circle()))) is real.Circle
        print("same")
        """
        )
        == "same"
    )


def test_a_facade_has_an_empty_path_and_no_dunder_of_the_module_but_all(toy):
    assert (
        toy.python(
            """
        import mltk.core.preprocess.toy.generator as facade
        import mltk_plugin_toy.preprocess.generator as real
        assert facade is not real and facade.__path__ == []
        assert facade.__name__ == "mltk.core.preprocess.toy.generator"
        assert not hasattr(facade, "__file__") and facade.__all__ == real.__all__
        assert "Circle" in dir(facade) and "__file__" not in dir(facade)
        from mltk.core.preprocess.toy import *
        print(limit.__name__)
        """
        )
        == "limit"
    )


def test_what_is_set_on_a_facade_is_set_on_the_module(toy):
    assert toy.python(
        """
        import mltk.core.preprocess.toy as facade
        facade.LIMIT = 7
        print(facade.limit())
        del facade.LIMIT
        import mltk_plugin_toy.preprocess as real
        print(hasattr(real, "LIMIT"))
        """
    ).split() == ["7", "False"]


def test_nothing_is_loaded_until_it_is_asked_for(toy):
    assert (
        toy.python(
            """
            import sys, mltk, mltk.core, mltk.core.preprocess, mltk.datasets
            print([m for m in sys.modules if "toy" in m or m == "importlib_metadata"])
            """
        )
        == "[]"
    )


def test_a_child_that_does_not_exist_is_an_ordinary_import_error(toy):
    message = toy.python(
        """
        try:
            import mltk.core.preprocess.toy.nothing
        except ModuleNotFoundError as e:
            print(e)
        try:
            from mltk.core.preprocess.toy import nothing
        except ImportError as e:
            print(e)
        """
    )
    assert message.splitlines() == [
        "No module named 'mltk.core.preprocess.toy.nothing'",
        "cannot import name 'nothing' from 'mltk.core.preprocess.toy' (unknown location)",
    ]


def test_a_missing_dependency_of_an_installed_plugin_is_the_error_that_is_shown(toy):
    toy.write("mltk_plugin_toy/mixins.py", "import not_installed_at_all")
    toy.write("mltk_plugin_toy/preprocess/__init__.py", "import not_installed_at_all")

    for statement in (
        "from mltk.core import ToyMixin",
        "import mltk.core.preprocess.toy",
        "from mltk.core.preprocess import toy",
    ):
        done = toy.run("-c", statement)
        assert done.stderr.splitlines()[-1] == "ModuleNotFoundError: No module named 'not_installed_at_all'"


@pytest.mark.parametrize("blocked", ["toy", "mltk-plugin-toy", "*"])
def test_a_blocked_plugin_is_said_to_be_blocked(toy, blocked):
    for statement in ("from mltk.core import ToyMixin", "from mltk.core.preprocess.utils import toy"):
        done = toy.run("-c", statement, env={"MLTK_BLOCK_PLUGINS": blocked})
        assert "'mltk-plugin-toy', which is installed but blocked" in done.stderr.splitlines()[-1]


NOT_INSTALLED = {
    "from mltk.core import AudioDatasetMixin": "mltk.core.AudioDatasetMixin",
    "from mltk.core.model import AudioDatasetMixin": "mltk.core.model.AudioDatasetMixin",
    "import mltk.core.preprocess.audio": "mltk.core.preprocess.audio",
    "from mltk.core.preprocess import audio": "mltk.core.preprocess.audio",
    "from mltk.core.preprocess.utils import audio as audio_utils": "mltk.core.preprocess.utils.audio",
    "from mltk.datasets.audio.speech_commands import speech_commands_v2": "mltk.datasets.audio",
    "import mltk.core as c; c.AudioDatasetMixin": "mltk.core.AudioDatasetMixin",
}


@pytest.mark.parametrize("statement", NOT_INSTALLED)
def test_without_the_plugin_the_error_says_what_to_install(site, statement):
    code = f"""
import importlib_metadata
importlib_metadata.entry_points = lambda **k: ()
def no_version(name):
    raise importlib_metadata.PackageNotFoundError(name)
importlib_metadata.version = no_version
try:
    {statement}
except ModuleNotFoundError as e:
    print(type(e).__name__, e.name)
    print(e)
"""
    kind, message = site.python(code).splitlines()
    assert kind == "PluginNotInstalledError mltk_plugin_audio"
    assert message == (
        f"'{NOT_INSTALLED[statement]}' is provided by the plugin 'mltk-plugin-audio', "
        "which is not installed. Install it with: pip install mltk-plugin-audio"
    )


def test_an_installed_plugin_that_is_too_old_for_a_name_is_to_be_updated(site):
    site.add("mltk-plugin-tfdata", version="0.0.1")
    done = site.run("-c", "from mltk.core.preprocess.utils import tf_dataset")
    assert "whose installed version 0.0.1 lacks it. Update it with: pip install -U" in done.stderr


def test_a_name_that_nobody_provides_is_an_ordinary_error(site):
    done = site.run("-c", "from mltk.core import TrainMixn")
    assert "ImportError: cannot import name 'TrainMixn' from 'mltk.core'" in done.stderr
    assert (
        "AttributeError: module 'mltk.core' has no attribute 'x'"
        in site.run("-c", "import mltk.core; mltk.core.x").stderr
    )


def test_of_two_distributions_with_one_name_the_first_keeps_it(toy):
    toy.write("other.py", "ToyMixin = 'other'")
    toy.add("mltk-plugin-zoo", namespace={"mltk.core.ToyMixin": "other:ToyMixin"})
    assert (
        toy.python("from mltk.core import ToyMixin; print(ToyMixin.__module__)") == "mltk_plugin_toy.mixins"
    )


@pytest.mark.parametrize("name", ["mltk.core.ImageDatasetMixin", "mltk.core.preprocess.image.more"])
def test_a_name_stays_with_its_owner_and_a_taker_is_reported(site, name):
    site.write("other.py", "taken = 'other'")
    site.add("aaa-taker", namespace={name: "other:taken" if "Mixin" in name else "other"})
    site.add("mltk_plugin_image", namespace={"mltk.core.ImageDatasetMixin": "json:loads"})
    code = "from mltk.core import ImageDatasetMixin; print(ImageDatasetMixin.__name__)"
    assert site.python(code, env={"MLTK_BLOCK_PLUGINS": ""}) == "loads"
    below = site.run("-c", "import mltk.core.preprocess.image.more", env={"MLTK_BLOCK_PLUGINS": ""})
    assert below.returncode == 1
    message = f"'{name}' of mltk-plugin-image is also provided by aaa-taker, which is not used."
    assert message in site.mltk("plugins", "list").stderr
    assert message in site.mltk("plugins", "check").stdout


def test_the_finder_is_last_and_there_once():
    _namespace.install()
    finders = [type(f).__name__ for f in sys.meta_path]
    assert finders.count("_NamespaceFinder") == 1
    code = "import sys, mltk; print(type(sys.meta_path[-1]).__name__)"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert out.strip() == "_NamespaceFinder"


def test_other_imports_do_not_ask_the_finder_for_metadata(site):
    assert (
        site.python(
            """
        import sys, mltk
        try:
            import no_such_module_here
        except ModuleNotFoundError:
            print("importlib_metadata" in sys.modules)
        """
        )
        == "False"
    )


def test_the_names_of_the_image_plugin_are_found_where_specifications_look_for_them(site):
    pytest.importorskip("mltk_plugin_image")
    assert (
        site.python(
            """
            from mltk.core import ImageDatasetMixin
            from mltk.core.model import ImageDatasetMixin as same
            from mltk.core.preprocess.utils import image as image_utils
            from mltk.core.preprocess.image.parallel_generator import ParallelImageDataGenerator
            from mltk.datasets.image import mnist
            import mltk.datasets.image.mnist
            print(ImageDatasetMixin is same, mltk.datasets.image.mnist.load_data is mnist.load_data)
            """,
            env={"MLTK_BLOCK_PLUGINS": ""},
        )
        == "True True"
    )


def test_every_known_name_is_in_a_package_that_looks_names_up():
    from importlib import import_module

    for name in known_plugins()["names"]:
        package = import_module(name.rpartition(".")[0])
        # A child module is found by the finder, an attribute by its package.
        assert "__getattr__" in vars(package) or isinstance(import_module(name), ModuleType), name


def test_the_known_names_are_those_of_the_projects():
    script = runpy.run_path(str(Path(__file__).with_name("make_known_plugins.py")))
    assert script["TARGET"].read_text(encoding="utf-8") == script["render"](
        script["collect_known_plugins"]()
    ), "run: python tests/plugins/make_known_plugins.py"


@pytest.mark.parametrize(
    ("name", "distribution"),
    [
        ("mltk_plugin_audio", "mltk-plugin-audio"),
        ("mltk_plugin_audio.streaming", "mltk-plugin-audio"),
        ("command_words_v1", "mltk-plugin-audio"),
        ("classify-audio", "mltk-plugin-audio"),
        ("mltk.models.audio", "mltk-plugin-audio"),
        ("mltk.core.keras.losses.ssim_loss_func", "mltk-plugin-autoencoder"),
    ],
)
def test_a_hint_names_the_distribution_to_install(name, distribution, monkeypatch):
    monkeypatch.setattr("mltk._namespace._installed_version", lambda distribution: None)
    assert install_hint(name) == (
        f"'{name}' is provided by the plugin '{distribution}', which is not installed. "
        f"Install it with: pip install {distribution}"
    )


def test_a_hint_says_that_a_plugin_is_blocked(monkeypatch):
    monkeypatch.setenv("MLTK_BLOCK_PLUGINS", "Image")
    assert "'mltk-plugin-image', which is installed but blocked" in install_hint("digits_v1")


def test_there_is_no_hint_for_an_unknown_name_or_an_installed_plugin(monkeypatch):
    assert install_hint("numpy") == ""
    monkeypatch.setattr("mltk._namespace._installed_version", lambda distribution: "1.0")
    assert install_hint("command_words_v1") == ""


def test_mixins_of_plugins_are_found_by_their_ending():
    assert "AudioDatasetMixin (mltk-plugin-audio)" in provided_mixins("DatasetMixin")
    assert provided_mixins("Evaluate") == ["EvaluateAutoEncoderMixin (mltk-plugin-autoencoder)"]


@pytest.mark.parametrize(
    ("statement", "name"),
    [("command", "classify-audio"), ("import", "mltk_plugin_audio"), ("model", "command_words_v1")],
)
def test_every_use_of_a_missing_plugin_says_what_to_install(site, statement, name):
    site.write("my_model.py", f"import {name}" if statement == "import" else "")
    arguments = {"command": [name], "import": ["summarize", "my_model.py"], "model": ["train", name]}[
        statement
    ]
    site.write(
        "start.py",
        f"""
        import sys, importlib_metadata
        from importlib.machinery import PathFinder
        importlib_metadata.entry_points = lambda **k: ()
        real = importlib_metadata.version
        def version(name):
            if name.startswith("mltk-plugin"):
                raise importlib_metadata.PackageNotFoundError(name)
            return real(name)
        importlib_metadata.version = version
        class Missing:
            def find_spec(self, name, path=None, target=None):
                if name.startswith("mltk_plugin_"):
                    raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
        sys.meta_path.insert(0, Missing())
        sys.argv = ["mltk", *{arguments!r}]
        from mltk.cli.main import main
        main()
        """,
    )
    done = site.run("start.py")
    assert done.returncode != 0
    assert "Install it with: pip install mltk-plugin-audio" in done.stderr
