"""A `tf.data.Dataset` as the data of a model: in batches, of known shape, and with errors that a user can read."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from typing import TYPE_CHECKING, Any

from mltk.errors import DatasetError, SpecificationError

if TYPE_CHECKING:
    import keras

# What `tf.data` answers for the number of elements.
_INFINITE = -1

_NOT_FINITE = "of an epoch holds values that are not finite (NaN or infinite)"


def is_tf_dataset(data: object) -> bool:
    """Tell whether this is a `tf.data.Dataset`, without importing TensorFlow."""
    return hasattr(data, "element_spec") and hasattr(data, "as_numpy_iterator")


def as_batches(data: Any, mltk_model: Any) -> Any:
    """Batch a `tf.data.Dataset` of single samples; return a batched one, and data of other kinds, as they are.

    Samples are told from batches by `my_model.input_shape`; without it, a data set is taken for batched.

    Raises:
        SpecificationError: The data fit `my_model.input_shape` neither as samples nor as batches.
    """
    if not is_tf_dataset(data) or "dataset.input_shape" not in mltk_model.attributes.stored:
        return data
    wanted = tuple(mltk_model.input_shape)
    found = _shape_of_x(data)
    if found is None:
        return data
    if found.is_compatible_with(wanted):
        return data.batch(getattr(mltk_model, "batch_size", 32))
    # Keras adds an axis of size 1 by itself.
    batches = [(None, *wanted)] + ([(None, *wanted[:-1])] if wanted[-1:] == (1,) else [])
    if not any(found.is_compatible_with(shape) for shape in batches):
        raise SpecificationError(
            f"The data set of '{mltk_model.name}' gives tensors of the shape {_shown(found)}. With "
            f"my_model.input_shape = {wanted} they must be {_shown((None, *wanted))} for batches, "
            f"or {wanted} for samples."
        )
    return data


def for_training(
    data: Any, mltk_model: Any, keras_model: keras.Model, steps: int | None, done: int = 0
) -> tuple[Any, int | None]:
    """Return a `tf.data.Dataset` as `fit` can train with it, and the batches in an epoch; other data as they are.

    Shapes that the data set does not tell are those of the network, values that are not finite end the training, and
    with `steps` a data set that ends goes on from its beginning.

    Args:
        data: Batches.
        mltk_model: The specification.
        keras_model: The network.
        steps: Batches in an epoch; `None`: all.
        done: Epochs that a resumed training has behind it. Their orders are passed over, so that shuffled data come as
            in a training that was never interrupted; of a data set of unknown length only the first epoch's do.

    Raises:
        DatasetError: The data set is empty.
        SpecificationError: It has no end, and the number of steps is not set.
    """
    if not is_tf_dataset(data):
        return data, steps
    size = int(data.cardinality())
    data = _checked(data, mltk_model, keras_model, steps, "training", "steps_per_epoch")
    if steps is not None:
        # What has no end stays as it is.
        return data.repeat().skip(done * steps), steps
    for _ in range(done):
        # A pass draws a new order when it begins, whether or not anything is taken from it.
        iter(data)
    # Keras begins more passes than it makes, but only one of what it takes for endless.
    return (data.repeat(), size) if size > 0 else (data, None)


def for_validation(data: Any, mltk_model: Any, keras_model: keras.Model, steps: int | None) -> Any:
    """Return a `tf.data.Dataset` as `fit` can validate with it, from its beginning after each epoch.

    Args and errors are those of `for_training`; the number of steps is part of the result.
    """
    if not is_tf_dataset(data):
        return data
    data = _checked(data, mltk_model, keras_model, steps, "validation", "validation_steps")
    return data if steps is None else data.take(steps)


def record_failure(error: BaseException) -> str:
    """Keep an exception that a Python function inside a pipeline is about to end with; see `data_errors`.

    Returns:
        The text for the exception that is raised instead, by which this one is found again.
    """
    number = next(_numbers)
    _failures[number] = error
    # A pipeline raises the first failure; others are of the elements that were under way.
    for old in list(_failures)[:-64]:
        del _failures[old]
    return f"{type(error).__name__}: {error} <failure {number}>"


@contextmanager
def fitting() -> Iterator[None]:
    """Let Keras train from a pipeline in the block: as `data_errors`, and without a warning at each end of the data."""
    with warnings.catch_warnings(), data_errors():
        # Keras says it of every data set of unknown length.
        warnings.filterwarnings("ignore", "Your input ran out of data", UserWarning)
        yield


@contextmanager
def data_errors() -> Iterator[None]:
    """Raise, instead of TensorFlow's error with its graph, what went wrong in a pipeline that the block reads.

    What `record_failure` kept is raised itself, with its own traceback; of others what they say is a `DatasetError`.
    Errors that do not come from a pipeline pass.
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
    """Return what an error of TensorFlow says, without nodes and iterators."""
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


