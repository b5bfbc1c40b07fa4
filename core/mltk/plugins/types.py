"""Types that hooks take and return: frozen dataclasses, and protocols for callables.

Importing this module imports nothing heavy; NumPy, Keras and the like appear in annotations only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, MutableMapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol, runtime_checkable

from mltk.plugins.lazy import import_target

if TYPE_CHECKING:
    import logging

    import click
    import numpy as np

    from mltk.results.evaluation import EvaluationResults
    from mltk.results.profiling import ProfilingModelResults
    from mltk.results.training import TrainingResults
    from mltk.tflite import TfliteModel

Subset = Literal["training", "validation", "evaluation"]
"""Part of a data set."""

DataPart = Literal["test", "validation", "training"]
"""Part of a data set that a model is evaluated with."""

Status = Literal["active", "blocked", "broken", "incompatible"]
"""Status of a plugin."""


@dataclass(frozen=True)
class PluginRecord:
    """Status of a discovered plugin."""

    name: str
    """Name of the entry point; used to block the plugin and to order plugins."""
    status: Status
    """Only an `active` plugin is used."""
    module: str = ""
    """Value of the entry point, e.g. `mltk_plugin_image.plugin`."""
    distribution: str | None = None
    """Name of the distribution; `None` for a plugin that was registered by hand."""
    version: str | None = None
    """Version of the distribution."""
    error: str | None = None
    """Why the plugin is not active, in one line."""
    details: str | None = None
    """Traceback of a failed import."""
    hooks: tuple[str, ...] = ()
    """Hooks that the plugin implements, in call order; empty unless active."""
    builtin: bool = False
    """True for a part of mltk itself."""


class Model(Protocol):
    """A model specification as hooks receive it: a `mltk.core.MltkModel` with the mixins its class inherits.

    Use `mltk.plugins.inherits` to check for a mixin before reading its properties.
    """

    @property
    def name(self) -> str:
        """Name of the model."""
        ...

    @property
    def log_dir(self) -> str:
        """Folder for the files of the model; created on first use."""
        ...

    @property
    def settings(self) -> MutableMapping[str, object]:
        """Settings of plugins, see `Setting`."""
        ...

    def __getattr__(self, name: str) -> Any:
        """Return a property of one of the mixins."""
        ...


@dataclass(frozen=True)
class Command:
    """A command that a plugin adds to `mltk`."""

    name: str
    """Name that the user types after `mltk`."""
    summary: str
    """One line for `mltk --help`, which does not import the command."""
    target: str
    """Import string `package.module:attribute` of a `click.Command`; imported when the command runs."""

    def load(self) -> click.Command:
        """Import and return the click command.

        Raises:
            TypeError: The target is not a click command.
        """
        import click

        command = import_target(self.target)
        if not isinstance(command, click.Command):
            raise TypeError(f"{self.target} is not a click command")
        return command


@dataclass(frozen=True)
class CommandOption:
    """An option that a plugin adds to a command of `mltk`."""

    command: str
    """Name of the command, e.g. `train`."""
    option: click.Option
    """The option, e.g. `click.Option(["--emissivity"], type=float, help="…")`. Its names must be new to the command."""
    apply: Callable[[Any, Any], None]
    """`apply(value, mltk_model)` is called with the parsed value if the user gives the option: as soon as the command
    has loaded the specification, before its operation starts. Change the model here."""
    needs_model: bool = True
    """If False, `apply(value, None)` is called before the command starts, whether or not it loads a specification."""

    @property
    def name(self) -> str:
        """Command and option, e.g. `train.emissivity`; unique among all plugins."""
        return f"{self.command}.{self.option.name}"


@dataclass(frozen=True)
class Setting:
    """A setting that every specification may set: `my_model.settings["thermal.emissivity"] = 0.95`."""

    name: str
    """Name of the plugin, a dot, and the name of the setting: `thermal.emissivity`."""
    summary: str
    """One sentence for the user: meaning, unit, range."""
    type: type | tuple[type, ...]
    """Accepted type or types. An integer is accepted, and converted, where only `float` is."""
    default: object = None
    """Value of a setting that is not set."""
    convert: Callable[[Any], object] | None = None
    """Checks or converts an assigned value; raises `ValueError` with one sentence if the value is wrong."""
    choices: tuple[object, ...] = ()
    """The only accepted values; empty for any value of the type."""


@dataclass(frozen=True)
class DraftRequest:
    """What the user asked `mltk new` for."""

    name: str
    """Name of the model."""
    data: Path
    """Folder of the data set, absolute."""
    dataset: str
    """The folder as the specification is to name it: relative to the specification where it is below its folder."""


@dataclass(frozen=True)
class Draft:
    """A model specification that a template made for a data set."""

    text: str
    """The Python code."""
    findings: Sequence[str]
    """What the data are, and what follows for the specification: one line each."""
    suitability: float = 0.5
    """0 to 1; `mltk new` writes the draft with the highest value, unless the user names a template."""


@dataclass(frozen=True)
class Template:
    """A kind of model specification that `mltk new` can write."""

    name: str
    """For `--template`."""
    summary: str
    """One line."""
    draft: Callable[[DraftRequest], Draft | None]
    """Returns the specification; `None` if the data are of another kind. It reads a sample of the data."""


@dataclass(frozen=True)
class LoadedDataset:
    """Result of `mltk_load_dataset`; each field is assigned to the property of the model with that name.

    A plugin that sets the properties of the model itself returns `LoadedDataset()`.
    """

    x: object = None
    """Data that `keras.Model.fit` takes, or a `mltk.data.loader.BatchIterator`."""
    y: object = None
    """Labels, if `x` does not yield them."""
    validation_data: object = None
    """Like `x`, or a tuple `(x, y)`."""
    class_counts: Mapping[str, Mapping[str, int]] | None = None
    """Samples per class and subset: `{"training": {"yes": 120, …}, …}`; used for class weights and summaries."""
    fingerprint: str | None = None
    """Hexadecimal digest of the data (names and sizes, or contents), recorded in the archive."""
    part: DataPart | None = None
    """What evaluation data are: `test` data that training never sees, the `validation` data, or the `training` data."""
    close: Callable[[], None] | None = None
    """Called when the data set is unloaded: stop threads, delete temporary files."""


class BatchTransform(Protocol):
    """A picklable transform of a whole batch."""

    def __call__(self, batch: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Return the transformed batch.

        A transform may name further keyword arguments and then receives them: `class_ids` (int64 `(n,)`),
        `filenames`, and those that the generator documents, e.g. `spans` of the audio plugin.

        Args:
            batch: Samples, first axis the batch. Images: float32 `(n, height, width, channels)`, 0 to 255.
                Audio: float32 `(n, samples)`, -1 to 1; spectrograms: `(n, frames, bins)`.
            rng: The only source of randomness to use; seeded by (seed, epoch, batch index).
        """
        ...


