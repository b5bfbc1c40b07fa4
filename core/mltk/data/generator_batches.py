"""Make the batches of a data generator: samples, callbacks, augmentation steps, labels, order."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Generic, Protocol, TypeVar

import numpy as np

from mltk.data.checks import describe_callback, get_callback_arguments, select_arguments
from mltk.data.generator_settings import FlowOptions, GeneratorSettings
from mltk.data.labels import Labels
from mltk.data.loader import BatchIterator
from mltk.data.mixing import check_mixable
from mltk.data.seeding import balanced_order, batch_rng, epoch_permutation
from mltk.errors import DatasetError
from mltk.plugins.types import AugmentationStep
from mltk.utils.threads import worker_count

Callback = Callable[..., object]


class Samples(Protocol):
    """Samples that are identified by their number."""

    @property
    def names(self) -> Sequence[str]:
        """Name of each sample for callbacks and error messages."""
        ...

    @property
    def files(self) -> Sequence[str]:
        """Name of each sample for `get_batch_function`; empty for one without a file."""
        ...

    def path(self, index: int) -> str:
        """Return the path of a sample's file; empty for one without a file."""
        ...

    def fingerprint(self) -> str:
        """Return a hex digest of the identity of all samples."""
        ...

    def close_report(self) -> None:
        """Give the warnings about the files that have been read."""
        ...


Generator = TypeVar("Generator", bound=GeneratorSettings)
Data = TypeVar("Data", bound=Samples)


@dataclass(frozen=True, kw_only=True)
class ProcessParams:
    """Description of a data set: the first argument of callbacks.

    The settings of the generator are attributes too.
    """

    generator: GeneratorSettings
    subset: str | None = None
    """`training`, `validation`, or `None` for a data set that is not split."""
    split: tuple[float, float] | None = None
    """First and last fraction of each class that form the subset."""
    directory: str | None = None
    """Folder of the data set; `None` for arrays."""
    class_indices: Mapping[str, int] | None = None
    """Class name to id."""
    class_mode: str | None = None

    def __getattr__(self, name: str) -> Any:  # a setting of any type
        # A copy that is being made has no attributes yet.
        if name.startswith("_") or name == "generator":
            raise AttributeError(name)
        return getattr(self.generator, name)


@dataclass(frozen=True)
class BatchPosition:
    """One batch, or a part of it: all that its content depends on."""

    epoch: int
    """Counted from 0."""
    index: int
    """Position in the epoch, counted from 0."""
    indices: np.ndarray
    """Numbers of the samples: int64 `(n,)`."""

    def select(self, rows: slice) -> BatchPosition:
        """Return the position of some of the samples."""
        return replace(self, indices=self.indices[rows])


