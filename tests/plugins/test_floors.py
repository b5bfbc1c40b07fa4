"""The plugins of this repository import only the documented packages of mltk."""

from pathlib import Path

import grimp
import pytest

ROOT = Path(__file__).parents[2]
PLUGINS = sorted(path.parent.name for path in ROOT.glob("*/src/mltk_plugin_*/plugin.py")) + sorted(
    path.parent.name for path in ROOT.glob("plugins/*/src/mltk_plugin_*/plugin.py")
)
PUBLIC = {
    "cli",
    "core",
    "data",
    "errors",
    "keras",
    "lazy",
    "model",
    "plugins",
    "results",
    "sources",
    "testing",
    "tflite",
    "utils",
}


@pytest.mark.parametrize("plugin", PLUGINS)
def test_a_plugin_imports_only_the_documented_packages(plugin):
    graph = grimp.build_graph("mltk", plugin)
    imported = {
        name
        for module in graph.modules
        if module.split(".")[0] == plugin
        for name in graph.find_modules_directly_imported_by(module)
        if name.startswith("mltk.")
    }
    assert imported
    assert not {name for name in imported if name.split(".")[1] not in PUBLIC}
