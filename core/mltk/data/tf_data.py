"""Prepare a `tf.data.Dataset` for a model: batches, known shapes, readable errors."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import count
from typing import TYPE_CHECKING, Any, Protocol, TypeGuard

from mltk.errors import DatasetError, SpecificationError

if TYPE_CHECKING:
    import keras
    import tensorflow as tf

# Cardinality of an infinite data set.
_INFINITE = -1

_NOT_FINITE = "of an epoch holds values that are not finite (NaN or infinite)"


class Specification(Protocol):
    """A model specification with a data set."""

    @property
    def name(self) -> str:
        """Name of the model."""
        ...

    @property
    def input_shape(self) -> Any:
        """Shape of one sample."""
        ...

    @property
    def attributes(self) -> Any:
        """Values that are set, by key in `attributes.stored`."""
        ...


def is_tf_dataset(data: object) -> TypeGuard[tf.data.Dataset]:
    """Return whether the data is a `tf.data.Dataset`, without importing TensorFlow."""
    return hasattr(data, "element_spec") and hasattr(data, "as_numpy_iterator")


def as_batches(data: object, mltk_model: Specification) -> object:
    """Batch a `tf.data.Dataset` of single samples; return a batched one, and other data, unchanged.

    `my_model.input_shape` distinguishes samples from batches; without it, a data set counts as batched.

    Raises:
        SpecificationError: The data fit `my_model.input_shape` neither as samples nor as batches.
    """
    if not is_tf_dataset(data) or "dataset.input_shape" not in mltk_model.attributes.stored:
        return data
    wanted = tuple(mltk_model.input_shape)
    found = _get_shape_of_x(data)
    if found is None:
        return data
    if found.is_compatible_with(wanted):
        return data.batch(getattr(mltk_model, "batch_size", 32))
    # Keras adds an axis of size 1 by itself.
    batches = [(None, *wanted)] + ([(None, *wanted[:-1])] if wanted[-1:] == (1,) else [])
    if not any(found.is_compatible_with(shape) for shape in batches):
        raise SpecificationError(
            f"The data set of '{mltk_model.name}' gives tensors of the shape {_format_shape(found)}. With "
            f"my_model.input_shape = {wanted} they must be {_format_shape((None, *wanted))} for batches, "
            f"or {wanted} for samples."
        )
    return data


def for_training(
    data: object, mltk_model: Specification, keras_model: keras.Model, steps: int | None, done: int = 0
) -> tuple[object, int | None]:
    """Return a `tf.data.Dataset` for `fit` and the number of batches in an epoch; other data unchanged.

    Unknown shapes are set to those of the network, values that are not finite end the training run, and with `steps` a
    finite data set starts again at its end.

    Args:
        data: Batches.
        mltk_model: The specification.
        keras_model: The network.
        steps: Number of batches in an epoch; `None`: all.
        done: Number of epochs before a resumed training run. Their orders are skipped, so that shuffled data come in
            the order of an uninterrupted run; for a data set of unknown length only in the first epoch.

    Raises:
        DatasetError: The data set is empty.
        SpecificationError: It is infinite, and the number of steps is not set.
    """
    if not is_tf_dataset(data):
        return data, steps
    size = int(data.cardinality())
    checked = _check(data, mltk_model, keras_model, steps, "training", "steps_per_epoch")
    if steps is not None:
        # An infinite data set is not changed by repeat().
        return checked.repeat().skip(done * steps), steps
    for _ in range(done):
        # An iterator draws a new order when it is created.
        iter(checked)
    # Keras creates more iterators than it uses, but only one of an infinite data set.
    return (checked.repeat(), size) if size > 0 else (checked, None)


def for_validation(
    data: object, mltk_model: Specification, keras_model: keras.Model, steps: int | None
) -> object:
    """Return a `tf.data.Dataset` for the validation of `fit`, which reads it from its start after each epoch.

    Args and errors are those of `for_training`; the number of steps is part of the result.
    """
    if not is_tf_dataset(data):
        return data
    checked = _check(data, mltk_model, keras_model, steps, "validation", "validation_steps")
    return checked if steps is None else checked.take(steps)


def record_failure(error: BaseException) -> str:
    """Store the exception that ends a Python function inside a pipeline, for `data_errors`.

    Returns:
        The message for the exception to raise instead, which identifies the stored one.
    """
    number = next(_numbers)
    _failures[number] = error
    # A pipeline raises the first failure; others come from elements that were being processed.
    for old in list(_failures)[:-64]:
        del _failures[old]
    return f"{type(error).__name__}: {error} <failure {number}>"


@contextmanager
def fitting() -> Iterator[None]:
    """Raise readable errors as `data_errors` does, and suppress the warning of Keras at the end of the data."""
    with warnings.catch_warnings(), data_errors():
        # Keras warns for every data set of unknown length.
        warnings.filterwarnings("ignore", "Your input ran out of data", UserWarning)
        yield


@contextmanager
def data_errors() -> Iterator[None]:
    """Replace TensorFlow's errors of a pipeline that the block reads.

    An exception stored by `record_failure` is raised with its own traceback; the message of any other becomes a
    `DatasetError`. Errors that do not come from a pipeline are not changed.
    """
    try:
        yield
    except Exception as e:
        # Not by its class: TensorFlow may not have been imported.
        text = str(getattr(e, "message", ""))
        if not type(e).__module__.startswith("tensorflow.") or not _FROM_PIPELINE.search(str(e)):
            raise
        number = re.search(r"<failure (\d+)>", text)
        if number and int(number[1]) in _failures:
            raise _failures.pop(int(number[1])) from None
        raise DatasetError(f"Reading the data failed: {_reason(text)}") from e


_numbers = count()
_failures: dict[int, BaseException] = {}

_FROM_PIPELINE = re.compile(
    r"IteratorGetNext|Iterator::|user-defined function passed to|DatasetToSingleElement"
)
_PYTHON_ERROR = re.compile(r"([\w.]+): (.*?)\s*\nTraceback \(most recent call last\)", re.DOTALL)
_FRAME = re.compile(r'File "([^"]+)", line (\d+), in (\w+)')


def _reason(text: str) -> str:
    """Return the message of a TensorFlow error, without nodes and iterators."""
    text = re.sub(r"^.*?with iterator: \S+: ", "", text, flags=re.DOTALL)
    text = re.sub(r"\{\{[^}]*\}\}\s*", "", text)
    python = _PYTHON_ERROR.match(text)
    if python:
        name = python[1].rpartition(".")[2]
        frames = _FRAME.findall(text)
        place = f" ({frames[-1][0]}:{frames[-1][1]})" if frames else ""
        return python[2] if name == "DatasetError" else f"{name}: {python[2]}{place}"
    asserted = re.search(r"assertion failed: (.*)", text)
    if asserted and _NOT_FINITE in asserted[1]:
        number = re.search(r"\] \[(\d+)\]", asserted[1])
        return f"batch {number[1] if number else '?'} {_NOT_FINITE}."
    text = re.split(r"\s*\[\[|\s*\[Op:", asserted[1] if asserted else text)[0]
    return " ".join(text.split())[:400]


def _check(
    data: tf.data.Dataset,
    mltk_model: Specification,
    keras_model: keras.Model,
    steps: int | None,
    subset: str,
    setting: str,
) -> tf.data.Dataset:
    size = int(data.cardinality())
    if size == 0:
        raise DatasetError(f"The {subset} data set of '{mltk_model.name}' is empty.")
    if size == _INFINITE and steps is None:
        raise SpecificationError(
            f"The {subset} data set of '{mltk_model.name}' repeats without an end: set my_model.{setting}, "
            f"or remove repeat()."
        )
    return _check_finite(_set_shapes(data, keras_model))


def _set_shapes(data: tf.data.Dataset, keras_model: keras.Model) -> tf.data.Dataset:
    """Set the shapes of tensors that come from Python functions, which TensorFlow does not know."""
    import tensorflow as tf

    spec = data.element_spec
    parts = list(spec) if isinstance(spec, tuple) else [spec]
    if not all(isinstance(part, tf.TensorSpec) for part in parts):
        return data
    shapes: list[tf.TensorShape] = [part.shape for part in parts]
    # A subclassed model has no input shape.
    expected = getattr(keras_model, "input_shape", None)
    if isinstance(expected, tuple) and (shapes[0].rank is None or shapes[0].rank == len(expected)):
        if not shapes[0].is_compatible_with(expected):
            # Keras reports the difference.
            return data
        shapes[0] = shapes[0].merge_with(expected)
    if any(shape.rank is None for shape in shapes):
        for i, tensor in enumerate(_read_first(data)):
            if shapes[i].rank is None:
                shapes[i] = tf.TensorShape([None] * tensor.shape.rank)
    if shapes == [part.shape for part in parts]:
        return data

    def ensure_shapes(*tensors: tf.Tensor) -> tf.Tensor | tuple[tf.Tensor, ...]:
        shaped = tuple(tf.ensure_shape(t, s) for t, s in zip(tensors, shapes, strict=True))
        return shaped if isinstance(spec, tuple) else shaped[0]

    return data.map(ensure_shapes)


def _check_finite(data: tf.data.Dataset) -> tf.data.Dataset:
    import tensorflow as tf

    def check(index: tf.Tensor, element: object) -> object:
        checks = [
            tf.debugging.Assert(tf.reduce_all(tf.math.is_finite(t)), ["batch", _NOT_FINITE, index + 1])
            for t in tf.nest.flatten(element)
            if isinstance(t, tf.Tensor) and t.dtype.is_floating
        ]
        with tf.control_dependencies(checks):
            return tf.nest.map_structure(tf.identity, element)

    return data.enumerate().map(check).prefetch(tf.data.AUTOTUNE)


def _get_shape_of_x(data: tf.data.Dataset) -> tf.TensorShape | None:
    """Return the shape of the first component; `None` if it is not one tensor, or is recognized as a batch."""
    import tensorflow as tf

    spec = data.element_spec
    x, y = (*spec, None, None)[:2] if isinstance(spec, tuple) else (spec, None)
    if not isinstance(x, tf.TensorSpec):
        return None
    if x.shape.rank is not None:
        return x.shape
    # Python made it. Labels reveal a batch too, and reading an element may be slow: a shuffle reads many.
    if isinstance(y, tf.TensorSpec) and y.shape.rank and (y.shape.rank > 1 or y.shape[0] is None):
        return None
    first = _read_first(data)
    return first[0].shape if first else None


def _read_first(data: tf.data.Dataset) -> tuple[tf.Tensor, ...]:
    """Return the components of the first element; an empty tuple for an empty data set."""
    with data_errors():
        for element in data.take(1):
            return element if isinstance(element, tuple) else (element,)
    return ()


def _format_shape(shape: Iterable[int | None]) -> str:
    return "(" + ", ".join("any" if n is None else str(n) for n in tuple(shape)) + ")"
