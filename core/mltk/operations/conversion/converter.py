"""Run TensorFlow's converter."""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
import weakref
from functools import partial
from typing import TYPE_CHECKING

from mltk.errors import ConversionError
from mltk.keras.environment import native_stderr
from mltk.keras.precision import full_precision
from mltk.keras.private import FUSED_ATTRIBUTE, edit_calibrated, get_input_names, set_dense_per_channel
from mltk.model.event import MltkModelEvent
from mltk.operations.conversion.settings import OWN_KEYS
from mltk.tflite import TfliteModel
from mltk.tflite.input_range import set_input_range
from mltk.tflite.postprocess import (
    add_signature,
    free_batch_axis,
    order_by_signature,
    repair_lstm_scales,
)
from mltk.tflite.scales import forces_scales, replace_products, separate_scales, use_products
from mltk.utils.temporary import temporary_folder

if TYPE_CHECKING:
    from collections.abc import Iterator

    import keras
    import tensorflow as tf

    from mltk.model.model import MltkModel
    from mltk.operations.conversion.settings import ConverterSettings
    from mltk.plugins.types import RepresentativeDataset

# With recurrent layers, the result of TensorFlow's quantizer depends on memory addresses: one conversion in four
# leaves tensors in float32. With six attempts it is one in 10,000.
_ATTEMPTS = 6


def convert(
    mltk_model: MltkModel,
    keras_model: keras.Model,
    settings: ConverterSettings,
    representative_dataset: RepresentativeDataset | None,
) -> bytes:
    """Convert a Keras model with TensorFlow's converter; the built-in answer to `mltk_convert_model`.

    Args:
        mltk_model: Receives the event `BEFORE_QUANTIZE`.
        keras_model: The model to convert.
        settings: From `converter_settings`.
        representative_dataset: Yields samples as lists of one array per input, or `None`.

    Returns:
        The flatbuffer.

    Raises:
        ConversionError: The converter refused the model.
    """
    network = for_one_sample(keras_model, representative_dataset)
    # A converter may capture the graph when it is created, so it is created within the block.
    with convertible(keras_model, settings, representative_dataset) as is_recurrent:
        with _explain_refusal(mltk_model):
            converter = create_converter(network, settings, representative_dataset)
        box = {"value": converter}
        mltk_model.trigger_event(MltkModelEvent.BEFORE_QUANTIZE, converter=converter, converter_dict=box)
        with _explain_refusal(mltk_model), hide_converter_output():
            model = _avoid_inner_floats(box["value"], _ATTEMPTS if is_recurrent else 0)
    replace_products(model)
    free_batch_axis(model)
    repair_lstm_scales(model)
    if _is_symbolic(keras_model):
        _name_ends(model, keras_model, network)
    model.regenerate_flatbuffer()
    return model.flatbuffer_data


def _name_ends(model: TfliteModel, keras_model: keras.Model, network: keras.Model) -> None:
    """Give the inputs and outputs of a converted model the names and the order of those of the Keras model."""
    if len(keras_model.inputs) != model.n_inputs or len(keras_model.outputs) != model.n_outputs:
        return
    inputs = _keys(keras_model.input, get_input_names(keras_model))
    outputs = _keys(keras_model.output, [f"output_{i}" for i in range(model.n_outputs)])
    # A converter that reads files sorts the outputs by other names, and adds a signature. One that a handler put in
    # place may have names of its own, which stay.
    if order_by_signature(model, [tensor.name for tensor in network.inputs], outputs):
        add_signature(model, inputs, outputs)


def _keys(structure: object, names: list[str]) -> list[str]:
    """Return the keys of a dict of tensors, in the order of its tensors, or other names for another structure."""
    import keras

    if not isinstance(structure, dict) or len(structure) != len(names):
        return names
    return [str(key) for key in keras.tree.flatten({key: key for key in structure})]


@contextlib.contextmanager
def _explain_refusal(mltk_model: MltkModel) -> Iterator[None]:
    """Turn the exceptions of the converter and of the network that it calls, of any class, into one line."""
    try:
        yield
    except Exception as e:
        raise ConversionError(
            f"The converter cannot convert '{mltk_model.name}': {' '.join(str(e).split())[:500]}"
        ) from e


