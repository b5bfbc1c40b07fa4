"""The data of a training in the form that `fit` gets, and their first batch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from mltk.data.arrays import array_iterator, check_finite, check_lengths
from mltk.data.loader import BatchIterator
from mltk.data.tf_data import is_tf_dataset
from mltk.errors import DatasetError, SpecificationError
from mltk.keras.inputs import input_specs
from mltk.operations.training.labels import describe_split, refuse_text
from mltk.utils.trees import Tree, as_tree, is_tree, leaves_of, take_rows

if TYPE_CHECKING:
    import keras

    from mltk.model.full_model import FullModel


class FitData(NamedTuple):
    """Data for `fit`, in any form that Keras takes, or as `BatchIterator`."""

    x: Any
    y: Any
    sample_weight: Any
    validation: Any
    advice: str = ""
    """A warning to give when the training begins; empty for none."""


class FirstBatch(NamedTuple):
    """A batch as the training will get it."""

    x: Tree
    y: Tree | None
    is_real: bool
    """Whether the data set was read; otherwise these are zeros in the shapes and types of its batches."""


def training_data(mltk_model: FullModel) -> FitData:
    """Return the loaded data; arrays, and lists and dictionaries of arrays, become seeded batch iterators.

    Args:
        mltk_model: The specification, with its data loaded.

    Raises:
        DatasetError: Arrays differ in length or hold values that are not finite, or labels are text.
    """
    x = mltk_model.prepare_training_data(mltk_model.x)
    y, sample_weight = mltk_model.y, mltk_model.sample_weight
    validation = mltk_model.validation_data
    if sample_weight is not None and y is None:
        raise DatasetError("sample_weight needs y.")
    if sample_weight is not None and mltk_model.class_weights:
        raise SpecificationError(
            "Keras takes class_weights and sample_weight not at once: multiply sample_weight, and leave "
            "my_model.class_weights out."
        )
    parts = [part for part in (x, y, sample_weight) if part is not None]
    if y is not None and _is_in_memory(y):
        refuse_text(y)
    if not all(_is_in_memory(part) for part in parts):
        return FitData(x, y, sample_weight, validation)
    length = check_lengths(parts)
    check_finite(x, "x")
    batch_size = mltk_model.batch_size
    advice = ""
    if validation is None and mltk_model.validation_split:
        # As in Keras, the last fraction before any shuffling.
        cut = int(length * (1 - mltk_model.validation_split))
        if not 0 < cut < length:
            raise DatasetError(
                f"validation_split={mltk_model.validation_split} leaves nothing of {length} samples."
            )
        if y is not None:
            advice = describe_split(y, cut, mltk_model.attributes.stored.get("dataset.classes") or ())
        validation = array_iterator(
            *(take_rows(part, slice(cut, None)) for part in parts), batch_size=batch_size, seed=None
        )
        parts = [take_rows(part, slice(cut)) for part in parts]
    seed = mltk_model.seed if mltk_model.shuffle else None
    return FitData(array_iterator(*parts, batch_size=batch_size, seed=seed), None, None, validation, advice)


def _is_in_memory(part: object) -> bool:
    return isinstance(part, np.ndarray) or (
        is_tree(part) and all(isinstance(leaf, np.ndarray) for leaf in leaves_of(part))
    )


def first_batch(data: FitData, keras_model: keras.Model) -> FirstBatch | None:
    """Return a batch of the training data without changing what the training will get.

    A `tf.data.Dataset` is not read: each reading would change the order of a shuffled one.

    Args:
        data: From `training_data`.
        keras_model: The network, whose inputs complete shapes that the data do not tell.

    Returns:
        `None` if neither the data nor the network tell their shapes.
    """
    x = data.x
    if isinstance(x, BatchIterator):
        return FirstBatch(*_with_labels(x.peek()), True)
    specs = input_specs(keras_model)
    if is_tf_dataset(x):
        zeros = _zeros(x.element_spec, [spec.shape for spec in specs])
        return None if zeros is None else FirstBatch(*_with_labels(zeros), False)
    if hasattr(x, "__getitem__") and hasattr(x, "__len__") and not (hasattr(x, "shape") or is_tree(x)):
        return FirstBatch(*_with_labels(x[0]), True)
    if not specs:
        return None
    arrays = tuple(np.zeros([1 if n is None else n for n in spec.shape], spec.dtype) for spec in specs)
    return FirstBatch(arrays if len(arrays) > 1 else arrays[0], None, False)


def _with_labels(batch: Any) -> tuple[Tree, Tree | None]:
    parts = list(batch) if isinstance(batch, (tuple, list)) else [batch]
    x, y = (*parts, None)[:2]
    return as_tree(x), None if y is None else as_tree(y)


def _zeros(spec: Any, shapes: Sequence[tuple[int | None, ...]]) -> Tree | None:
    """Return zeros as the elements of a `tf.data.Dataset`; `None` if their shapes are not known."""
    import tensorflow as tf

    flat = tf.nest.flatten(spec)
    known = [*shapes, *[None] * len(flat)]
    arrays = []
    for one, wanted in zip(flat, known, strict=False):
        if not isinstance(one, tf.TensorSpec):
            return None
        shape = one.shape if one.shape.rank is not None else tf.TensorShape(wanted)
        if shape.rank is None:
            return None
        if wanted is not None and shape.is_compatible_with(wanted):
            shape = shape.merge_with(wanted)
        arrays.append(np.zeros([1 if n is None else n for n in shape], one.dtype.as_numpy_dtype))
    return tf.nest.pack_sequence_as(spec, arrays)
