"""Run a `.tflite` model on the CPU with LiteRT."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import numpy as np

from mltk.core.tflite_model.tflite_model import TfliteModel, to_tensor_dtype
from mltk.core.tflite_model.tflite_tensor import TfliteShape
from mltk.errors import EvaluationError

# Larger batches are slower again: their activations leave the processor's caches.
_BATCH = 32


class LiteRtPredictor:
    """A `mltk.plugins.types.Predictor` over LiteRT's built-in kernels.

    XNNPACK is not used: it rounds int8 convolutions differently from the reference kernels, which those of
    TensorFlow Lite Micro follow. On a small network of convolutions (1.2 million MACs) one output in ten was
    off by one step with XNNPACK and none with the built-in kernels, at two thirds of the speed. Products of
    matrices (1x1 convolutions, dense layers) are off by one step in some outputs with either.

    Batches go through the model at once if it allows that, which is tried on random samples: the results must
    be those of one sample at a time. Otherwise samples go one by one. An instance is for one thread.

    LiteRT turns integers into real numbers with an error in the last bit, which depends on the place in the batch.
    Where the model's last step is that, its results are rounded as the reference kernels do.

    Args:
        model: The model, the content of a `.tflite`, or its path.
        name: The model's name; `None` takes it from the model.
        num_threads: Threads of the kernels; `None` is LiteRT's default.

    Raises:
        EvaluationError: LiteRT cannot run the model.
        FileFormatError: The `.tflite` is damaged.
        ModelNotFoundError: There is no such file.
    """

    kind = "tflite"

    def __init__(
        self,
        model: TfliteModel | bytes | str | os.PathLike[str],
        name: str | None = None,
        num_threads: int | None = None,
    ) -> None:
        if isinstance(model, bytes | bytearray):
            model = TfliteModel(model)
        elif not isinstance(model, TfliteModel):
            model = TfliteModel.load_flatbuffer_file(model)
        self.name = name or model.name
        self.tflite_model = model
        self._num_threads = num_threads
        self._open()
        self._stateful = any(tensor.is_variable for tensor in model.tensors)
        self._batchable: bool | None = None
        self._steps = _output_steps(model)
        if not self._inputs or not self._outputs:
            raise EvaluationError(f"{model.source} has no input or no output.")

    def _open(self) -> None:
        from ai_edge_litert.interpreter import Interpreter, OpResolverType

        try:
            self._interpreter: Any = Interpreter(
                model_content=self.tflite_model.flatbuffer_data,
                num_threads=self._num_threads,
                experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
            )
            self._interpreter.allocate_tensors()
            self._inputs: list[Any] = self._interpreter.get_input_details()
            self._outputs: list[Any] = self._interpreter.get_output_details()
        except (ValueError, RuntimeError) as error:
            raise EvaluationError(
                f"LiteRT cannot run {self.tflite_model.source}: {_first_line(error)}"
            ) from error

    @property
    def input_shape(self) -> tuple[int | None, ...]:
        """Shape of the first input; `None` for the batch and other axes of any length."""
        return (None, *(None if d < 0 else d for d in _signature(self._inputs[0])[1:]))

    def predict(self, batch: np.ndarray) -> np.ndarray:
        """Return the first output, in float32, for a batch of any size.

        Args:
            batch: Samples, first axis the batch. Values of the type of the model's input are used as they
                are; others are real numbers and are quantized if the model takes integers.

        Returns:
            float32, first axis the batch.

        Raises:
            EvaluationError: The batch does not fit the model, or the model fails on it.
        """
        return self.tflite_model.dequantize_output_to_float32(self.run([batch])[0])

    def run(self, inputs: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Return all outputs, in the types of the model, for one batch per input of the model.

        Args:
            inputs: One array per input; converted as `predict` does.

        Raises:
            EvaluationError: The arrays do not fit the model, or the model fails on them.
        """
        arrays = prepare_inputs(self.tflite_model, inputs, [_signature(detail) for detail in self._inputs])
        length = len(arrays[0])
        if length == 0:
            return [np.empty((0, *output["shape"][1:]), output["dtype"]) for output in self._outputs]
        if length > 1 and self._batchable is None:
            self._batchable = self._try_batches()
        step = _BATCH if self._batchable else self._own_batch
        chunks = [self._invoke([array[i : i + step] for array in arrays]) for i in range(0, length, step)]
        outputs = (np.concatenate(parts)[:length] for parts in zip(*chunks, strict=True))
        return [
            out if step is None else (np.rint(out / step) * step).astype(out.dtype)
            for out, step in zip(outputs, self._steps, strict=True)
        ]

    @property
    def _own_batch(self) -> int:
        """The batch size that the model was made with; nearly always 1."""
        shape = self.tflite_model.get_input_tensor().shape
        return shape[0] if shape else 1

    def _invoke(self, arrays: list[np.ndarray]) -> list[np.ndarray]:
        length = len(arrays[0])
        if not self._batchable and length < self._own_batch:
            arrays = [np.resize(array, (self._own_batch, *array.shape[1:])) for array in arrays]
        try:
            outputs = self._run_kernels(arrays)
        except (ValueError, RuntimeError) as error:
            raise EvaluationError(
                f"LiteRT failed on {self.tflite_model.source}: {_first_line(error)}"
            ) from error
        # A model made for one sample may leave the batch axis out of its result.
        return [out if out.ndim and len(out) == len(arrays[0]) else out[np.newaxis] for out in outputs]

    def _run_kernels(self, arrays: list[np.ndarray]) -> list[np.ndarray]:
        interpreter = self._interpreter
        details = interpreter.get_input_details()
        if any(tuple(detail["shape"]) != array.shape for detail, array in zip(details, arrays, strict=True)):
            for detail, array in zip(details, arrays, strict=True):
                interpreter.resize_tensor_input(detail["index"], array.shape)
            interpreter.allocate_tensors()
        if self._stateful:
            interpreter.reset_all_variables()
        for detail, array in zip(details, arrays, strict=True):
            interpreter.set_tensor(detail["index"], array)
        interpreter.invoke()
        return [interpreter.get_tensor(output["index"]) for output in self._outputs]

    def _try_batches(self) -> bool:
        """Return whether three random samples give the same together as one by one."""
        if self._stateful:
            return False
        rng = np.random.default_rng(0)
        samples = [_random(rng, detail) for detail in self._inputs]
        try:
            single = [self._run_kernels([array[i : i + 1] for array in samples]) for i in range(3)]
            together = self._run_kernels(samples)
        except (ValueError, RuntimeError):
            # LiteRT says so when an operator of this graph does not take another batch size; start afresh.
            self._open()
            return False
        return all(
            _same(np.concatenate(parts), batch)
            for parts, batch in zip(zip(*single, strict=True), together, strict=True)
        )


