"""Make batches of windows as a pure function of seed, epoch and position."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from mltk.data import BatchPosition, FlowOptions, GeneratorBatches, Labels, ProcessParams, Samples
from mltk_plugin_timeseries._settings import DOMAIN, TimeSeriesSettings


@dataclass(frozen=True, kw_only=True)
class TimeSeriesParams(ProcessParams):
    """Description of a data set: the first argument of callbacks.

    The settings of the generator are attributes too.
    """

    window_shape: tuple[int, int] = (0, 0)
    """`(rows, channels)`."""
    channel_names: tuple[str, ...] = ()
    """Names of the channels; empty for arrays."""
    rate: float | None = None
    """Rows per second, if it is known."""


class Windows(Samples, Protocol):
    """Windows that are read by their number."""

    def read(self, indices: np.ndarray) -> np.ndarray:
        """Return float32 `(n, rows, channels)` that the caller may overwrite."""
        ...

    def recordings(self) -> Iterator[np.ndarray]:
        """Yield all data, `(rows, channels)`, each row once where windows overlap."""
        ...


class WindowBatches(GeneratorBatches[TimeSeriesSettings, Windows]):
    """The `BatchSource` of a time series generator.

    Args:
        generator: The settings.
        params: First argument of callbacks.
        samples: The windows.
        labels: Their labels.
        flow: Batch size, order, seed, and whether to augment.
    """

    params: TimeSeriesParams

    def __init__(
        self,
        generator: TimeSeriesSettings,
        params: TimeSeriesParams,
        samples: Windows,
        labels: Labels,
        flow: FlowOptions,
    ) -> None:
        super().__init__(generator, params, samples, labels, flow)
        stages = ("before", "transform", "after")
        self._steps = [step for stage in stages for step in self.select_steps(stage, DOMAIN)]

    def samples_of_batch(self, position: BatchPosition) -> np.ndarray:
        """Return x of a batch, float32 `(n, rows, channels)`; see `GeneratorBatches`."""
        generator = self.generator
        x = self.samples.read(position.indices)
        x = self.apply_callback(generator.noaug_preprocessing_function, x, position)
        x = self.apply_steps(self._steps, x, position)
        x = self.apply_callback(generator.preprocessing_function, x, position)
        return generator.standardize_batch(x)
