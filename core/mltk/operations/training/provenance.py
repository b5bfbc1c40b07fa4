"""What the results of a training run depend on."""

from __future__ import annotations

import hashlib
import platform
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

from mltk import __version__
from mltk.keras.environment import thread_count
from mltk.model.mixins.archive import original_specification
from mltk.plugins import get_plugin_manager
from mltk.utils.hasher import generate_hash

if TYPE_CHECKING:
    from mltk.model.base import ModelBase
    from mltk.model.full_model import FullModel


def provenance(mltk_model: FullModel) -> dict[str, object]:
    """Return what the results of a training run depend on; the data set must be loaded.

    Seed, specification, data, number of TensorFlow's threads, versions of Python, libraries and plugins.
    """
    return {
        "model": mltk_model.name,
        "seed": mltk_model.seed,
        "mltk": __version__,
        "python": platform.python_version(),
        "libraries": {name: _version(name) for name in ("tensorflow", "keras", "numpy")},
        "plugins": {
            r.name: f"{r.distribution} {r.version}"
            for r in get_plugin_manager().records()
            if r.status == "active" and not r.builtin
        },
        "threads": thread_count(),
        "specification": specification_hash(mltk_model),
        "dataset_fingerprint": _data_fingerprint(mltk_model),
    }


def specification_hash(mltk_model: ModelBase) -> str | None:
    """Return the SHA-256 of a model's specification; `None` if it has no file."""
    path = Path(mltk_model.model_specification_path or "")
    if not path.is_file():
        return None
    return hashlib.sha256(original_specification(path.read_text(encoding="utf-8")).encode()).hexdigest()


def _data_fingerprint(mltk_model: FullModel) -> str | None:
    """Return the fingerprint of the loaded data: that of their loader, or a hash of arrays; `None` for others."""
    if mltk_model.dataset_fingerprint is not None:
        return mltk_model.dataset_fingerprint
    try:
        return generate_hash(mltk_model.x, mltk_model.y, mltk_model.sample_weight, mltk_model.validation_data)
    except TypeError:
        return None


def _version(distribution: str) -> str | None:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None
