"""Errors of networks that are too large for the memory, as one line."""

from __future__ import annotations

import contextlib
import re
import traceback
from typing import TYPE_CHECKING

from mltk.errors import SpecificationError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mltk.model.full_model import FullModel


@contextlib.contextmanager
def explain_memory_errors(mltk_model: FullModel) -> Iterator[None]:
    """Turn an error about memory within the block into one line with the layer and the size.

    Raises:
        SpecificationError: A tensor could not be allocated.
    """
    import keras

    is_filtered = keras.config.is_traceback_filtering_enabled()
    # The layer is found in the frames of Keras, which it takes out of its exceptions.
    keras.config.disable_traceback_filtering()
    try:
        yield
    except Exception as e:
        # Not by its class: TensorFlow may not have been imported.
        if type(e).__name__ != "ResourceExhaustedError" and not isinstance(e, MemoryError):
            raise
        shape = re.search(r"shape\s*[\[(]([\d,\s]+)[\])]", str(e))
        sizes = [int(n) for n in re.findall(r"\d+", shape[1])] if shape else []
        number = 1
        for size in sizes:
            number *= size
        what = (
            f"a tensor of {'x'.join(map(str, sizes))} ({number * 4 / 1e9:,.1f} GB)" if sizes else "a tensor"
        )
        raise SpecificationError(
            f"The network of '{mltk_model.name}' does not fit into the memory: there is no room for {what}"
            f"{_layer_of(e)}. Make the layer, its input or my_model.batch_size smaller."
        ) from e
    finally:
        if is_filtered:
            keras.config.enable_traceback_filtering()


def _layer_of(error: BaseException) -> str:
    """Return ` of the layer 'x'` for the innermost layer that an exception came through."""
    import keras

    owners = [frame.f_locals.get("self") for frame, _ in traceback.walk_tb(error.__traceback__)]
    layers = [o for o in owners if isinstance(o, keras.Layer) and not isinstance(o, keras.Model)]
    return f" of the layer '{layers[-1].name}'" if layers else ""
