"""Counts per layer and per model."""

from __future__ import annotations

from dataclasses import dataclass

from mltk.utils.string_formatting import format_units

LSTM_OPS_PER_UNIT = 18
"""Operations of one step of an LSTM beside the products: 4 biases, 5 activations of 2, 3 products and 1 sum."""


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
    known: bool = True
    """Whether the kind is one that is counted, or that only moves data; the work of others is in no sum."""


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

    @property
    def not_counted(self) -> tuple[str, ...]:
        """Kinds of layers whose work is not in the sums, each once."""
        return tuple(dict.fromkeys(layer.kind for layer in self.layers if not layer.known))

    def summary(self) -> str:
        """Return the sums, and what is not in them, as lines of text."""
        lines = [f"Total MACs: {format_units(self.macs)}", f"Total OPs: {format_units(self.ops)}"]
        if self.not_counted:
            lines.append(f"Not counted: {', '.join(self.not_counted)}")
        return "\n".join(lines)
