"""The parameters that every model carries: name, version, classes, hash, date, memory size."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence

from mltk.tflite.graph import TfliteGraph
from mltk.tflite.parameters import TfliteModelParameters
from mltk.utils.dates import source_date

DEFAULT_KEYS = ("name", "version", "classes", "hash", "date", "runtime_memory_size")
"""The parameters that are set for every model, in their order in the file."""


def add_default_parameters(
    tflite_model: TfliteGraph,
    params: Mapping[str, object],
    *,
    name: str,
    version: int,
    classes: Sequence[str] | None = None,
    description: str | None = None,
    date: str | None = None,
    runtime_memory_size: int | None = None,
) -> TfliteModelParameters:
    """Put a model's parameters into its `.tflite`: the defaults first, then `params` in their order.

    A value in `params` wins over the default of that name. The hash is the MD5 of the whole file while `hash`
    and `date` are empty, so anyone can check it by emptying both and packing again; it identifies a model and
    protects nothing.

    Args:
        tflite_model: The model; it is changed, not saved.
        params: The other parameters; a `TfliteModelParameters` keeps its types. It is not changed.
        name: The model's name.
        version: The model's version, 0 or above.
        classes: The names of its classes.
        description: The model's description; `None` leaves the one it has.
        date: `2022-04-13T18:10:48.159Z`; `None` means `build_date()`.
        runtime_memory_size: Bytes of working memory that the model needs on the device; left out when
            unknown.

    Returns:
        All parameters as they are in the file.

    Raises:
        SpecificationError: A value cannot be written.
    """
    defaults: dict[str, object] = {
        "name": name,
        "version": version,
        "classes": list(classes or []),
        "hash": "",
        "date": "",
    }
    if runtime_memory_size is not None:
        defaults["runtime_memory_size"] = runtime_memory_size
    given = TfliteModelParameters(params)

    merged = TfliteModelParameters()
    for key in DEFAULT_KEYS:
        if key in given or key in defaults:
            merged[key] = given.get(key, defaults.get(key))
    merged.update(given)

    if description is not None:
        tflite_model.description = description
    if "hash" not in given:
        merged["hash"] = _hash(tflite_model, merged)
    if "date" not in given:
        merged["date"] = date or build_date()
    merged.add_to_tflite_model(tflite_model)
    return merged


def build_date() -> str:
    """Return the time of `SOURCE_DATE_EPOCH` (seconds), or now, in the form `2022-04-13T18:10:48.159Z`.

    Raises:
        MltkError: `SOURCE_DATE_EPOCH` is not a number of seconds.
    """
    moment = source_date()
    return moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1000:03d}Z"


def _hash(tflite_model: TfliteGraph, params: TfliteModelParameters) -> str:
    """Return the MD5 (32 hex digits) of the model with these parameters, `hash` and `date` being empty."""
    blank = params.copy()
    blank["hash"] = blank["date"] = ""
    blank.add_to_tflite_model(tflite_model)
    return hashlib.md5(tflite_model.flatbuffer_data, usedforsecurity=False).hexdigest()