class GeneratorBatches(Generic[Generator, Data]):
    """Base of the `BatchSource`s of data generators; a subclass implements `samples_of_batch`.

    Args:
        generator: The settings.
        params: First argument of callbacks.
        samples: The samples.
        labels: Their labels.
        flow: Batch size, order, seed, and whether to augment. The last batch holds the remaining samples.
    """

    def __init__(
        self, generator: Generator, params: ProcessParams, samples: Data, labels: Labels, flow: FlowOptions
    ) -> None:
        self.generator = generator
        self.params = params
        self.samples = samples
        self.labels = labels
        self.flow = flow
        self.seed = flow.seed
        self.augment = flow.augment
        self.n = len(labels.ids)
        self.batch_size = flow.batch_size if flow.batch_size > 0 else self.n
        steps = generator.active_steps()
        self.steps: list[AugmentationStep] = steps if flow.augment else []
        self.made_by: list[AugmentationStep] = []
        """Steps of the stage `batch` that make samples to calibrate with, of data that are not augmented."""
        self._order: tuple[int, np.ndarray] = (-1, np.arange(self.n))
        self._order_lock = threading.Lock()

    def __len__(self) -> int:
        return -(-self.n // self.batch_size)

    @property
    def names(self) -> Sequence[str]:
        """Name of each sample."""
        return self.samples.names

    def fingerprint(self) -> str:
        """Return a hex digest of the identity of all samples."""
        return self.samples.fingerprint()

    def samples_of_batch(self, position: BatchPosition) -> np.ndarray | tuple[np.ndarray, ...]:
        """Return x of a batch, standardized; a tuple for a model with several inputs."""
        raise NotImplementedError

    def batch(self, epoch: int, index: int) -> tuple[Any, ...]:
        """Return `(x,)`, `(x, y)` or `(x, y, sample_weight)`; see `BatchSource`."""
        return self._make_batch(epoch, index, self.select_steps("batch"))

    def made_samples(self, index: int) -> np.ndarray | None:
        """Return x of a batch of the first epoch after the steps in `made_by`; `None` without such steps.

        Args:
            index: 0 to `len(self) - 1`.
        """
        if not self.made_by or self.generator.get_batch_function is not None:
            return None
        return np.asarray(self._make_batch(0, index, self.made_by)[0])

    def _make_batch(self, epoch: int, index: int, steps: Sequence[AugmentationStep]) -> tuple[Any, ...]:
        if self.flow.same_every_epoch:
            epoch = 0
        indices = self.order(epoch)[index * self.batch_size : (index + 1) * self.batch_size]
        custom = self.generator.get_batch_function
        if custom is not None:
            files = [self.samples.files[i] for i in indices]
            return tuple(custom(index, files, self.labels.ids[indices], self.params)[1])
        position = BatchPosition(epoch, index, indices)
        x = self.samples_of_batch(position)
        labels = self.labels.batch(indices, x[0] if isinstance(x, tuple) else x)
        # The steps of the stage `batch` see and change labels.
        for step in steps:
            check_mixable(step.name, x, labels)
            x, y = step.apply(x, labels[0], self.rng(position, f"step {step.name}"))
            labels = (y, *labels[1:])
        return (x, *labels)

    def order(self, epoch: int) -> np.ndarray:
        """Return the sample numbers of an epoch in their order."""
        if not self.flow.shuffle:
            return self._order[1]
        with self._order_lock:
            if self._order[0] != epoch:
                self._order = (epoch, self._draw_order(epoch))
            return self._order[1]

    def _draw_order(self, epoch: int) -> np.ndarray:
        if self.generator.balanced_classes and self.flow.subset != "validation":
            return balanced_order(self.labels.ids, self.seed, epoch)
        return epoch_permutation(self.n, self.seed, epoch)

    def rng(self, position: BatchPosition, stream: str = "transform") -> np.random.Generator:
        """Return the random generator of a batch; draws of one stream do not affect another's."""
        return batch_rng(self.seed, position.epoch, position.index, stream)

    def select_steps(self, stage: str, domain: str | None = None) -> list[AugmentationStep]:
        """Return the steps of a stage.

        Args:
            stage: `before`, `transform`, `after` or `batch`.
            domain: Only steps of this domain, or of none.
        """
        return [s for s in self.steps if s.stage == stage and (domain is None or s.domain in ("", domain))]

    def apply_steps(
        self,
        steps: Sequence[AugmentationStep],
        x: np.ndarray,
        position: BatchPosition,
        stream: str = "",
        **context: object,
    ) -> np.ndarray:
        """Apply augmentation steps to a batch; the result is float32 and may be overwritten.

        Args:
            steps: The steps.
            x: The batch, or a part of it.
            position: Its position.
            stream: Name of the part, which then has draws of its own.
            **context: Further arguments that a step may name.

        Raises:
            DatasetError: A step changed the number of samples.
        """
        for step in steps:
            rng = self.rng(position, f"{step.stream or f'step {step.name}'}{stream}")
            wanted = select_arguments(
                step.apply,
                ("class_ids", "filenames", *context),
                f"The augmentation step '{step.name}'",
                "(batch, rng)",
            )
            available = context
            if wanted:
                available = {
                    "class_ids": self.labels.ids[position.indices],
                    "filenames": [self.names[i] for i in position.indices],
                    **context,
                }
            result = step.apply(x, rng, **{name: available[name] for name in wanted})
            if np.shape(result)[:1] != x.shape[:1]:
                raise DatasetError(
                    f"The augmentation step '{step.name}' returned shape {np.shape(result)} for a batch of "
                    f"shape {x.shape}; it must keep the number of samples."
                )
            # Steps of the other stages may return an array that they keep.
            convert = np.asarray if step.stage == "transform" else np.array
            x = convert(result, np.float32, order="C")
        return x

    def iterate_callback(
        self, function: Callback | None, samples: Iterable[np.ndarray], position: BatchPosition
    ) -> Iterator[np.ndarray]:
        """Call a callback for each sample of a batch, one at a time: samples may be large.

        Yields:
            The float32 results; the samples themselves if `function` is `None`.
        """
        if function is None:
            yield from samples
            return
        wanted = get_callback_arguments(function)
        class_ids = self.labels.ids[position.indices]
        names = [self.names[i] for i in position.indices]
        for sample, class_id, name in zip(samples, class_ids.tolist(), names, strict=True):
            available = {
                "class_id": class_id,
                "filename": name,
                "batch_index": position.index,
                "batch_class_ids": class_ids,
                "batch_filenames": names,
            }
            try:
                result = np.asarray(
                    function(self.params, sample, **{k: available[k] for k in wanted}), np.float32
                )
            except Exception as e:
                e.add_note(f"Raised by {describe_callback(function)} for '{name}'.")
                raise
            yield result

    def apply_callback(self, function: Callback | None, x: np.ndarray, position: BatchPosition) -> np.ndarray:
        """Call a callback for each sample of a batch; all results must have one shape.

        Raises:
            DatasetError: The callback returned arrays of different shapes.
        """
        if function is None:
            return x
        results = list(self.iterate_callback(function, x, position))
        for i, result in zip(position.indices, results, strict=True):
            if result.shape != results[0].shape:
                raise DatasetError(
                    f"{describe_callback(function)} returned shape {result.shape} for '{self.names[i]}', and "
                    f"{results[0].shape} for another sample of the same batch."
                )
        return np.stack(results)


Batches = TypeVar("Batches", bound=GeneratorBatches[Any, Any])


class GeneratorIterator(BatchIterator, Generic[Batches]):
    """Batches of a generator in seeded order: `(x,)`, `(x, y)` or `(x, y, sample_weight)`.

    Each epoch has every sample exactly once, unless `balanced_classes` is set; the last batch holds the remaining
    samples.
    """

    def __init__(self, batches: Batches) -> None:
        settings = batches.generator
        workers = 0 if settings.debug else worker_count(settings.cores)
        super().__init__(batches, workers, settings.max_batches_pending)
        self.batches = batches
        self.class_indices = dict(batches.params.class_indices or {})
        """Class name to id."""

    def close(self) -> None:
        """End all iterations and their threads, and give the warnings about the files that have been read."""
        super().close()
        self.batches.samples.close_report()

    shutdown = close

    @property
    def filenames(self) -> list[str]:
        """Names of the files, relative to the data set's folder, class by class."""
        return list(self.batches.names)

    @property
    def filepaths(self) -> list[str]:
        """Paths of the files, in the order of `filenames`; empty for a sample without a file, none for arrays."""
        paths = [self.batches.samples.path(i) for i in range(self.samples)]
        return paths if any(paths) else []

    @property
    def samples(self) -> int:
        """Number of samples."""
        return self.batches.n

    n = samples
    max_samples = samples

    @property
    def classes(self) -> np.ndarray:
        """Class id of each sample, in the order of `filenames`: int64 `(n,)`; -1 without classes."""
        return self.batches.labels.ids

    labels = classes

    @property
    def num_classes(self) -> int:
        """Number of classes."""
        return len(self.class_indices)

    @property
    def batch_size(self) -> int:
        """Number of samples in a batch, except the last one."""
        return self.batches.batch_size

    @property
    def seed(self) -> int:
        """Seed of the order and of the augmentation."""
        return self.batches.seed

    @property
    def augmented(self) -> bool:
        """`True` if the augmentation steps are applied."""
        return self.batches.augment
