"""The data path; plugins add theirs: `mltk.core.preprocess.image`, `mltk.core.preprocess.audio`."""

from mltk._namespace import lazy_names

__getattr__, __dir__ = lazy_names(__name__, {})