def prepare_inputs(
    model: TfliteModel, inputs: Sequence[np.ndarray], shapes: Sequence[Sequence[int]]
) -> list[np.ndarray]:
    """Return batches in the types of a model's inputs.

    Args:
        model: The model.
        inputs: One array per input of the model. Values of its type are used as they are; others are real numbers
            and are quantized if it is one of integers.
        shapes: The shapes of the inputs, batch axis included; -1 for axes of any length.

    Raises:
        EvaluationError: The arrays do not fit the model.
    """
    if len(inputs) != len(shapes):
        raise EvaluationError(f"{model.source} has {len(shapes)} inputs; {len(inputs)} were given.")
    arrays = []
    for array, full, tensor in zip(inputs, shapes, model.inputs, strict=True):
        wanted = full[1:]
        found = np.shape(array)
        if len(found) != len(wanted) + 1 or any(
            w not in (-1, f) for w, f in zip(wanted, found[1:], strict=True)
        ):
            shape = "x".join("any" if d < 0 else str(d) for d in wanted)
            raise EvaluationError(
                f"{model.source} takes batches of samples of shape {shape or 'scalar'};"
                f" an array of shape {TfliteShape(found)} was given."
            )
        arrays.append(np.ascontiguousarray(to_tensor_dtype(np.asarray(array), tensor)))
    if len({len(array) for array in arrays}) > 1:
        raise EvaluationError("The arrays for the model's inputs hold different numbers of samples.")
    return arrays


def _output_steps(model: TfliteModel) -> list[np.float64 | None]:
    """Return, for each output, the step of the integers that the last operator before it turned into real numbers."""
    steps: dict[int, np.float64] = {}
    for layer in model.layers:
        if layer.opcode_str == "dequantize" and layer.inputs[0].quantization.n_channels == 1:
            steps[layer.outputs[0].index] = np.float64(layer.inputs[0].quantization.scale[0])
    return [steps.get(tensor.index) for tensor in model.outputs]


def _signature(detail: Any) -> tuple[int, ...]:
    """Return an input's shape with -1 for the axes that vary."""
    return tuple(
        int(d) for d in (detail["shape_signature"] if len(detail["shape_signature"]) else detail["shape"])
    )


def _random(rng: np.random.Generator, detail: Any) -> np.ndarray:
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
