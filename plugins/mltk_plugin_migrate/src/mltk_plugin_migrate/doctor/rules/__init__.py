"""The rules: what to look for in a specification written for silabs-mltk, and what to say about it.

The facts about Keras were tested with Keras 3.15 and TensorFlow 2.21.
"""

from __future__ import annotations

from mltk_plugin_migrate.doctor.rules import hints, keras, libraries, mltk, results
from mltk_plugin_migrate.doctor.rules.rule import Rule

RULES: tuple[Rule, ...] = (*keras.RULES, *libraries.RULES, *mltk.RULES, *results.RULES, *hints.RULES)
"""All rules; their order has no meaning."""
