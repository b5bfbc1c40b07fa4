"""Convert a trained Keras model to `.tflite`: quantized, and as float32."""

from __future__ import annotations

import contextlib
import io
import logging
import sys
import tempfile
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mltk.data.tf_data import data_errors
from mltk.errors import ConversionError, DatasetError, SpecificationError, did_you_mean
from mltk.keras.environment import import_tensorflow, native_stderr
from mltk.model.event import MltkModelEvent
from mltk.model.mixins.dataset import DatasetMixin
from mltk.model.mixins.train import CONVERTER_DEFAULTS, TrainMixin
from mltk.model.model import MltkModel
from mltk.model.operation import get_active_model, operation, sole_writer
from mltk.sources.loading import load_mltk_model
from mltk.utils.files import atomic_write
from mltk.utils.logging import get_mltk_logger

if TYPE_CHECKING:
    import keras
    import numpy as np

    from mltk.plugins.types import RepresentativeDataset
    from mltk.tflite import TfliteModel

TEST_SAMPLES = 3

# TensorFlow's quantizer leaves a tensor or two of recurrent layers as real numbers, one time in four, as it goes by
# addresses in memory; one time in 10,000 if it may try again so often.
_TRIES = 6

# Handled here; every other key must be an attribute of the converter.
_OWN_KEYS = frozenset(
    {
        "optimizations",
        "supported_ops",
        "inference_input_type",
        "inference_output_type",
        "representative_dataset",
        "representative_dataset_max_samples",
        "generate_unquantized",
        "generate_quantization_report",
        "dense_per_channel",
        # TensorFlow's old converter takes no models of Keras 3; the old quantizer it has still.
        "experimental_new_converter",
    }
)


def quantize_model(
    model: MltkModel | str | Path,
    keras_model: keras.Model | None = None,
    output: str | None = None,
    weights: str | None = None,
    build: bool = False,
    update_archive: bool | None = None,
    tflite_converter_override: Mapping[str, Any] | None = None,
    post_process: bool = False,
    *,
    test: bool = False,
    trust: bool = False,
) -> str | TfliteModel:
    """Convert a model with the settings `my_model.tflite_converter`.

    Args:
        model: Model, name, path of its specification or archive.
        keras_model: Convert this instead of the archived model.
        output: A `.tflite` file or a folder to write to, instead of the log folder; `'tflite_model'` returns the
            model object.
        weights: Weights to load into the Keras model first.
        build: Train a throw-away trial model and convert that; the archive is not touched.
        update_archive: Put the result into the archive; by default if `output` is not given.
        tflite_converter_override: Settings merged over the specification's.
        post_process: Given to event handlers.
        test: Use the trial run's files.
        trust: Allow an archive's own specification to run.

    Returns:
        Path of the quantized `.tflite`, or a `TfliteModel` when `output` is `'tflite_model'`.

    Raises:
        SpecificationError: A setting is unknown or has a wrong value.
        ConversionError: The converter cannot convert the model.
    """
    mltk_model = load_mltk_model(model, test=test, trust=trust)
    if not isinstance(mltk_model, TrainMixin):
        raise SpecificationError(
            f"The model '{mltk_model.name}' cannot be quantized: its class must inherit TrainMixin."
        )
    if build:
        with mltk_model.trial_run():
            from mltk.operations.training.train import train_model

            keras_model = train_model(
                mltk_model, test=True, quantize=False, create_archive=False, verbose=False
            ).keras_model
            return _quantize(
                mltk_model, keras_model, output, weights, True, False, tflite_converter_override, post_process
            )
    in_place = output is None
    update_archive = in_place if update_archive is None else update_archive and in_place
    return _quantize(
        mltk_model,
        keras_model,
        output,
        weights,
        False,
        update_archive,
        tflite_converter_override,
        post_process,
        trust,
    )


