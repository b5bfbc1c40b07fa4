"""A `.tflite` file by its layers and tensors, the base of `TfliteModel`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from mltk.tflite._schema import schema
from mltk.tflite.flatbuffer import to_text
from mltk.tflite.layers import TfliteLayer
from mltk.tflite.tensors import TfliteTensors
from mltk.utils.hasher import generate_hash

if TYPE_CHECKING:
    from ai_edge_litert.schema_py_generated import BufferT


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

    def network_hash(self) -> str:
        """Return a hash of the operators, weights and scales: what was computed with the model belongs to these.

        Names, parameters, description and other metadata do not count.
        """
        model = self.flatbuffer_model
        return generate_hash(
            [_to_plain(graph, model.buffers) for graph in model.subgraphs],
            [_to_plain(code, model.buffers) for code in model.operatorCodes or ()],
        )

    @property
    def is_stateful(self) -> bool:
        """True if the model keeps state between inferences: in variable tensors, resources, or signal operators."""
        return (
            self.has_resources
            or any(
                tensor.isVariable
                for graph in self.flatbuffer_model.subgraphs
                for tensor in graph.tensors or ()
            )
            or any(name.startswith("signal") for name in self._custom_codes())
        )

    @property
    def has_resources(self) -> bool:
        """True if the model keeps state in resources (`VAR_HANDLE`, hash tables), as streaming models of Keras do."""
        known = schema().BuiltinOperator
        codes = {known.VAR_HANDLE, known.HASHTABLE}
        return any(
            max(int(code.builtinCode), int(code.deprecatedBuiltinCode)) in codes
            for code in self.flatbuffer_model.operatorCodes or ()
        )

    def _custom_codes(self) -> list[str]:
        codes = self.flatbuffer_model.operatorCodes or ()
        return [to_text(code.customCode).lower() for code in codes if code.customCode]

    def __str__(self) -> str:
        return f"{self.name} ({self.flatbuffer_size} bytes)"


def _to_plain(value: object, buffers: Sequence[BufferT]) -> object:
    """Return an object of the schema as dicts and lists, without names, and with the content of buffers."""
    if isinstance(value, list | tuple):
        return [_to_plain(item, buffers) for item in value]
    if not hasattr(value, "__dict__"):
        return value
    fields = {key: item for key, item in vars(value).items() if key != "name"}
    if "buffer" in fields:
        fields["buffer"] = buffers[fields["buffer"]].data
    return {key: _to_plain(item, buffers) for key, item in fields.items()}
