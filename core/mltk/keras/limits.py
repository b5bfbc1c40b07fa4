"""Limit the memory that a Keras file takes: a short file can describe a network of any size."""

from __future__ import annotations

import json
import math
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from unittest.mock import patch

from mltk.errors import FileFormatError

if TYPE_CHECKING:
    import keras

# An optimizer has up to three values for each weight, which the file need not hold, and weights may be compressed.
_MAX_RATIO = 20
_ANY_BYTES = 64 << 20
_MAX_THRESHOLDS = 1_000_000

_one_at_a_time = threading.RLock()


@contextmanager
def variables_limited(path: Path) -> Iterator[None]:
    """Within the block, refuse variables of this thread that need much more memory than a Keras file has bytes.

    The variables are counted before their memory is taken.

    Args:
        path: The file that is read within the block.

    Raises:
        FileFormatError: The variables need more than 64 MB and more than 20 times the size of the file.
    """
    import keras

    create = keras.Variable.__init__
    limit = max(_ANY_BYTES, _MAX_RATIO * path.stat().st_size)
    thread = threading.get_ident()
    total = 0

    def count_and_create(self: keras.Variable, *args: object, **kwargs: object) -> None:
        nonlocal total
        if threading.get_ident() == thread:
            shape = args[1] if len(args) > 1 else kwargs.get("shape")
            # Without a shape, the value exists already.
            total += 4 * math.prod(shape) if isinstance(shape, list | tuple) else 0
            if total > limit:
                raise FileFormatError(
                    f"{path} describes a network that needs more than {total / 1e6:,.0f} MB, "
                    f"but the file has {path.stat().st_size / 1e6:,.3f} MB. It cannot hold the weights."
                )
        create(self, *args, **kwargs)

    with _one_at_a_time, patch.object(keras.Variable, "__init__", count_and_create):
        yield


def check_config(config: str | bytes, path: Path) -> None:
    """Check the numbers in the description of a network that take memory before a variable is created.

    Args:
        config: The description, as JSON.
        path: Its file, for the message.

    Raises:
        FileFormatError: A metric has more than a million thresholds.
    """

    def check(node: dict[str, object]) -> dict[str, object]:
        count = node.get("num_thresholds")
        if isinstance(count, int | float) and count > _MAX_THRESHOLDS:
            raise FileFormatError(
                f"{path} has a metric of {count:,.0f} thresholds; at most 1,000,000 are read."
            )
        return node

    json.loads(config, object_hook=check)


def check_stored_values(path: Path) -> None:
    """Check that an HDF5 file is about as large as the arrays in it.

    Raises:
        FileFormatError: Its arrays have more than 64 MB and more than 20 times the size of the file.
    """
    import h5py

    total = 0

    def add(name: str, item: object) -> None:
        nonlocal total
        if isinstance(item, h5py.Dataset):
            total += item.nbytes

    with h5py.File(path, "r") as file:
        file.visititems(add)
    if total > max(_ANY_BYTES, _MAX_RATIO * path.stat().st_size):
        raise FileFormatError(
            f"{path} has arrays of {total / 1e6:,.0f} MB, but the file has {path.stat().st_size / 1e6:,.3f} MB."
        )
