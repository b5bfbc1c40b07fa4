"""The data path, and what a data plugin needs of it: settings, batches, listing, splitting, seeding, loading.

`docs/plugins.md` shows how to write a data plugin with these names.
"""

from mltk import lazy

__all__, __getattr__, __dir__ = lazy.attach(__name__, __file__)
