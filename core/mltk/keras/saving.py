"""Keras files: written whole and reproducibly, read without running code from them."""

from __future__ import annotations

import inspect
import io
import json
import os
import re
import shutil
import warnings
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mltk.errors import FileFormatError, ModelNotFoundError
from mltk.keras.environment import import_tensorflow
from mltk.keras.keras2_config import for_keras_2
from mltk.keras.limits import check_config, check_stored_values, variables_limited
from mltk.plugins import get_plugin_manager
from mltk.utils.dates import source_date
from mltk.utils.files import atomic_path, atomic_write
from mltk.utils.model_archive import ModelArchive
from mltk.utils.temporary import temporary_folder

if TYPE_CHECKING:
    from types import ModuleType

    import keras


def save_keras_model(keras_model: keras.Model, path: str | os.PathLike[str]) -> None:
    """Write a model as `.keras` or, by the ending, as legacy `.h5`, in one step.

    Equal models give equal `.keras` files when `SOURCE_DATE_EPOCH` is set.

    Args:
        keras_model: The model.
        path: The final path.
    """
    optimizer = getattr(keras_model, "optimizer", None)
    if optimizer is not None and not optimizer.built:
        # Keras makes its variables on reading, and then warns that they are not in the file.
        optimizer.build(keras_model.trainable_variables)
    with _no_legacy_warning():
        if Path(path).suffix == ".h5":
            content = io.BytesIO()
            with _legacy_file()(content, "w") as file:
                keras_model.save(file)
                for name in ("model_config", "training_config"):
                    if name in file.attrs:
                        file.attrs[name] = json.dumps(for_keras_2(json.loads(file.attrs[name])))
            atomic_write(path, content.getvalue())
            return
        with atomic_path(path) as temporary:
            keras_model.save(temporary)
            if Path(path).suffix == ".keras":
                _make_reproducible(temporary)


def load_keras_model(
    path: str | os.PathLike[str],
    custom_objects: Mapping[str, Any] | None = None,
    mltk_model: Any = None,
    trust: bool | None = False,
) -> keras.Model:
    """Read a `.keras` or `.h5` file.

    Args:
        path: The file.
        custom_objects: Layers, losses and so on by the name they have in the file.
        mltk_model: Its `keras_custom_objects` are used too, and the layers, losses, metrics and functions that its
            specification has at the top level.
        trust: Allow code in the file (Lambda layers) to run. With `None` it is not run, and the error does not advise
            to allow it.

    Raises:
        ModelNotFoundError: There is no such file.
        FileFormatError: It cannot be read, needs objects that are not known, needs much more memory than the file has
            bytes, or holds code while `trust` is not set.
    """
    import_tensorflow()
    if not Path(path).is_file():
        raise ModelNotFoundError(f"There is no file {path}.")
    objects: dict[str, Any] = dict(get_plugin_manager().collect_offers("mltk_custom_objects"))
    if str(path).endswith(".h5"):
        objects["DepthwiseConv2D"] = _depthwise_conv_2d()
    if mltk_model is not None:
        objects.update(_own_objects(mltk_model.specification_module))
        objects.update(mltk_model.keras_custom_objects or {})
    objects.update(custom_objects or {})
    archive = ModelArchive(path) if zipfile.is_zipfile(path) else None
    # Its members are checked: Keras reads them whole.
    has_config = archive is not None and "config.json" in archive.names()
    try:
        if archive is not None and has_config:
            check_config(archive.read("config.json"), Path(path))
        with _no_legacy_warning(), _readable(path) as source, variables_limited(Path(path)):
            return _load(source, objects, safe_mode=not trust)
    except FileFormatError:
        raise
    # h5py, zipfile, json and Keras answer damage with exceptions of many kinds.
    except Exception as e:
        reason = " ".join(str(e).split())
        if refused := _refused_content(reason):
            advice = " If you trust the file, allow it with --trust (in Python: trust=True)."
            raise FileFormatError(f"{path} {refused}{'' if trust is None else advice}") from e
        if unknown := re.search(r"Could not locate (class|function) '([^']+)'", reason):
            raise FileFormatError(
                f"{path} needs the {unknown[1]} '{unknown[2]}', which is not known here: define it at the top level of "
                f"the specification, or name it in my_model.keras_custom_objects."
            ) from e
        raise FileFormatError(f"{path} cannot be read as a Keras model: {reason[:300]}") from e


