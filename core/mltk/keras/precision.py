"""Networks that were trained in mixed precision, in full precision."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING

from mltk.keras.private import flatten_layers

if TYPE_CHECKING:
    import keras


@contextlib.contextmanager
def full_precision(keras_model: keras.Model) -> Iterator[None]:
    """Let layers compute, within the block, in the type of their weights.

    In mixed precision (`mixed_float16`, `mixed_bfloat16`) the weights are float32, and the layers compute in half
    precision, for which the converter has no operators.

    Args:
        keras_model: The model.
    """
    import keras

    mixed = [
        (layer, layer.dtype_policy)
        for layer in flatten_layers(keras_model)
        if layer.compute_dtype != layer.variable_dtype and not layer.dtype_policy.quantization_mode
    ]
    for layer, policy in mixed:
        layer.dtype_policy = keras.DTypePolicy(policy.variable_dtype)
    try:
        yield
    finally:
        for layer, policy in mixed:
            layer.dtype_policy = policy