def _quantize(
    mltk_model: Any,
    keras_model: keras.Model | None,
    output: str | None,
    weights: str | None,
    build: bool,
    update_archive: bool,
    tflite_converter_override: Mapping[str, Any] | None,
    post_process: bool,
    trust: bool = False,
) -> str | TfliteModel:
    settings = converter_settings(mltk_model, tflite_converter_override)
    if update_archive:
        mltk_model.check_archive_file_is_writable(throw_exception=True)

    logger = get_mltk_logger()
    startup: dict[str, Any] = {
        "keras_model": keras_model,
        "tflite_converter_settings": settings,
        "logger": logger,
    }
    tflite_model: TfliteModel | None = None
    alone = sole_writer(mltk_model, "quantizes") if output is None else contextlib.nullcontext()
    with operation(mltk_model), alone:
        mltk_model.trigger_event(
            MltkModelEvent.QUANTIZE_STARTUP, build=build, post_process=post_process, **startup
        )
        try:
            if keras_model is None:
                from mltk.sources.loading import load_tflite_or_keras_model

                keras_model = load_tflite_or_keras_model(
                    mltk_model, model_type="h5", weights=weights, trust=trust
                )
            tflite_model, others = _convert_all(
                mltk_model, keras_model, settings, with_float32=output is None, update_archive=update_archive
            )
            path = _write(mltk_model, tflite_model, others, output, update_archive)
        finally:
            mltk_model.trigger_event(
                MltkModelEvent.QUANTIZE_SHUTDOWN,
                tflite_model=tflite_model,
                update_archive=update_archive,
                keras_model=keras_model,
                tflite_converter_settings=settings,
            )
    result = tflite_model if output == "tflite_model" else str(path)
    if get_active_model() is None:
        mltk_model.raise_failures(result)
    return result


