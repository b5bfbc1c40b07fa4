"""Store the elements of a `tf.data.Dataset` in TFRecord files, also as a cache."""

from __future__ import annotations

import contextlib
import inspect
import json
import os
import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict, TypeVar

import numpy as np

from mltk.data import data_errors
from mltk.errors import DatasetError, SpecificationError
from mltk.utils.files import cache_dir
from mltk.utils.folders import write_folder_once
from mltk.utils.hasher import generate_hash
from mltk.utils.path import fullpath

if TYPE_CHECKING:
    import tensorflow as tf

T = TypeVar("T")
Structure = str | list["Structure"] | dict[str, "Structure"]
"""Tensor names, nested like an element: a list for a tuple, a dictionary for a dictionary."""


class _Feature(TypedDict):
    name: str
    dtype: str
    shape: list[int | None]


_INDEX = "features.json"
_FORMAT = 1


def cache_to_disk(
    dataset: tf.data.Dataset, *identity: object, folder: str | os.PathLike[str] | None = None
) -> tf.data.Dataset:
    """Cache the elements of a data set on disk, also for later runs.

    The identity selects the cache entry. An interrupted run leaves no entry.

    Args:
        dataset: A finite `tf.data.Dataset`. Apply shuffling and augmentation to the result.
        *identity: Everything the elements depend on: paths, settings, arrays, functions (compared by source text).
            Other changes are not detected.
        folder: Cache directory; `tf_data` in the cache directory of mltk by default.

    Returns:
        A `tf.data.Dataset` of known length.

    Raises:
        SpecificationError: The identity is empty, or a value of it cannot be hashed.
        DatasetError: The data set is empty or infinite, or cannot be read.
    """
    if not identity:
        raise SpecificationError(
            "cache_to_disk requires an identity: pass everything the elements depend on, such as paths and settings."
        )
    try:
        key = generate_hash(_identity(identity), str(dataset.element_spec))
    except TypeError as e:
        raise SpecificationError(f"The identity passed to cache_to_disk is invalid: {e}") from e
    target = Path(fullpath(folder)) if folder else cache_dir() / "tf_data"
    return read_tfrecords(write_tfrecords(dataset, target / key, key))


def write_tfrecords(
    dataset: tf.data.Dataset, folder: str | os.PathLike[str], *identity: object, shards: int = 1
) -> str:
    """Write the elements of a data set to TFRecord files as `tf.train.Example`.

    Element i is written to file i modulo `shards`. Each tensor has two features: `<name>`, its bytes (little-endian,
    row by row) or strings, and `<name>:shape`. Names are positions in the element: `0` and `1` for `(x, y)`.
    `features.json` next to the files contains names, types and common shapes.

    Args:
        dataset: A finite `tf.data.Dataset` of tensors, tuples or dictionaries.
        folder: A new or empty directory. Existing files with the same identity are kept.
        *identity: See `cache_to_disk`; without it, existing files are overwritten.
        shards: Number of files, at least 1.

    Returns:
        The absolute path of the directory.

    Raises:
        DatasetError: The data set is empty or infinite, contains elements that are not tensors, or cannot be read; or
            the directory contains other files.
    """
    if shards < 1:
        raise SpecificationError(f"shards must be at least 1, got {shards}.")
    if int(dataset.cardinality()) == -1:
        raise DatasetError("An infinite data set cannot be written: remove repeat().")
    content = {
        "tfrecords": _FORMAT,
        "shards": shards,
        "spec": str(dataset.element_spec),
        "identity": generate_hash(_identity(identity)) if identity else secrets.token_hex(8),
    }
    return write_folder_once(folder, content, lambda path: _write_shards(dataset, path, shards))


