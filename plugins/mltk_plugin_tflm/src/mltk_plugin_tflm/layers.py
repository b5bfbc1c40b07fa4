"""Look into a quantized model: where two runtimes part, and what each layer's quantization costs."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from mltk.tflite.interpreter import prepare_inputs
from mltk.tflite.tensors import to_tensor_dtype
from mltk_plugin_tflm.process import TflmProcess
from mltk_plugin_tflm.submodel import cut, layer_inputs, open_inputs

if TYPE_CHECKING:
    from mltk.tflite import TfliteLayer, TfliteModel, TfliteTensor

Values = Mapping[int, np.ndarray]
"""Tensors of one inference by their number."""
Score = Callable[[np.ndarray], float]
"""Judges the outputs of the model for all samples."""


@dataclass(frozen=True)
class LayerParity:
    """How the outputs of a layer differ between LiteRT and TFLM."""

    differing: float
    """Share of the values that differ."""
    differing_by_itself: float | None
    """Share of the values that differ, of the samples where all that the layer takes is equal; `None` without any."""
    largest: float
    """Largest difference: in steps of the quantization, or of the values themselves for a type that has none."""


@dataclass(frozen=True)
class LayerCost:
    """What quantizing a layer does to its own output and to that of the model."""

    snr_db: float
    """Float output of the layer to the error that the int8 model has there, of this and all layers before; dB."""
    own_snr_db: float
    """The same for the layer's own error: it alone is int8, and gets the float values."""
    output_error: float
    """Root of the mean square error of the float model's output if this layer alone is int8."""
    score: float
    """What the float model scores if this layer alone is int8."""


