"""Keep the elements of a `tf.data.Dataset` on disk: as a cache, and as TFRecord files for other programs."""

from __future__ import annotations

import contextlib
import inspect
import json
import os
import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mltk.data.tf_data import data_errors
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

    Returns:
        A `tf.data.Dataset` of known length.

    Raises:
        SpecificationError: There is no identity, or it holds something that cannot be told from others.
        DatasetError: The data set is empty or has no end, or reading it failed.
    """
    if not identity:
        raise SpecificationError(
            "cache_to_disk needs to be told what the elements depend on: paths, settings, …"
        )
    try:
        key = generate_hash(_identity(identity), str(dataset.element_spec))
    except TypeError as e:
        raise SpecificationError(f"The identity of a cache cannot be used: {e}") from e
    target = Path(fullpath(folder)) if folder else cache_dir() / "tf_data"
    return read_tfrecords(write_tfrecords(dataset, target / key, key))


def write_tfrecords(dataset: Any, folder: str | os.PathLike[str], *identity: object, shards: int = 1) -> str:
    """Write the elements of a data set as `tf.train.Example` into TFRecord files.

    Element i goes into file i modulo `shards`. Each tensor is two features: `<name>`, its bytes (little-endian, row by
    row) or its texts, and `<name>:shape`. A name is the place in the element: `0` and `1` of `(x, y)`. `features.json`
    beside the files has the names, types and common shapes.

    Args:
        dataset: A `tf.data.Dataset` that ends, of tensors, tuples or dictionaries.
        folder: A new or empty folder. Files that were written there with the same identity are left as they are.
        *identity: As in `cache_to_disk`; without it, the files are written anew.
        shards: Number of files, at least 1.

    Returns:
        The absolute path of the folder.

    Raises:
        DatasetError: The data set is empty or has no end, holds something that is no tensor, or reading it failed; or
            there are other files in the folder.
    """
    if shards < 1:
        raise SpecificationError(f"The number of shards must be at least 1, not {shards}.")
    if int(dataset.cardinality()) == -1:
        raise DatasetError("A data set that repeats without an end cannot be written: leave out repeat().")
    content = {
        "tfrecords": _FORMAT,
        "shards": shards,
        "spec": str(dataset.element_spec),
        "identity": generate_hash(_identity(identity)) if identity else secrets.token_hex(8),
    }
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
    data = tf.data.TFRecordDataset(str(files[0]))
    if len(files) > 1:
        data = tf.data.Dataset.from_tensor_slices([str(p) for p in files]).interleave(
            tf.data.TFRecordDataset, cycle_length=len(files), block_length=1
        )
    data = data.map(_parser(structure, features), num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
    return data.apply(tf.data.experimental.assert_cardinality(sum(counts[i] for i in chosen)))


def _write_shards(dataset: Any, folder: Path, shards: int) -> None:
    import tensorflow as tf

    structure = _structure(dataset.element_spec)
    features: list[dict[str, Any]] = []
    counts = [0] * shards
    with contextlib.ExitStack() as stack:
        stack.enter_context(data_errors())
        writers = [
            stack.enter_context(tf.io.TFRecordWriter(str(folder / _file_name(i, shards))))
            for i in range(shards)
        ]
        for i, element in enumerate(dataset.as_numpy_iterator()):
            named = dict(_named(structure, element))
            found = [_feature(name, value) for name, value in named.items()]
            features = [_common(a, b) for a, b in zip(features, found, strict=True)] if i else found
            encoded = {key: value for name, v in named.items() for key, value in _encoded(name, v)}
            example = tf.train.Example(features=tf.train.Features(feature=encoded))
            writers[i % shards].write(example.SerializeToString())
            counts[i % shards] += 1
    if not features:
        raise DatasetError("The data set is empty: there is nothing to write.")
    index = {"version": _FORMAT, "structure": structure, "features": features, "counts": counts}
    (folder / _INDEX).write_text(json.dumps(index, indent=2) + "\n", encoding="utf-8")


def _structure(spec: Any, name: str = "") -> Any:
    """Return an element's structure as JSON has it: lists for tuples, and the names of the tensors in their places."""
    import tensorflow as tf

    prefix = f"{name}/" if name else ""
    if isinstance(spec, dict):
        return {str(key): _structure(part, f"{prefix}{key}") for key, part in spec.items()}
    if isinstance(spec, tuple):
        return [_structure(part, f"{prefix}{i}") for i, part in enumerate(spec)]
    if not isinstance(spec, tf.TensorSpec):
        raise DatasetError(
            f"The elements hold a {type(spec).__name__}, which cannot be written: tensors can."
        )
    return name or "value"


def _named(structure: Any, element: Any) -> Iterator[tuple[str, np.ndarray]]:
    if isinstance(structure, str):
        yield structure, np.asarray(element)
    elif isinstance(structure, dict):
        for key, part in structure.items():
            yield from _named(part, element[key])
    else:
        for part, value in zip(structure, element, strict=True):
            yield from _named(part, value)


def _put_together(structure: Any, values: Mapping[str, Any]) -> Any:
    if isinstance(structure, str):
        return values[structure]
    if isinstance(structure, dict):
        return {key: _put_together(part, values) for key, part in structure.items()}
    return tuple(_put_together(part, values) for part in structure)


def _feature(name: str, value: np.ndarray) -> dict[str, Any]:
    dtype = "string" if value.dtype.kind in "OSU" else value.dtype.name
    return {"name": name, "dtype": dtype, "shape": list(value.shape)}


def _common(one: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    """Return a feature with `None` where two elements differ in shape."""
    if len(one["shape"]) != len(other["shape"]):
        raise DatasetError(
            f"The tensors '{one['name']}' differ in their number of axes, and cannot be written."
        )
    shape = [a if a == b else None for a, b in zip(one["shape"], other["shape"], strict=True)]
    return {**one, "shape": shape}


def _encoded(name: str, value: np.ndarray) -> Iterator[tuple[str, Any]]:
    import tensorflow as tf

    if value.dtype.kind in "OSU":
        texts = [v if isinstance(v, bytes) else str(v).encode() for v in value.flat]
    else:
        texts = [value.astype(value.dtype.newbyteorder("<"), copy=False).tobytes()]
    yield name, tf.train.Feature(bytes_list=tf.train.BytesList(value=texts))
    yield f"{name}:shape", tf.train.Feature(int64_list=tf.train.Int64List(value=value.shape))


def _parser(structure: Any, features: Sequence[Mapping[str, Any]]) -> Callable[[Any], Any]:
    import tensorflow as tf

    specs: dict[str, Any] = {}
    for f in features:
        is_text = f["dtype"] == "string"
        specs[f["name"]] = tf.io.VarLenFeature(tf.string) if is_text else tf.io.FixedLenFeature([], tf.string)
        specs[f"{f['name']}:shape"] = tf.io.FixedLenFeature([len(f["shape"])], tf.int64)

    def parse(record: Any) -> Any:
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
        return _put_together(structure, values)

    return parse


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


def _file_name(i: int, shards: int) -> str:
    return f"data-{i:05d}-of-{shards:05d}.tfrecord"
