"""Run a `.tflite` model on the CPU with LiteRT."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from queue import SimpleQueue
from typing import TypedDict

import numpy as np

from mltk.errors import EvaluationError
from mltk.tflite.graph import TfliteGraph
from mltk.tflite.tensors import TfliteShape, to_tensor_dtype
from mltk.utils.threads import worker_count

# Larger batches are slower again: their activations leave the processor's caches.
_BATCH = 32


class GraphRunner:
    """A pool of LiteRT interpreters with the built-in kernels, over one model.

    XNNPACK is not used: it rounds int8 convolutions differently from the reference kernels, which those of
    TensorFlow Lite Micro follow. On a small network of convolutions (1.2 million MACs) one output in ten was
    off by one step with XNNPACK and none with the built-in kernels, at two thirds of the speed. Products of
    matrices (1x1 convolutions, dense layers) are off by one step in some outputs with either.

    Batches go through the model at once if it allows that, which is tried on random samples: the results must
    be those of one sample at a time. Otherwise samples go one by one. Several threads share a batch, each with an
    interpreter of its own, which is quicker than several threads in the kernels of one. An instance is to be called
    by one thread.

    LiteRT turns integers into real numbers with an error in the last bit, which depends on the place in the batch.
    Where the model's last step is that, its results are rounded as the reference kernels do.

    Args:
        graph: The model.
        num_threads: Threads that share a batch; `None` is one for each core that the process may use.

    Raises:
        EvaluationError: LiteRT cannot run the model.
    """

    def __init__(self, graph: TfliteGraph, num_threads: int | None = None) -> None:
        self._graph = graph
        self._threads = num_threads or worker_count(1.0)
        self._executor: ThreadPoolExecutor | None = None
        first = _Interpreter(graph)
        self._inputs, self._outputs = first.inputs, first.outputs
        if not self._inputs or not self._outputs:
            raise EvaluationError(f"{graph.source} has no input or no output.")
        self._free: SimpleQueue[_Interpreter] = SimpleQueue()
        self._free.put(first)
        self._batchable: bool | None = None
        self._steps = _output_steps(graph)

    @property
    def input_shape(self) -> tuple[int | None, ...]:
        """Shape of the first input; `None` for the batch and other axes of any length."""
        return (None, *(None if d < 0 else d for d in _signature(self._inputs[0])[1:]))

    def run(self, inputs: Sequence[np.ndarray], raw: bool = False) -> list[np.ndarray]:
        """Return all outputs, in the types of the model, for one batch per input of the model.

        Args:
            inputs: One array of numbers per input, which are quantized if the input is.
            raw: The arrays hold what the inputs hold, as a device fills it in, and are not quantized.

        Raises:
            EvaluationError: The arrays do not fit the model, or the model fails on them.
        """
        arrays = check_inputs(self._graph, inputs, [_signature(detail) for detail in self._inputs])
        length = len(arrays[0])
        if length == 0:
            return [np.empty((0, *output["shape"][1:]), output["dtype"]) for output in self._outputs]
        if length > 1 and self._batchable is None:
            self._batchable = self._try_batches()
        step = min(_BATCH, -(-length // self._threads)) if self._batchable else self._own_batch
        parts = self._run_parts(
            [[array[i : i + step] for array in arrays] for i in range(0, length, step)], raw
        )
        outputs = (np.concatenate(part)[:length] for part in zip(*parts, strict=True))
        return [
            out if step is None else (np.rint(out / step) * step).astype(out.dtype)
            for out, step in zip(outputs, self._steps, strict=True)
        ]

    def _run_parts(self, parts: list[list[np.ndarray]], raw: bool) -> list[list[np.ndarray]]:
        run = partial(self._run_part, raw=raw)
        if len(parts) == 1 or self._threads == 1:
            return [run(part) for part in parts]
        if self._executor is None:
            for _ in range(self._threads - 1):
                self._free.put(_Interpreter(self._graph))
            self._executor = ThreadPoolExecutor(self._threads, thread_name_prefix="mltk-litert")
        return list(self._executor.map(run, parts))

    def _run_part(self, arrays: list[np.ndarray], raw: bool) -> list[np.ndarray]:
        """Return the outputs for what goes through the model at once."""
        length = len(arrays[0])
        arrays = convert_inputs(self._graph, arrays, raw)
        if not self._batchable and length < self._own_batch:
            arrays = [np.resize(array, (self._own_batch, *array.shape[1:])) for array in arrays]
        interpreter = self._free.get()
        try:
            outputs = interpreter.run(arrays)
        except (ValueError, RuntimeError) as error:
            raise EvaluationError(f"LiteRT failed on {self._graph.source}: {_first_line(error)}") from error
        finally:
            self._free.put(interpreter)
        # A model made for one sample may leave the batch axis out of its result.
        return [out if out.ndim and len(out) == len(arrays[0]) else out[np.newaxis] for out in outputs]

    @property
    def _own_batch(self) -> int:
        """The batch size that the model was made with; nearly always 1."""
        shape = self._graph.get_input_tensor().shape
        return shape[0] if shape else 1

    def _try_batches(self) -> bool:
        """Return whether three random samples give the same together as one by one."""
        interpreter = self._free.get()
        try:
            if interpreter.stateful:
                return False
            rng = np.random.default_rng(0)
            samples = [_random(rng, detail) for detail in self._inputs]
            single = [interpreter.run([array[i : i + 1] for array in samples]) for i in range(3)]
            together = interpreter.run(samples)
        except (ValueError, RuntimeError):
            # LiteRT says so when an operator of this graph does not take another batch size; start afresh.
            interpreter = _Interpreter(self._graph)
            return False
        finally:
            self._free.put(interpreter)
        return all(
            _same(np.concatenate(parts), batch)
            for parts, batch in zip(zip(*single, strict=True), together, strict=True)
        )


class _TensorDetail(TypedDict):
    """LiteRT's description of an input or output."""

    index: int
    shape: np.ndarray
    shape_signature: np.ndarray
    dtype: type[np.generic]


