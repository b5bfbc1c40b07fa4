"""LiteRT interpreters over one model, without anything else of mltk: they may run in a worker."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial
from queue import SimpleQueue
from typing import TypeVar

import numpy as np

from mltk.utils.worker import Answer, Worker, WorkerDied

_Part = TypeVar("_Part")

# Larger batches are slower again: their activations leave the processor's caches.
_BATCH = 32


@dataclass(frozen=True)
class PoolOptions:
    """How to run a model."""

    threads: int = 1
    """Threads that share a batch."""
    exact: bool = False
    """Use the reference kernels."""
    resets: bool = False
    """Whether the model has variables that are reset before each sample."""
    renews: bool = False
    """Whether it has state that only a new interpreter resets."""
    preserves: bool = False
    """Whether to keep all tensors for `trace`."""


@dataclass(frozen=True)
class TensorDetail:
    """LiteRT's description of an input or output."""

    index: int
    shape: list[int]
    """As in the file."""
    signature: list[int]
    """As in the file, with -1 for axes of any length."""
    dtype: str


@dataclass(frozen=True)
class PoolDetails:
    """The inputs and outputs of a model."""

    inputs: list[TensorDetail]
    outputs: list[TensorDetail]

    @property
    def batch(self) -> tuple[int, list[bool]]:
        """The result of `find_batch_axis` for the inputs."""
        return find_batch_axis([detail.shape for detail in self.inputs])


def find_batch_axis(shapes: Sequence[Sequence[int]]) -> tuple[int, list[bool]]:
    """Return the batch size of a model, and for each input whether its first axis is the batch.

    If the first axes of all inputs have one length, it is the batch size. Otherwise, and for scalars, the batch size
    is 1, and inputs with another first axis have no batch axis.
    """
    lengths = {shape[0] if len(shape) else 0 for shape in shapes}
    size = lengths.pop() if len(lengths) == 1 else 1
    size = max(size, 1)
    return size, [len(shape) > 0 and shape[0] == size for shape in shapes]


