"""The hooks of mltk, in the order in which they are called.

A plugin is a module (or object) with functions that are named like these hooks and decorated with `@hookimpl`. A
function takes any of the arguments of its hook, by name. Hooks are called in the main process, never per sample.
There are three kinds:

- *first answer*: plugins are asked in order until one returns something other than `None`; the built-in answer
  comes last. An exception ends the operation.
- *offers*: every plugin may offer several things, each under a name; `None` stands for none. Two offers with the
  same name are an error. An exception ends the operation.
- *each by itself*: every plugin is called. A plugin that raises causes one warning; the others are called.

While an operation runs on a model specification, the specification is a plugin too: it is asked first, and its
offers replace other plugins' offers of the same name.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pluggy

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from enum import StrEnum

    import keras

    from mltk.plugins import types
    from mltk.tflite import TfliteModel

hookspec = pluggy.HookspecMarker("mltk")


@hookspec
def mltk_commands() -> Iterable[types.Command] | None:
    """Add commands to `mltk`. Each by itself.

    Called by the command line for `mltk --help`, for name completion, and when a command is looked up. A command
    whose name is taken by a built-in command, or by a plugin before, is left out with a warning. The command itself
    is imported when it runs.

    Example:
        ```python
        from mltk.plugins import Command, hookimpl
        @hookimpl
        def mltk_commands():
            return [Command("serve", "Serve predictions over HTTP.", "mltk_plugin_serve.command:serve")]
        ```
    """


@hookspec
def mltk_command_options() -> Iterable[types.CommandOption] | None:
    """Add options to commands of `mltk`. Each by itself.

    Called by the command line when a command is looked up to be run or to show its help; never for `mltk --help`. An
    option with a name that the command already has is left out with a warning.

    Example:
        ```python
        from mltk.plugins import CommandOption, hookimpl
        @hookimpl
        def mltk_command_options():
            import click
            option = click.Option(["--batch"], type=int, help="Batch size, instead of the specification's.")

            def apply(value, mltk_model):
                mltk_model.batch_size = value

            return [CommandOption("train", option, apply)]
        ```
    """


@hookspec
def mltk_templates() -> Iterable[types.Template] | None:
    """Add kinds of specifications that `mltk new NAME --data FOLDER` can write. Offers.

    Every template looks at the data set; the most suitable draft is written.

    Example:
        ```python
        from mltk.plugins import Draft, Template, hookimpl

        def draft(request):
            files = list(request.data.glob("*/*.tiff"))
            if not files:
                return None
            text = f"# @mltk_model: {request.name}, trained with {request.dataset}"
            return Draft(text, [f"{len(files)} thermal images"])
        @hookimpl
        def mltk_templates():
            return [Template("thermal", "Classifier of thermal images.", draft)]
        ```
    """


@hookspec
def mltk_settings() -> Iterable[types.Setting] | None:
    """Declare settings that a specification may set as `my_model.settings["thermal.emissivity"] = 0.95`. Offers.

    Called when a specification first reads or sets a setting, and by `mltk plugins show`. Values are checked when they
    are assigned. A specification cannot declare settings.

    Returns:
        The settings; `None` for none. Prefix the names with the name of your plugin.

    Example:
        ```python
        from mltk.plugins import Setting, hookimpl
        @hookimpl
        def mltk_settings():
            return [Setting("thermal.emissivity", "Emissivity of the surface, 0 to 1.", float, default=0.95)]
        ```
    """


@hookspec
def mltk_stages(mltk_model: types.Model) -> Iterable[types.Stage] | None:
    """Add stages to the training pipeline. Offers.

    Called once at the start of `mltk train` and `mltk.core.train_model`. The built-in stages are `train`, `archive`,
    `quantize` and `evaluate`, in this order.

    Args:
        mltk_model: The specification; no data has been loaded.

    Example:
        ```python
        from mltk.plugins import Stage, hookimpl

        def write_model_card(context):
            text = f"{context.mltk_model.name}: {context.results}"
            (context.output_dir / "model_card.md").write_text(text)
        @hookimpl
        def mltk_stages(mltk_model):
            return [Stage("model_card", "Write a model card.", write_model_card, after="evaluate")]
        ```
    """


@hookspec(firstresult=True)
def mltk_load_dataset(
    mltk_model: types.Model, subset: types.Subset, test: bool, options: Mapping[str, object]
) -> types.LoadedDataset | None:
    """Load the data set of a model. First answer.

    Called by `DatasetMixin.load_dataset` unless the specification overrides that method. The built-in answer
    handles every documented value of `my_model.dataset`.

    Args:
        mltk_model: The specification; `mltk_model.dataset` is the data set to load.
        subset: `training` (which includes the validation data), `validation` or `evaluation`.
        test: True for a trial run, which needs only a few samples.
        options: Other arguments of `load_dataset`, e.g. `classes` or `max_samples_per_class`.

    Returns:
        The data, or `None` if the data set does not belong to this plugin. Decide without loading data.

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
    mltk_model: types.Model, subset: types.Subset, domain: str
) -> Iterable[types.AugmentationStep] | None:
    """Add steps to the data path. Offers.

    Called by data generators once per load, in the main process. The steps must be picklable. They are applied by stage
    (`before`, `transform`, `after`, `batch`); within a stage in the order of the plugins, and within a plugin in the
    order of the answer. The stage `transform` is that of the generator's own random transforms, which come first in it.
    A specification leaves out steps, built-in ones too, with `my_model.disabled_augmentations = ["salt"]`.

    Args:
        mltk_model: The specification.
        subset: The subset that is loaded; most plugins augment only `training`.
        domain: Kind of batch, which fixes its layout: `image`, `audio`, `spectrogram` (the audio plugin asks once for
            clips and once for spectrograms), or the name that another data plugin defines.

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
def mltk_build_model(mltk_model: types.Model) -> keras.Model | None:
    """Build and compile the Keras model. First answer.

    Called by operations that train. The built-in answer calls `build_model_function` of the specification.

    Args:
        mltk_model: The specification; its data set has been loaded.

    Returns:
        The compiled model, or `None` if this plugin does not build this model.

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
    """Offer classes and functions that Keras files refer to by name. Offers.

    Called before a Keras file is read.

    Returns:
        Objects by name; `None` for none. The same object may be offered twice under the same name.

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
    mltk_model: types.Model,
    keras_model: keras.Model,
    settings: Mapping[str, object],
    representative_dataset: types.RepresentativeDataset | None,
) -> bytes | None:
    """Convert the Keras model to a `.tflite`. First answer.

    Called when a model is quantized; mltk adds parameters and metadata afterwards. The built-in answer is
    TensorFlow's converter.

    Args:
        mltk_model: The specification.
        keras_model: The trained model.
        settings: `my_model.tflite_converter`.
        representative_dataset: Starts one pass over samples for calibration: a list with one array per model input,
            batch axis of length 1. `None` if the settings need no calibration.

    Returns:
        The flatbuffer, or `None` if the settings do not select this converter.

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
    mltk_model: types.Model, tflite_model: TfliteModel | None
) -> Mapping[str, types.Parameter] | None:
    """Offer parameters to embed in the `.tflite`. Offers.

    Called when a model is quantized and by `update-params`. A value that the specification sets takes precedence.

    Args:
        mltk_model: The specification.
        tflite_model: The quantized model, still without these parameters; `None` if the parameters are only shown.
            Do not change it.

    Returns:
        Parameters by name; `None` for none. Prefix the names with the name of your plugin: `myplugin.threshold`.

    Example:
        ```python
        from mltk.plugins import Parameter, hookimpl
        @hookimpl
        def mltk_model_parameters(mltk_model):
            return {"radio.channel": Parameter(11, dtype="uint8")}
        ```
    """


