"""The evaluator `parity`, which compares Keras, LiteRT and TensorFlow Lite Micro on the same data."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np

from mltk.core import EvaluationResults, TfliteModel, load_tflite_model, load_tflite_or_keras_model
from mltk.errors import ArchiveFileNotFoundError, EvaluationError, MltkError
from mltk.keras.predictor import KerasPredictor
from mltk.results import class_ids, limit_per_class
from mltk.tflite import ExactPredictor
from mltk.utils.string_formatting import format_table
from mltk_plugin_tflm.layers import LayerCost, LayerParity, compare_runtimes, quantization_costs, trace_size
from mltk_plugin_tflm.predictor import TflmPredictor

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from mltk.core import MltkModel
    from mltk.plugins import EvaluationContext, Predictor
    from mltk.tflite import TfliteLayer

DEFAULT_SAMPLES = 100
"""Number of samples, evenly spread over the data, for the analysis of layers."""
ACCURACY = "accuracy"
TOLERANCE = "tflm.parity_tolerance"

_TRACE_BYTES = 512 << 20
"""Maximum memory for the values of all layers; large models are analyzed with fewer samples."""
_FLOAT = ".float32.tflite"
_NAMES = {"keras": "Keras, float", "litert": "LiteRT", "tflm": "TFLite Micro"}


class ParityResults(EvaluationResults):
    """Results of `evaluate`.

    Entries:
        samples: Number of samples.
        metric: Name of the metric: `accuracy` or `mean squared error against …`.
        scores: Metric on all samples, by runtime: `keras`, `litert`, `tflm`.
        equal_values: Fraction of output values that are bit-identical in LiteRT and TFLM.
        equal_samples: Fraction of samples with only bit-identical output values.
        largest_difference: Maximum difference of output values, in quantization steps, or in units of the values.
        keras_agreement: Fraction of samples with the same class in TFLM and Keras; classifiers only.
        first_difference: Name of the first layer whose outputs in LiteRT and TFLM differ, in the samples of the layer
            analysis and in as many samples with different outputs; `None` if there is none.
        layer_samples: Number of samples of the layer analysis.
        float_score: Metric of the float32 `.tflite` on these samples.
        layers: One mapping per layer: `index`, `opcode`, and the known fields of `LayerParity` and `LayerCost`.
        costliest_layer: Name of the layer whose quantization changes the output of the float model most.
    """

    def generate_summary(self, include_all: bool = True) -> str:
        """Return the results as text, with a table of layers if `include_all` is set."""
        lines = [
            f"Name: {self.name}",
            f"Model Type: {self.model_type}",
            f"Samples: {self['samples']}",
            *(f"{_NAMES[key]}, {self['metric']}: {self._figure(v)}" for key, v in self["scores"].items()),
            f"Output values equal in LiteRT and TFLite Micro: {self['equal_values']:.3%}",
            f"Samples with equal outputs: {self['equal_samples']:.3%}",
            f"Largest difference: {self['largest_difference']:g}",
        ]
        if "keras_agreement" in self:
            lines.append(f"Same class as Keras in TFLite Micro: {self['keras_agreement']:.3%}")
        lines += [
            f"First layer with a difference: {self['first_difference'] or 'none'}",
            f"Samples of the layer analysis: {self['layer_samples']}",
        ]
        if "costliest_layer" in self:
            lines += [
                f"Float model on these samples, {self['metric']}: {self._figure(self['float_score'])}",
                f"Layer whose quantization changes the output most: {self['costliest_layer']}",
            ]
        return "\n".join([*lines, "", self._table()] if include_all else lines)

    def figures(self) -> Iterator[tuple[str, str, Callable[[Figure], None]]]:
        """Yield the figure of the layers."""
        yield "layers", "parity_layers", self._draw

    def _figure(self, value: float) -> str:
        return f"{value:.3%}" if self["metric"] == ACCURACY else f"{value:.6g}"

    def _table(self) -> str:
        columns: dict[str, tuple[str, Callable[[float], str]]] = {
            "index": ("Index", str),
            "opcode": ("OpCode", str),
            "differing": ("Differs in TFLM", "{:.3%}".format),
            "differing_by_itself": ("By itself", "{:.3%}".format),
            "largest": ("Largest", "{:g}".format),
            "snr_db": ("SNR (dB)", "{:.1f}".format),
            "own_snr_db": ("Own SNR (dB)", "{:.1f}".format),
            "output_error": ("Output error, only layer int8", "{:.3g}".format),
            "score": (f"{self['metric'].capitalize()}, only layer int8", self._figure),
        }
        known = [key for key in columns if any(key in row for row in self["layers"])]
        rows = [
            [columns[key][1](row[key]) if row.get(key) is not None else "" for key in known]
            for row in self["layers"]
        ]
        return format_table([columns[key][0] for key in known], rows)

    def _draw(self, figure: Figure) -> None:
        panels = {
            "output_error": "Output error, only this layer int8",
            "own_snr_db": "Own signal-to-noise ratio (dB)",
            "differing": "Fraction of different values in TFLM",
        }
        rows = self["layers"]
        panels = {key: title for key, title in panels.items() if any(row.get(key) for row in rows)}
        names = [f"{row['index']} {row['opcode']}" for row in rows]
        figure.set_size_inches(1.5 + 3.4 * len(panels), 1.2 + 0.24 * max(4, len(rows)))
        figure.suptitle(self.name)
        for number, (key, title) in enumerate(panels.items()):
            axes = figure.add_subplot(1, len(panels), number + 1)
            # An infinite ratio has no bar; the table shows it.
            values = [row.get(key) or 0 for row in rows]
            axes.barh(range(len(rows)), [v if np.isfinite(v) else 0 for v in values], color=f"C{number}")
            axes.set(title=title, ylim=(len(rows) - 0.5, -0.5), yticks=range(len(rows)))
            axes.set_yticklabels(names if number == 0 else [])
            axes.grid(axis="x")


def evaluate(context: EvaluationContext) -> ParityResults:
    """Compare Keras, LiteRT and TFLM on the evaluation data of a model, and analyze its layers.

    LiteRT uses its reference kernels (see `ExactPredictor`). The quantization error refers to the
    float32 `.tflite` in the archive, or to `<name>.float32.tflite` next to a bare `.tflite`, and is omitted without it.

    Raises:
        EvaluationError: There are no data, or the option `samples` is invalid.
        TflmError: TFLM cannot run the model.
    """
    count = context.options.get("samples", DEFAULT_SAMPLES)
    if not isinstance(count, int) or count < 1:
        raise EvaluationError(f"The option 'samples' must be an integer, at least 1, got {count!r}.")
    model = _quantized(context)
    predictors: dict[str, Predictor] = {
        "litert": ExactPredictor(model, name=context.predictor.name),
        "tflm": TflmPredictor(model, name=context.predictor.name),
    }
    keras = _keras(context)
    if keras is not None:
        predictors["keras"] = keras
    outputs, labels = _run(context, predictors)
    mine, theirs = outputs["litert"], outputs["tflm"]
    metric = _Metric(context, labels, outputs)
    differing = _bits(mine) != _bits(theirs)
    results = ParityResults(
        name=context.predictor.name,
        model_type="parity",
        samples=len(mine),
        metric=metric.name,
        scores={name: metric(outputs[name]) for name in _NAMES if name in outputs},
        equal_values=1 - float(differing.mean()),
        equal_samples=1 - float(differing.reshape(len(mine), -1).any(axis=1).mean()),
        largest_difference=float(np.abs(mine - theirs).max()) / _step(model),
    )
    if keras is not None and metric.name == ACCURACY:
        results["keras_agreement"] = float(np.mean(_classes(outputs["keras"]) == _classes(theirs)))
    unlike = np.flatnonzero(differing.reshape(len(mine), -1).any(axis=1))
    _analyze_layers(results, context, model, metric, count, unlike)
    results.save(context.output_dir)
    results.generate_plots(show=context.show, output_dir=context.output_dir, logger=context.logger)
    _check_tolerance(results, context)
    return results


def _check_tolerance(results: ParityResults, context: EvaluationContext) -> None:
    """Record a failure, which keeps the results, if outputs differ by more than `tflm.parity_tolerance`."""
    model = cast("MltkModel | None", context.model)
    tolerance = model.settings[TOLERANCE] if model is not None else None
    if model is None or not isinstance(tolerance, float) or results["largest_difference"] <= tolerance:
        return
    error = EvaluationError(
        f"LiteRT and TFLM differ by {results['largest_difference']:g} steps; "
        f'my_model.settings["{TOLERANCE}"] allows {tolerance:g}.'
    )
    model.record_failure("The evaluator 'parity' failed", error)


class _Metric:
    """Metric of the outputs of a model: the accuracy of a classifier, otherwise a mean squared error.

    Args:
        context: The evaluation, with the type of the model.
        labels: Labels of all samples, if available.
        outputs: Outputs for all samples, by runtime.
    """

    def __init__(
        self, context: EvaluationContext, labels: np.ndarray | None, outputs: Mapping[str, np.ndarray]
    ) -> None:
        found = outputs["litert"]
        self._target: np.ndarray
        ids = _class_labels(context, labels, found)
        if ids is not None:
            self.name, self._target = ACCURACY, ids
        elif labels is not None and labels.shape == found.shape:
            self.name, self._target = "mean squared error against the labels", labels
        elif "keras" in outputs:
            self.name, self._target = "mean squared error against Keras", outputs["keras"]
        else:
            self.name, self._target = "mean squared error against LiteRT", found

    def __call__(self, outputs: np.ndarray, samples: np.ndarray | slice = slice(None)) -> float:
        """Compute the metric for outputs of all or selected samples."""
        target = self._target[samples]
        if self.name == ACCURACY:
            return float(np.mean(_classes(outputs) == target))
        return float(np.mean(np.square(outputs.reshape(target.shape) - target, dtype=np.float64)))


def _class_labels(
    context: EvaluationContext, labels: np.ndarray | None, outputs: np.ndarray
) -> np.ndarray | None:
    """Return the class ids, or `None` if the model is not a classifier."""
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
    return model if isinstance(model, TfliteModel) else _load_tflite(context)


def _load_tflite(context: EvaluationContext, archive_file_ext: str | None = None) -> TfliteModel:
    model = load_tflite_model(cast("MltkModel", context.model), archive_file_ext=archive_file_ext)
    assert isinstance(model, TfliteModel)
    return model


def _keras(context: EvaluationContext) -> Predictor | None:
    """Return a predictor of the Keras model, or log the reason and return `None`."""
    if context.predictor.kind == "h5":
        return context.predictor
    if context.model is None:
        return None
    try:
        keras_model = load_tflite_or_keras_model(cast("MltkModel", context.model), model_type="h5")
    except MltkError as error:
        context.logger.warning("The comparison omits Keras: %s", error)
        return None
    return KerasPredictor(keras_model, context.predictor.name)


def _batches(context: EvaluationContext) -> Iterator[tuple[np.ndarray, np.ndarray | None]]:
    return limit_per_class(context.batches(), context.options.get("max_samples_per_class"))


def _run(
    context: EvaluationContext, predictors: Mapping[str, Predictor]
) -> tuple[dict[str, np.ndarray], np.ndarray | None]:
    """Return the float32 predictions of each runtime for all samples, and the labels."""
    outputs: dict[str, list[np.ndarray]] = {name: [] for name in predictors}
    labels = []
    for x, y in _batches(context):
        labels.append(y)
        for name, predictor in predictors.items():
            outputs[name].append(predictor.predict(x))
    if not labels:
        raise EvaluationError(f"There are no data to evaluate '{context.predictor.name}' with.")
    known = [y for y in labels if y is not None]
    return (
        {name: np.concatenate(parts) for name, parts in outputs.items()},
        np.concatenate(known) if len(known) == len(labels) else None,
    )


def _samples(context: EvaluationContext, numbers: np.ndarray) -> list[np.ndarray]:
    """Return samples by index, in another pass over the data."""
    wanted = set(numbers.tolist())
    found: list[np.ndarray] = []
    seen = 0
    for x, _ in _batches(context):
        found += [x[i] for i in range(len(x)) if seen + i in wanted]
        seen += len(x)
    return found


def _analyze_layers(
    results: ParityResults,
    context: EvaluationContext,
    model: TfliteModel,
    metric: _Metric,
    count: int,
    unlike: np.ndarray,
) -> None:
    """Add the analysis of layers to the results.

    Args:
        results: Results to update.
        context: The evaluation, with the data.
        model: The quantized model.
        metric: Metric of the float model.
        count: Maximum number of samples.
        unlike: Indices of samples whose outputs in LiteRT and TFLM differ.
    """
    total = results["samples"]
    count = min(count, total, max(1, _TRACE_BYTES // trace_size(model)))
    numbers = np.linspace(0, total - 1, count).round().astype(int)
    samples = _samples(context, numbers)
    parities = compare_runtimes(model, samples)
    # Samples with different outputs are rare, but show best where the runtimes differ.
    found = [_first_difference(model, parities)]
    if len(unlike):
        found.append(_first_difference(model, compare_runtimes(model, _samples(context, unlike[:count]))))
    parted = [layer for layer in found if layer is not None]
    costs: Mapping[int, LayerCost] = {}
    floating = _floating(context, model)
    if floating is None:
        context.logger.info("There is no float32 .tflite of this model: the quantization error is omitted.")
    elif model.n_outputs == 1:
        costs, exact = quantization_costs(model, floating, samples, partial(metric, samples=numbers))
        results["float_score"] = metric(exact, numbers)
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
    """Return the float32 model, if there is one."""
    if context.model is not None:
        try:
            floating = _load_tflite(context, archive_file_ext=_FLOAT)
        except ArchiveFileNotFoundError:
            # Archives of older versions or with other converter settings do not contain it.
            return None
    else:
        path = Path(str(model.path).removesuffix(".tflite") + _FLOAT)
        if model.path is None or not path.is_file():
            return None
        floating = TfliteModel.load_flatbuffer_file(path)
    # Older files with this name contain int8 weights.
    weights = (tensor for tensor in floating.tensors if tensor.is_constant)
    return None if any(tensor.dtype == np.int8 for tensor in weights) else floating


def _bits(values: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(values, np.float32).view(np.uint32)


def _step(model: TfliteModel) -> float:
    """Return the quantization step of the output; 1 if not quantized."""
    scale = model.outputs[0].quantization.scale
    return scale[0] if scale else 1.0


def _classes(outputs: np.ndarray) -> np.ndarray:
    return outputs.argmax(axis=1) if outputs.shape[1] > 1 else outputs[:, 0] > 0.5
