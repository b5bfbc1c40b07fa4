"""Model specifications that come with mltk and its plugins, and networks to build on (`mltk.models.shared`)."""

from mltk._namespace import lazy_names

__getattr__, __dir__ = lazy_names(__name__, {})
