"""Run TensorFlow's converter."""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
import weakref
from typing import TYPE_CHECKING

from mltk.errors import ConversionError
from mltk.keras.environment import native_stderr
from mltk.keras.private import FUSED_ATTRIBUTE, set_dense_per_channel
from mltk.model.event import MltkModelEvent
from mltk.operations.conversion.settings import OWN_KEYS
from mltk.tflite import TfliteModel
from mltk.tflite.input_range import set_input_range
from mltk.tflite.postprocess import add_signature, free_batch_axis, repair_lstm_scales
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
    network = for_one_sample(keras_model)
    # A converter may capture the graph when it is created, so it is created within the block.
    with convertible(keras_model, settings, representative_dataset) as is_recurrent:
        with _explain_refusal(mltk_model):
            converter = create_converter(network, settings, representative_dataset)
        box = {"value": converter}
        mltk_model.trigger_event(MltkModelEvent.BEFORE_QUANTIZE, converter=converter, converter_dict=box)
        with _explain_refusal(mltk_model), hide_converter_output():
            model = TfliteModel(bytes(box["value"].convert()))
            for _ in range(_ATTEMPTS if is_recurrent else 0):
                if not _has_inner_floats(model):
                    break
                model = TfliteModel(bytes(box["value"].convert()))
    free_batch_axis(model)
    repair_lstm_scales(model)
    if settings["input_range"] is not None:
        set_input_range(model, *settings["input_range"])
    names = [tensor.name for tensor in keras_model.inputs] if _is_symbolic(keras_model) else []
    # A handler may have put another converter in place.
    if not model.flatbuffer_model.signatureDefs and len(names) == model.n_inputs:
        add_signature(model, names, [f"output_{i}" for i in range(model.n_outputs)])
    model.regenerate_flatbuffer()
    return model.flatbuffer_data


@contextlib.contextmanager
def _explain_refusal(mltk_model: MltkModel) -> Iterator[None]:
    """Turn the exceptions of the converter and of the network that it calls, of any class, into one line."""
    try:
        yield
    except Exception as e:
        raise ConversionError(
            f"The converter cannot convert '{mltk_model.name}': {' '.join(str(e).split())[:500]}"
        ) from e


def _has_inner_floats(model: TfliteModel) -> bool:
    """Return whether an operator of a quantized model gets float32 although it could take integers."""
    floats = {layer.outputs[0].index for layer in model.layers if layer.opcode_str == "dequantize"}
    return any(
        tensor.index in floats
        for layer in model.layers
        # NEG has no integer kernel.
        if layer.opcode_str != "neg"
        for tensor in layer.inputs
    )


def convertible(
    keras_model: keras.Model, settings: ConverterSettings, representative: RepresentativeDataset | None
) -> contextlib.AbstractContextManager[bool]:
    """Return the context in which the layers of a model can be converted with these settings."""
    import tensorflow as tf

    # It imports Keras.
    from mltk.keras.convertible import convertible_layers

    # The converter refuses the fused LSTM with int16 activations.
    int16 = tf.lite.OpsSet.EXPERIMENTAL_TFLITE_BUILTINS_ACTIVATIONS_INT16_WEIGHTS_INT8
    return convertible_layers(
        keras_model, calibrated=bool(representative), fused=int16 not in settings["supported_ops"]
    )


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


def for_one_sample(keras_model: keras.Model) -> keras.Model:
    """Return the model with a batch size of 1, as devices run it.

    With all shapes known, no operators compute shapes (TensorFlow Lite Micro lacks some of these), and a dilated
    convolution is one operator. A model without symbolic tensors is returned unchanged.
    """
    import keras

    if not _is_symbolic(keras_model):
        return keras_model
    inputs = keras_model.inputs[0] if isinstance(keras_model, keras.Sequential) else keras_model.input
    flat = keras.tree.flatten(inputs)
    fixed = [
        # The converter sorts several inputs by name, and keras_tensor_10 would come before keras_tensor_9.
        keras.Input(
            batch_shape=(1, *t.shape[1:]), dtype=t.dtype, name=f"x{i:02}" if len(flat) > 1 else t.name
        )
        for i, t in enumerate(flat)
    ]
    # The name of every tensor contains the name of the model.
    return keras.Model(fixed, keras_model(keras.tree.pack_sequence_as(inputs, fixed)), name="m")


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
