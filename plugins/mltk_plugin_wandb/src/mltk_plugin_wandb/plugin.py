"""The plugin `wandb`."""

from __future__ import annotations

mltk_api_version = 1