@dataclass(frozen=True)
class AugmentationStep:
    """A step of the data path, built in or added by a plugin or a specification."""

    name: str
    """Unique among all steps; shown in the data set's summary, and named to disable the step."""
    stage: Literal["before", "transform", "after", "batch"]
    """`transform` is the stage of the built-in random transforms; `before` and `after` come before and after it, all
    three before standardization. A step of the stage `transform` must return an array that may be overwritten.
    `batch` comes last: the finished batch with its one-hot labels, which the step may change."""
    apply: Callable[..., Any]
    """Transforms a batch: a `BatchTransform`; in the stage `batch` a function `f(x, y, rng)` that returns
    `(x, y)`."""
    domain: str = ""
    """Kind of batch, see the hook `mltk_augmentations`; empty: the one that the hook was asked for."""
    stream: str = ""
    """Name of the stream of random numbers; empty: a stream of the step's own."""


@dataclass(frozen=True)
class Parameter:
    """A model parameter with the type it has in the `.tflite` file."""

    value: object
    """Boolean, number, string, bytes, or a list of numbers or strings."""
    dtype: str | None = None
    """One of `mltk.tflite.parameters.DTYPES`, or `None` to infer it."""


@runtime_checkable
class Predictor(Protocol):
    """Runs a model; the same interface for Keras, LiteRT and TFLite Micro."""

    name: str
    """Model name, used for file names."""
    kind: str
    """`h5` for the Keras model, `tflite`, `tflm`: the folder below `eval/`."""

    @property
    def input_shape(self) -> tuple[int | None, ...]:
        """Shape of the first input, including the batch axis."""
        ...

    def predict(self, batch: np.ndarray) -> np.ndarray:
        """Return float32 outputs for a batch of float32 (or integer) samples of any size.

        Quantizes inputs and dequantizes outputs.
        """
        ...


@dataclass(frozen=True)
class EvaluationContext:
    """Arguments of an evaluator."""

    predictor: Predictor
    """Runs the model."""
    batches: Callable[[], Iterator[tuple[np.ndarray, np.ndarray | None]]]
    """Starts one pass over the evaluation data: `(x, y)` per batch, each sample once; `y` is `None` without labels."""
    output_dir: Path
    """An empty folder; files written to it are added to the archive."""
    logger: logging.Logger
    """For messages."""
    model: Model | None = None
    """The specification; `None` if a `.tflite` file is evaluated."""
    classes: tuple[str, ...] = ()
    """Class names; empty if unknown."""
    show: bool = False
    """Show plots in windows."""
    options: Mapping[str, Any] = field(default_factory=dict)
    """Options of the operation (`max_samples_per_class`, `classes`, `dump`, `callbacks`, `data`, `update_archive`) and
    the options of `Evaluator.options` that the user gave."""


