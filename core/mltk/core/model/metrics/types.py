"""Counts per layer and per model."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class LayerMetrics:
    """The work of one layer in one inference."""

    name: str
    kind: str
    """The operator (`conv_2d`) or the Keras class (`Conv2D`)."""
    macs: int = 0
    """Multiplications whose product is added to a sum."""
    ops: int = 0
    """All arithmetic operations; a MAC counts as two."""


@dataclass(frozen=True)
class ModelMetrics:
    """The work of a model in one inference."""

    layers: tuple[LayerMetrics, ...]
    """In the order of the model; layers that only move data count nothing."""

    @property
    def macs(self) -> int:
        """MACs of all layers."""
        return sum(layer.macs for layer in self.layers)

    @property
    def ops(self) -> int:
        """Operations of all layers."""
        return sum(layer.ops for layer in self.layers)