class InterpreterPool:
    """Interpreters of LiteRT over one model, one for each thread.

    Batches go through the model at once if it allows that, which is tried on random samples: the results must
    be those of one sample at a time. Otherwise samples go one by one.

    Args:
        content: The content of the `.tflite`.
        options: How to run it.

    Raises:
        ValueError: LiteRT cannot run the model.
        RuntimeError: So.
    """

    def __init__(self, content: bytes, options: PoolOptions) -> None:
        self._make = partial(_Interpreter, content, options)
        self._options = options
        self._executor: ThreadPoolExecutor | None = None
        first = self._make()
        self.details = PoolDetails(first.inputs, first.outputs)
        for number, detail in enumerate(first.outputs):
            if np.dtype(detail.dtype).kind in "OSU":
                raise ValueError(f"its output {number} is text")
        self._size, self._has_batch_axis = self.details.batch
        self._free: SimpleQueue[_Interpreter] = SimpleQueue()
        self._free.put(first)
        self._batchable: bool | None = None

    def run(self, arrays: Sequence[np.ndarray], frames: bool = False) -> list[np.ndarray]:
        """Return all outputs for one array per input.

        Args:
            arrays: Values in the types of the model, samples first.
            frames: The second axis is that of the frames of a sample, between which the state is kept; the outputs
                have this axis too.

        Raises:
            ValueError: The model fails on them.
            RuntimeError: So.
        """
        length = len(arrays[0])
        if length == 0:
            extra = arrays[0].shape[1:2] if frames else ()
            return [
                np.empty((0, *extra, *self._sample_shape(out)), out.dtype) for out in self.details.outputs
            ]
        if frames:
            answers = self._spread(self._run_frames, [[array[i] for array in arrays] for i in range(length)])
            return [np.stack(part) for part in zip(*answers, strict=True)]
        if length > 1 and self._batchable is None:
            self._batchable = self._try_batches()
        step = min(_BATCH, -(-length // self._options.threads)) if self._batchable else self._size
        parts = [[array[i : i + step] for array in arrays] for i in range(0, length, step)]
        outputs = [
            np.concatenate(part)[:length] for part in zip(*self._spread(self._run_part, parts), strict=True)
        ]
        for number, out in enumerate(outputs):
            if len(out) != length:
                raise ValueError(
                    f"its output {number} has no axis of samples, though it takes {self._size} at once"
                )
        return outputs

    def trace(
        self, arrays: Sequence[np.ndarray], tensors: Sequence[int], reset: bool = True
    ) -> list[np.ndarray]:
        """Run one inference; return tensors by index.

        Args:
            arrays: The inputs, in the shapes of the file.
            tensors: Indices of tensors that hold numbers.
            reset: Forget the state of the previous call.
        """
        interpreter = self._free.get()
        try:
            interpreter.run(arrays, reset)
            return [interpreter.read(index) for index in tensors]
        finally:
            self._free.put(interpreter)

    def _spread(
        self, function: Callable[[_Part], list[np.ndarray]], parts: list[_Part]
    ) -> list[list[np.ndarray]]:
        """Call a function with each part, in threads."""
        threads = self._options.threads
        if len(parts) == 1 or threads == 1:
            return [function(part) for part in parts]
        if self._executor is None:
            for _ in range(threads - 1):
                self._free.put(self._make())
            self._executor = ThreadPoolExecutor(threads, thread_name_prefix="mltk-litert")
        return list(self._executor.map(function, parts))

    def _run_part(self, arrays: list[np.ndarray]) -> list[np.ndarray]:
        """Return the outputs for what goes through the model at once."""
        rows = len(arrays[0])
        if not self._batchable and rows < self._size:
            arrays = [np.resize(array, (self._size, *array.shape[1:])) for array in arrays]
            rows = self._size
        interpreter = self._free.get()
        try:
            outputs = interpreter.run(self._without_batch_axis(arrays))
        finally:
            self._free.put(interpreter)
        # A model made for one sample may leave the batch axis out of its result.
        return [out if out.ndim and len(out) == rows else out[np.newaxis] for out in outputs]

    def _run_frames(self, arrays: list[np.ndarray]) -> list[np.ndarray]:
        """Return the outputs for the frames of one sample."""
        interpreter = self._free.get()
        answers = []
        try:
            for number in range(len(arrays[0])):
                frame = self._without_batch_axis([array[number : number + 1] for array in arrays])
                answers.append(interpreter.run(frame, reset=number == 0))
        finally:
            self._free.put(interpreter)
        return [
            np.stack(part).reshape(len(answers), *self._sample_shape(detail))
            for part, detail in zip(zip(*answers, strict=True), self.details.outputs, strict=True)
        ]

    def _without_batch_axis(self, arrays: Sequence[np.ndarray]) -> list[np.ndarray]:
        return [
            array if has else np.asarray(array[0])
            for array, has in zip(arrays, self._has_batch_axis, strict=True)
        ]

    def _sample_shape(self, output: TensorDetail) -> list[int]:
        return output.shape[1:] if output.shape[:1] == [self._size] else output.shape

    def _try_batches(self) -> bool:
        """Return whether three random samples give the same together as one by one."""
        if self._options.resets or self._options.renews or not all(self._has_batch_axis):
            return False
        interpreter = self._free.get()
        try:
            rng = np.random.default_rng(0)
            samples = [random_samples(rng, detail, 3) for detail in self.details.inputs]
            single = [interpreter.run([array[i : i + 1] for array in samples]) for i in range(3)]
            together = interpreter.run(samples)
        except (ValueError, RuntimeError):
            # LiteRT says so when an operator of this graph does not take another batch size; start afresh.
            interpreter = self._make()
            return False
        finally:
            self._free.put(interpreter)
        return all(
            _same(np.concatenate([np.atleast_1d(part) for part in parts]), batch)
            for parts, batch in zip(zip(*single, strict=True), together, strict=True)
        )


class RemotePool:
    """An `InterpreterPool` in a worker: a model that crashes LiteRT ends that process and not this one.

    Args:
        content: The content of the `.tflite`.
        options: How to run it.

    Raises:
        RuntimeError: LiteRT cannot run the model.
    """

    def __init__(self, content: bytes, options: PoolOptions) -> None:
        self._worker = Worker("mltk.tflite._worker")
        self.load(content, options)

    def load(self, content: bytes, options: PoolOptions) -> None:
        """Take another model."""
        header, _ = self._ask({"do": "load", "options": asdict(options)}, [np.frombuffer(content, np.uint8)])
        self.details = PoolDetails(
            *([TensorDetail(**detail) for detail in header[name]] for name in ("inputs", "outputs"))
        )

    def run(self, arrays: Sequence[np.ndarray], frames: bool = False) -> list[np.ndarray]:
        """See `InterpreterPool.run`."""
        return self._ask({"do": "run", "frames": frames}, arrays)[1]

    def trace(
        self, arrays: Sequence[np.ndarray], tensors: Sequence[int], reset: bool = True
    ) -> list[np.ndarray]:
        """See `InterpreterPool.trace`."""
        return self._ask({"do": "trace", "tensors": list(tensors), "reset": reset}, arrays)[1]

    def _ask(self, request: dict[str, object], arrays: Sequence[np.ndarray]) -> Answer:
        try:
            header, answers = self._worker.ask(request, arrays)
        except WorkerDied as died:
            raise RuntimeError(f"it crashed its process ({died})") from None
        if "error" in header:
            raise RuntimeError(header["error"])
        return header, answers


class _Interpreter:
    """One interpreter of LiteRT, for one thread at a time."""

    def __init__(self, content: bytes, options: PoolOptions) -> None:
        self._content = content
        self._options = options
        self._create()
        self.inputs = [_describe(detail) for detail in self._interpreter.get_input_details()]
        self.outputs = [_describe(detail) for detail in self._interpreter.get_output_details()]
        self._fresh = True

    def _create(self) -> None:
        from ai_edge_litert.interpreter import Interpreter, OpResolverType

        kinds = OpResolverType
        self._interpreter = Interpreter(
            model_content=self._content,
            num_threads=1,
            experimental_op_resolver_type=(
                kinds.BUILTIN_REF if self._options.exact else kinds.BUILTIN_WITHOUT_DEFAULT_DELEGATES
            ),
            experimental_preserve_all_tensors=self._options.preserves,
        )
        self._interpreter.allocate_tensors()
        self._shapes = [tuple(detail["shape"]) for detail in self._interpreter.get_input_details()]

    def run(self, arrays: Sequence[np.ndarray], reset: bool = True) -> list[np.ndarray]:
        """Return the outputs for arrays of the inputs' types.

        Args:
            arrays: One per input.
            reset: Forget the state of the previous call.
        """
        if reset and self._options.renews and not self._fresh:
            self._create()
        self._fresh = False
        interpreter = self._interpreter
        shapes = [array.shape for array in arrays]
        if shapes != self._shapes:
            for detail, shape in zip(self.inputs, shapes, strict=True):
                interpreter.resize_tensor_input(detail.index, shape)
            interpreter.allocate_tensors()
            self._shapes = shapes
        if reset and self._options.resets:
            interpreter.reset_all_variables()
        for detail, array in zip(self.inputs, arrays, strict=True):
            interpreter.set_tensor(detail.index, array)
        interpreter.invoke()
        return [self.read(output.index) for output in self.outputs]

    def read(self, index: int) -> np.ndarray:
        """Return the value of a tensor."""
        return np.asarray(self._interpreter.get_tensor(index))


def _describe(detail: dict[str, object]) -> TensorDetail:
    """Return what LiteRT says about a tensor."""
    shape: np.ndarray = np.asarray(detail["shape"])
    signature: np.ndarray = np.asarray(detail["shape_signature"])
    return TensorDetail(
        index=int(str(detail["index"])),
        shape=shape.astype(int).tolist(),
        signature=(signature if len(signature) else shape).astype(int).tolist(),
        # LiteRT gives the class of the numbers.
        dtype=np.dtype(detail["dtype"]).str,  # type: ignore[call-overload]  # it is a class
    )


def random_samples(rng: np.random.Generator, detail: TensorDetail, count: int) -> np.ndarray:
    """Return random values for an input that has a batch axis."""
    shape = (count, *(max(d, 1) for d in detail.signature[1:]))
    dtype = np.dtype(detail.dtype)
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