def _refused_content(reason: str) -> str | None:
    """Return what Keras does not load in safe mode, or `None` if its error has another reason."""
    if "`safe_mode=False`" not in reason:
        return None
    if vocabulary := re.search("Vocabulary file: (.*)", reason):
        return f"refers to another file, {vocabulary[1]}, which is not read."
    for sign, content in (
        ("TFSMLayer", "refers to a SavedModel (a TFSMLayer), which is not loaded."),
        ("torch", "holds a pickled PyTorch module, which is not loaded."),
        ("ambda", "holds Python code (a Lambda layer), which is not run."),
    ):
        if sign in reason:
            return content
    return f"holds what Keras does not load from a file that is not trusted: {reason[:200]}"


def _load(path: str | os.PathLike[str], custom_objects: Mapping[str, Any], safe_mode: bool) -> keras.Model:
    import keras

    load = partial(keras.saving.load_model, path, custom_objects=custom_objects, safe_mode=safe_mode)
    with warnings.catch_warnings():
        if str(path).endswith(".h5"):
            # Keras advises how the model should have been written.
            warnings.simplefilter("ignore", UserWarning)
        try:
            return load()
        except FileFormatError:
            raise
        except (ValueError, TypeError):
            # Losses and metrics of the user's, or that Keras 2 wrote by name; only training needs them.
            return load(compile=False)


def _own_objects(module: ModuleType | None) -> dict[str, object]:
    """Return the classes and functions for Keras at the top level of a specification, by name."""
    import keras

    own: dict[str, object] = {}
    for name, value in vars(module).items() if module else ():
        origin = getattr(value, "__module__", None) or ""
        if origin.partition(".")[0] in ("keras", "tensorflow", "mltk"):
            continue
        if isinstance(value, type):
            if any(base.__module__.startswith("keras.") for base in value.__mro__):
                own[value.__name__] = value
        # A function called like one of Keras' must not take its place in the layers that name that one.
        elif inspect.isfunction(value) and not any(
            hasattr(namespace, name) for namespace in (keras.activations, keras.losses, keras.metrics)
        ):
            own[value.__name__] = value
    return own


def save_weights(keras_model: keras.Model, path: str | os.PathLike[str]) -> None:
    """Write a model's weights, with its optimizer's state, in one step. `path` ends in `.weights.h5`."""
    content = _WeightsInMemory()
    keras_model.save_weights(content, overwrite=True)
    atomic_write(path, content.getvalue())


def load_weights(
    keras_model: keras.Model, path: str | os.PathLike[str], with_optimizer: bool = False
) -> None:
    """Read weights written by `save_weights`, or by the reference (`.h5`).

    Args:
        keras_model: A model of the same layout.
        path: The file.
        with_optimizer: Also restore the optimizer's state.

    Raises:
        ModelNotFoundError: There is no such file.
        FileFormatError: The file is damaged, or its weights do not fit the model.
    """
    if not Path(path).is_file():
        raise ModelNotFoundError(f"There is no weights file {path}.")
    optimizer = getattr(keras_model, "optimizer", None)
    try:
        if str(path).endswith(".weights.h5"):
            if with_optimizer and optimizer is not None:
                optimizer.build(keras_model.trainable_variables)
                keras_model.load_weights(path)
            else:
                _load_without_optimizer(keras_model, path)
        else:
            keras_model.load_weights(path)
    except (ValueError, KeyError, OSError, TypeError) as e:
        raise FileFormatError(
            f"The weights in {path} do not fit the model, or the file is damaged: {' '.join(str(e).split())[:300]}"
        ) from e


class _WeightsInMemory(io.BytesIO):
    """An HDF5 file in memory: HDF5 crashes the process when the disk gets full under it.

    Keras writes into a `BytesIO`, and looks at what should be its path for the ending only.
    """

    def __str__(self) -> str:
        return "memory.weights.h5"


@contextmanager
def _readable(path: str | os.PathLike[str]) -> Iterator[str | os.PathLike[str]]:
    """Give a file that Keras 3 can read: the file itself, or a temporary copy of what Keras 2 wrote otherwise."""
    config = None
    if str(path).endswith(".h5"):
        check_stored_values(Path(path))
        config = _legacy_config(Path(path))
    if config is None or not _count_calls_anew(config):
        yield path
        return
    import h5py

    with temporary_folder() as folder:
        copy = shutil.copy(path, folder)
        with h5py.File(copy, "r+") as file:
            file.attrs["model_config"] = json.dumps(config)
        yield copy


