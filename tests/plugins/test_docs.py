"""The documentation of plugins says what is so."""

import os
import re
import runpy
import tomllib
from importlib import import_module
from pathlib import Path

import pytest

from mltk.plugins.validation import hook_kind, hook_signatures

PAGE = (Path(__file__).parents[2] / "docs" / "plugins.md").read_text(encoding="utf-8")


def code(language, after):
    return PAGE.split(after, 1)[1].split(f"```{language}\n", 1)[1].split("```", 1)[0]


@pytest.mark.parametrize("hook", hook_signatures())
def test_every_hook_has_its_line_with_signature_and_kind(hook):
    signature = f"{hook}({', '.join(hook_signatures()[hook])})"
    (line,) = [line for line in PAGE.splitlines() if line.startswith(f"| `{signature}`")]
    assert f"| {hook_kind(hook)} |" in line


def test_the_hooks_are_in_call_order():
    assert re.findall(r"^\| `(mltk_\w+)\(", PAGE, flags=re.M) == list(hook_signatures())


def test_the_plugin_of_the_tutorial_works(site, tmp_path):
    """Its source is installed by hand, and its evaluator run."""
    project = tomllib.loads(code("toml", "`pyproject.toml`"))["project"]
    site.write("mltk_plugin_latency.py", code("python", "`mltk_plugin_latency.py`"))
    site.add(project["name"], version=project["version"], plugins=project["entry-points"]["mltk.plugins"])
    listed = site.mltk("plugins", "list").stdout.splitlines()
    heading, row = PAGE.split("$ mltk plugins list\n", 1)[1].splitlines()[:2]
    assert listed[0].split() == heading.split()
    assert row.split() in [line.split() for line in listed]
    shown = site.mltk("plugins", "show", "latency")
    assert (shown.returncode, shown.stderr) == (0, ""), shown.stderr
    assert site.mltk("plugins", "show", "latency", "--json").returncode == 0
    assert (
        site.python(
            """
        import logging, pathlib
        import numpy as np
        from mltk.plugins import EvaluationContext, get_plugin_manager

        class Predictor:
            name, kind, input_shape = "model", "tflite", (None, 2)
            def predict(self, batch):
                return batch

        evaluator = get_plugin_manager().collect_offers("mltk_evaluators", mltk_model=None)["latency"]
        batches = lambda: iter([(np.zeros((3, 2)), None)])
        results = evaluator.evaluate(
            EvaluationContext(Predictor(), batches, pathlib.Path("."), logging.getLogger())
        )
        print(results["milliseconds"] > 0)
        """
        )
        == "True"
    )


BOARDTOOL = """#!/bin/sh
case $1 in
  flash) exit 0 ;;
  profile) echo '{"board": "devkit", "seconds": [0.001, 0.002, 0, 0, 0, 0, 0, 0, 0, 0, 0]}' ;;
  compile) if [ "$3" = --optimize=size ]; then cat "$2"; else echo "no such mode" >&2; exit 3; fi ;;
esac
"""


@pytest.mark.skipif(os.name != "posix", reason="the tool of the test is a shell script")
def test_the_plugin_for_a_board_works(site):
    site.write("mltk_plugin_board.py", code("python", "`mltk_plugin_board.py`"))
    site.add("mltk-plugin-board", plugins={"board": "mltk_plugin_board"})
    model = str(Path(__file__).parents[1] / "tflite" / "data" / "conv_int8.tflite")
    tools = site.write("bin/boardtool", BOARDTOOL)
    missing = site.mltk("flash", model)
    assert (missing.returncode, missing.stdout) == (1, "")
    assert missing.stderr == "mltk: error: The program 'boardtool' must be installed and on the PATH.\n"
    tools.chmod(0o755)
    env = {"PATH": f"{tools.parent}{os.pathsep}{os.environ['PATH']}"}
    assert site.mltk("flash", model, env=env).stdout == "Done.\n"
    profiled = site.mltk("profile", model, "-a", "board", env=env).stdout
    assert "Time (s): 3 m" in profiled and "devkit" in profiled, profiled
    compiled = site.folder / "out.tflite"
    words = ("compile", model, "-a", "npu", "-o", compiled)
    assert site.mltk(*words, "--optimize", "size", env=env).stdout == f"Written: {compiled}\n"
    assert compiled.is_file()
    assert site.mltk(*words, env=env).stderr == "mltk: error: boardtool compile: no such mode\n"
    assert "no option 'optimise'" in site.mltk(*words, "--optimise", "size", env=env).stderr


def test_the_data_plugin_works(site):
    for name in ("__init__", "data"):
        file = f"mltk_plugin_thermal/{name}.py"
        site.write(file, code("python", f"`{file}`"))
    site.add("mltk-plugin-thermal", plugins={"thermal": "mltk_plugin_thermal"})
    result = site.python(
        """
        import pathlib, sys
        import numpy as np
        import mltk.plugins
        mltk.plugins.get_plugin_manager()
        assert "mltk_plugin_thermal.data" not in sys.modules
        from mltk.core import MltkModel, TrainMixin
        from mltk.errors import SpecificationError
        from mltk_plugin_thermal.data import ThermalDatasetMixin, ThermalGenerator

        class Model(MltkModel, TrainMixin, ThermalDatasetMixin):
            pass

        root = pathlib.Path("pictures")
        for name in ("cat", "dog"):
            (root / name).mkdir(parents=True)
            for i in range(5):
                np.save(root / name / f"{i}.npy", np.full((4, 4), 300))

        def load(*disabled):
            model = Model("model.py")
            model.dataset, model.classes, model.batch_size = str(root), ["cat", "dog"], 3
            model.datagen = ThermalGenerator(noise=0.1, rescale=0.01, validation_split=0.2, cores=2)
            model.disabled_augmentations = list(disabled)
            model.load_dataset("training")
            x, y = (np.concatenate(parts) for parts in zip(*model.x))
            counts, summary = model.class_counts, model.summarize_dataset()
            model.unload_dataset()
            assert x.shape == (8, 4, 4, 1) and x.dtype == np.float32 and y.sum(axis=0).tolist() == [4, 4]
            assert counts["validation"] == {"cat": 1, "dog": 1} and "Thermal images for training" in summary
            return x

        assert (load() == load()).all()
        assert 0 < np.abs(load() - 3).max() < 0.01
        assert (load("thermal_noise") == np.float32(3)).all()
        try:
            load("termal_noise")
        except SpecificationError as e:
            assert "Did you mean 'thermal_noise'" in str(e), e
            print("refused")
        """
    )
    assert result == "refused"


def test_every_python_example_compiles():
    examples = re.findall(r"```python\n(.*?)```", PAGE, flags=re.S)
    assert len(examples) == PAGE.count("```python") >= 6
    for example in examples:
        compile(example, "docs/plugins.md", "exec")


def test_the_reference_lists_every_public_name():
    script = runpy.run_path(str(Path(__file__).with_name("make_api_page.py")))
    page = script["TARGET"].read_text(encoding="utf-8")
    assert page == script["render"](), "run: python tests/plugins/make_api_page.py"
    for package in ("mltk.core", "mltk.plugins", "mltk.data", "mltk.testing"):
        for name in vars(import_module(package))["__all__"]:
            assert f"\n| `{name}` | " in page, f"{package}.{name}"


def test_every_public_name_has_a_description():
    page = (Path(__file__).parents[2] / "docs" / "api.md").read_text(encoding="utf-8")
    assert not re.findall(r"^\| `\w+` \|  \|$", page, flags=re.M)
