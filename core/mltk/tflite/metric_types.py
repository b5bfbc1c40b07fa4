"""Operation counts of layers and models."""

from __future__ import annotations

from dataclasses import dataclass

from mltk.utils.string_formatting import format_units

LSTM_OPS_PER_UNIT = 18
"""Operations of an LSTM unit per step besides matrix products: 4 biases, 5 activations of 2, 3 products, 1 sum."""


@dataclass(frozen=True)
class LayerMetrics:
    """Operations of one layer in one inference."""

    name: str
    kind: str
    """Operator (`conv_2d`) or Keras class (`Conv2D`)."""
    macs: int = 0
    """Multiply-accumulate operations."""
    ops: int = 0
    """All arithmetic operations; a MAC is two."""
    known: bool = True
    """True if operations of this kind can be counted; otherwise the sums do not include them."""


@dataclass(frozen=True)
class ModelMetrics:
    """Operations of a model in one inference."""

    layers: tuple[LayerMetrics, ...]
    """Layers in model order; those that only move data have 0 operations."""

    @property
    def macs(self) -> int:
        """MACs of all layers."""
        return sum(layer.macs for layer in self.layers)

    @property
    def ops(self) -> int:
        """Operations of all layers."""
        return sum(layer.ops for layer in self.layers)

    @property
    def not_counted(self) -> tuple[str, ...]:
        """Kinds of layers that the sums do not include, without repetitions."""
        return tuple(dict.fromkeys(layer.kind for layer in self.layers if not layer.known))

    def summary(self) -> str:
        """Return the sums and the kinds of layers not counted, as lines of text."""
        lines = [f"Total MACs: {format_units(self.macs)}", f"Total OPs: {format_units(self.ops)}"]
        if self.not_counted:
            lines.append(f"Not counted: {', '.join(self.not_counted)}")
        return "\n".join(lines)
