"""The values that plugins return and receive: frozen records, and protocols for callables.

This module imports nothing heavy; numpy, Keras and the like appear in annotations only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol, runtime_checkable

if TYPE_CHECKING:
    import logging

    import click
    import numpy as np

    from mltk.model.model import MltkModel
    from mltk.results.evaluation import EvaluationResults
    from mltk.results.profiling import ProfilingModelResults
    from mltk.tflite import TfliteModel

Subset = Literal["training", "validation", "evaluation"]


@dataclass(frozen=True)
class Command:
    """A command that a plugin adds to `mltk`."""

    name: str
    """What the user types after `mltk`."""
    summary: str
    """One line for `mltk --help`; kept here so that help need not import the command."""
    target: str
    """Import string `package.module:attribute` of a `click.Command`, imported when the command runs."""

    def load(self) -> click.Command:
        """Import and return the click command."""
        from importlib import import_module

        module, _, attribute = self.target.partition(":")
        return getattr(import_module(module), attribute)  # type: ignore[no-any-return]


@dataclass(frozen=True)
class LoadedDataset:
    """What `mltk_load_dataset` returns; each field is put into the model's property of that name.

    A plugin that sets the model's properties itself returns `LoadedDataset()`.
    """

    x: Any = None
    """Anything that `keras.Model.fit` takes, or a `mltk.data.loader.BatchIterator`."""
    y: Any = None
    """Labels, where `x` does not already yield them."""
    validation_data: Any = None
    """Like `x`, or a tuple `(x, y)`."""
    class_counts: Mapping[str, Mapping[str, int]] | None = None
    """Samples per class and subset: `{'training': {'yes': 120, …}, …}`; used for class weights and summaries."""
    fingerprint: str | None = None
    """Hex digest over the identity of the data (names, sizes, or contents), recorded in the archive."""
    close: Callable[[], None] | None = None
    """Called when the data set is unloaded: ends threads, deletes temporary files."""


class BatchTransform(Protocol):
    """A picklable transform of a whole batch."""

    def __call__(self, batch: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Return the transformed batch.

        Args:
            batch: Samples, first axis the batch. Images: float32 `(n, height, width, channels)`, 0 to 255.
                Audio: float32 `(n, samples)`, -1 to 1; spectrograms: `(n, frames, bins)`.
            rng: The only source of randomness to use; seeded by (seed, epoch, batch index).
        """
        ...


@dataclass(frozen=True)
class AugmentationStep:
    """A step that a plugin or a spec adds to the data path."""

    name: str
    """Unique among all steps that apply; shown in the data set's summary."""
    stage: Literal["before", "after"]
    """`before` the built-in random transforms of the domain, or `after` them (before standardisation)."""
    apply: BatchTransform


@dataclass(frozen=True)
class Parameter:
    """A model parameter with the type it has in the `.tflite` file."""

    value: Any
    dtype: str | None = None
    """One of the names of `mltk.tflite.parameters.DTYPES`, or `None` to infer it."""


@runtime_checkable
class Predictor(Protocol):
    """One way to run a model, the same over Keras, LiteRT and TFLite Micro."""

    name: str
    """Model name, used for file names."""
    kind: str
    """`h5` for the Keras model, `tflite`, `tflm`: the folder under `eval/`."""

    @property
    def input_shape(self) -> tuple[int | None, ...]:
        """Shape of the first input, batch axis included."""
        ...

    def predict(self, batch: np.ndarray) -> np.ndarray:
        """Return float32 outputs for a batch of float32 (or integer) samples of any size.

        Quantization of inputs and dequantization of outputs are done here.
        """
        ...


@dataclass(frozen=True)
class EvaluationContext:
    """What an evaluator gets."""

    predictor: Predictor
    batches: Callable[[], Iterator[tuple[np.ndarray, np.ndarray | None]]]
    """Starts one pass over the evaluation data: `(x, y)` per batch, `y` is `None` where there are no labels;
    every sample comes once."""
    output_dir: Path
    """Exists and is empty; what is written here lands in the archive."""
    logger: logging.Logger
    model: MltkModel | None = None
    """The specification; `None` when a bare `.tflite` is evaluated."""
    classes: tuple[str, ...] = ()
    """Class names, or empty when unknown."""
    show: bool = False
    """Show plots in a window."""
    options: Mapping[str, Any] = field(default_factory=dict)
    """Options of the operation (`max_samples_per_class`, `classes`, `dump`, `callbacks`, `data`, `update_archive`), and
    those of `Evaluator.options` that the user gave."""


@dataclass(frozen=True)
class Evaluator:
    """A way to judge a model."""

    name: str
    """Chosen with `mltk evaluate --evaluator NAME`."""
    summary: str
    evaluate: Callable[[EvaluationContext], EvaluationResults]
    default: bool = False
    """Run when the user chose none."""
    folder: str | None = None
    """Where its results go, below `eval/<kind>/`: a folder of the evaluator's name by default. `""` is kept for
    evaluators whose file names the format of the archive fixes."""
    options: tuple[str, ...] = ()
    """Names of what may be given with `mltk evaluate --option NAME=VALUE`; any other name is refused."""
    needs_data: bool = True
    """Whether a bare `.tflite` can only be evaluated with arrays (`--data`): without them, `batches` raises."""


@dataclass(frozen=True)
class Profiler:
    """A way to measure what a `.tflite` model needs."""

    name: str
    """Chosen with `mltk profile --accelerator NAME`."""
    summary: str
    profile: Callable[[TfliteModel], ProfilingModelResults]
    default: bool = False
    """Used when the user chose none, in place of the built-in `static`. Of several the first is."""


@dataclass(frozen=True)
class Runtime:
    """A way to run a `.tflite` model."""

    name: str
    """Chosen with `mltk evaluate --runtime NAME`, or `--NAME` for short; also the `kind` of its predictors."""
    summary: str
    open: Callable[[TfliteModel, str], Predictor]
    """`open(tflite_model, name)` returns a predictor; `name` is the model's name, for files."""


@dataclass(frozen=True)
class Compiler:
    """A way to prepare a `.tflite` model for an accelerator."""

    name: str
    """Chosen with `mltk compile --accelerator NAME`, and part of the name of the file that is written."""
    summary: str
    compile: Callable[..., bytes]
    """`compile(tflite_model, **options)` returns the compiled flatbuffer. Its further parameters are the options
    that the user may give: `--optimize size` on the command line is `optimize="size"`, numbers are int or float."""


Parameters = Mapping[str, Parameter]
CustomObjects = Mapping[str, object]
RepresentativeDataset = Callable[[], Iterable["list[np.ndarray]"]]
