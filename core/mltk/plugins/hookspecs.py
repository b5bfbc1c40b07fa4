"""The hooks of mltk, in the order in which they are called.

A plugin is a module (or object) whose functions are named like these hooks and decorated with `@hookimpl`. A
function takes any of its hook's arguments, by name. A hook is called in the main process, never per sample.
There are three kinds:

- *first answer*: the plugins are asked one after the other until one returns something other than `None`; the
  built-in answer comes last. An exception ends the operation.
- *offers*: every plugin may offer several things, each under a name of its own; two offers with one name are
an
  error. An exception ends the operation.
- *each by itself*: every plugin is called; when one raises, that is one warning and the others go on.

A model specification is a plugin too, while an operation runs on it: it is asked before all others, and what
it offers replaces what others offer under that name.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pluggy

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import Any

    import keras

    from mltk.model.event import MltkModelEvent
    from mltk.model.model import MltkModel
    from mltk.plugins.types import (
        AugmentationStep,
        Command,
        Compiler,
        Evaluator,
        LoadedDataset,
        Parameter,
        Profiler,
        RepresentativeDataset,
        Runtime,
        Subset,
    )
    from mltk.tflite import TfliteModel

hookspec = pluggy.HookspecMarker("mltk")


@hookspec
def mltk_commands() -> Iterable[Command] | None:
    """Add commands to `mltk`. Each by itself.

    Called by the command line for `mltk --help`, for name completion, and when the user names a command that
    is not built in. A command is added, never replaced: one that is called like a built-in command, or like
    one of a plugin before, is left out with a warning. The command itself is imported when it runs.

    Returns:
        The commands; `None` for none.

    Example:
        ```python
        from mltk.plugins import Command, hookimpl

        @hookimpl
        def mltk_commands():
            return [Command("serve", "Answer predictions over HTTP.", "mltk_plugin_serve.command:serve")]
        ```
    """


@hookspec(firstresult=True)
def mltk_load_dataset(
    mltk_model: MltkModel, subset: Subset, test: bool, options: Mapping[str, Any]
) -> LoadedDataset | None:
    """Load the data set of a model. First answer.

    Called by `DatasetMixin.load_dataset` unless the specification overrides that method. The built-in answer
    understands everything that can be put into `my_model.dataset`.

    Args:
        mltk_model: The specification; `mltk_model.dataset` says what to load.
        subset: `training` (which includes what is needed to validate), `validation` or `evaluation`.
        test: Whether only a few samples are wanted, to try everything out.
        options: Further arguments of `load_dataset`, e.g. `classes` or `max_samples_per_class`.

    Returns:
        The data, or `None` when the data set is not this plugin's; say so quickly, and look before you load.

    Example:
        ```python
        from mltk.plugins import LoadedDataset, hookimpl

        @hookimpl
        def mltk_load_dataset(mltk_model, subset):
            path = str(mltk_model.dataset)
            if not path.endswith(".npz"):
                return None
            import numpy as np

            with np.load(path) as arrays:
                return LoadedDataset(x=arrays[f"x_{subset}"], y=arrays[f"y_{subset}"])
        ```
    """


@hookspec
def mltk_augmentations(
    mltk_model: MltkModel, subset: Subset, domain: str
) -> Iterable[AugmentationStep] | None:
    """Offer further steps for the data path.

    Called by the data generators, once per load and in the main process. The steps must be picklable. They
    are applied in the order of the plugins (and, within one, as returned).

    Args:
        mltk_model: The specification.
        subset: What is being loaded; most plugins augment `training` only.
        domain: `image`, `audio`, `spectrogram` (the audio plugin asks once for clips and once for what its front
            end makes of them), or what another data plugin calls its own; it fixes the layout of the batch.

    Returns:
        The steps; `None` for none.

    Example:
        ```python
        from mltk.plugins import AugmentationStep, hookimpl

        def salt(batch, rng):
            return batch + 255.0 * (rng.random(batch.shape[:3])[..., None] < 0.001)

        @hookimpl
        def mltk_augmentations(subset, domain):
            if domain == "image" and subset == "training":
                return [AugmentationStep("salt", stage="after", apply=salt)]
        ```
    """


@hookspec(firstresult=True)
def mltk_build_model(mltk_model: MltkModel) -> keras.Model | None:
    """Build and compile the Keras model. First answer.

    Called by the operations that train. The built-in answer calls the specification's `build_model_function`.

    Args:
        mltk_model: The specification; its data set has been loaded.

    Returns:
        The compiled model, or `None` when this plugin does not build this one.

    Example:
        ```python
        from mltk.plugins import hookimpl

        @hookimpl(wrapper=True)
        def mltk_build_model(mltk_model):
            keras_model = yield
            keras_model.optimizer.clipnorm = 1.0
            return keras_model
        ```
    """


@hookspec
def mltk_custom_objects() -> Mapping[str, object] | None:
    """Offer classes and functions that Keras files may name.

    Called before a Keras file is read.

    Returns:
        Name to object; `None` for none. The same object under the same name may be offered twice.

    Example:
        ```python
        from mltk.plugins import hookimpl

        @hookimpl
        def mltk_custom_objects():
            from mltk_plugin_swish.layers import HardSwish

            return {"HardSwish": HardSwish}
        ```
    """


@hookspec(firstresult=True)
def mltk_convert_model(
    mltk_model: MltkModel,
    keras_model: keras.Model,
    settings: Mapping[str, Any],
    representative_dataset: RepresentativeDataset | None,
) -> bytes | None:
    """Convert the Keras model to a `.tflite`. First answer.

    Called when a model is quantized; mltk adds parameters and metadata afterwards. The built-in answer is
    TensorFlow's converter.

    Args:
        mltk_model: The specification.
        keras_model: The trained model.
        settings: `my_model.tflite_converter`.
        representative_dataset: Starts one pass over samples to calibrate with: a list with one array per
            model input, batch axis of length 1. `None` when the settings want no calibration.

    Returns:
        The flatbuffer, or `None` when the settings do not ask for this converter.

    Example:
        ```python
        from mltk.plugins import hookimpl

        @hookimpl
        def mltk_convert_model(mltk_model, keras_model, settings):
            if mltk_model.model_parameters.get("converter") != "float16":
                return None
            import tensorflow as tf

            converter = tf.lite.TFLiteConverter.from_keras_model(keras_model)
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
            converter.target_spec.supported_types = [tf.float16]
            return converter.convert()
        ```
    """


@hookspec
def mltk_model_parameters(
    mltk_model: MltkModel, tflite_model: TfliteModel | None
) -> Mapping[str, Parameter] | None:
    """Offer parameters to embed in the `.tflite`.

    Called when a model is quantized and by `update_params`. A value that the specification sets wins.

    Args:
        mltk_model: The specification.
        tflite_model: The quantized model that they will be in, without them yet; `None` where the parameters are
            only shown. It must not be changed.

    Returns:
        Name to parameter; `None` for none. Prefix the names with your plugin's: `myplugin.threshold`.

    Example:
        ```python
        from mltk.plugins import Parameter, hookimpl

        @hookimpl
        def mltk_model_parameters(mltk_model):
            return {"radio.channel": Parameter(11, dtype="uint8")}
        ```
    """


@hookspec
def mltk_evaluators(mltk_model: MltkModel | None) -> Iterable[Evaluator] | None:
    """Offer ways to judge this model.

    Called by `evaluate`. Those with `default=True` run when the user chose none with `--evaluator`. What an
    evaluator writes and returns lands in `eval/<kind>/<evaluator>/` and in the archive. What an evaluator names
    in `options` may be given with `--option NAME=VALUE`, and is in `context.options`.

    Args:
        mltk_model: The specification; `None` when a bare `.tflite` is evaluated.

    Returns:
        The evaluators that apply to this model; `None` for none.

    Example:
        ```python
        from mltk.plugins import Evaluator, hookimpl

        @hookimpl
        def mltk_evaluators(mltk_model):
            from mltk_plugin_latency.evaluator import evaluate

            return [Evaluator("latency", "Time per prediction on this computer.", evaluate, options=("runs",))]
        ```
    """


@hookspec
def mltk_runtimes() -> Iterable[Runtime] | None:
    """Offer ways to run a `.tflite`.

    Called by `evaluate`: `--runtime NAME`, or `--NAME`, chooses one; its results land in `eval/NAME/`. The
    built-in one is `tflite`, which is LiteRT.

    Returns:
        The runtimes; `None` for none.

    Example:
        ```python
        from mltk.plugins import Runtime, hookimpl

        def open_on_board(tflite_model, name):
            from mltk_plugin_board.predictor import BoardPredictor

            return BoardPredictor(tflite_model, name)

        @hookimpl
        def mltk_runtimes():
            return [Runtime("board", "On the board at the serial port.", open_on_board)]
        ```
    """


@hookspec
def mltk_profilers() -> Iterable[Profiler] | None:
    """Offer ways to measure what a `.tflite` needs.

    Called by `profile`; `--accelerator NAME` chooses one. Without it the first with `default=True` is used, else
    the built-in `static`.

    Returns:
        The profilers; `None` for none.

    Example:
        ```python
        from mltk.plugins import Profiler, hookimpl

        def profile(tflite_model):
            from mltk_plugin_board.serial import measure

            return measure(tflite_model.flatbuffer_data)

        @hookimpl
        def mltk_profilers():
            return [Profiler("board", "Measured on the board at the serial port.", profile)]
        ```
    """


@hookspec
def mltk_compilers() -> Iterable[Compiler] | None:
    """Offer ways to prepare a `.tflite` for an accelerator.

    Called by `compile`; `--accelerator NAME` chooses one. mltk itself offers none.

    Returns:
        The compilers; `None` for none.

    Example:
        ```python
        from mltk.plugins import Compiler, hookimpl

        def compile_for_npu(tflite_model, optimize="speed"):
            from mltk_plugin_npu.toolchain import run

            return run(tflite_model.flatbuffer_data, optimize)

        @hookimpl
        def mltk_compilers():
            return [Compiler("npu", "The neural processor of the board.", compile_for_npu)]
        ```
    """


@hookspec
def mltk_event(mltk_model: MltkModel, event: MltkModelEvent, details: Mapping[str, Any]) -> None:
    """Take note of an event in the life of a model. Each by itself.

    Called by `MltkModel.trigger_event`, after the specification's own handlers.

    Args:
        mltk_model: The specification.
        event: What happened.
        details: The event's arguments, e.g. `keras_model`; what is mutable among them may be changed
            where the event's documentation says so.

    Example:
        ```python
        from mltk.plugins import hookimpl

        @hookimpl
        def mltk_event(mltk_model, event, details):
            if event.name == "AFTER_TRAIN":
                print(mltk_model.name, details["training_history"].history["loss"][-1])
        ```
    """