def _legacy_config(path: Path) -> Any:
    import h5py

    with h5py.File(path, "r") as file:
        check_config(file.attrs.get("training_config", "null"), path)
        return json.loads(file.attrs.get("model_config", "null"))


def _count_calls_anew(config: Any) -> bool:
    """Let a graph refer to the calls of models in it by the numbers that Keras 3 gives them.

    In Keras 2 the first number was that of the call by which such a model built itself. Keras 3 expects that still of
    graphs, but only where they are results.

    Args:
        config: Keras 2's description of a model; changed in place.

    Returns:
        Whether anything changed.
    """
    layers = config["config"].get("layers", []) if isinstance(config.get("config"), dict) else []
    changed = False
    for layer in layers:
        changed |= _count_calls_anew(layer)
    kinds = {layer.get("name"): layer["class_name"] for layer in layers}

    def references(nodes: Any, *nested: str) -> list[Any]:
        return [
            reference
            for node in nodes
            # Keras 3 writes a mapping for each call, with its own numbers.
            if not isinstance(node, dict)
            for reference in ([node] if node and isinstance(node[0], str) else node)
            if kinds.get(reference[0]) in nested
        ]

    calls = [node for layer in layers for node in layer.get("inbound_nodes", ())]
    results = config["config"].get("output_layers", ()) if layers else ()
    found = [*references(calls, "Sequential", "Functional", "Model"), *references([results], "Sequential")]
    first = {reference[0]: 1 << 31 for reference in found}
    for name, number, *_ in found:
        first[name] = min(first[name], number)
    for reference in found:
        reference[1] -= first[reference[0]]
    return changed or any(first.values())


def _legacy_file() -> type:
    """Return a class of HDF5 files that Keras, which looks at the ending of the path, takes for legacy `.h5`."""
    import h5py

    class LegacyFile(h5py.File):
        def __str__(self) -> str:
            return "memory.h5"

    return LegacyFile


def _load_without_optimizer(keras_model: keras.Model, path: str | os.PathLike[str]) -> None:
    with warnings.catch_warnings():
        # Keras tells that the optimizer's variables in the file are not used: as wanted.
        warnings.filterwarnings("ignore", message="Skipping variable loading for optimizer")
        keras_model.load_weights(path)


def _depthwise_conv_2d() -> type:
    """Return a DepthwiseConv2D that accepts the `groups` that Keras 2 wrote into `.h5` files."""
    import keras

    class DepthwiseConv2D(keras.layers.DepthwiseConv2D):
        def __init__(self, *args: Any, groups: int = 1, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)

    return DepthwiseConv2D


@contextmanager
def _no_legacy_warning() -> Iterator[None]:
    """Hide the advice to use `.keras`: it is written as well, `.h5` is for the reference's tools."""
    from absl import logging as absl_logging

    before = absl_logging.get_verbosity()
    absl_logging.set_verbosity(absl_logging.ERROR)
    try:
        yield
    finally:
        absl_logging.set_verbosity(before)


def _make_reproducible(path: Path) -> None:
    """Write the `.keras` file (a ZIP) again without what depends on the clock or on memory addresses."""
    with zipfile.ZipFile(path) as archive:
        content = {info.filename: archive.read(info) for info in archive.infolist()}
    metadata = json.loads(content["metadata.json"])
    metadata["date_saved"] = source_date().strftime("%Y-%m-%d@%H:%M:%S")
    content["metadata.json"] = json.dumps(metadata).encode()
    config = json.loads(content["config.json"])
    _number_shared_objects(config, {})
    content["config.json"] = json.dumps(config).encode()
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for name, data in content.items():
            archive.writestr(zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0)), data)


def _number_shared_objects(node: Any, numbers: dict[int, int]) -> None:
    """Replace the addresses by which Keras tells objects apart with 1, 2, … in order of appearance."""
    if isinstance(node, list):
        for item in node:
            _number_shared_objects(item, numbers)
    elif isinstance(node, dict):
        if "shared_object_id" in node:
            node["shared_object_id"] = numbers.setdefault(node["shared_object_id"], len(numbers) + 1)
        for item in node.values():
            _number_shared_objects(item, numbers)
