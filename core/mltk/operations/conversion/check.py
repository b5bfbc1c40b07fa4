"""Compare a converted model with its float model, and report the layers that lose."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from mltk.errors import EvaluationError
from mltk.keras.private import edit_calibrated
from mltk.tflite import TfliteModel
from mltk.tflite.losses import find_losses, format_losses
from mltk.utils.logging import get_mltk_logger

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    import numpy as np


@contextlib.contextmanager
def keep_calibrated() -> Iterator[list[bytes]]:
    """Keep the float models that TensorFlow's converter calibrates within the block.

    They cost nothing, and their tensors have the names of those of the quantized model.

    Yields:
        A list that gets the content of each.
    """
    kept: list[bytes] = []

    def keep(content: bytes) -> bytes:
        kept.append(content)
        return content

    with edit_calibrated(keep):
        yield kept


def report_losses(
    name: str,
    model: TfliteModel,
    calibrated: Sequence[bytes],
    samples: Sequence[Sequence[np.ndarray]],
    explain: Callable[[str], None] | None,
) -> None:
    """Log the layer that loses most, if it loses a lot; explain all layers on request.

    Args:
        name: Name of the model.
        model: The finished quantized model.
        calibrated: From `keep_calibrated`.
        samples: From `representative_samples`.
        explain: Gets the table of all layers with causes and advice.
    """
    if not calibrated or not samples:
        if explain is not None:
            explain(
                f"The layers of '{name}' cannot be compared: its converter settings calibrate no int8 model."
            )
        return
    try:
        floating = TfliteModel(calibrated[-1])
        floating.is_own = True
        losses = find_losses(model, floating, samples)
    except (EvaluationError, ValueError) as e:
        # An operator that LiteRT lacks, or varying shapes; the model is as good as before.
        if explain is not None:
            explain(f"The layers of '{name}' cannot be compared: {e}")
        get_mltk_logger().debug("Layers were not compared", exc_info=e)
        return
    if explain is not None:
        explain(format_losses(losses))
    elif losses and losses[0].is_severe:
        get_mltk_logger().warning("Quantization: %s. All layers: mltk quantize %s --explain", losses[0], name)
