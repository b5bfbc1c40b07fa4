"""Analysis of quantized models: differences between runtimes and the quantization error of each layer."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mltk.tflite import GraphRunner, as_frames, find_batch_axis, prepare_inputs, to_tensor_dtype
from mltk_plugin_tflm.process import TflmProcess
from mltk_plugin_tflm.submodel import cut, layer_inputs, open_inputs

if TYPE_CHECKING:
    from mltk.tflite import TfliteLayer, TfliteModel, TfliteTensor

Values = Mapping[int, np.ndarray]
"""Tensors of one inference, by tensor index."""
Score = Callable[[np.ndarray], float]
"""Function that computes a metric from the outputs of the model for all samples."""


@dataclass(frozen=True)
class LayerParity:
    """Differences between the outputs of a layer in LiteRT and TFLM."""

    differing: float
    """Fraction of differing values."""
    differing_by_itself: float | None
    """Fraction of differing values in samples with equal inputs of the layer; `None` without such samples."""
    largest: float
    """Maximum difference, in quantization steps, or in units of the values if not quantized."""


@dataclass(frozen=True)
class LayerCost:
    """Effect of quantizing a layer on its output and on the output of the model."""

    snr_db: float
    """Signal-to-noise ratio of the layer output in the int8 model, including errors of previous layers, in dB."""
    own_snr_db: float
    """Signal-to-noise ratio if the layer is int8 and its inputs are float values, in dB."""
    output_error: float
    """Root mean square error of the output of the float model if only this layer is int8."""
    score: float
    """Score of the float model if only this layer is int8."""


def compare_runtimes(model: TfliteModel, samples: Sequence[np.ndarray]) -> list[LayerParity | None]:
    """Run samples in LiteRT and TFLM and compare the outputs of each layer.

    Args:
        model: The model; it has one input.
        samples: Samples without a batch axis. Of a sequence for a model with state, the last frame is compared.

    Returns:
        One entry per layer; `None` for a layer without output.

    Raises:
        TflmError: TFLM cannot run the model.
    """
    tensors = _activations(model)
    different = {index: np.zeros(len(samples)) for index in tensors}
    largest = dict.fromkeys(tensors, 0.0)
    litert = GraphRunner(model, num_threads=1, exact=True, preserve=True)
    wanted = list(tensors)
    with TflmProcess(model) as process:
        process.open(preserve=True)
        for number, sample in enumerate(samples):
            for position, inputs in enumerate(_prepare_frames(model, sample)):
                both = (
                    litert.trace(inputs, wanted, reset=position == 0),
                    process.trace(inputs, wanted, reset=position == 0),
                )
            for (index, tensor), mine, theirs in zip(tensors.items(), *both, strict=True):
                different[index][number] = np.mean(mine != theirs) if mine.size else 0.0
                largest[index] = max(largest[index], _max_difference(mine, theirs, tensor))

    def compare(layer: TfliteLayer) -> LayerParity | None:
        outputs = [tensor.index for tensor in layer.outputs if tensor.index in tensors]
        if not outputs:
            return None
        taken = [different[tensor.index] for tensor in layer_inputs(layer) if tensor.index in tensors]
        equal_before = np.all([d == 0 for d in taken], axis=0) if taken else np.ones(len(samples), bool)
        shares = np.mean([different[index] for index in outputs], axis=0)
        return LayerParity(
            differing=float(shares.mean()),
            differing_by_itself=float(shares[equal_before].mean()) if equal_before.any() else None,
            largest=max(largest[index] for index in outputs),
        )

    return [compare(layer) for layer in model.layers]


def quantization_costs(
    model: TfliteModel, floating: TfliteModel, samples: Sequence[np.ndarray], score: Score
) -> tuple[dict[int, LayerCost], np.ndarray]:
    """Measure the quantization error of each layer: run the float model with only this layer in int8.

    Args:
        model: The quantized model; it has one input.
        floating: The same network in float32.
        samples: Samples without a batch axis.
        score: Metric of the outputs `(n, …)` of the float model for all samples.

    Returns:
        The costs by layer index of the quantized model, for layers with a quantized output and a counterpart in the
        float model; and the outputs of the float model.
    """
    floats, integers = _traces(floating, samples), _traces(model, samples)
    exact = np.stack([values[floating.outputs[0].index] for values in floats])
    costs = {}
    parts = _PartRunner()
    for layer, twin in match_layers(model, floating):
        (tensor, *others), inputs = layer.outputs, layer_inputs(layer)
        if others or not _is_quantized(tensor) or len(inputs) != len(layer_inputs(twin)):
            continue
        given = twin.outputs[0].index
        truth = np.stack([values[given] for values in floats])
        int8 = np.stack([values[tensor.index] for values in integers])
        own = _run_layer(parts, model, layer, twin, floats)
        changed = _run_rest(parts, floating, twin, floats, own)
        costs[layer.index] = LayerCost(
            snr_db=_snr_db(truth, tensor.quantization.dequantize(int8)),
            own_snr_db=_snr_db(truth, own),
            output_error=float(np.sqrt(np.mean(np.square(changed - exact)))),
            score=score(changed.reshape(len(samples), *exact.shape[2:])),
        )
    return costs, exact.reshape(len(samples), *exact.shape[2:])


def match_layers(model: TfliteModel, floating: TfliteModel) -> list[tuple[TfliteLayer, TfliteLayer]]:
    """Match the layers of a quantized model and its float model by operator and shape, in order."""
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
    """Return the memory in bytes that comparisons need per sample."""
    elements = sum(tensor.shape.flat_size for tensor in _activations(model).values())
    return elements * (np.dtype(np.float32).itemsize + np.dtype(np.int8).itemsize)


def _traces(model: TfliteModel, samples: Sequence[np.ndarray]) -> list[Values]:
    tracer = GraphRunner(model, num_threads=1, exact=True, preserve=True)
    wanted = list(_activations(model))
    return [dict(zip(wanted, tracer.trace(_prepare_sample(model, s), wanted), strict=True)) for s in samples]


def _run_layer(
    runner: _PartRunner, model: TfliteModel, layer: TfliteLayer, twin: TfliteLayer, floats: Sequence[Values]
) -> np.ndarray:
    """Run a quantized layer on float values; return its float32 output, samples first."""
    # A tensor may be used twice, but is one input.
    sources = {
        tensor.index: source.index
        for tensor, source in zip(layer_inputs(layer), layer_inputs(twin), strict=True)
    }
    taken = open_inputs([layer])
    results = runner.run(
        cut(model, [layer], layer.outputs),
        ([to_tensor_dtype(values[sources[t.index]], t) for t in taken] for values in floats),
    )
    return layer.outputs[0].quantization.dequantize(results)


def _run_rest(
    runner: _PartRunner,
    floating: TfliteModel,
    twin: TfliteLayer,
    floats: Sequence[Values],
    replaced: np.ndarray,
) -> np.ndarray:
    """Run the float model with a replaced output of one layer; return its output, samples first."""
    later = floating.layers[twin.index + 1 :]
    output = floating.outputs[0]
    if all(tensor.index != output.index for layer in later for tensor in layer.outputs):
        return replaced
    given = twin.outputs[0].index
    taken = [tensor.index for tensor in open_inputs(later)]
    return runner.run(
        cut(floating, later, [output]),
        (
            [new if index == given else values[index] for index in taken]
            for values, new in zip(floats, replaced, strict=True)
        ),
    )


class _PartRunner:
    """Runs parts of models with LiteRT's reference kernels, all of them in one process."""

    def __init__(self) -> None:
        self._runner: GraphRunner | None = None

    def run(self, part: TfliteModel, samples: Iterable[list[np.ndarray]]) -> np.ndarray:
        """Return the first output for the inputs of each sample."""
        if self._runner is None:
            self._runner = GraphRunner(part, num_threads=1, exact=True)
        else:
            self._runner.load(part)
        output = part.outputs[0].index
        return np.stack([self._runner.trace(inputs, [output])[0] for inputs in samples])