def _avoid_inner_floats(converter: tf.lite.TFLiteConverter, attempts: int) -> TfliteModel:
    """Convert, and try again and otherwise while operators get float32 that could take integers."""
    model = TfliteModel(bytes(converter.convert()))
    for _ in range(attempts):
        if not _has_inner_floats(model):
            return model
        model = TfliteModel(bytes(converter.convert()))
    if _has_inner_floats(model) and forces_scales(model):
        # The quantizer may give up on a tensor that several operators want to have the scale of.
        with edit_calibrated(partial(_prepare_calibrated, everywhere=True)):
            other = TfliteModel(bytes(converter.convert()))
        return model if _has_inner_floats(other) else other
    return model


def _prepare_calibrated(
    content: bytes, everywhere: bool = False, input_range: tuple[float, float] | None = None
) -> bytes:
    """Change a calibrated model so that it is quantized with better scales, and completely."""
    model = TfliteModel(content)
    inputs = set_input_range(model, *input_range) if input_range is not None else []
    if not use_products(model) + separate_scales(model, everywhere, inputs) and not inputs:
        return content
    model.regenerate_flatbuffer()
    return model.flatbuffer_data


def _has_inner_floats(model: TfliteModel) -> bool:
    """Return whether an operator of a quantized model gets float32 although it could take integers."""
    floats = {
        layer.outputs[0].index
        for layer in model.layers
        # Weights of type float16 are turned into float32 too.
        if layer.opcode_str == "dequantize" and not layer.inputs[0].is_constant
    }
    return any(
        tensor.index in floats
        for layer in model.layers
        # NEG has no integer kernel.
        if layer.opcode_str != "neg"
        for tensor in layer.inputs
    )


@contextlib.contextmanager
def convertible(
    keras_model: keras.Model, settings: ConverterSettings, representative: RepresentativeDataset | None
) -> Iterator[bool]:
    """Let a model be converted with these settings within the block.

    Yields:
        Whether there are recurrent layers.
    """
    import tensorflow as tf

    # It imports Keras.
    from mltk.keras.convertible import convertible_layers

    # The converter refuses the fused LSTM with int16 activations.
    int16 = tf.lite.OpsSet.EXPERIMENTAL_TFLITE_BUILTINS_ACTIVATIONS_INT16_WEIGHTS_INT8
    fused = int16 not in settings["supported_ops"]
    with (
        full_precision(keras_model),
        convertible_layers(keras_model, calibrated=bool(representative), fused=fused) as is_recurrent,
        edit_calibrated(partial(_prepare_calibrated, input_range=settings["input_range"])),
    ):
        yield is_recurrent


def create_converter(
    network: keras.Model, settings: ConverterSettings, representative: RepresentativeDataset | None
) -> tf.lite.TFLiteConverter:
    """Return a converter with all settings for a model from `for_one_sample`."""
    with hide_converter_output():
        converter = _bare_converter(network)
    converter.optimizations = list(settings["optimizations"])
    if settings["supported_ops"]:
        converter.target_spec.supported_ops = list(settings["supported_ops"])
    converter.inference_input_type = settings["inference_input_type"]
    converter.inference_output_type = settings["inference_output_type"]
    if representative is not None:
        converter.representative_dataset = representative
    set_dense_per_channel(converter, bool(settings["dense_per_channel"]))
    for key, value in settings.items():
        if key not in OWN_KEYS:
            setattr(converter, key, value)
    return converter


