"""Settings for the tests of all distributions."""

import contextlib
import importlib
from pathlib import Path

# In its importlib mode, pytest makes an empty package of a folder like `mltk_plugin_image/` when it collects a test in
# it. That would hide the installed package of the same name, unless it was imported before.
for folder in Path(__file__).parent.glob("mltk_plugin_*"):
    with contextlib.suppress(ModuleNotFoundError):
        importlib.import_module(folder.name)
