"""The evaluator `parity`: the same data through Keras, LiteRT and TensorFlow Lite Micro."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mltk.core import EvaluationResults, TfliteModel
from mltk.errors import ArchiveFileNotFoundError, EvaluationError, MltkError
from mltk.operations.evaluation.predictors import make_predictor
from mltk.results.classifier import class_ids, limit_per_class
from mltk.core import load_tflite_model, load_tflite_or_keras_model
from mltk.tflite.interpreter import LiteRtPredictor
from mltk.utils.string_formatting import format_table
from mltk_plugin_tflm.layers import LayerCost, LayerParity, compare_runtimes, quantization_costs, trace_size
from mltk_plugin_tflm.predictor import TflmPredictor

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from mltk.plugins import EvaluationContext, Predictor
    from mltk.tflite import TfliteLayer

DEFAULT_SAMPLES = 100
"""Samples, evenly spread over the data, that the layers are looked at with."""
ACCURACY = "accuracy"

_TRACE_BYTES = 512 << 20
"""Most memory for the values of all layers; of large models fewer samples are looked at."""
_FLOAT = ".float32.tflite"
_NAMES = {"keras": "Keras, float", "litert": "LiteRT", "tflm": "TFLite Micro"}


class ParityResults(EvaluationResults):
    """What `evaluate` found.

    Entries:
        samples: Number of samples.
        metric: `accuracy`, or `mean squared error against …`; what the following figures are.
        scores: Figure of the whole data by what ran the model: `keras`, `litert`, `tflm`.
        equal_values: Share of the values of LiteRT's and TFLM's outputs that are equal bit by bit.
        equal_samples: Share of the samples all of whose output values are.
        largest_difference: Of an output value, in steps of its quantization (or its own units without one).
        keras_agreement: Share of the samples in which TFLM picks the same class as Keras; classifiers only.
        first_difference: Name of the first layer whose output differs between LiteRT and TFLM, in the samples below
            and in as many of those whose outputs differ; `None` without one.
        layer_samples: Number of samples, spread over the data, that the following figures are of.
        float_score: Figure of the float32 `.tflite` on the samples of the layers.
        layers: One mapping per layer: `index`, `opcode`, and the fields of `LayerParity` and `LayerCost`, as far as
            known.
        costliest_layer: Name of the layer that alone as int8 changes the float model's output most.
    """

    def generate_summary(self, include_all: bool = True) -> str:
        """Return the figures as text; with the table of the layers if `include_all`."""
        lines = [
            f"Name: {self.name}",
            f"Model Type: {self.model_type}",
            f"Samples: {self['samples']}",
            *(f"{_NAMES[key]}, {self['metric']}: {self._figure(v)}" for key, v in self["scores"].items()),
            f"Output values equal in LiteRT and TFLite Micro: {self['equal_values']:.3%}",
            f"Samples with all of them equal: {self['equal_samples']:.3%}",
            f"Largest difference: {self['largest_difference']:g}",
        ]
        if "keras_agreement" in self:
            lines.append(f"Same class as Keras in TFLite Micro: {self['keras_agreement']:.3%}")
        lines += [
            f"First layer with a difference: {self['first_difference'] or 'none'}",
            f"Samples that the layers were looked at with: {self['layer_samples']}",
        ]
        if "costliest_layer" in self:
            lines += [
                f"Float model on these samples, {self['metric']}: {self._figure(self['float_score'])}",
                f"Layer whose quantization changes the output most: {self['costliest_layer']}",
            ]
        return "\n".join([*lines, "", self._table()] if include_all else lines)

    def figures(self) -> Iterator[tuple[str, str, Callable[[Figure], None]]]:
        """Yield the plot of the layers."""
        yield "layers", "parity_layers", self._draw

    def _figure(self, value: float) -> str:
        return f"{value:.3%}" if self["metric"] == ACCURACY else f"{value:.6g}"

    def _table(self) -> str:
        columns: dict[str, tuple[str, Callable[[Any], str]]] = {
            "index": ("Index", str),
            "opcode": ("OpCode", str),
            "differing": ("Differs in TFLM", "{:.3%}".format),
            "differing_by_itself": ("By itself", "{:.3%}".format),
            "largest": ("Largest", "{:g}".format),
            "snr_db": ("SNR (dB)", "{:.1f}".format),
            "own_snr_db": ("Own SNR (dB)", "{:.1f}".format),
            "output_error": ("Output error, alone int8", "{:.3g}".format),
            "score": (f"{self['metric'].capitalize()}, alone int8", self._figure),
        }
        known = [key for key in columns if any(key in row for row in self["layers"])]
        rows = [
            [columns[key][1](row[key]) if row.get(key) is not None else "" for key in known]
            for row in self["layers"]
        ]
        return format_table([columns[key][0] for key in known], rows)

    def _draw(self, figure: Figure) -> None:
        panels = {
            "output_error": "Error of the output if it alone is int8",
            "own_snr_db": "Signal to its own noise (dB)",
            "differing": "Share of values that differ in TFLM",
        }
        rows = self["layers"]
        panels = {key: title for key, title in panels.items() if any(row.get(key) for row in rows)}
        names = [f"{row['index']} {row['opcode']}" for row in rows]
        figure.set_size_inches(1.5 + 3.4 * len(panels), 1.2 + 0.24 * max(4, len(rows)))
        figure.suptitle(self.name)
        for number, (key, title) in enumerate(panels.items()):
            axes = figure.add_subplot(1, len(panels), number + 1)
            # Without noise there is no bar; the table says so.
            values = [row.get(key) or 0 for row in rows]
            axes.barh(range(len(rows)), [v if np.isfinite(v) else 0 for v in values], color=f"C{number}")
            axes.set(title=title, ylim=(len(rows) - 0.5, -0.5), yticks=range(len(rows)))
            axes.set_yticklabels(names if number == 0 else [])
            axes.grid(axis="x")


def evaluate(context: EvaluationContext) -> ParityResults:
    """Compare Keras, LiteRT and TFLM on a model's evaluation data, and look into the layers.

    The `.tflite` of the model runs in LiteRT with its built-in kernels (without XNNPACK, see `LiteRtPredictor`) and in
    TFLM. What quantization costs is told against the float32 `.tflite` of the archive, or the file
    `<name>.float32.tflite` beside a bare one; without it that part is left out.

    Raises:
        EvaluationError: There are no data, or the option `samples` is no number of them.
        TflmError: TFLM cannot run the model.
    """
    count = context.options.get("samples", DEFAULT_SAMPLES)
    if not isinstance(count, int) or count < 1:
        raise EvaluationError(f"The option 'samples' must be a number of samples, at least 1, not {count!r}.")
    model = _quantized(context)
    runners: dict[str, Predictor] = {
        "litert": LiteRtPredictor(model, name=context.predictor.name),
        "tflm": TflmPredictor(model, name=context.predictor.name),
    }
    keras = _keras(context)
    if keras is not None:
        runners["keras"] = keras
    outputs, labels = _run(context, runners)
    mine, theirs = outputs["litert"], outputs["tflm"]
    judge = _Judge(context, labels, outputs)
    differing = _bits(mine) != _bits(theirs)
    results = ParityResults(
        name=context.predictor.name,
        model_type="parity",
        samples=len(mine),
        metric=judge.metric,
        scores={name: judge(outputs[name]) for name in _NAMES if name in outputs},
        equal_values=1 - float(differing.mean()),
        equal_samples=1 - float(differing.reshape(len(mine), -1).any(axis=1).mean()),
        largest_difference=float(np.abs(mine - theirs).max()) / _step(model),
    )
    if keras is not None and judge.metric == ACCURACY:
        results["keras_agreement"] = float(np.mean(_classes(outputs["keras"]) == _classes(theirs)))
    unlike = np.flatnonzero(differing.reshape(len(mine), -1).any(axis=1))
    _look_into_layers(results, context, model, judge, count, unlike)
    results.save(context.output_dir)
    results.generate_plots(show=context.show, output_dir=context.output_dir, logger=context.logger)
    return results


class _Judge:
    """Gives a figure to the outputs of a model: the accuracy of a classifier, else an error.

    Args:
        context: Says whether the outputs are classes.
        labels: Of all samples, if there are any.
        outputs: Of all samples, by what ran the model.
    """

    def __init__(
        self, context: EvaluationContext, labels: np.ndarray | None, outputs: Mapping[str, np.ndarray]
    ) -> None:
        found = outputs["litert"]
        self._target: np.ndarray
        ids = _class_labels(context, labels, found)
        if ids is not None:
            self.metric, self._target = ACCURACY, ids
        elif labels is not None and labels.shape == found.shape:
            self.metric, self._target = "mean squared error against the labels", labels
        elif "keras" in outputs:
            self.metric, self._target = "mean squared error against Keras", outputs["keras"]
        else:
            self.metric, self._target = "mean squared error against LiteRT", found

    def __call__(self, outputs: np.ndarray, samples: np.ndarray | slice = slice(None)) -> float:
        """Return the figure for outputs of all samples, or of some by their numbers."""
        target = self._target[samples]
        if self.metric == ACCURACY:
            return float(np.mean(_classes(outputs) == target))
        return float(np.mean(np.square(outputs.reshape(target.shape) - target, dtype=np.float64)))


def _class_labels(
    context: EvaluationContext, labels: np.ndarray | None, outputs: np.ndarray
) -> np.ndarray | None:
    """Return the ids of the classes, or `None` if labels and outputs are not those of a classifier."""
    if getattr(type(context.model), "default_evaluator", "classifier") != "classifier":
        return None
    if labels is None or outputs.ndim != 2 or labels.ndim > 2:
        return None
    if labels.shape == outputs.shape and not np.isin(labels, (0, 1)).all():
        return None
    try:
        ids = class_ids(labels)
    except EvaluationError:
        return None
    return ids if ids.min() >= 0 and ids.max() < max(2, outputs.shape[1]) else None


def _quantized(context: EvaluationContext) -> TfliteModel:
    model = getattr(context.predictor, "tflite_model", None)
    return model if isinstance(model, TfliteModel) else load_tflite_model(context.model)  # type: ignore[arg-type]


def _keras(context: EvaluationContext) -> Predictor | None:
    """Return the Keras model, or `None` with a word about why not."""
    if context.predictor.kind == "h5":
        return context.predictor
    if context.model is None:
        return None
    try:
        keras_model = load_tflite_or_keras_model(context.model, model_type="h5")
    except MltkError as error:
        context.logger.warning("Keras is left out of the comparison: %s", error)
        return None
    return make_predictor(keras_model, context.predictor.name)


def _batches(context: EvaluationContext) -> Iterator[tuple[np.ndarray, np.ndarray | None]]:
    return limit_per_class(context.batches(), context.options.get("max_samples_per_class"))


def _run(
    context: EvaluationContext, runners: Mapping[str, Predictor]
) -> tuple[dict[str, np.ndarray], np.ndarray | None]:
    """Return what each runner predicts for all samples, float32, and the labels."""
    outputs: dict[str, list[np.ndarray]] = {name: [] for name in runners}
    labels = []
    for x, y in _batches(context):
        labels.append(y)
        for name, runner in runners.items():
            outputs[name].append(runner.predict(x))
    if not labels:
        raise EvaluationError(f"There are no data to evaluate '{context.predictor.name}' with.")
    known = [y for y in labels if y is not None]
    return (
        {name: np.concatenate(parts) for name, parts in outputs.items()},
        np.concatenate(known) if len(known) == len(labels) else None,
    )


def _samples(context: EvaluationContext, numbers: np.ndarray) -> list[np.ndarray]:
    """Return samples by their numbers, in another pass over the data."""
    wanted = set(numbers.tolist())
    found: list[np.ndarray] = []
    seen = 0
    for x, _ in _batches(context):
        found += [x[i] for i in range(len(x)) if seen + i in wanted]
        seen += len(x)
    return found


def _look_into_layers(
    results: ParityResults,
    context: EvaluationContext,
    model: TfliteModel,
    judge: _Judge,
    count: int,
    unlike: np.ndarray,
) -> None:
    """Add what the layers do to the results.

    Args:
        results: What is added to.
        context: Gives the samples.
        model: The quantized model.
        judge: Gives the figures.
        count: Most samples to look at.
        unlike: Numbers of the samples with outputs that differ between LiteRT and TFLM.
    """
    total = results["samples"]
    count = min(count, total, max(1, _TRACE_BYTES // trace_size(model)))
    numbers = np.linspace(0, total - 1, count).round().astype(int)
    samples = _samples(context, numbers)
    parities = compare_runtimes(model, samples)
    # Where they part is best seen in samples that end differently, of which there may be few.
    found = [_first_difference(model, parities)]
    if len(unlike):
        found.append(_first_difference(model, compare_runtimes(model, _samples(context, unlike[:count]))))
    parted = [layer for layer in found if layer is not None]
    costs: Mapping[int, LayerCost] = {}
    floating = _floating(context, model)
    if floating is None:
        context.logger.info("There is no float32 .tflite of this model: what quantization costs is left out.")
    elif model.n_outputs == 1:
        costs, exact = quantization_costs(model, floating, samples, partial(judge, samples=numbers))
        results["float_score"] = judge(exact, numbers)
    results["layer_samples"] = len(samples)
    results["first_difference"] = min(parted, key=lambda layer: layer.index).name if parted else None
    results["layers"] = [
        {
            "index": layer.index,
            "opcode": layer.opcode_str,
            **(asdict(parity) if parity is not None else {}),
            **(asdict(costs[layer.index]) if layer.index in costs else {}),
        }
        for layer, parity in zip(model.layers, parities, strict=True)
    ]
    if costs:
        costliest = max(costs, key=lambda index: costs[index].output_error)
        results["costliest_layer"] = model.layers[costliest].name


def _first_difference(model: TfliteModel, parities: Sequence[LayerParity | None]) -> TfliteLayer | None:
    pairs = zip(model.layers, parities, strict=True)
    return next((layer for layer, parity in pairs if parity is not None and parity.differing), None)


def _floating(context: EvaluationContext, model: TfliteModel) -> TfliteModel | None:
    """Return the same network in float32, if there is one."""
    if context.model is not None:
        try:
            floating = load_tflite_model(context.model, archive_file_ext=_FLOAT)
        except ArchiveFileNotFoundError:
            # Archives of older versions, or my_model.tflite_converter, do without.
            return None
    else:
        path = Path(str(model.path).removesuffix(".tflite") + _FLOAT)
        if model.path is None or not path.is_file():
            return None
        floating = TfliteModel.load_flatbuffer_file(path)
    # Older files of that name hold int8 weights.
    weights = (tensor for tensor in floating.tensors if tensor.is_constant)
    return None if any(tensor.dtype == np.int8 for tensor in weights) else floating


def _bits(values: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(values, np.float32).view(np.uint32)


def _step(model: TfliteModel) -> float:
    """Return the step of the output's quantization; 1 if it has none."""
    scale = model.outputs[0].quantization.scale
    return scale[0] if scale else 1.0


def _classes(outputs: np.ndarray) -> np.ndarray:
    return outputs.argmax(axis=1) if outputs.shape[1] > 1 else outputs[:, 0] > 0.5
