"""Keep the elements of a `tf.data.Dataset` on disk: as a cache, and as TFRecord files for other programs."""

from __future__ import annotations

import inspect
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from mltk.core.keras.tf_data import data_errors
from mltk.errors import DatasetError, SpecificationError
from mltk.utils.files import cache_dir
from mltk.utils.folders import write_folder_once
from mltk.utils.hasher import generate_hash
from mltk.utils.path import fullpath

_INDEX = "features.json"
_FORMAT = 1


def cache_to_disk(dataset: Any, *identity: object, folder: str | os.PathLike[str] | None = None) -> Any:
    """Read a data set once, keep what it gives, and give that from then on, also in later runs.

    What is kept is found again by the identity; it appears when it is whole, and an interrupted run leaves nothing.

    Args:
        dataset: A `tf.data.Dataset` that ends. What follows the cache (augmentation, shuffling) is not kept.
        *identity: All that the elements depend on: paths, settings, arrays, functions (by their source text). What is
            left out here is not noticed when it changes.
        folder: Where to keep it; `tf_data` in mltk's own folder by default.

    Raises:
        SpecificationError: There is no identity, or it holds something that cannot be told from others.
        DatasetError: The data set has no end, or reading it failed.
    """
    import tensorflow as tf

    if not identity:
        raise SpecificationError(
            "cache_to_disk needs to be told what the elements depend on: paths, settings, …"
        )
    _check_finite(dataset, "cached")
    try:
        key = generate_hash(_identity(identity), str(dataset.element_spec))
    except TypeError as e:
        raise SpecificationError(f"The identity of a cache cannot be used: {e}") from e
    target = Path(fullpath(folder)) if folder else cache_dir() / "tf_data"

    def write(path: Path) -> None:
        with data_errors():
            dataset.save(str(path / "elements"))

    kept = write_folder_once(target / key, {"cache": _FORMAT, "tensorflow": tf.__version__}, write)
    return tf.data.Dataset.load(f"{kept}/elements")


def write_tfrecords(dataset: Any, folder: str | os.PathLike[str], *identity: object, shards: int = 1) -> str:
    """Write the elements of a data set as `tf.train.Example` into TFRecord files.

    Element i goes into file i modulo `shards`. A feature holds the bytes of a tensor (little-endian, row by row), or
    the texts of a tensor of texts; `features.json` beside the files has their names, types and shapes.

    Args:
        dataset: A `tf.data.Dataset` that ends, of a tensor, a tuple or a dictionary of tensors. Shapes that it does not
            tell are taken from the first element.
        folder: A new or empty folder. Files that were written there with the same identity are left as they are.
        *identity: As in `cache_to_disk`; without it, the files are written anew.
        shards: Number of files, at least 1.

    Returns:
        The absolute path of the folder.

    Raises:
        DatasetError: The data set is empty or has no end, its elements differ in shape, reading it failed, or there are
            other files in the folder.
    """
    if shards < 1:
        raise SpecificationError(f"The number of shards must be at least 1, not {shards}.")
    _check_finite(dataset, "written")
    content = {"tfrecords": _FORMAT, "shards": shards, "spec": str(dataset.element_spec)}
    content["identity"] = generate_hash(_identity(identity)) if identity else os.urandom(8).hex()
    return write_folder_once(folder, content, lambda path: _write_shards(dataset, path, shards))


