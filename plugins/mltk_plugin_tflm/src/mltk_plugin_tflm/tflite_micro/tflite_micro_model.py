"""A model that is loaded into TensorFlow Lite Micro."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mltk.tflite import TfliteTensor
from mltk_plugin_tflm.process import TflmError, TflmProcess
from mltk_plugin_tflm.profiler import profile
from mltk_plugin_tflm.support import check
from mltk_plugin_tflm.tflite_micro.tflite_micro_model_details import TfliteMicroModelDetails

if TYPE_CHECKING:
    from mltk.tflite import TfliteModel

LayerCallback = Callable[..., object]
"""Called with `index` and `outputs` (bytes of each output) of a layer that has run; false ends the inference."""


@dataclass(frozen=True)
class TfliteMicroLayerError:
    """Reason why a layer cannot run."""

    index: int
    name: str
    msg: str

    def __str__(self) -> str:
        return f"{self.name}: {self.msg}"


class TfliteMicroProfiledLayerResult(dict[str, object]):
    """Values of a layer: `name`, `macs`, `ops`, `time` in seconds of this computer, and 0 for those of a device."""

    def __getattr__(self, name: str) -> object:
        try:
            return self[name]
        except KeyError:
            raise AttributeError(name) from None


class TfliteMicroModel:
    """A model in a process that runs TensorFlow Lite Micro; made by `TfliteMicro.load_tflite_model`.

    Args:
        model: The model.
        enable_profiler: Measure the layers for `get_profiling_results`.
        enable_recorder: Keep tensors of an inference for `get_recorded_data`.

    Raises:
        TflmError: TFLM cannot run the model.
    """

    accelerator = None
    """There is none."""
    layer_errors: tuple[TfliteMicroLayerError, ...] = ()
    """Empty: a model with a layer that cannot run is not loaded."""

    def __init__(
        self, model: TfliteModel, enable_profiler: bool = False, enable_recorder: bool = False
    ) -> None:
        self.tflite_model = model
        self.is_profiler_enabled = enable_profiler
        self.is_recorder_enabled = self.is_tensor_recorder_enabled = enable_recorder
        self.details = TfliteMicroModelDetails(model)
        self._inputs = [_zeros(tensor) for tensor in model.inputs]
        self._outputs = [_zeros(tensor) for tensor in model.outputs]
        self._recorded: Mapping[int, np.ndarray] = {}
        self._callback: LayerCallback | None = None
        self._process = TflmProcess(model)
        self._finalizer = weakref.finalize(self, self._process.close)
        try:
            check(model, self._process)
            self._process.open(preserve=enable_recorder)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """End the process; `TfliteMicro.unload_model` calls it."""
        self._finalizer()

    @property
    def input_size(self) -> int:
        """Number of inputs."""
        return len(self._inputs)

    @property
    def output_size(self) -> int:
        """Number of outputs."""
        return len(self._outputs)

    def input(self, index: int = 0, value: np.ndarray | None = None) -> np.ndarray:
        """Return the values of an input for the next inference, in its own type; they may be changed.

        Args:
            index: Number of the input.
            value: New values, which are broadcast to the shape of the input.

        Raises:
            IndexError: There is no such input.
        """
        if value is not None:
            np.copyto(self._inputs[index], value)
        return self._inputs[index]

    def output(self, index: int = 0) -> np.ndarray:
        """Return an output of the last inference, in its own type; zeros before the first one."""
        return self._outputs[index]

    def invoke(self) -> None:
        """Run one inference.

        Raises:
            TflmError: The model was unloaded, or its inference fails.
        """
        if not self._finalizer.alive:
            raise TflmError(f"The model {self.tflite_model.source} was unloaded.")
        if not self.is_recorder_enabled:
            results = self._process.run([array[np.newaxis] for array in self._inputs])
            self._outputs = [result[0] for result in results]
            return
        layers = self.tflite_model.layers
        tensors = {
            t.index: t for layer in layers for t in (*layer.inputs, *layer.outputs) if not t.is_constant
        }
        values = self._process.trace(self._inputs, list(tensors))
        self._recorded = {
            index: value.reshape(tensors[index].shape) for index, value in zip(tensors, values, strict=True)
        }
        self._outputs = [self._recorded[tensor.index] for tensor in self.tflite_model.outputs]
        for layer in layers if self._callback else ():
            outputs = [self._recorded[tensor.index].tobytes() for tensor in layer.outputs]
            if self._callback and not self._callback(index=layer.index, outputs=outputs):
                return

    def get_profiling_results(self) -> list[TfliteMicroProfiledLayerResult]:
        """Measure and return the layers.

        Raises:
            TflmError: The profiler was not enabled.
        """
        if not self.is_profiler_enabled:
            raise TflmError("The profiler is off: load the model with enable_profiler=True.")
        return [
            TfliteMicroProfiledLayerResult(
                name=layer.name,
                macs=layer.macs or 0,
                ops=layer.ops or 0,
                time=layer.host_time or 0,
                accelerator_cycles=0,
                cpu_cycles=0,
                energy=0,
            )
            for layer in profile(self.tflite_model).layers
        ]

    def get_recorded_data(self) -> dict[str, list[dict[str, list[bytes]]]]:
        """Return `{"layers": [{"inputs": [bytes, …], "outputs": [bytes, …]}, …]}` of the last inference.

        Raises:
            TflmError: The recorder was not enabled, or there was no inference.
        """
        values = self.recorded_values()
        return {
            "layers": [
                {
                    end: [values.get(t.index, t.data).tobytes() for t in tensors]
                    for end, tensors in (("inputs", layer.inputs), ("outputs", layer.outputs))
                }
                for layer in self.tflite_model.layers
            ]
        }

    def recorded_values(self) -> Mapping[int, np.ndarray]:
        """Return the values of the tensors that the last inference computed, by index of the tensor.

        Raises:
            TflmError: The recorder was not enabled, or there was no inference.
        """
        if not self._recorded:
            raise TflmError("Nothing was recorded: load the model with enable_recorder=True and invoke it.")
        return self._recorded

    def get_layer_error(self, index: int) -> TfliteMicroLayerError | None:
        """Return the error of a layer, or `None`."""
        return next((error for error in self.layer_errors if error.index == index), None)

    def set_layer_callback(self, callback: LayerCallback | None) -> None:
        """Set what is called for each layer of an inference, in their order; it needs the recorder."""
        self._callback = callback

    def __str__(self) -> str:
        return str(self.details)


def _zeros(tensor: TfliteTensor) -> np.ndarray:
    return np.zeros(tensor.shape, tensor.dtype)
