"""Names of Keras and TensorFlow that are not public, and all that mltk does with them.

No other module of the core uses such names. Each has a test in `tests/keras/test_private.py`, named after it, which
fails if a new version of Keras or TensorFlow breaks it; `pyproject.toml` allows the versions that passed.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

if TYPE_CHECKING:
    import keras
    import tensorflow as tf

FUSED_ATTRIBUTE = "api_implements"
"""Attribute of TensorFlow's functions that the converter replaces with one operator."""

LSTM_STEPS = "inner_loop"
"""Method of an `LSTM` that computes all time steps."""

CALLBACK_STATE = (
    "best",
    "best_epoch",
    "wait",
    "stopped_epoch",
    "cooldown_counter",
    "_batches_seen_since_last_saving",
)
"""Attributes in which Keras' callbacks keep plain values from epoch to epoch."""

_calibrator_lock = threading.RLock()


class Call(NamedTuple):
    """One call of a layer, or of an operation of `keras.ops`, in a graph."""

    operation: Any
    node: Any
    """Keras' `Node`, with `arguments`, `input_tensors` and `output_tensors`."""


def flatten_layers(layer: Any, include_self: bool = True) -> list[keras.Layer]:
    """Return a layer or model and all layers in it, however deep; nothing for an operation, which has none."""
    flatten = getattr(layer, "_flatten_layers", None)
    return [] if flatten is None else list(flatten(include_self=include_self))


def get_seed_generators(keras_model: keras.Model) -> list[keras.random.SeedGenerator]:
    """Return the random generators of a model's layers (dropout and the like), in the order of the layers."""
    return [generator for layer in flatten_layers(keras_model) for generator in layer._seed_generators]


def is_graph(operation: Any) -> bool:
    """Return whether an operation is a model that was built from symbolic tensors."""
    return _graph_of(operation) is not None


def get_calls(keras_model: keras.Model) -> list[Call] | None:
    """Return the calls of which a model's graph consists; `None` for a model that has no graph."""
    graph = _graph_of(keras_model)
    if graph is None:
        return None
    inside = {id(node) for nodes in graph._nodes_by_depth.values() for node in nodes}
    # `operation.input` and `.output`, the public names, raise for what is called more than once.
    return [
        Call(operation, node)
        for operation in graph.operations
        for node in operation._inbound_nodes
        if id(node) in inside
    ]


def get_input_names(keras_model: keras.Model) -> list[str]:
    """Return the names of the inputs of a model with symbolic tensors: those of its input layers.

    The names of the tensors themselves are the same only in a model that was read from a file.
    """
    import keras

    operations = getattr(_graph_of(keras_model), "operations", ())
    layers = [operation for operation in operations if isinstance(operation, keras.layers.InputLayer)]
    names = {id(layer.output): str(layer.name) for layer in layers}
    return [names.get(id(tensor), str(tensor.name)) for tensor in keras_model.inputs]


def _graph_of(operation: Any) -> Any:
    # A Sequential keeps its graph in an inner model.
    graph = getattr(operation, "_functional", None) or operation
    return graph if hasattr(graph, "_nodes_by_depth") else None


def get_metric_direction(metric: str) -> Literal["min", "max"] | None:
    """Return the direction in which a metric of Keras improves, by its name; `None` for a metric that it lacks."""
    import keras

    if metric in ("loss", "acc"):
        return "min" if metric == "loss" else "max"
    try:
        found = keras.metrics.get(metric)
        # Some names are functions, which get a direction with the metric that a compiled model makes of them.
        found = found if isinstance(found, keras.Metric) else keras.metrics.MeanMetricWrapper(found)
    except (TypeError, ValueError):
        return None
    directions: dict[str, Literal["min", "max"]] = {"up": "max", "down": "min"}
    return directions.get(getattr(found, "_direction", ""))


def choose_direction(callback: keras.callbacks.Callback) -> bool:
    """Let a callback that monitors a value choose now, as it would after the epoch, whether less or more is better.

    Returns:
        False if it cannot, since `mode` is not set and the metric has no direction.
    """
    if getattr(callback, "monitor_op", True) is None:
        try:
            callback._set_monitor_op()
        except ValueError:
            return False
    return True


def skip_all_reduce(keras_model: keras.Model) -> None:
    """Let a model's optimizer take its gradients as they are, where there is one replica to sum them over.

    TensorFlow registers a gradient for that sum in each trained graph and never forgets it: the graph of the training
    step, 5 MB for a small model, would stay in memory until the process ends.
    """
    strategy = keras_model.distribute_strategy
    optimizer = keras_model.optimizer
    if strategy is not None and strategy.num_replicas_in_sync > 1:
        return
    # The optimizer of mixed precision has one inside that does the sum.
    for one in (optimizer, getattr(optimizer, "inner_optimizer", None)):
        if hasattr(one, "_all_reduce_sum_gradients"):
            # Past Keras, which would track an attribute of its optimizers.
            object.__setattr__(one, "_all_reduce_sum_gradients", list)


def set_dense_per_channel(converter: tf.lite.TFLiteConverter, per_channel: bool) -> None:
    """Let dense layers have one weight scale for each output, or one in all."""
    # Without the attribute, there is one in all.
    converter._experimental_disable_per_channel_quantization_for_dense_layers = not per_channel


def get_converter_settings() -> set[str]:
    """Return the names of all settings of a converter."""
    import tensorflow as tf

    # The constructor sets them, so only an instance has them; an empty model is enough to create one.
    converter = tf.lite.TFLiteConverter([], trackable_obj=None)
    return {name for name in vars(converter) if not name.startswith("_")}


@contextlib.contextmanager
def independent_samples() -> Iterator[None]:
    """Let each sample of a calibration begin with empty states, within the block.

    TensorFlow's calibrator never resets the states that operators keep, so that the ranges would be those of one
    long sequence of all samples. It has no setting for that, and the converter makes its own calibrator: the method of
    the class is replaced, by one thread at a time.
    """
    from tensorflow.lite.python.optimize.calibrator import Calibrator

    with _calibrator_lock:
        feed_tensors = Calibrator._feed_tensors

        def feed(self: Any, samples: Callable[[], Iterable[Any]], resize_input: bool) -> None:
            def prepared() -> Iterator[Any]:
                for sample in samples():
                    if isinstance(sample, list):
                        # After the first time this makes no new memory, and empties the states.
                        self._calibrator.Prepare([list(array.shape) for array in sample])
                    yield sample

            feed_tensors(self, prepared, resize_input)

        Calibrator._feed_tensors = feed
        try:
            yield
        finally:
            Calibrator._feed_tensors = feed_tensors


@contextlib.contextmanager
def edit_calibrated(edit: Callable[[bytes], bytes]) -> Iterator[None]:
    """Let a function change each model between its calibration and its quantization, within the block.

    The converter does both at once, with a calibrator of its own: the method of the class is replaced, by one thread at
    a time. Blocks may be nested; the function of the outer one is called first.

    Args:
        edit: Gets a `.tflite` in float32 whose tensors have `min` and `max`, and returns one.
    """
    from tensorflow.lite.python.optimize.calibrator import Calibrator

    with _calibrator_lock:
        calibrate = Calibrator.calibrate
        Calibrator.calibrate = lambda self, samples: edit(bytes(calibrate(self, samples)))
        try:
            yield
        finally:
            Calibrator.calibrate = calibrate
