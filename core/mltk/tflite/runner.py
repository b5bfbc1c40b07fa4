"""Run a `.tflite` model on the CPU with LiteRT."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from mltk.errors import EvaluationError
from mltk.tflite._interpreters import InterpreterPool, PoolOptions, RemotePool
from mltk.tflite.graph import TfliteGraph
from mltk.tflite.inputs import as_frames, check_inputs, convert_inputs
from mltk.utils.threads import worker_count

_LONGEST_REASON = 300


class GraphRunner:
    """Runs a model with LiteRT, in a process of its own unless the model `is_own`.

    The kernels are LiteRT's built-in ones. XNNPACK is not used: it rounds int8 convolutions differently from the
    reference kernels, which those of TensorFlow Lite Micro follow. On a small network of convolutions (1.2 million
    MACs) one output in ten was off by one step with XNNPACK and none with the built-in kernels, at two thirds of the
    speed. Products of matrices (1x1 convolutions, dense layers) are off by one step in some outputs with either;
    `exact` uses the reference kernels, which are several times slower.

    Several threads share a batch, each with an interpreter of its own, which is quicker than several threads in the
    kernels of one. An instance is to be called by one thread.

    A model with state starts each sample afresh. Such a model also takes sequences, with an axis of frames after that
    of samples: it keeps its state from one frame of a sample to the next.

    LiteRT turns integers into real numbers with an error in the last bit, which depends on the place in the batch.
    Where the model's last step is that, its results are rounded as the reference kernels do.

    Args:
        graph: The model.
        num_threads: Threads that share a batch; `None` is one for each core that the process may use.
        exact: Use the reference kernels.
        preserve: Keep all tensors for `trace`.

    Raises:
        EvaluationError: LiteRT cannot run the model.
    """

    def __init__(
        self,
        graph: TfliteGraph,
        num_threads: int | None = None,
        exact: bool = False,
        preserve: bool = False,
    ) -> None:
        self._options = PoolOptions(threads=num_threads or worker_count(1.0), exact=exact, preserves=preserve)
        self._pool: InterpreterPool | RemotePool | None = None
        self.load(graph)

    def load(self, graph: TfliteGraph) -> None:
        """Take another model, in the same process.

        Raises:
            EvaluationError: LiteRT cannot run the model.
        """
        self._graph = graph
        if not graph.inputs or not graph.outputs:
            raise EvaluationError(f"{graph.source} has no input or no output.")
        options = replace(self._options, resets=graph.is_stateful, renews=graph.has_resources)
        try:
            if graph.is_own:
                self._pool = InterpreterPool(graph.flatbuffer_data, options)
            elif isinstance(self._pool, RemotePool):
                self._pool.load(graph.flatbuffer_data, options)
            else:
                self._pool = RemotePool(graph.flatbuffer_data, options)
        except (ValueError, RuntimeError) as error:
            raise EvaluationError(f"LiteRT cannot run {graph.source}: {_first_line(error)}") from error
        details = self._pool.details
        _, self._has_batch_axis = details.batch
        self._shapes = [
            detail.signature[1:] if has else detail.signature
            for detail, has in zip(details.inputs, self._has_batch_axis, strict=True)
        ]
        self._steps = _output_steps(graph)

    @property
    def input_shape(self) -> tuple[int | None, ...]:
        """Shape of the first input; `None` for the batch and other axes of any length."""
        return (None, *(None if d < 0 else d for d in self._shapes[0]))

    def run(
        self, inputs: Sequence[np.ndarray], raw: bool = False, all_frames: bool = False
    ) -> list[np.ndarray]:
        """Return all outputs, in the types of the model, for one batch per input of the model.

        Args:
            inputs: One array of numbers per input, which are quantized if the input is.
            raw: The arrays hold what the inputs hold, as a device fills it in, and are not quantized.
            all_frames: For sequences, return the outputs of all frames, `(n, frames, …)`, not of the last one.

        Raises:
            EvaluationError: The arrays do not fit the model, or the model fails on them.
        """
        sequences = as_frames(self._graph, inputs, self._shapes)
        if sequences is None:
            arrays = convert_inputs(self._graph, check_inputs(self._graph, inputs, self._full_shapes), raw)
        else:
            flat = [array.reshape(-1, *array.shape[2:]) for array in sequences]
            flat = convert_inputs(self._graph, check_inputs(self._graph, flat, self._full_shapes), raw)
            arrays = [
                part.reshape(array.shape[:2] + part.shape[1:])
                for part, array in zip(flat, sequences, strict=True)
            ]
        outputs = self._call(lambda pool: pool.run(arrays, frames=sequences is not None))
        rounded = [
            out if step is None else (np.rint(out / step) * step).astype(out.dtype)
            for out, step in zip(outputs, self._steps, strict=True)
        ]
        return rounded if sequences is None or all_frames else [out[:, -1] for out in rounded]

    def trace(
        self, inputs: Sequence[np.ndarray], tensors: Sequence[int], reset: bool = True
    ) -> list[np.ndarray]:
        """Run one inference and return the values of tensors; with `preserve` of all, else of outputs.

        Args:
            inputs: The inputs, in the types and shapes of the file.
            tensors: Indices of tensors that hold numbers.
            reset: Forget the state of the previous call.

        Raises:
            EvaluationError: The model fails.
        """
        return self._call(lambda pool: pool.trace(inputs, tensors, reset))

    @property
    def _full_shapes(self) -> list[list[int]]:
        return [[-1, *shape] for shape in self._shapes]

    def _call(self, function: Callable[[InterpreterPool | RemotePool], list[np.ndarray]]) -> list[np.ndarray]:
        assert self._pool is not None
        try:
            return function(self._pool)
        except (ValueError, RuntimeError) as error:
            raise EvaluationError(f"LiteRT failed on {self._graph.source}: {_first_line(error)}") from error


def _output_steps(model: TfliteGraph) -> list[np.float64 | None]:
    """Return, for each output, the step of the integers that the last operator before it turned into real numbers."""
    steps: dict[int, np.float64] = {}
    for layer in model.layers:
        if layer.opcode_str == "dequantize" and layer.inputs[0].quantization.n_channels == 1:
            steps[layer.outputs[0].index] = np.float64(layer.inputs[0].quantization.scale[0])
    return [steps.get(tensor.index) for tensor in model.outputs]


def _first_line(error: Exception) -> str:
    line = (str(error).strip() or type(error).__name__).splitlines()[0]
    return line if len(line) <= _LONGEST_REASON else f"{line[:_LONGEST_REASON]}…"