def _bare_converter(network: keras.Model) -> tf.lite.TFLiteConverter:
    """Return the fastest kind of converter that can take a network.

    `from_keras_model` writes the network to files and reads them again, which takes most of the time of a conversion.
    Tracing a network of symbolic tensors gives the same result, but a network with state besides its weights, such
    as lookup tables, needs the files.
    """
    import tensorflow as tf

    if not _is_symbolic(network):
        return tf.lite.TFLiteConverter.from_keras_model(network)

    def call(*arrays: tf.Tensor) -> tf.Tensor:
        return network(list(arrays), training=False)

    function = tf.function(
        call, input_signature=[tf.TensorSpec(t.shape, t.dtype, name=t.name) for t in network.inputs]
    )
    traced = function.get_concrete_function()
    graph = traced.graph.as_graph_def()
    inner = graph.library.function
    nodes = [*graph.node, *(node for one in inner for node in one.node_def)]
    if any("Assign" in node.op or "Table" in node.op for node in nodes):
        return tf.lite.TFLiteConverter.from_keras_model(network)
    if any(FUSED_ATTRIBUTE in one.attr for one in inner):
        return _converter_from_files(network, traced, function)
    return tf.lite.TFLiteConverter.from_concrete_functions([traced], function)


def _converter_from_files(
    network: keras.Model, traced: tf.types.experimental.ConcreteFunction, function: object
) -> tf.lite.TFLiteConverter:
    """Return a converter that reads a traced network from files, the only kind that fuses an LSTM.

    Keras would also write the layers and the code of the network, which takes three times as long.
    """
    import tensorflow as tf

    stack = contextlib.ExitStack()
    folder = str(stack.enter_context(temporary_folder()))
    module = tf.Module()
    module.function = function
    module.weights = [variable.value for variable in network.variables]
    tf.saved_model.save(module, folder, signatures=traced)
    converter = tf.lite.TFLiteConverter.from_saved_model(folder)
    # The converter reads the files when it converts.
    weakref.finalize(converter, stack.close)
    return converter


def for_one_sample(
    keras_model: keras.Model, representative: RepresentativeDataset | None = None
) -> keras.Model:
    """Return the model with a batch size of 1, as devices run it.

    With all shapes known, no operators compute shapes (TensorFlow Lite Micro lacks some of these), and a dilated
    convolution is one operator.

    Args:
        keras_model: The model. A subclassed one, without symbolic tensors, becomes one layer of a model that has them.
        representative: Tells the shape and the type of the input of a subclassed model.
    """
    import keras

    if not _is_symbolic(keras_model):
        return _as_layer(keras_model, representative)
    inputs = keras_model.inputs[0] if isinstance(keras_model, keras.Sequential) else keras_model.input
    flat = keras.tree.flatten(inputs)
    # The converter sorts several inputs by name, and keras_tensor_10 would come before keras_tensor_9.
    names = [f"x{i:02}" for i in range(len(flat))] if len(flat) > 1 else get_input_names(keras_model)
    fixed = [
        keras.Input(batch_shape=(1, *t.shape[1:]), dtype=t.dtype, name=name)
        for t, name in zip(flat, names, strict=True)
    ]
    # The name of every tensor contains the name of the model.
    return keras.Model(fixed, keras_model(keras.tree.pack_sequence_as(inputs, fixed)), name="m")


def _as_layer(keras_model: keras.Model, representative: RepresentativeDataset | None) -> keras.Model:
    """Return a model with a subclassed one as its layer, or that itself if the shape of its only input is not known."""
    import keras

    sample = next(iter(representative()), []) if representative else []
    shape = (keras_model.get_build_config() or {}).get("input_shape")
    if len(sample) == 1:
        one = keras.Input(batch_shape=(1, *sample[0].shape[1:]), dtype=sample[0].dtype, name="x")
    elif isinstance(shape, (list, tuple)) and shape and not any(isinstance(n, (list, tuple)) for n in shape):
        one = keras.Input(batch_shape=(1, *shape[1:]), name="x")
    else:
        return keras_model
    return keras.Model(one, keras_model(one), name="m")


def _is_symbolic(keras_model: keras.Model) -> bool:
    """Return whether a model consists of symbolic tensors."""
    try:
        return bool(keras_model.inputs)
    except AttributeError:
        return False


@contextlib.contextmanager
def hide_converter_output() -> Iterator[None]:
    """Hide the output and warnings of the converter, and restore the log handlers that it changes."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    try:
        with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings(), native_stderr():
            warnings.simplefilter("ignore")
            yield
    finally:
        root.handlers[:] = handlers
        root.setLevel(level)
