"""Settings for the tests of all distributions."""

import contextlib

# pytest's importlib mode makes an empty package of a folder like `mltk_plugin_image/` as soon as it collects a test
# in it, which would hide the installed package of that name; imported before, that one stays.
with contextlib.suppress(ModuleNotFoundError):
    import mltk_plugin_audio  # noqa: F401
with contextlib.suppress(ModuleNotFoundError):
    import mltk_plugin_image  # noqa: F401