def _activations(model: TfliteModel) -> dict[int, TfliteTensor]:
    """Return the model inputs and the inputs and outputs of all layers, by tensor index; not handles and text."""
    tensors = [*model.inputs]
    for layer in model.layers:
        tensors += [*layer_inputs(layer), *layer.outputs]
    return {tensor.index: tensor for tensor in tensors if not tensor.dtype.hasobject}


def _prepare_sample(model: TfliteModel, sample: np.ndarray) -> list[np.ndarray]:
    """Convert a sample to the model inputs for one inference."""
    shapes = [tensor.shape for tensor in model.inputs]
    size, has_batch_axis = find_batch_axis(shapes)
    wanted = [[-1, *(shape[1:] if has else shape)] for shape, has in zip(shapes, has_batch_axis, strict=True)]
    arrays = prepare_inputs(model, [sample[np.newaxis]], wanted)
    return [
        np.resize(array, (size, *array.shape[1:])) if has else array[0]
        for array, has in zip(arrays, has_batch_axis, strict=True)
    ]


def _prepare_frames(model: TfliteModel, sample: np.ndarray) -> list[list[np.ndarray]]:
    """Convert a sample, or each frame of a sequence, to the model inputs for one inference."""
    sequences = as_frames(model, [sample[np.newaxis]], [tensor.shape[1:] for tensor in model.inputs])
    frames = [sample] if sequences is None else sequences[0][0]
    return [_prepare_sample(model, frame) for frame in frames]


def _max_difference(mine: np.ndarray, theirs: np.ndarray, tensor: TfliteTensor) -> float:
    if not mine.size or mine.dtype.kind not in "fiu":
        return 0.0
    # Differences of int8 values exceed the range of int8.
    return float(np.nanmax(np.abs(np.subtract(mine, theirs, dtype=np.float64))))


def _is_quantized(tensor: TfliteTensor) -> bool:
    return tensor.quantization.n_channels == 1 and np.issubdtype(tensor.dtype, np.integer)


def _snr_db(truth: np.ndarray, approximation: np.ndarray) -> float:
    """Return the signal-to-noise ratio in dB; infinite without an error."""
    signal = float(np.mean(np.square(truth, dtype=np.float64)))
    noise = float(np.mean(np.square(truth - approximation.reshape(truth.shape), dtype=np.float64)))
    if noise == 0:
        return float("inf")
    return 10 * float(np.log10(signal / noise)) if signal else float("-inf")
