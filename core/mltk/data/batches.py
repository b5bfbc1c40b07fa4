"""What all data generators have in common: labels, callbacks, steps of plugins, order of the samples."""

from __future__ import annotations

import inspect
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, Self

import numpy as np

from mltk.data import settings
from mltk.data.loader import BatchIterator
from mltk.data.seeding import batch_rng, epoch_permutation
from mltk.errors import DatasetError, SpecificationError, did_you_mean
from mltk.utils.threads import worker_count

if TYPE_CHECKING:
    from mltk.plugins.types import AugmentationStep

CLASS_MODES = ("categorical", "binary", "sparse", "input", None)
"""What a batch holds besides the samples: one-hot, class ids (two names for it), the samples, nothing."""

CALLBACK_ARGUMENTS = ("class_id", "filename", "batch_index", "batch_class_ids", "batch_filenames")
"""What a callback may ask for by naming it, after its two positional arguments `(params, x)`."""


class Samples(Protocol):
    """Samples that are known by their number."""

    @property
    def names(self) -> Sequence[str]:
        """What each sample is called in callbacks and error messages."""
        ...

    def fingerprint(self) -> str:
        """Return a hex digest over the identity of all samples."""
        ...


@dataclass(kw_only=True, eq=False)
class GeneratorSettings:
    """The settings that all data generators have.

    Raises:
        SpecificationError: A setting does not exist, has the wrong type, or is out of its range.
    """

    rescale: float | None = None
    """Factor of the values; comes before the normalisations."""
    samplewise_center: bool = False
    """Subtract each sample's mean."""
    samplewise_std_normalization: bool = False
    """Divide each sample by its standard deviation; switches `samplewise_center` on."""
    validation_split: float = 0.0
    """Part of each class, from the start of its list, that is the validation subset."""
    validation_augmentation_enabled: bool = True
    """Apply the random transforms to the validation subset, too (the same ones in every epoch)."""
    noaug_preprocessing_function: Callable[..., Any] | None = None
    """Callback before the random transforms."""
    preprocessing_function: Callable[..., Any] | None = None
    """Callback after the random transforms."""
    get_batch_function: Callable[..., Any] | None = None
    """Makes whole batches in place of everything else: `f(batch_index, filenames, class_ids, params)` returns
    `(batch_index, (x, y))`."""
    cores: float = 0.25
    """Threads: an int is their number, a float a fraction of the cores."""
    debug: bool = False
    """Make batches in the calling thread, so that breakpoints work."""
    max_batches_pending: int = 4
    """Batches that are made ahead."""
    disable_gpu_in_subprocesses: bool = True
    """Without effect: there are no subprocesses."""
    max_samples_per_class: int = -1
    """Upper limit; -1 for none."""
    batch_size: int | None = None
    """Takes precedence over the model's, or the argument of `flow…`; -1 means everything in one batch."""
    cache_bytes: int = 256 * 2**20
    """Memory for decoded samples, so that later epochs need not read files; 0 reads them each time."""
    augmentation_steps: Sequence[AugmentationStep] = ()
    """Steps of plugins; the mixin of the model sets them."""

    def __new__(cls, **values: Any) -> Self:
        """Refuse names that are not settings, with a hint; the values are checked afterwards."""
        for name in values:
            if name not in cls.__dataclass_fields__:
                raise SpecificationError(
                    f"{cls.__name__} has no setting '{name}'.{did_you_mean(name, cls.__dataclass_fields__)}"
                )
        return super().__new__(cls)

    def __post_init__(self) -> None:
        self.samplewise_center |= self.samplewise_std_normalization
        self.check()

    def check(self) -> None:
        """Check all settings; also done when an iterator is made, since settings may be changed.

        Raises:
            SpecificationError: A setting has the wrong type, or is out of its range.
        """
        if self.rescale is not None:
            settings.number("rescale", self.rescale)
        settings.split_fraction(self.validation_split)
        for name in ("noaug_preprocessing_function", "preprocessing_function"):
            check_callback(name, getattr(self, name))
        settings.function("get_batch_function", self.get_batch_function)
        worker_count(self.cores)
        settings.whole("max_batches_pending", self.max_batches_pending, least=1)
        settings.whole("max_samples_per_class", self.max_samples_per_class, least=-1)
        settings.whole("cache_bytes", self.cache_bytes, least=0)
        if self.batch_size is not None:
            settings.batch_size(self.batch_size)

    def describe(self) -> str:
        """Return the settings that differ from the defaults, one `name: value` on a line."""
        return settings.describe_settings(self)


