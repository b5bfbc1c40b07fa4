"""The built-in behaviour, as plugins: what mltk does when no other plugin answers.

Each module is small, imports nothing heavy, and declares its hooks `trylast`.
"""

NAMES = ("build", "classifier", "convert", "custom", "dataset", "profiler", "runtime")
"""The modules of this package that are registered, each as the plugin `mltk.<name>`."""