class _Interpreter:
    """One interpreter of LiteRT, for one thread at a time."""

    def __init__(self, model: TfliteGraph) -> None:
        from ai_edge_litert.interpreter import Interpreter, OpResolverType

        try:
            self._interpreter = Interpreter(
                model_content=model.flatbuffer_data,
                num_threads=1,
                experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
            )
            self._interpreter.allocate_tensors()
            self.inputs: list[_TensorDetail] = self._interpreter.get_input_details()
            self.outputs: list[_TensorDetail] = self._interpreter.get_output_details()
        except (ValueError, RuntimeError) as error:
            raise EvaluationError(f"LiteRT cannot run {model.source}: {_first_line(error)}") from error
        self._shapes = [tuple(detail["shape"]) for detail in self.inputs]
        self.stateful = any(tensor.is_variable for tensor in model.tensors)

    def run(self, arrays: list[np.ndarray]) -> list[np.ndarray]:
        """Return the outputs for arrays of the inputs' types."""
        interpreter = self._interpreter
        shapes = [array.shape for array in arrays]
        if shapes != self._shapes:
            for detail, shape in zip(self.inputs, shapes, strict=True):
                interpreter.resize_tensor_input(detail["index"], shape)
            interpreter.allocate_tensors()
            self._shapes = shapes
        if self.stateful:
            interpreter.reset_all_variables()
        for detail, array in zip(self.inputs, arrays, strict=True):
            interpreter.set_tensor(detail["index"], array)
        interpreter.invoke()
        return [interpreter.get_tensor(output["index"]) for output in self.outputs]


