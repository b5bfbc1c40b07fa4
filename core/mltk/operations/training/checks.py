"""Check, before the first epoch, that data, network and loss of a training fit each other."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import numpy as np

from mltk.data.arrays import ArraySource
from mltk.data.loader import BatchIterator
from mltk.errors import DatasetError, SpecificationError
from mltk.keras.inputs import arrange_inputs, fit_input, input_specs
from mltk.utils.trees import Tree, iterate_leaves

if TYPE_CHECKING:
    import keras

    from mltk.model.full_model import FullModel
    from mltk.operations.training.fit_data import FirstBatch, FitData

_USUAL_RANGE = 20.0


def check_data(
    mltk_model: FullModel,
    keras_model: keras.Model,
    data: FitData,
    batch: FirstBatch | None,
    logger: logging.Logger,
) -> None:
    """Check the inputs and the labels of the training data, as far as they are known without reading all of them.

    Args:
        mltk_model: The specification.
        keras_model: The network.
        data: The data of the training.
        batch: Their first batch.
        logger: Receives warnings.

    Raises:
        SpecificationError: The data do not fit the inputs of the network, or the labels its loss.
        DatasetError: A label is not the id of a class.
    """
    if batch is None:
        return
    specs = input_specs(keras_model)
    if specs:
        for array, spec in zip(arrange_inputs(keras_model, batch.x), specs, strict=True):
            fit_input(array, spec, "The batches of the training data have")
    if isinstance(data.x, BatchIterator) and isinstance(data.x.source, ArraySource):
        source = data.x.source
        if source.n < source.batch_size:
            logger.warning(
                f"my_model.batch_size is {source.batch_size}, but the training data have {source.n} samples: "
                f"each epoch is one step of the optimizer."
            )
        labels = source.arrays[1] if len(source.arrays) > 1 else None
    else:
        labels = batch.y if batch.is_real else None
    units = _units(keras_model)
    if labels is not None and isinstance(labels, np.ndarray) and units is not None:
        _check_labels(mltk_model, keras_model, labels, units)
    if batch.is_real:
        _warn_of_range(keras_model, batch.x, logger)
    _warn_of_logits(keras_model, logger)


def _units(keras_model: keras.Model) -> int | None:
    """Return the length of the only output vector of a network; `None` for another form."""
    outputs: list[Any] = getattr(keras_model, "outputs", None) or []
    if len(outputs) != 1 or len(outputs[0].shape) != 2:
        return None
    return int(outputs[0].shape[-1])


def _loss_name(keras_model: keras.Model) -> str:
    """Return the name of the loss in the style of Keras' functions, e.g. `categorical_crossentropy`."""
    loss = (keras_model.get_compile_config() or {}).get("loss")
    name = (
        loss if isinstance(loss, str) else str(loss.get("class_name", "")) if isinstance(loss, dict) else ""
    )
    names = {
        "CategoricalCrossentropy": "categorical_crossentropy",
        "SparseCategoricalCrossentropy": "sparse_categorical_crossentropy",
    }
    return names.get(name, name)


def _check_labels(mltk_model: FullModel, keras_model: keras.Model, y: np.ndarray, units: int) -> None:
    loss = _loss_name(keras_model)
    one_hot = y.ndim == 2 and y.shape[1] > 1
    is_sparse = loss == "sparse_categorical_crossentropy"
    if loss not in ("categorical_crossentropy", "sparse_categorical_crossentropy") or y.ndim > 2:
        return
    mode = getattr(mltk_model, "class_mode", None)
    given = f"my_model.class_mode = '{mode}' gives" if mode else "The data have"
    if is_sparse and one_hot:
        raise SpecificationError(
            f"{given} one-hot labels of {y.shape[1]} classes, but the loss '{loss}' takes class ids: set "
            f"my_model.loss = 'categorical_crossentropy'{', or class_mode = ' + repr('sparse') if mode else ''}."
        )
    if not is_sparse and not one_hot and units > 1:
        raise SpecificationError(
            f"{given} class ids, but the loss '{loss}' takes one-hot labels: set my_model.loss = "
            f"'sparse_categorical_crossentropy'{', or class_mode = ' + repr('categorical') if mode else ''}."
        )
    if not is_sparse and one_hot and y.shape[1] != units:
        raise SpecificationError(
            f"{given} one-hot labels of {y.shape[1]} classes, but the network has {units} outputs."
        )
    ids = y.reshape(-1)
    if is_sparse and ids.dtype.kind in "iuf":
        wrong = np.flatnonzero((ids < 0) | (ids >= units))
        if len(wrong):
            raise DatasetError(
                f"The label {ids[wrong[0]]:g} at index {wrong[0]} of y is not a class: the network has {units} "
                f"outputs, for the ids 0 to {units - 1}."
            )


def _warn_of_range(keras_model: keras.Model, x: Tree, logger: logging.Logger) -> None:
    import keras

    layers = [
        layer
        for layer in getattr(keras_model, "layers", ())
        if not isinstance(layer, keras.layers.InputLayer)
    ]
    scaling = (
        keras.layers.Rescaling,
        keras.layers.Normalization,
        keras.layers.BatchNormalization,
        keras.layers.LayerNormalization,
        keras.layers.Embedding,
    )
    if any(isinstance(layer, (*scaling, keras.Model)) for layer in layers[:3]):
        return
    for name, array in iterate_leaves(x, "x"):
        largest = float(np.abs(array).max(initial=0)) if array.dtype.kind in "fu" else 0.0
        if largest > _USUAL_RANGE:
            logger.warning(
                f"The samples go up to {largest:.4g} ({name}), and nothing scales them: networks learn better "
                f"from values between -1 and 1. Set rescale, divide them, or begin with keras.layers.Rescaling."
            )


def _warn_of_logits(keras_model: keras.Model, logger: logging.Logger) -> None:
    loss = (keras_model.get_compile_config() or {}).get("loss")
    layers: list[Any] = getattr(keras_model, "layers", None) or [None]
    activation = getattr(layers[-1], "activation", None)
    if (
        isinstance(loss, str)
        and loss.endswith("crossentropy")
        and getattr(activation, "__name__", "") == "linear"
    ):
        logger.warning(
            f"The loss '{loss}' takes probabilities, and the last layer '{layers[-1].name}' has no activation: end the "
            f"network with softmax or sigmoid."
        )