@dataclass(frozen=True)
class Labels:
    """What the model is to learn from each sample."""

    ids: np.ndarray
    """int64 `(n,)`: class id of each sample, -1 where there are no classes."""
    mode: str | None = "categorical"
    """One of `CLASS_MODES`."""
    n_classes: int = 0
    values: np.ndarray | None = None
    """Labels that are given as they are, whatever the mode."""
    weights: np.ndarray | None = None
    """Weight of each sample."""

    def batch(self, indices: np.ndarray, x: np.ndarray) -> tuple[np.ndarray, ...]:
        """Return `()`, `(y,)` or `(y, sample_weight)` for a batch of samples."""
        dtype = x.dtype if x.dtype.kind == "f" else np.dtype(np.float32)
        if self.values is not None:
            y = self.values[indices]
        elif self.mode is None:
            return ()
        elif self.mode == "input":
            y = x.copy()
        elif self.mode == "categorical":
            y = np.zeros((len(indices), self.n_classes), dtype)
            y[np.arange(len(indices)), self.ids[indices]] = 1
        else:
            y = self.ids[indices].astype(dtype)
        return (y,) if self.weights is None else (y, self.weights[indices])


class GeneratorBatches:
    """Base of the `BatchSource`s of data generators; a subclass says what `samples_of_batch` are.

    Args:
        settings: Of the generator.
        params: Given to callbacks.
        samples: The samples.
        labels: Their labels.
        batch_size: Samples in a batch, -1 for all of them; the last batch holds what is left.
        shuffle: Take samples in a new order in each epoch.
        seed: Of order and transforms.
        augment: Apply the random transforms and the steps of plugins.
        same_every_epoch: Draw the same numbers, hence give the same batches, in every epoch.
    """

    def __init__(
        self,
        settings: GeneratorSettings,
        params: Any,
        samples: Samples,
        labels: Labels,
        *,
        batch_size: int,
        shuffle: bool,
        seed: int,
        augment: bool,
        same_every_epoch: bool,
    ) -> None:
        self.settings = settings
        self.params = params
        self.labels = labels
        self.n = len(labels.ids)
        self.batch_size = batch_size if batch_size > 0 else self.n
        self.shuffle = shuffle
        self.seed = seed
        self.augment = augment
        self.same_every_epoch = same_every_epoch
        self._samples = samples
        self._order: tuple[int, np.ndarray] = (-1, np.arange(self.n))
        self._order_lock = threading.Lock()

    def __len__(self) -> int:
        return -(-self.n // self.batch_size)

    @property
    def names(self) -> Sequence[str]:
        """What each sample is called."""
        return self._samples.names

    def files(self, indices: np.ndarray) -> list[Any]:
        """Return what `get_batch_function` is given to read samples: their names, empty for one without a file."""
        return [self.names[i] for i in indices]

    def fingerprint(self) -> str:
        """Return a hex digest over the identity of all samples."""
        return self._samples.fingerprint()

    def samples_of_batch(
        self, epoch: int, index: int, indices: np.ndarray
    ) -> np.ndarray | tuple[np.ndarray, ...]:
        """Return x of a batch, standardised, for the samples at `indices`; a tuple for a model of several inputs."""
        raise NotImplementedError

    def batch(self, epoch: int, index: int) -> tuple[Any, ...]:
        """Return `(x,)`, `(x, y)` or `(x, y, sample_weight)`; see `BatchSource`."""
        if self.same_every_epoch:
            epoch = 0
        indices = self.order(epoch)[index * self.batch_size : (index + 1) * self.batch_size]
        custom = self.settings.get_batch_function
        if custom is not None:
            return tuple(custom(index, self.files(indices), self.labels.ids[indices], self.params)[1])
        x = self.samples_of_batch(epoch, index, indices)
        return (x, *self.labels.batch(indices, x[0] if isinstance(x, tuple) else x))

    def order(self, epoch: int) -> np.ndarray:
        """Return the sample numbers of an epoch in the order in which they come."""
        if not self.shuffle:
            return self._order[1]
        with self._order_lock:
            if self._order[0] != epoch:
                self._order = (epoch, epoch_permutation(self.n, self.seed, epoch))
            return self._order[1]

    def stepped(
        self, steps: Sequence[AugmentationStep], x: np.ndarray, epoch: int, index: int, stream: str = ""
    ) -> np.ndarray:
        """Apply steps of plugins to a batch; the result is float32 and may be overwritten.

        Args:
            steps: The steps.
            x: The batch, or a part of it.
            epoch: Of the batch.
            index: Position of the batch in the epoch.
            stream: Names the part, which then has draws of its own.
        """
        for step in steps:
            # A stream of its own: a plugin that is installed or removed does not move any other draw.
            result = step.apply(x, batch_rng(self.seed, epoch, index, f"step {step.name}{stream}"))
            if np.shape(result)[:1] != x.shape[:1]:
                raise DatasetError(
                    f"The augmentation step '{step.name}' returned shape {np.shape(result)} for a batch of "
                    f"shape {x.shape}; it must keep the number of samples."
                )
            x = np.array(result, np.float32, order="C")
        return x

    def called(
        self, function: Callable[..., Any] | None, x: Sequence[np.ndarray], index: int, indices: np.ndarray
    ) -> list[np.ndarray]:
        """Call a callback of the specification for each sample of a batch; `None` leaves the samples."""
        return list(self.each_called(function, x, index, indices))

    def each_called(
        self, function: Callable[..., Any] | None, x: Iterable[np.ndarray], index: int, indices: np.ndarray
    ) -> Iterator[np.ndarray]:
        """Do as `called` does, one after the other: samples may be too large to have all of them at once."""
        if function is None:
            yield from x
            return
        wanted = callback_arguments(function)
        class_ids = self.labels.ids[indices]
        names = [self.names[i] for i in indices]
        for sample, class_id, name in zip(x, class_ids.tolist(), names, strict=True):
            available = {
                "class_id": class_id,
                "filename": name,
                "batch_index": index,
                "batch_class_ids": class_ids,
                "batch_filenames": names,
            }
            try:
                result = np.asarray(
                    function(self.params, sample, **{k: available[k] for k in wanted}), np.float32
                )
            except Exception as e:
                e.add_note(f"Raised by {callback_name(function)} for '{name}'.")
                raise
            yield result

    def called_on_batch(
        self, function: Callable[..., Any] | None, x: np.ndarray, index: int, indices: np.ndarray
    ) -> np.ndarray:
        """Call a callback for each sample of a batch; all results must have one shape."""
        if function is None:
            return x
        results = self.called(function, list(x), index, indices)
        for i, result in zip(indices, results, strict=True):
            if result.shape != results[0].shape:
                raise DatasetError(
                    f"{callback_name(function)} returned shape {result.shape} for '{self.names[i]}', and "
                    f"{results[0].shape} for another sample of the same batch."
                )
        return np.stack(results)


class GeneratorIterator(BatchIterator):
    """Batches of a generator in the order of the seed: `(x,)`, `(x, y)` or `(x, y, sample_weight)`.

    Every sample comes exactly once in an epoch; the last batch holds what is left.
    """

    def __init__(self, source: GeneratorBatches, class_indices: Mapping[str, int] | None = None) -> None:
        settings = source.settings
        workers = 0 if settings.debug else worker_count(settings.cores)
        super().__init__(source, workers, settings.max_batches_pending)
        self.generator_batches = source
        self.class_indices = dict(class_indices or {})
        """Class name to id."""

    @property
    def filenames(self) -> list[str]:
        """Names of the files, relative to the data set's folder, class by class."""
        return list(self.generator_batches.names)

    @property
    def samples(self) -> int:
        """Number of samples."""
        return self.generator_batches.n

    n = samples
    max_samples = samples

    @property
    def classes(self) -> np.ndarray:
        """Class id of each sample, in the order of `filenames`: int64 `(n,)`; -1 without classes."""
        return self.generator_batches.labels.ids

    labels = classes

    @property
    def num_classes(self) -> int:
        """Number of classes."""
        return len(self.class_indices)

    @property
    def batch_size(self) -> int:
        """Samples in a batch, but for the last one."""
        return self.generator_batches.batch_size

    @property
    def seed(self) -> int:
        """Seed of order and transforms."""
        return self.generator_batches.seed

    @property
    def augmented(self) -> bool:
        """Whether the random transforms are applied."""
        return self.generator_batches.augment


def check_callback(name: str, value: Any) -> None:
    """Refuse what is neither `None` nor a callback.

    Args:
        name: Of the setting.
        value: Its value.

    Raises:
        SpecificationError: It is not callable, or its signature is not that of a callback.
    """
    settings.function(name, value)
    if value is not None:
        callback_arguments(value)


def callback_arguments(function: Callable[..., Any]) -> tuple[str, ...]:
    """Return those of `CALLBACK_ARGUMENTS` that the signature of a callback names.

    Raises:
        SpecificationError: It does not take `(params, x)`, or needs something that does not exist.
    """
    try:
        parameters = list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError):  # Some built-in functions have no signature.
        return ()
    positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    if any(p.kind is inspect.Parameter.VAR_POSITIONAL for p in parameters):
        named = [p for p in parameters if p.kind is inspect.Parameter.KEYWORD_ONLY]
    elif len([p for p in parameters if p.kind in positional]) >= 2:
        named = parameters[2:]
    else:
        raise SpecificationError(
            f"{callback_name(function)} must take two positional arguments, (params, x)."
        )
    if any(p.kind is inspect.Parameter.VAR_KEYWORD for p in named):
        return CALLBACK_ARGUMENTS
    for parameter in named:
        if parameter.name not in CALLBACK_ARGUMENTS and parameter.default is inspect.Parameter.empty:
            raise SpecificationError(
                f"{callback_name(function)} asks for '{parameter.name}'. Besides (params, x) a callback may "
                f"name: {', '.join(CALLBACK_ARGUMENTS)}.{did_you_mean(parameter.name, CALLBACK_ARGUMENTS)}"
            )
    return tuple(p.name for p in named if p.name in CALLBACK_ARGUMENTS)


def callback_name(function: Callable[..., Any]) -> str:
    """Return what a callback is called in messages."""
    return f"The callback '{getattr(function, '__name__', None) or type(function).__name__}'"