@dataclass(frozen=True)
class Evaluator:
    """An evaluation of a model."""

    name: str
    """Selected with `mltk evaluate --evaluator NAME`."""
    summary: str
    """One line for the user."""
    evaluate: Callable[[EvaluationContext], EvaluationResults]
    """Evaluates the model and returns the results."""
    default: bool = False
    """Run if the user selects no evaluator."""
    folder: str | None = None
    """Folder for the results below `eval/<kind>/`; by default the name of the evaluator. `""` is reserved for
    evaluators whose file names belong to the archive format."""
    options: tuple[str, ...] = ()
    """Names accepted by `mltk evaluate --option NAME=VALUE`."""
    needs_data: bool = True
    """If True, a `.tflite` file can only be evaluated with arrays (`--data`); without them `batches` raises."""


@dataclass(frozen=True)
class Profiler:
    """A way to measure the resources that a `.tflite` model needs."""

    name: str
    """Selected with `mltk profile --accelerator NAME`."""
    summary: str
    """One line for the user."""
    profile: Callable[[TfliteModel], ProfilingModelResults]
    """Measures the model."""
    default: bool = False
    """Used if the user selects none, in place of the built-in `static`; the first of several default profilers is."""


@dataclass(frozen=True)
class Runtime:
    """A way to run a `.tflite` model."""

    name: str
    """Selected with `mltk evaluate --runtime NAME`, or `--NAME` for short; also the `kind` of its predictors."""
    summary: str
    """One line for the user."""
    open: Callable[[TfliteModel, str], Predictor]
    """`open(tflite_model, name)` returns a predictor; `name` is the model name, used for file names."""


@dataclass(frozen=True)
class Compiler:
    """A way to prepare a `.tflite` model for a device."""

    name: str
    """Selected with `mltk compile --accelerator NAME`; part of the output file's name."""
    summary: str
    """One line for the user."""
    compile: Callable[..., bytes]
    """`compile(tflite_model, **options)` returns the content of the output file. Its other parameters are the options
    of the command: `--optimize size` is `optimize="size"`; numbers are int or float."""
    ending: str = ".tflite"
    """Ending of the output file. A `.tflite` is checked, and gets the metadata of the model that it lacks."""


@dataclass
class StageContext:
    """State of a run of the training pipeline, shared by its stages."""

    mltk_model: Model
    """The specification."""
    logger: logging.Logger
    """For messages; also writes to the log file of the run."""
    output_dir: Path
    """Folder for the files of the stage: `<log_dir>/<stage name>`. It exists when the stage runs."""
    options: Mapping[str, Any] = field(default_factory=dict)
    """Arguments of `mltk.core.train_model`: `epochs`, `quantize`, `create_archive`, `evaluate`, `test`, …"""
    results: TrainingResults | None = None
    """Results so far; `None` until the stage `train` has set them."""
    _prepared: object = field(default=None, repr=False)
    """The data and the network, if the stage `rehearse` has prepared them for the stage `train`."""


@dataclass(frozen=True)
class Stage:
    """A step of the training pipeline (`mltk train`, `mltk.core.train_model`)."""

    name: str
    """Unique among all stages. The built-in stages are `rehearse`, `train`, `archive`, `quantize` and `evaluate`."""
    summary: str
    """One line for the user."""
    run: Callable[[StageContext], None]
    """Runs the stage. An exception ends the pipeline; files of earlier stages are kept. To let the pipeline continue,
    call `context.mltk_model.record_failure(what, error)` instead of raising."""
    after: str = ""
    """Name of the stage that this stage follows; with neither `after` nor `before`, the stage runs last."""
    before: str = ""
    """Name of the stage that this stage precedes."""


@dataclass(frozen=True)
class ReportContext:
    """Data for a section of a report; a field is `None` or empty if it is not available."""

    mltk_model: Model | None = None
    """The specification; `None` for `mltk compare`, which runs no specification."""
    training: TrainingResults | None = None
    """Results of the training run that has just ended."""
    tflite_model: TfliteModel | None = None
    """The quantized model."""
    evaluations: Mapping[str, EvaluationResults] = field(default_factory=dict)
    """Evaluation results by kind: `h5`, `tflite`, or the name of another runtime."""


def _no_lines(context: ReportContext) -> Iterable[tuple[str, str]]:
    return ()


def _no_figures(context: ReportContext) -> Mapping[str, float | int | str]:
    return {}


@dataclass(frozen=True)
class ReportSection:
    """Lines and figures that a plugin adds to reports about a model."""

    name: str
    """Unique among all sections."""
    lines: Callable[[ReportContext], Iterable[tuple[str, str]]] = _no_lines
    """Returns rows `(label, text)` for the summary at the end of `mltk train`."""
    figures: Callable[[ReportContext], Mapping[str, float | int | str]] = _no_figures
    """Returns rows for the table of `mltk compare`, by label; a model without a figure shows `-`."""


Parameters = Mapping[str, Parameter]
"""Parameters by name."""
CustomObjects = Mapping[str, object]
"""Classes and functions by the name in a Keras file."""
RepresentativeDataset = Callable[[], Iterable["list[np.ndarray]"]]
"""Starts one pass over samples for calibration: a list with one array per model input, batch axis of length 1."""