def converter_settings(mltk_model: Any, override: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Return all settings, checked, as TensorFlow's own enums and types; the specification's are left as they are.

    Raises:
        SpecificationError: A key or a name is unknown; the message has the valid ones.
    """
    import_tensorflow()
    import tensorflow as tf

    given = {**(mltk_model.tflite_converter or {}), **(override or {})}
    # An assigned dict replaces the defaults: what it leaves out is off.
    settings = {**dict.fromkeys(_OWN_KEYS), **given}
    converter_attributes = _converter_attributes()
    for key in given:
        if key not in _OWN_KEYS and key not in converter_attributes:
            known = sorted(_OWN_KEYS | converter_attributes)
            raise SpecificationError(
                f"my_model.tflite_converter has '{key}', which is not a setting of the converter."
                f"{did_you_mean(key, known)} The usual ones are: {', '.join(sorted(CONVERTER_DEFAULTS))}."
            )
    if settings["experimental_new_converter"] is False:
        get_mltk_logger().warning(
            "my_model.tflite_converter['experimental_new_converter'] = False is ignored: "
            "TensorFlow's old converter does not take models of Keras 3."
        )
    settings["optimizations"] = _enums(settings["optimizations"], tf.lite.Optimize, "optimizations")
    settings["supported_ops"] = _enums(settings["supported_ops"], tf.lite.OpsSet, "supported_ops")
    for key in ("inference_input_type", "inference_output_type"):
        settings[key] = _dtype(settings[key], key)
    wanted = settings["representative_dataset"]
    if wanted is not None and wanted != "generate" and not callable(wanted):
        raise SpecificationError(
            f"my_model.tflite_converter['representative_dataset'] is {wanted!r}; "
            f"it may be 'generate', a function without arguments that yields lists of one sample, or None."
        )
    limit = settings["representative_dataset_max_samples"]
    if limit is None:
        settings["representative_dataset_max_samples"] = CONVERTER_DEFAULTS[
            "representative_dataset_max_samples"
        ]
    elif isinstance(limit, bool) or not isinstance(limit, int) or limit < 1:
        raise SpecificationError(
            f"my_model.tflite_converter['representative_dataset_max_samples'] must be at least 1, not {limit!r}."
        )
    if (
        wanted is None
        and tf.lite.OpsSet.TFLITE_BUILTINS_INT8 in settings["supported_ops"]
        and settings["optimizations"]
    ):
        raise SpecificationError(
            "my_model.tflite_converter asks for int8 operations (TFLITE_BUILTINS_INT8) but has no "
            "representative_dataset to calibrate them with. Set it to 'generate'."
        )
    return settings


def _converter_attributes() -> set[str]:
    """Return the names of all settings that a converter object has."""
    import tensorflow as tf

    # Converters set them in the constructor, so only an instance shows them; a model of nothing makes one.
    converter = tf.lite.TFLiteConverter([], trackable_obj=None)
    return {n for n in vars(converter) if not n.startswith("_")}


def _enums(values: Any, enum: Any, key: str) -> list[Any]:
    values = [values] if isinstance(values, (str, enum)) else list(values or [])
    members = {member.name: member for member in enum}
    result = []
    for value in values:
        name = getattr(value, "name", None) or str(value).rpartition(".")[2]
        if isinstance(value, enum):
            result.append(value)
        elif name.upper() in members:
            result.append(members[name.upper()])
        else:
            raise SpecificationError(
                f"my_model.tflite_converter['{key}'] has '{value}'.{did_you_mean(name.upper(), members)} "
                f"It may be: {', '.join(members)}."
            )
    return result


def _dtype(value: Any, key: str) -> Any:
    import tensorflow as tf

    allowed = ("float32", "int8", "uint8", "int16", "int32")
    try:
        dtype = tf.as_dtype("float32" if value is None else value)
    except TypeError:
        dtype = None
    if dtype is None or dtype.name not in allowed:
        raise SpecificationError(
            f"my_model.tflite_converter['{key}'] is {value!r}. It may be: {', '.join(allowed)}."
        )
    return dtype


def _convert_all(
    mltk_model: Any,
    keras_model: keras.Model,
    settings: dict[str, Any],
    with_float32: bool,
    update_archive: bool,
) -> tuple[TfliteModel, dict[str, bytes]]:
    """Return the quantized model and the further files by their path."""
    from mltk.plugins import call_first
    from mltk.tflite import TfliteModel

    samples = _representative_samples(mltk_model, settings)
    representative = None if samples is None else (lambda: (list(sample) for sample in samples))
    content: bytes = call_first(
        "mltk_convert_model",
        mltk_model=mltk_model,
        keras_model=keras_model,
        settings=settings,
        representative_dataset=representative,
    )
    box: dict[str, Any] = {"value": content}
    mltk_model.trigger_event(
        MltkModelEvent.AFTER_QUANTIZE,
        tflite_flatbuffer=content,
        tflite_flatbuffer_dict=box,
        update_archive=update_archive,
        keras_model=keras_model,
        tflite_converter_settings=settings,
    )
    quantized = TfliteModel(bytes(box["value"]))
    mltk_model.populate_model_parameters(quantized)
    embed_parameters(mltk_model, quantized)
    others: dict[str, bytes] = {}
    if with_float32 and settings["generate_unquantized"] and representative is not None:
        plain = {
            **settings,
            "optimizations": [],
            "supported_ops": _enums(["TFLITE_BUILTINS"], type(settings["supported_ops"][0]), "supported_ops"),
            "inference_input_type": _dtype("float32", ""),
            "inference_output_type": _dtype("float32", ""),
        }
        float32 = TfliteModel(
            call_first(
                "mltk_convert_model",
                mltk_model=mltk_model,
                keras_model=keras_model,
                settings=plain,
                representative_dataset=None,
            )
        )
        embed_parameters(mltk_model, float32, exclude=("runtime_memory_size",))
        others[mltk_model.unquantized_tflite_log_dir_path] = bytes(float32.flatbuffer_data)
    if (
        settings["generate_quantization_report"]
        and not mltk_model.test_mode_enabled
        and representative is not None
    ):
        report = str(Path(mltk_model.log_dir) / "quantization_report.csv")
        others[report] = quantization_report(keras_model, settings, representative)
    return quantized, others


def embed_parameters(mltk_model: MltkModel, tflite_model: TfliteModel, exclude: Iterable[str] = ()) -> None:
    """Put description, parameters and further metadata of a specification into a `TfliteModel`."""
    from mltk.tflite.default_parameters import add_default_parameters

    for tag, data in mltk_model.serialize_tflite_metadata().items():
        tflite_model.add_metadata(tag, data)
    parameters = mltk_model.model_parameters.copy()
    for key in exclude:
        parameters.pop(key, None)
    add_default_parameters(
        tflite_model,
        parameters,
        name=mltk_model.name,
        version=mltk_model.version,
        classes=list(mltk_model.classes) if "dataset.classes" in mltk_model.attributes.stored else [],
        description=mltk_model.description,
    )


def _write(
    mltk_model: Any,
    tflite_model: TfliteModel,
    others: dict[str, bytes],
    output: str | None,
    update_archive: bool,
) -> Path:
    from mltk.operations.summarize import summarize_tflite_model

    if output == "tflite_model":
        return Path()
    if output is not None:
        path = Path(output)
        if path.suffix != ".tflite":
            path = path / f"{mltk_model.name}.tflite"
    else:
        path = Path(mltk_model.tflite_log_dir_path)
    atomic_write(path, bytes(tflite_model.flatbuffer_data))
    tflite_model.path = str(path)
    if output is not None:
        return path
    summary_path = Path(mltk_model.log_dir) / f"{mltk_model.name}.tflite.summary.txt"
    atomic_write(summary_path, summarize_tflite_model(tflite_model))
    members = {path.name: path, summary_path.name: summary_path}
    for name, content in others.items():
        members[Path(name).name] = atomic_write(name, content)
    if update_archive:
        mltk_model.archive.update({**members, **mltk_model.specification_member()})
    return path


def _representative_samples(mltk_model: Any, settings: Mapping[str, Any]) -> list[list[Any]] | None:
    """Return the samples to calibrate with, each a list of one array (with a batch axis) per input.

    `None` when none are wanted.
    """
    import numpy as np

    wanted = settings["representative_dataset"]
    if wanted is None:
        return None
    limit = TEST_SAMPLES if mltk_model.test_mode_enabled else settings["representative_dataset_max_samples"]
    samples: list[list[Any]] = []
    with _calibration_data(mltk_model):
        if callable(wanted):
            for item in wanted():
                samples += islice(_single_samples(item), limit - len(samples))
                if len(samples) >= limit:
                    break
        else:
            for batch in _representative_batches(mltk_model):
                samples += [
                    [np.asarray(sample, np.float32)[None]] for sample in batch[: limit - len(samples)]
                ]
                if len(samples) >= limit:
                    break
    if not samples:
        raise DatasetError("The representative data set for the quantization has no sample.")
    return samples


def _single_samples(item: Any) -> Iterator[list[Any]]:
    """Yield the samples of what a function for representative data yields, which may be a batch."""
    import numpy as np

    arrays = [np.asarray(array) for array in (item if isinstance(item, (list, tuple)) else [item])]
    # What NumPy computes is of double precision, which no network takes.
    arrays = [array.astype(np.float32) if array.dtype == np.float64 else array for array in arrays]
    sizes = {array.shape[0] if array.ndim else 1 for array in arrays}
    if len(sizes) > 1 or sizes == {1}:
        yield arrays
        return
    for i in range(sizes.pop()):
        yield [array[i : i + 1] for array in arrays]


@contextlib.contextmanager
def _calibration_data(mltk_model: Any) -> Iterator[None]:
    """Load the data to calibrate with, for the block."""
    has_data = isinstance(mltk_model, DatasetMixin)
    try:
        if has_data:
            mltk_model.load_dataset("validation", test=mltk_model.test_mode_enabled)
        with data_errors():
            yield
    finally:
        if has_data:
            mltk_model.unload_dataset()


def _representative_batches(mltk_model: Any) -> Iterator[np.ndarray]:
    from mltk.data.samples import iterate_batches

    data = mltk_model.validation_data
    if data is None:
        data = mltk_model.x
    if data is None:
        raise DatasetError(
            f"The data set of '{mltk_model.name}' gave no data to calibrate the quantization with. "
            f"Let its loader return data for the subset 'validation', or set "
            f"my_model.tflite_converter['representative_dataset']."
        )
    # What repeats without an end is read until there are enough samples.
    for x, _ in iterate_batches(data, steps=mltk_model.validation_steps or sys.maxsize):
        yield x


def convert(
    mltk_model: MltkModel,
    keras_model: keras.Model,
    settings: Mapping[str, Any],
    representative_dataset: RepresentativeDataset | None,
) -> bytes:
    """Run TensorFlow's converter; the built-in answer to `mltk_convert_model`.

    Args:
        mltk_model: Told of BEFORE_QUANTIZE.
        keras_model: What to convert.
        settings: From `converter_settings`.
        representative_dataset: Yields samples as lists of one array per input, or `None`.

    Returns:
        The flatbuffer.

    Raises:
        ConversionError: The converter refused the model.
    """
    from mltk.tflite.model import TfliteModel
    from mltk.tflite.postprocess import add_signature, free_batch_axis, repair_lstm_scales

    network = _of_one_sample(keras_model)
    # A converter may hold the graph from its beginning.
    with _convertible(keras_model, settings, representative_dataset) as is_recurrent:
        with _refusals(mltk_model):
            converter = _converter(network, settings, representative_dataset)
        box = {"value": converter}
        mltk_model.trigger_event(MltkModelEvent.BEFORE_QUANTIZE, converter=converter, converter_dict=box)
        with _refusals(mltk_model), _converter_output():
            model = TfliteModel(bytes(box["value"].convert()))
            for _ in range(_TRIES if is_recurrent else 0):
                if not _floats_inside(model):
                    break
                model = TfliteModel(bytes(box["value"].convert()))
    free_batch_axis(model)
    repair_lstm_scales(model)
    names = [tensor.name for tensor in keras_model.inputs] if _is_symbolic(keras_model) else []
    # A handler may have put another converter in place.
    if not model.flatbuffer_model.signatureDefs and len(names) == model.n_inputs:
        add_signature(model, names, [f"output_{i}" for i in range(model.n_outputs)])
    model.regenerate_flatbuffer()
    return model.flatbuffer_data


@contextlib.contextmanager
def _refusals(mltk_model: MltkModel) -> Iterator[None]:
    """Make one line of what the converter, or the network that it calls, raises: bare exceptions of many kinds."""
    try:
        yield
    except Exception as e:
        raise ConversionError(
            f"The converter cannot convert '{mltk_model.name}': {' '.join(str(e).split())[:500]}"
        ) from e


def _floats_inside(model: TfliteModel) -> bool:
    """Tell whether real numbers go to an operator of a quantized model that could take integers."""
    floats = {layer.outputs[0].index for layer in model.layers if layer.opcode_str == "dequantize"}
    return any(
        tensor.index in floats
        for layer in model.layers
        # NEG takes none.
        if layer.opcode_str != "neg"
        for tensor in layer.inputs
    )


def _convertible(
    keras_model: keras.Model, settings: Mapping[str, Any], representative: Any
) -> contextlib.AbstractContextManager[bool]:
    """Return `convertible_layers` for these settings."""
    import tensorflow as tf

    from mltk.keras.convertible import convertible_layers

    # The converter refuses the operator there.
    int16 = tf.lite.OpsSet.EXPERIMENTAL_TFLITE_BUILTINS_ACTIVATIONS_INT16_WEIGHTS_INT8
    return convertible_layers(
        keras_model, calibrated=bool(representative), fused=int16 not in settings["supported_ops"]
    )


def _converter(network: keras.Model, settings: Mapping[str, Any], representative: Any) -> Any:
    """Return a converter of TensorFlow, with all settings, for what `_of_one_sample` gave."""
    with _converter_output():
        converter = _bare_converter(network)
    converter.optimizations = list(settings["optimizations"])
    if settings["supported_ops"]:
        converter.target_spec.supported_ops = list(settings["supported_ops"])
    converter.inference_input_type = settings["inference_input_type"]
    converter.inference_output_type = settings["inference_output_type"]
    if representative is not None:
        converter.representative_dataset = representative
    # The attribute has no other name; versions of TensorFlow without it do as is wanted here.
    converter._experimental_disable_per_channel_quantization_for_dense_layers = not settings[
        "dense_per_channel"
    ]
    for key, value in settings.items():
        if key not in _OWN_KEYS:
            setattr(converter, key, value)
    return converter


def _bare_converter(network: keras.Model) -> Any:
    """Return a converter of the quickest kind that can take a network.

    `from_keras_model` writes the network to files and reads them again, which takes most of a conversion's time. A
    network of symbolic tensors is traced instead, with the same result, but what has a state beside its weights, such
    as tables of words, needs the files.
    """
    import tensorflow as tf

    from mltk.keras.convertible import FUSED_ATTRIBUTE

    if not _is_symbolic(network):
        return tf.lite.TFLiteConverter.from_keras_model(network)

    def call(*arrays: Any) -> Any:
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
        return _from_files(network, traced, function)
    return tf.lite.TFLiteConverter.from_concrete_functions([traced], function)


def _from_files(network: keras.Model, traced: Any, function: Any) -> Any:
    """Return a converter that reads a traced network from files, the only one that makes one operator of an LSTM.

    Keras would write as much, in three times the time, with the layers and the code of the network besides.
    """
    import tensorflow as tf

    folder = tempfile.TemporaryDirectory(prefix="mltk-")
    module = tf.Module()
    module.function = function
    module.weights = [variable.value for variable in network.variables]
    tf.saved_model.save(module, folder.name, signatures=traced)
    converter = tf.lite.TFLiteConverter.from_saved_model(folder.name)
    # The files are read when it converts.
    weakref.finalize(converter, folder.cleanup)
    return converter


def _of_one_sample(keras_model: keras.Model) -> keras.Model:
    """Return the model for batches of 1, which is what devices run; one not made of symbolic tensors as it is.

    Where all shapes are known, no operators remain that compute shapes, of which TensorFlow Lite Micro cannot run
    all, and dilated convolutions are one operator.
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
    # The model's name is part of that of every tensor.
    return keras.Model(fixed, keras_model(keras.tree.pack_sequence_as(inputs, fixed)), name="m")


def _is_symbolic(keras_model: keras.Model) -> bool:
    """Tell whether a model is made of symbolic tensors."""
    try:
        return bool(keras_model.inputs)
    except AttributeError:
        return False


def quantization_report(
    keras_model: keras.Model, settings: Mapping[str, Any], representative: Callable[[], Iterable[Any]]
) -> bytes:
    """Return the statistics of TensorFlow's quantization debugger per tensor as CSV, the largest errors first.

    The added column `rmse/scale` is the ratio of the error to the quantization step: about 0.29 is the error of
    rounding alone.
    """
    import csv

    import tensorflow as tf

    from mltk.tflite.model import TfliteModel
    from mltk.tflite.postprocess import repair_lstm_scales

    with _convertible(keras_model, settings, representative):
        converter = _converter(_of_one_sample(keras_model), settings, representative)
        with _converter_output():
            content = tf.lite.experimental.QuantizationDebugger(
                converter=converter, debug_dataset=representative
            ).get_debug_quantized_model()
            model = TfliteModel(bytes(content))
            repair_lstm_scales(model)
            model.regenerate_flatbuffer()
            debugger = tf.lite.experimental.QuantizationDebugger(
                quant_debug_model_content=model.flatbuffer_data, debug_dataset=representative
            )
            debugger.run()
    text = io.StringIO()
    debugger.layer_statistics_dump(text)
    rows = list(csv.DictReader(io.StringIO(text.getvalue())))
    for row in rows:
        scale = float(row["scale"])
        row["rmse/scale"] = str((float(row["mean_squared_error"]) ** 0.5) / scale if scale else 0.0)
    rows.sort(key=lambda row: -float(row["rmse/scale"]))
    out = io.StringIO()
    writer = csv.DictWriter(out, fieldnames=list(rows[0]) if rows else ["op_name"])
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue().encode()


@contextlib.contextmanager
def _converter_output() -> Iterator[None]:
    """Hide what the converter prints and warns of, and keep it from touching the user's log handlers."""
    import warnings

    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    try:
        with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings(), native_stderr():
            warnings.simplefilter("ignore")
            yield
    finally:
        root.handlers[:] = handlers
        root.setLevel(level)