@hookspec
def mltk_evaluators(mltk_model: types.Model | None) -> Iterable[types.Evaluator] | None:
    """Offer evaluators for a model. Offers.

    Called by `evaluate`. Evaluators with `default=True` run if the user selects none with `--evaluator`. Results and
    files are stored in `eval/<kind>/<evaluator>/` and in the archive. An option that the evaluator lists
    in `options` is given with `--option NAME=VALUE` and is in `context.options`.

    Args:
        mltk_model: The specification; `None` if a `.tflite` file is evaluated.

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
def mltk_runtimes() -> Iterable[types.Runtime] | None:
    """Offer ways to run a `.tflite`. Offers.

    Called by `evaluate`: `--runtime NAME`, or `--NAME`, selects one; its results are stored in `eval/NAME/`. The
    built-in runtime is `tflite`, which is LiteRT.

    Example:
        ```python
        from mltk.plugins import Runtime, hookimpl

        def open_on_board(tflite_model, name):
            from mltk_plugin_board.predictor import BoardPredictor
            return BoardPredictor(tflite_model, name)
        @hookimpl
        def mltk_runtimes():
            return [Runtime("board", "Run on the board at the serial port.", open_on_board)]
        ```
    """


@hookspec
def mltk_profilers() -> Iterable[types.Profiler] | None:
    """Offer ways to measure the resources that a `.tflite` needs. Offers.

    Called by `profile`; `--accelerator NAME` selects one. By default the first with `default=True` is used, else the
    built-in `static`.

    Example:
        ```python
        from mltk.plugins import Profiler, hookimpl

        def profile(tflite_model):
            from mltk_plugin_board.serial import measure
            return measure(tflite_model.flatbuffer_data)
        @hookimpl
        def mltk_profilers():
            return [Profiler("board", "Measure on the board at the serial port.", profile)]
        ```
    """


@hookspec
def mltk_compilers() -> Iterable[types.Compiler] | None:
    """Offer ways to prepare a `.tflite` for a device. Offers.

    Called by `compile`; `--accelerator NAME` selects one. The output is a `.tflite`, or a file with the ending that the
    compiler names: the plugin `tflm` writes a C array.

    Example:
        ```python
        from mltk.plugins import Compiler, hookimpl

        def compile_for_npu(tflite_model, optimize="speed"):
            from mltk_plugin_npu.toolchain import run
            return run(tflite_model.flatbuffer_data, optimize)
        @hookimpl
        def mltk_compilers():
            return [Compiler("npu", "Compile for the neural processor of the board.", compile_for_npu)]
        ```
    """


@hookspec
def mltk_report_sections(mltk_model: types.Model | None) -> Iterable[types.ReportSection] | None:
    """Add lines to the summary of `mltk train` and figures to `mltk compare`. Each by itself.

    Called at the end of `mltk train`, and by `mltk compare` for each model.

    Args:
        mltk_model: The specification; `None` for `mltk compare`, which runs no specification.

    Example:
        ```python
        from mltk.plugins import ReportSection, hookimpl

        def count_layers(context):
            return {"Convolutions": sum(layer.name == "conv_2d" for layer in context.tflite_model.layers)}
        @hookimpl
        def mltk_report_sections(mltk_model):
            return [ReportSection("convolutions", figures=count_layers)]
        ```
    """


@hookspec
def mltk_event(mltk_model: types.Model, event: StrEnum, details: Mapping[str, object]) -> None:
    """Observe an event of a model. Each by itself.

    Called by `MltkModel.trigger_event`, after the handlers of the specification.

    Args:
        mltk_model: The specification.
        event: The `mltk.core.MltkModelEvent`.
        details: Arguments of the event, e.g. `keras_model`. Change mutable arguments only where the documentation of
            the event allows it.

    Returns:
        Nothing (`None`).

    Example:
        ```python
        from mltk.plugins import hookimpl
        @hookimpl
        def mltk_event(mltk_model, event, details):
            if event.name == "AFTER_TRAIN":
                print(mltk_model.name, details["training_history"].history["loss"][-1])
        ```
    """
