"""Describe Keras models as text."""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING

from mltk.keras.metrics import keras_model_metrics
from mltk.model.event import MltkModelEvent

if TYPE_CHECKING:
    from collections.abc import Iterator

    import keras

    from mltk.model.model import MltkModel


def summarize_keras_model(keras_model: keras.Model, mltk_model: MltkModel | None = None) -> str:
    """Return Keras' table of layers, the MACs and OPs, and the specification's own summary.

    Args:
        keras_model: A built model.
        mltk_model: Its specification; handlers of the event `SUMMARIZE_MODEL` may replace the text.
    """
    # It imports Keras.
    from mltk.keras.models import model_to_save

    keras_model = model_to_save(keras_model)
    lines: list[str] = []
    with _fix_width():
        keras_model.summary(print_fn=lines.append)
    lines.append(keras_model_metrics(keras_model).summary())
    if mltk_model is None:
        return "\n".join(lines)
    lines.append(mltk_model.summary())
    box = {"value": "\n".join(lines)}
    mltk_model.trigger_event(MltkModelEvent.SUMMARIZE_MODEL, summary=box["value"], summary_dict=box)
    return box["value"]


@contextlib.contextmanager
def _fix_width() -> Iterator[None]:
    """Give Keras' table one width, whatever the terminal: the archive contains the table."""
    before = os.environ.get("COLUMNS")
    os.environ["COLUMNS"] = "100"
    try:
        yield
    finally:
        if before is None:
            del os.environ["COLUMNS"]
        else:
            os.environ["COLUMNS"] = before