def read_tfrecords(folder: str | os.PathLike[str], shard: tuple[int, int] = (0, 1)) -> Any:
    """Return what `write_tfrecords` wrote, in the order in which it was written.

    Args:
        folder: The folder.
        shard: `(index, count)`: only the files whose number is `index` modulo `count`, for one of several machines.

    Returns:
        A `tf.data.Dataset` of known length.

    Raises:
        DatasetError: The folder is not one of `write_tfrecords`, or files are missing.
        SpecificationError: There is no such shard.
    """
    import tensorflow as tf

    root = Path(fullpath(folder))
    try:
        index = json.loads((root / _INDEX).read_text(encoding="utf-8"))
        structure, features, counts = index["structure"], index["features"], list(index["counts"])
    except (OSError, ValueError, KeyError, TypeError) as e:
        raise DatasetError(
            f"'{root}' is not a folder that write_tfrecords wrote: {_INDEX} is missing or damaged."
        ) from e
    number, count = shard
    if not (count >= 1 and 0 <= number < count <= len(counts)):
        raise SpecificationError(
            f"shard=({number}, {count}) is not possible with {len(counts)} files: "
            f"it must be (index, count) with 0 <= index < count <= {len(counts)}."
        )
    chosen = range(number, len(counts), count)
    files = [root / _file_name(i, len(counts)) for i in chosen]
    missing = [path for path in files if not path.is_file()]
    if missing:
        raise DatasetError(f"The file '{missing[0]}' is missing.")
    data = tf.data.TFRecordDataset([str(p) for p in files[:1]])
    if len(files) > 1:
        data = tf.data.Dataset.from_tensor_slices([str(p) for p in files]).interleave(
            tf.data.TFRecordDataset, cycle_length=len(files), block_length=1
        )
    data = data.map(_parser(structure, features), num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
    return data.apply(tf.data.experimental.assert_cardinality(sum(counts[i] for i in chosen)))


def _write_shards(dataset: Any, folder: Path, shards: int) -> None:
    import tensorflow as tf

    structure = "tensor"
    features: list[dict[str, Any]] | None = None
    counts = [0] * shards
    writers = [tf.io.TFRecordWriter(str(folder / _file_name(i, shards))) for i in range(shards)]
    try:
        with data_errors():
            for i, element in enumerate(dataset.as_numpy_iterator()):
                structure, named = _named(element)
                found = [_feature(name, value) for name, value in named]
                features = features or found
                if found != features:
                    raise DatasetError(
                        f"Element {i} of the data set has {_shapes(found)}, others {_shapes(features)}: "
                        f"make them equal (or batch nothing) before they are written."
                    )
                example = tf.train.Example(
                    features=tf.train.Features(feature={name: _encoded(value) for name, value in named})
                )
                writers[i % shards].write(example.SerializeToString())
                counts[i % shards] += 1
    finally:
        for writer in writers:
            writer.close()
    if features is None:
        raise DatasetError("The data set is empty: there is nothing to write.")
    index = {"version": _FORMAT, "structure": structure, "features": features, "counts": counts}
    (folder / _INDEX).write_text(json.dumps(index, indent=2) + "\n", encoding="utf-8")


def _named(element: Any) -> tuple[str, list[tuple[str, np.ndarray]]]:
    """Return the structure of an element, and its parts: by key, or by position."""
    structure = "dict" if isinstance(element, dict) else "tuple" if isinstance(element, tuple) else "tensor"
    if structure == "dict":
        parts = list(element.items())
    else:
        parts = [(str(i), part) for i, part in enumerate(element if structure == "tuple" else (element,))]
    for name, part in parts:
        if isinstance(part, dict | tuple) or hasattr(part, "to_list"):
            raise DatasetError(f"Part '{name}' of the elements is no single tensor, and cannot be written.")
    return structure, [(str(name), np.asarray(part)) for name, part in parts]


def _feature(name: str, value: np.ndarray) -> dict[str, Any]:
    dtype = "string" if value.dtype.kind in "OSU" else value.dtype.name
    return {"name": name, "dtype": dtype, "shape": list(value.shape)}


def _encoded(value: np.ndarray) -> Any:
    import tensorflow as tf

    if value.dtype.kind in "OSU":
        texts = [v if isinstance(v, bytes) else str(v).encode() for v in value.flat]
    else:
        texts = [np.ascontiguousarray(value).astype(value.dtype.newbyteorder("<"), copy=False).tobytes()]
    return tf.train.Feature(bytes_list=tf.train.BytesList(value=texts))


def _parser(structure: str, features: list[dict[str, Any]]) -> Callable[[Any], Any]:
    import tensorflow as tf

    def parse(record: Any) -> Any:
        values = {}
        for f in features:
            is_text = f["dtype"] == "string"
            shape = tuple(f["shape"]) if is_text else ()
            spec = {f["name"]: tf.io.FixedLenFeature(shape, tf.string)}
            value = tf.io.parse_single_example(record, spec)[f["name"]]
            if f["dtype"] == "bool":
                value = tf.cast(tf.reshape(tf.io.decode_raw(value, tf.uint8), f["shape"]), tf.bool)
            elif not is_text:
                value = tf.reshape(tf.io.decode_raw(value, f["dtype"]), f["shape"])
            values[f["name"]] = value
        if structure == "dict":
            return values
        parts = tuple(values.values())
        return parts if structure == "tuple" else parts[0]

    return parse


def _check_finite(dataset: Any, what: str) -> None:
    if int(dataset.cardinality()) == -1:
        raise DatasetError(f"A data set that repeats without an end cannot be {what}: leave out repeat().")


def _identity(value: Any) -> Any:
    """Put the source text of functions in their places."""
    if isinstance(value, list | tuple):
        return [_identity(v) for v in value]
    if isinstance(value, dict):
        return {k: _identity(v) for k, v in value.items()}
    if inspect.isfunction(value):
        try:
            return [value.__qualname__, inspect.getsource(value)]
        except OSError:
            return [value.__qualname__, value.__code__.co_code, repr(value.__code__.co_consts)]
    return value


def _shapes(features: list[dict[str, Any]]) -> str:
    return ", ".join(f"{f['dtype']} {tuple(f['shape'])}" for f in features)


def _file_name(i: int, shards: int) -> str:
    return f"data-{i:05d}-of-{shards:05d}.tfrecord"