def prepare_inputs(
    model: TfliteGraph, inputs: Sequence[np.ndarray], shapes: Sequence[Sequence[int]], raw: bool = False
) -> list[np.ndarray]:
    """Return batches in the types of a model's inputs: `check_inputs`, then `convert_inputs`."""
    return convert_inputs(model, check_inputs(model, inputs, shapes), raw)


def check_inputs(
    model: TfliteGraph, inputs: Sequence[np.ndarray], shapes: Sequence[Sequence[int]]
) -> list[np.ndarray]:
    """Return batches for a model, one for each input, as arrays of equal length.

    Args:
        model: The model.
        inputs: One array per input of the model.
        shapes: The shapes of the inputs, batch axis included; -1 for axes of any length.

    Raises:
        EvaluationError: The arrays do not fit the model.
    """
    if len(inputs) != len(shapes):
        raise EvaluationError(f"{model.source} has {len(shapes)} inputs; {len(inputs)} arrays were passed.")
    for array, full in zip(inputs, shapes, strict=True):
        wanted = full[1:]
        found = np.shape(array)
        if len(found) != len(wanted) + 1 or any(
            w not in (-1, f) for w, f in zip(wanted, found[1:], strict=True)
        ):
            shape = "x".join("any" if d < 0 else str(d) for d in wanted)
            raise EvaluationError(
                f"{model.source} takes batches of samples of shape {shape or 'scalar'};"
                f" got an array of shape {TfliteShape(found)}."
            )
    arrays = [np.asarray(array) for array in inputs]
    if len({len(array) for array in arrays}) > 1:
        raise EvaluationError("The arrays for the model's inputs hold different numbers of samples.")
    return arrays


def convert_inputs(model: TfliteGraph, arrays: Sequence[np.ndarray], raw: bool = False) -> list[np.ndarray]:
    """Return batches in the types of a model's inputs.

    Args:
        model: The model.
        arrays: One array of numbers per input, which are quantized if the input is.
        raw: The arrays hold what the inputs hold, and are not quantized.

    Raises:
        EvaluationError: They cannot be converted.
    """
    return [
        np.ascontiguousarray(to_tensor_dtype(array, tensor, raw))
        for array, tensor in zip(arrays, model.inputs, strict=True)
    ]


def _output_steps(model: TfliteGraph) -> list[np.float64 | None]:
    """Return, for each output, the step of the integers that the last operator before it turned into real numbers."""
    steps: dict[int, np.float64] = {}
    for layer in model.layers:
        if layer.opcode_str == "dequantize" and layer.inputs[0].quantization.n_channels == 1:
            steps[layer.outputs[0].index] = np.float64(layer.inputs[0].quantization.scale[0])
    return [steps.get(tensor.index) for tensor in model.outputs]


def _signature(detail: _TensorDetail) -> tuple[int, ...]:
    """Return an input's shape with -1 for the axes that vary."""
    return tuple(
        int(d) for d in (detail["shape_signature"] if len(detail["shape_signature"]) else detail["shape"])
    )


def _random(rng: np.random.Generator, detail: _TensorDetail) -> np.ndarray:
    shape = (3, *(max(d, 1) for d in _signature(detail)[1:]))
    dtype = np.dtype(detail["dtype"])
    if dtype.kind == "f":
        return (10 * rng.normal(size=shape)).astype(dtype)
    # Wider integers are indices and lengths as a rule, and must be small to be valid.
    limits = np.iinfo(dtype) if dtype.kind in "iu" and dtype.itemsize == 1 else None
    low, high = (limits.min, limits.max) if limits else (0, 1)
    return rng.integers(low, high, size=shape, endpoint=True).astype(dtype)


def _same(one_by_one: np.ndarray, together: np.ndarray) -> bool:
    if one_by_one.shape != together.shape:
        return False
    if one_by_one.dtype.kind != "f":
        return bool(np.array_equal(one_by_one, together))
    # Kernels add the terms of a float sum in another order when there are more rows.
    return bool(np.allclose(one_by_one, together, rtol=1e-4, atol=1e-5, equal_nan=True))


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