def read_tfrecords(folder: str | os.PathLike[str], shard: tuple[int, int] = (0, 1)) -> tf.data.Dataset:
    """Read the files of `write_tfrecords` in their original order.

    Args:
        folder: The directory.
        shard: `(index, count)`: read only files whose number is `index` modulo `count`, for one of several machines.

    Returns:
        A `tf.data.Dataset` of known length.

    Raises:
        DatasetError: The directory was not written by `write_tfrecords`, or files are missing.
        SpecificationError: The shard does not exist.
    """
    import tensorflow as tf

    root = Path(fullpath(folder))
    try:
        index = json.loads((root / _INDEX).read_text(encoding="utf-8"))
        structure, features, counts = index["structure"], index["features"], list(index["counts"])
    except (OSError, ValueError, KeyError, TypeError) as e:
        raise DatasetError(
            f"'{root}' was not written by write_tfrecords: {_INDEX} is missing or damaged."
        ) from e
    number, count = shard
    if not (count >= 1 and 0 <= number < count <= len(counts)):
        raise SpecificationError(
            f"shard=({number}, {count}) is invalid for {len(counts)} files: "
            f"it must be (index, count) with 0 <= index < count <= {len(counts)}."
        )
    chosen = range(number, len(counts), count)
    files = [root / _file_name(i, len(counts)) for i in chosen]
    missing = [path for path in files if not path.is_file()]
    if missing:
        raise DatasetError(f"The file '{missing[0]}' is missing.")
    data = tf.data.TFRecordDataset(str(files[0]))
    if len(files) > 1:
        data = tf.data.Dataset.from_tensor_slices([str(p) for p in files]).interleave(
            tf.data.TFRecordDataset, cycle_length=len(files), block_length=1
        )
    data = data.map(_parser(structure, features), num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
    return data.apply(tf.data.experimental.assert_cardinality(sum(counts[i] for i in chosen)))


def _write_shards(dataset: tf.data.Dataset, folder: Path, shards: int) -> None:
    import tensorflow as tf

    structure = _structure(dataset.element_spec)
    features: list[_Feature] = []
    counts = [0] * shards
    with contextlib.ExitStack() as stack:
        stack.enter_context(data_errors())
        writers = [
            stack.enter_context(tf.io.TFRecordWriter(str(folder / _file_name(i, shards))))
            for i in range(shards)
        ]
        for i, element in enumerate(dataset.as_numpy_iterator()):
            named = dict(_flatten(structure, element))
            found = [_describe(name, value) for name, value in named.items()]
            features = [_merge(a, b) for a, b in zip(features, found, strict=True)] if i else found
            encoded = {key: value for name, v in named.items() for key, value in _encode(name, v)}
            example = tf.train.Example(features=tf.train.Features(feature=encoded))
            writers[i % shards].write(example.SerializeToString())
            counts[i % shards] += 1
    if not features:
        raise DatasetError("The data set is empty.")
    index = {"version": _FORMAT, "structure": structure, "features": features, "counts": counts}
    (folder / _INDEX).write_text(json.dumps(index, indent=2) + "\n", encoding="utf-8")


def _structure(spec: object, name: str = "") -> Structure:
    """Convert an element spec to the names of its tensors."""
    import tensorflow as tf

    prefix = f"{name}/" if name else ""
    if isinstance(spec, dict):
        return {str(key): _structure(part, f"{prefix}{key}") for key, part in spec.items()}
    if isinstance(spec, tuple):
        return [_structure(part, f"{prefix}{i}") for i, part in enumerate(spec)]
    if not isinstance(spec, tf.TensorSpec):
        raise DatasetError(f"Only tensors can be written, but the elements contain a {type(spec).__name__}.")
    return name or "value"


def _flatten(structure: Structure, element: Any) -> Iterator[tuple[str, np.ndarray]]:
    if isinstance(structure, str):
        yield structure, np.asarray(element)
    elif isinstance(structure, dict):
        for key, part in structure.items():
            yield from _flatten(part, element[key])
    else:
        for part, value in zip(structure, element, strict=True):
            yield from _flatten(part, value)


def _unflatten(structure: Structure, values: Mapping[str, T]) -> T | dict[str, object] | tuple[object, ...]:
    if isinstance(structure, str):
        return values[structure]
    if isinstance(structure, dict):
        return {key: _unflatten(part, values) for key, part in structure.items()}
    return tuple(_unflatten(part, values) for part in structure)


def _describe(name: str, value: np.ndarray) -> _Feature:
    dtype = "string" if value.dtype.kind in "OSU" else value.dtype.name
    return {"name": name, "dtype": dtype, "shape": list(value.shape)}


def _merge(one: _Feature, other: _Feature) -> _Feature:
    """Merge the features of two elements; axes of different size become `None`."""
    if len(one["shape"]) != len(other["shape"]):
        raise DatasetError(f"The tensors '{one['name']}' cannot be written: their number of axes varies.")
    shape = [a if a == b else None for a, b in zip(one["shape"], other["shape"], strict=True)]
    return {**one, "shape": shape}


def _encode(name: str, value: np.ndarray) -> Iterator[tuple[str, tf.train.Feature]]:
    import tensorflow as tf

    if value.dtype.kind in "OSU":
        texts = [v if isinstance(v, bytes) else str(v).encode() for v in value.flat]
    else:
        texts = [value.astype(value.dtype.newbyteorder("<"), copy=False).tobytes()]
    yield name, tf.train.Feature(bytes_list=tf.train.BytesList(value=texts))
    yield f"{name}:shape", tf.train.Feature(int64_list=tf.train.Int64List(value=value.shape))


def _parser(structure: Structure, features: Sequence[_Feature]) -> Callable[[tf.Tensor], object]:
    import tensorflow as tf

    specs: dict[str, object] = {}
    for f in features:
        is_text = f["dtype"] == "string"
        specs[f["name"]] = tf.io.VarLenFeature(tf.string) if is_text else tf.io.FixedLenFeature([], tf.string)
        specs[f"{f['name']}:shape"] = tf.io.FixedLenFeature([len(f["shape"])], tf.int64)

    def parse(record: tf.Tensor) -> object:
        parsed = tf.io.parse_single_example(record, specs)
        values = {}
        for f in features:
            value = parsed[f["name"]]
            if f["dtype"] == "string":
                value = value.values
            elif f["dtype"] == "bool":
                value = tf.cast(tf.io.decode_raw(value, tf.uint8), tf.bool)
            else:
                value = tf.io.decode_raw(value, f["dtype"])
            value = tf.reshape(value, parsed[f"{f['name']}:shape"])
            values[f["name"]] = tf.ensure_shape(value, f["shape"])
        return _unflatten(structure, values)

    return parse


def _identity(value: object) -> object:
    """Replace functions by their source text."""
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


def _file_name(i: int, shards: int) -> str:
    return f"data-{i:05d}-of-{shards:05d}.tfrecord"