class LiteRtTracer:
    """Runs a model with LiteRT's built-in kernels, one inference at a time in the shapes of the file.

    Args:
        model: The model.
        preserve: Whether all tensors can be read afterwards.
    """

    def __init__(self, model: TfliteModel, preserve: bool = False) -> None:
        from ai_edge_litert.interpreter import Interpreter, OpResolverType

        self._interpreter: Any = Interpreter(
            model_content=model.flatbuffer_data,
            experimental_preserve_all_tensors=preserve,
            experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
            num_threads=1,
        )
        self._interpreter.allocate_tensors()
        self._inputs = [tensor.index for tensor in model.inputs]
        self._outputs = [tensor.index for tensor in model.outputs]
        self._stateful = any(tensor.is_variable for tensor in model.tensors)

    def run(self, inputs: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Return the outputs of one inference."""
        return self.trace(inputs, self._outputs)

    def trace(self, inputs: Sequence[np.ndarray], tensors: Iterable[int]) -> list[np.ndarray]:
        """Return the values of tensors, by their numbers, after one inference."""
        if self._stateful:
            self._interpreter.reset_all_variables()
        for index, values in zip(self._inputs, inputs, strict=True):
            self._interpreter.set_tensor(index, values)
        self._interpreter.invoke()
        return [self._interpreter.get_tensor(index) for index in tensors]


def compare_runtimes(model: TfliteModel, samples: Sequence[np.ndarray]) -> list[LayerParity | None]:
    """Run samples through LiteRT and TFLM and compare what every layer gives.

    Args:
        model: The model, of one input.
        samples: Without a batch axis.

    Returns:
        One entry per layer; `None` for a layer without output.

    Raises:
        TflmError: TFLM cannot run the model.
    """
    tensors = _activations(model)
    different = {index: np.zeros(len(samples)) for index in tensors}
    largest = dict.fromkeys(tensors, 0.0)
    litert = LiteRtTracer(model, preserve=True)
    with TflmProcess(model) as process:
        process.open(preserve=True)
        for number, sample in enumerate(samples):
            inputs = _one(model, sample)
            both = (litert.trace(inputs, tensors), process.trace(inputs, list(tensors)))
            for (index, tensor), mine, theirs in zip(tensors.items(), *both, strict=True):
                different[index][number] = np.mean(mine != theirs) if mine.size else 0.0
                largest[index] = max(largest[index], _largest(mine, theirs, tensor))

    def of(layer: TfliteLayer) -> LayerParity | None:
        outputs = [tensor.index for tensor in layer.outputs]
        if not outputs:
            return None
        taken = [different[tensor.index] for tensor in layer_inputs(layer)]
        equal_before = np.all([d == 0 for d in taken], axis=0) if taken else np.ones(len(samples), bool)
        shares = np.mean([different[index] for index in outputs], axis=0)
        return LayerParity(
            differing=float(shares.mean()),
            differing_by_itself=float(shares[equal_before].mean()) if equal_before.any() else None,
            largest=max(largest[index] for index in outputs),
        )

    return [of(layer) for layer in model.layers]


def quantization_costs(
    model: TfliteModel, floating: TfliteModel, samples: Sequence[np.ndarray], score: Score
) -> tuple[dict[int, LayerCost], np.ndarray]:
    """Tell what the quantization of each layer costs, by making one layer after the other int8 in the float model.

    Args:
        model: The quantized model, of one input.
        floating: The same network in float32.
        samples: Without a batch axis.
        score: Judges the outputs `(n, …)` of the float model for all samples.

    Returns:
        The costs by the number of the layer in the quantized model, without layers that have no counterpart in the
        float model or whose output has no quantization; and the outputs of the float model.
    """
    floats, integers = _traces(floating, samples), _traces(model, samples)
    exact = np.stack([values[floating.outputs[0].index] for values in floats])
    costs = {}
    for layer, twin in match_layers(model, floating):
        (tensor, *others), inputs = layer.outputs, layer_inputs(layer)
        if others or not _is_quantized(tensor) or len(inputs) != len(layer_inputs(twin)):
            continue
        given = twin.outputs[0].index
        truth = np.stack([values[given] for values in floats])
        int8 = np.stack([values[tensor.index] for values in integers])
        own = _alone(model, layer, twin, floats)
        changed = _rest(floating, twin, floats, own)
        costs[layer.index] = LayerCost(
            snr_db=_snr_db(truth, tensor.quantization.dequantize(int8)),
            own_snr_db=_snr_db(truth, own),
            output_error=float(np.sqrt(np.mean(np.square(changed - exact)))),
            score=score(changed.reshape(len(samples), *exact.shape[2:])),
        )
    return costs, exact.reshape(len(samples), *exact.shape[2:])


def match_layers(model: TfliteModel, floating: TfliteModel) -> list[tuple[TfliteLayer, TfliteLayer]]:
    """Pair the layers of a quantized model with those of its float model, by operator and shape, in order."""
    mine, theirs = (
        [f"{layer.opcode_str} {[str(tensor.shape) for tensor in layer.outputs]}" for layer in each.layers]
        for each in (model, floating)
    )
    blocks = difflib.SequenceMatcher(None, mine, theirs, autojunk=False).get_matching_blocks()
    return [
        (model.layers[block.a + i], floating.layers[block.b + i])
        for block in blocks
        for i in range(block.size)
    ]


def trace_size(model: TfliteModel) -> int:
    """Return the bytes that the values of one sample take in the comparisons of this module."""
    elements = sum(tensor.shape.flat_size for tensor in _activations(model).values())
    return elements * (np.dtype(np.float32).itemsize + np.dtype(np.int8).itemsize)


def _traces(model: TfliteModel, samples: Sequence[np.ndarray]) -> list[Values]:
    tracer = LiteRtTracer(model, preserve=True)
    wanted = _activations(model)
    return [dict(zip(wanted, tracer.trace(_one(model, s), wanted), strict=True)) for s in samples]


def _alone(model: TfliteModel, layer: TfliteLayer, twin: TfliteLayer, floats: Sequence[Values]) -> np.ndarray:
    """Return what a quantized layer makes of the float values, as float32; first axis the samples."""
    runner = LiteRtTracer(cut(model, [layer], layer.outputs))
    # The same tensor may be taken twice, and is one input then.
    sources = {
        tensor.index: source.index
        for tensor, source in zip(layer_inputs(layer), layer_inputs(twin), strict=True)
    }
    taken = open_inputs([layer])
    results = [
        runner.run([to_tensor_dtype(values[sources[t.index]], t) for t in taken])[0] for values in floats
    ]
    return layer.outputs[0].quantization.dequantize(np.stack(results))


def _rest(
    floating: TfliteModel, twin: TfliteLayer, floats: Sequence[Values], replaced: np.ndarray
) -> np.ndarray:
    """Return the float model's output with another output of one of its layers; first axis the samples."""
    later = floating.layers[twin.index + 1 :]
    output = floating.outputs[0]
    if all(tensor.index != output.index for layer in later for tensor in layer.outputs):
        return replaced
    rest = LiteRtTracer(cut(floating, later, [output]))
    given = twin.outputs[0].index
    taken = [tensor.index for tensor in open_inputs(later)]
    return np.stack(
        [
            rest.run([new if index == given else values[index] for index in taken])[0]
            for values, new in zip(floats, replaced, strict=True)
        ]
    )


def _activations(model: TfliteModel) -> dict[int, TfliteTensor]:
    """Return what the layers take from others and give, by number, with the model's inputs."""
    tensors = [*model.inputs]
    for layer in model.layers:
        tensors += [*layer_inputs(layer), *layer.outputs]
    return {tensor.index: tensor for tensor in tensors}


def _one(model: TfliteModel, sample: np.ndarray) -> list[np.ndarray]:
    """Return a sample as the model's input for one inference."""
    return prepare_inputs(model, [sample[np.newaxis]], [tensor.shape for tensor in model.inputs])


def _largest(mine: np.ndarray, theirs: np.ndarray, tensor: TfliteTensor) -> float:
    if not mine.size or mine.dtype.kind not in "fiu":
        return 0.0
    # Integers of a byte cannot hold their differences.
    return float(np.nanmax(np.abs(np.subtract(mine, theirs, dtype=np.float64))))


def _is_quantized(tensor: TfliteTensor) -> bool:
    return tensor.quantization.n_channels == 1 and np.issubdtype(tensor.dtype, np.integer)


def _snr_db(truth: np.ndarray, approximation: np.ndarray) -> float:
    """Return the ratio of the power of `truth` to that of the error, in decibels; infinite without an error."""
    signal = float(np.mean(np.square(truth, dtype=np.float64)))
    noise = float(np.mean(np.square(truth - approximation.reshape(truth.shape), dtype=np.float64)))
    if noise == 0:
        return float("inf")
    return 10 * float(np.log10(signal / noise)) if signal else float("-inf")