def _checked(
    data: Any, mltk_model: Any, keras_model: keras.Model, steps: int | None, subset: str, setting: str
) -> Any:
    size = int(data.cardinality())
    if size == 0:
        raise DatasetError(f"The {subset} data set of '{mltk_model.name}' is empty.")
    if size == _INFINITE and steps is None:
        raise SpecificationError(
            f"The {subset} data set of '{mltk_model.name}' repeats without an end: set my_model.{setting}, "
            f"or leave out repeat()."
        )
    return _finite(_with_known_shapes(data, keras_model))


def _with_known_shapes(data: Any, keras_model: keras.Model) -> Any:
    """Tell the shapes of tensors that come from Python functions, which TensorFlow does not know."""
    import tensorflow as tf

    spec = data.element_spec
    parts = list(spec) if isinstance(spec, tuple) else [spec]
    if not all(isinstance(part, tf.TensorSpec) for part in parts):
        return data
    shapes: list[Any] = [part.shape for part in parts]
    # A subclassed model does not tell its shape.
    expected = getattr(keras_model, "input_shape", None)
    if isinstance(expected, tuple) and (shapes[0].rank is None or shapes[0].rank == len(expected)):
        if not shapes[0].is_compatible_with(expected):
            # Keras says what does not fit.
            return data
        shapes[0] = shapes[0].merge_with(expected)
    if any(shape.rank is None for shape in shapes):
        for i, tensor in enumerate(_first(data)):
            if shapes[i].rank is None:
                shapes[i] = tf.TensorShape([None] * tensor.shape.rank)
    if shapes == [part.shape for part in parts]:
        return data

    def tell(*tensors: Any) -> Any:
        told = tuple(tf.ensure_shape(t, s) for t, s in zip(tensors, shapes, strict=True))
        return told if isinstance(spec, tuple) else told[0]

    return data.map(tell)


def _finite(data: Any) -> Any:
    import tensorflow as tf

    def check(index: Any, element: Any) -> Any:
        checks = [
            tf.debugging.Assert(tf.reduce_all(tf.math.is_finite(t)), ["batch", _NOT_FINITE, index + 1])
            for t in tf.nest.flatten(element)
            if isinstance(t, tf.Tensor) and t.dtype.is_floating
        ]
        with tf.control_dependencies(checks):
            return tf.nest.map_structure(tf.identity, element)

    return data.enumerate().map(check).prefetch(tf.data.AUTOTUNE)


def _shape_of_x(data: Any) -> Any:
    """Return the `TensorShape` of the first component; `None` if it is not one tensor, or is seen to be a batch."""
    import tensorflow as tf

    spec = data.element_spec
    x, y = (*spec, None, None)[:2] if isinstance(spec, tuple) else (spec, None)
    if not isinstance(x, tf.TensorSpec):
        return None
    if x.shape.rank is not None:
        return x.shape
    # Python made it. The labels tell batches, too, and reading an element may take long: a shuffle reads many.
    if isinstance(y, tf.TensorSpec) and y.shape.rank and (y.shape.rank > 1 or y.shape[0] is None):
        return None
    first = _first(data)
    return first[0].shape if first else None


def _first(data: Any) -> tuple[Any, ...]:
    """Return the components of the first element; none of an empty data set."""
    with data_errors():
        for element in data.take(1):
            return element if isinstance(element, tuple) else (element,)
    return ()


def _shown(shape: Any) -> str:
    return "(" + ", ".join("any" if n is None else str(n) for n in tuple(shape)) + ")"
