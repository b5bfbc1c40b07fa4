"""A `.tflite` file by its layers and tensors, the base of `TfliteModel`."""

from __future__ import annotations

from mltk.tflite.layers import TfliteLayer
from mltk.tflite.tensors import TfliteTensors


class TfliteGraph(TfliteTensors):
    """A `.tflite` model by its layers and tensors."""

    def _forget(self) -> None:
        super()._forget()
        self._layers: list[TfliteLayer] | None = None

    @property
    def layers(self) -> list[TfliteLayer]:
        """All layers, in the order of execution."""
        if self._layers is None:
            operators = self.flatbuffer_subgraph.operators or ()
            self._layers = [
                TfliteLayer.from_flatbuffer(i, self, operator) for i, operator in enumerate(operators)
            ]
        return self._layers

    def __str__(self) -> str:
        return f"{self.name} ({self.flatbuffer_size} bytes)"
