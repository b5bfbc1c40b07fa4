"""The evaluator `streaming`: how often a device with this model would be wrong."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import fields
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from mltk.errors import EvaluationError
from mltk.results.evaluation import EvaluationResults
from mltk_plugin_audio._batches import AudioBatches
from mltk_plugin_audio._files import resampled
from mltk_plugin_audio._recordings import find_folder
from mltk_plugin_audio.generator import AudioIterator
from mltk_plugin_audio.streaming.detection import MAX_SCORE, DetectionSettings, detectable
from mltk_plugin_audio.streaming.hooks import OPTION_NAMES
from mltk_plugin_audio.streaming.metrics import Curve, Trace, rate_limits, sum_outcomes, threshold_curve
from mltk_plugin_audio.streaming.options import StreamingOptions
from mltk_plugin_audio.streaming.recordings import (
    Composition,
    Recording,
    compose,
    format_labels,
    open_recording,
)
from mltk_plugin_audio.streaming.stream import Features, StreamingModel, score_blocks

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from mltk.plugins.types import EvaluationContext, Predictor


class StreamingEvaluationResults(EvaluationResults):
    """The results of the evaluator `streaming`; `evaluate_streaming` describes its entries."""

    def generate_summary(self, include_all: bool = True) -> str:
        """Return a readable text.

        Args:
            include_all: Also one line for each class, and for the recommended threshold.
        """
        lines = [f"Name: {self.name}", f"Model Type: {self.model_type}"]
        low, high = self["false_accepts_per_hour_limits_95"]
        lines += [
            f"Listened: {self['hours']:.2f} h with {sum(self['events'])} words, "
            f"every {self['settings']['latency_ms']} ms",
            f"At {self._threshold_text()}:",
            f"- false accepts: {sum(self['false_accepts'])}, {_rate(self['false_accepts_per_hour'])} per hour "
            f"(95 % limits {_rate(low)} to {_rate(high)}), {sum(self['repeats'])} of them repeats",
            f"- false rejects: {_percent(self['false_reject_rate'])}",
            f"- latency: median {_ms(self['latency_ms_median'])}, 95th percentile {_ms(self['latency_ms_p95'])}",
        ]
        if not include_all:
            return "\n".join(lines)
        width = max(map(len, self["detectable_classes"]))
        for name, figures in self["by_class"].items():
            lines.append(
                f"- {name:<{width}}  {_rate(figures['false_accepts_per_hour']):>7} per hour  "
                f"{_percent(figures['false_reject_rate']):>7} of {figures['events']} missed  "
                f"{_ms(figures['latency_ms_median'])}"
            )
        recommended, wanted = self["recommended_threshold"], self["wanted_false_accepts_per_hour"]
        if recommended is None:
            lines.append(f"No threshold keeps to {wanted:g} false accepts per hour and detects anything.")
        else:
            lines.append(
                f"For at most {wanted:g} false accepts per hour: detection_threshold = {recommended} "
                f"(false rejects {_percent(self['recommended_false_reject_rate'])})"
            )
        return "\n".join(lines)

    def figures(self) -> Iterator[tuple[str, str, Callable[[Figure], None]]]:
        """Yield the plots: false rejects against false accepts, and both against the threshold."""
        if sum(self["events"]):
            yield "streaming", "streaming", self._draw_trade_off
        yield "streaming_thresholds", "streaming_thresholds", self._draw_thresholds

    def _threshold_text(self) -> str:
        thresholds = self["settings"]["detection_threshold_list"]
        if thresholds:
            return f"the thresholds of the model ({', '.join(map(str, thresholds))})"
        return f"threshold {self['settings']['detection_threshold']}"

    def _draw_trade_off(self, figure: Figure) -> None:
        from mltk.results.plots import line_styles

        figure.set_size_inches(7.2, 5.0)
        axes = figure.subplots()
        accepts = np.asarray(self["curve_false_accepts_per_hour"])
        rejects = 100 * np.asarray(self["curve_false_reject_rate"])
        by_class = {
            name: (
                np.asarray(f["curve_false_accepts_per_hour"]),
                100 * np.asarray(f["curve_false_reject_rate"]),
            )
            for name, f in self["by_class"].items()
            if f["events"]
        }
        axes.set_title(f"{self.name}: false rejects against false accepts")
        axes.set(xlabel="False accepts per hour", ylabel="False rejects (%)", ylim=(-2, 102))
        # One false accept in all the time is the smallest rate above zero that can be seen.
        axes.set_xscale("symlog", linthresh=1 / self["hours"])
        axes.xaxis.set_major_formatter("{x:,g}")
        axes.set_xlim(
            0, max(1.3 * float(accepts.max()), 2 / self["hours"], 2 * self["wanted_false_accepts_per_hour"])
        )
        axes.grid(True)
        if 1 < len(by_class) <= 20:
            for (name, (x, y)), style in zip(by_class.items(), line_styles(len(by_class)), strict=True):
                axes.plot(x, y, label=name, alpha=0.6, linewidth=1.0, **cast("dict[str, Any]", style))
        axes.plot(accepts, rejects, color="black", linewidth=2.2, label="all classes")
        x, y = self["false_accepts_per_hour"], 100 * self["false_reject_rate"]
        axes.plot(
            [x], [y], "o", color="black", markersize=7, clip_on=False, label=f"at {self._threshold_text()}"
        )
        if (recommended := self["recommended_threshold"]) is not None:
            axes.plot(
                accepts[recommended],
                rejects[recommended],
                "D",
                color="#c03030",
                markersize=7,
                clip_on=False,
                zorder=4,
                label=f"recommended: {recommended}",
            )
        axes.axvline(
            self["wanted_false_accepts_per_hour"],
            color="#c03030",
            linestyle=":",
            linewidth=1.2,
            label="wanted rate",
        )
        axes.legend(loc="center left", bbox_to_anchor=(1.01, 0.5))
        figure.set_size_inches(9.2, 5.0)

    def _draw_thresholds(self, figure: Figure) -> None:
        figure.set_size_inches(7.6, 4.6)
        axes = figure.subplots()
        thresholds = np.arange(MAX_SCORE + 1)
        axes.set_title(f"{self.name}: what each threshold would give")
        axes.set(xlabel="detection_threshold", ylabel="False accepts per hour", xlim=(0, MAX_SCORE))
        axes.set_yscale("symlog", linthresh=1 / self["hours"])
        axes.yaxis.set_major_formatter("{x:,g}")
        axes.grid(True)
        accepts = axes.plot(
            thresholds, self["curve_false_accepts_per_hour"], color="#c03030", drawstyle="steps-mid"
        )
        axes.set_ylim(bottom=0)
        handles, names = [accepts[0]], ["false accepts per hour"]
        if sum(self["events"]):
            other = axes.twinx()
            other.spines["right"].set_visible(True)
            rejects = other.plot(
                thresholds,
                100 * np.asarray(self["curve_false_reject_rate"]),
                color="#2060b0",
                drawstyle="steps-mid",
            )
            other.set(ylabel="False rejects (%)", ylim=(-2, 102))
            handles.append(rejects[0])
            names.append("false rejects")
        if (recommended := self["recommended_threshold"]) is not None:
            handles.append(axes.axvline(recommended, color="black", linestyle="--", linewidth=1.2))
            names.append(f"recommended: {recommended}")
        if not self["settings"]["detection_threshold_list"]:
            embedded = self["settings"]["detection_threshold"]
            handles.append(axes.axvline(embedded, color="black", linestyle=":", linewidth=1.2))
            names.append(f"used: {embedded}")
        figure.legend(handles, names, loc="outside lower center", ncols=len(names))


def evaluate(context: EvaluationContext) -> StreamingEvaluationResults:
    """Evaluate a model of sound on long recordings; what `mltk evaluate --evaluator streaming` calls.

    Options are those of `StreamingOptions`, from `context.options` and, where they are not there, from
    `streaming_evaluation` of the model. A recording made of the evaluation clips has the seed of the model. Its
    labels are written beside the results, as `evaluation clips.txt`.

    Raises:
        EvaluationError: The model is not known by its classes.
        SpecificationError: The options, or the model's parameters, are not usable.
        DatasetError: A recording or its labels cannot be read.
    """
    model: Any = context.model
    given = {name: value for name, value in context.options.items() if name in OPTION_NAMES}
    options = StreamingOptions.from_mapping({**getattr(model, "streaming_evaluation", {}), **given})
    parameters, features = model_parameters(context.predictor, model)
    named = parameters.get("classes")
    classes = tuple(named if named and isinstance(named, list | tuple) else context.classes)
    if not classes:
        raise EvaluationError(f"'{context.predictor.name}' does not name its classes (parameter classes).")
    settings = DetectionSettings.from_parameters(parameters, **options.detection())

    def start() -> StreamingModel:
        return StreamingModel(
            context.predictor, parameters, settings, features=features, source=f"'{context.predictor.name}'"
        )

    rate = start().frontend.sample_rate_hz
    if options.recordings:
        recordings = [open_recording(path, rate, classes) for path in options.files()]
    else:
        recordings = [_composed(context, classes, rate, options)]
        labels = context.output_dir / f"{recordings[0].name}.txt"
        labels.write_text(format_labels(recordings[0].events, classes), encoding="utf-8")
    results = evaluate_streaming(start, recordings, classes, settings, options, context.logger)
    results["name"] = context.predictor.name
    results.generate_plots(show=context.show, output_dir=context.output_dir, logger=context.logger)
    results.save(context.output_dir)
    return results


def evaluate_streaming(
    start: Callable[[], StreamingModel],
    recordings: Sequence[Recording],
    classes: Sequence[str],
    settings: DetectionSettings,
    options: StreamingOptions | None = None,
    logger: logging.Logger | None = None,
) -> StreamingEvaluationResults:
    """Run a model over recordings, and count where it is wrong at its own and at all other thresholds.

    Entries of the results, with one item per class where the name is a plural:

    - `hours`, `recordings`, `classes`, `detectable_classes`, `settings`, `tolerance_ms`;
    - `events`, `hits`, `false_accepts`, `repeats` (false accepts that repeat a right detection);
    - `false_accepts_per_hour` of all classes, with `false_accepts_per_hour_limits_95` (exact, of a Poisson process),
      `false_reject_rate`, `latency_ms_median`, `latency_ms_p95`: from the end of the word to its detection;
    - `by_class`: the same for each class;
    - `curve_false_accepts_per_hour`, `curve_false_reject_rate`: for every threshold from 0 to 255;
    - `wanted_false_accepts_per_hour`, `recommended_threshold` (see `Curve.recommend`), `recommended_false_reject_rate`,
      `recommended_false_accepts_per_hour`.

    Args:
        start: Makes the model, for one recording each time.
        recordings: The recordings; only one block of one of them, and the scores, are held in memory.
        classes: Names of the classes.
        settings: How detections are made.
        options: `wanted_false_accepts_per_hour` and `tolerance_ms` are used.
        logger: Told what is done, and when the recordings are too short for the wanted rate.

    Raises:
        EvaluationError: The recordings are shorter than one hop, or the model has another number of classes.
    """
    options = options or StreamingOptions()
    traces = [_trace(start(), recording, classes, logger) for recording in recordings]
    hours = sum(trace.duration_ms for trace in traces) / 3.6e6
    if not hours:
        raise EvaluationError(f"The recordings are shorter than {settings.hop_ms} ms, one hop of the model.")
    tolerance_ms = options.tolerance_ms
    if tolerance_ms is None:
        tolerance_ms = (
            start().frontend.sample_length_ms + settings.average_window_duration_ms + settings.hop_ms
        )
    outcome = sum_outcomes(traces, settings, classes, tolerance_ms)
    curve = threshold_curve(traces, settings, classes, tolerance_ms)
    recommended = curve.recommend(options.wanted_false_accepts_per_hour)
    if logger is not None and options.wanted_false_accepts_per_hour * hours < 1:
        logger.warning(
            "%.2f hours of sound say little about %g false accepts per hour: with none seen, there may still be "
            "up to %s per hour. Evaluate with longer recordings.",
            hours,
            options.wanted_false_accepts_per_hour,
            _rate(rate_limits(0, hours)[1]),
        )
    count = int(outcome.false_accepts.sum())
    every_latency = [value for own in outcome.latencies_ms for value in own]
    reported = [int(i) for i in np.flatnonzero(detectable(classes))]
    return StreamingEvaluationResults(
        model_type="streaming",
        hours=hours,
        recordings=[recording.name for recording in recordings],
        classes=list(classes),
        detectable_classes=[classes[i] for i in reported],
        settings={f.name: getattr(settings, f.name) for f in fields(settings)}
        | {"latency_ms": settings.hop_ms},
        tolerance_ms=tolerance_ms,
        events=outcome.events.tolist(),
        hits=outcome.hits.tolist(),
        false_accepts=outcome.false_accepts.tolist(),
        repeats=outcome.repeats.tolist(),
        false_accepts_per_hour=count / hours,
        false_accepts_per_hour_limits_95=rate_limits(count, hours),
        false_reject_rate=outcome.false_reject_rate,
        latency_ms_median=_quantile(every_latency, 0.5),
        latency_ms_p95=_quantile(every_latency, 0.95),
        by_class={
            classes[i]: {
                "events": int(outcome.events[i]),
                "false_accepts_per_hour": float(outcome.false_accepts[i] / hours),
                "false_reject_rate": _missed(int(outcome.hits[i]), int(outcome.events[i])),
                "latency_ms_median": _quantile(outcome.latencies_ms[i], 0.5),
                "latency_ms_p95": _quantile(outcome.latencies_ms[i], 0.95),
                "curve_false_accepts_per_hour": curve.false_accepts_per_hour[:, i],
                "curve_false_reject_rate": curve.false_reject_rate[:, i],
            }
            for i in reported
        },
        wanted_false_accepts_per_hour=options.wanted_false_accepts_per_hour,
        **_recommendation(curve, recommended),
        curve_false_accepts_per_hour=curve.total_false_accepts_per_hour,
        curve_false_reject_rate=curve.total_false_reject_rate,
    )


def model_parameters(predictor: Predictor, mltk_model: Any) -> tuple[dict[str, Any], Features | None]:
    """Return the parameters that the device would read, and what a Keras model reads (`None` for a `.tflite`).

    Those of a `.tflite` are in it; for a Keras model, they are what would be embedded.
    """
    tflite_model = getattr(predictor, "tflite_model", None)
    if tflite_model is not None:
        from mltk.tflite.parameters import TfliteModelParameters

        return dict(TfliteModelParameters.load_from_tflite_model(tflite_model)), None
    from mltk.plugins import collect_offers

    offered = collect_offers("mltk_model_parameters", mltk_model=mltk_model, tflite_model=None)
    parameters = {name: parameter.value for name, parameter in offered.items()}
    parameters |= {"classes": list(mltk_model.classes), **mltk_model.model_parameters}
    datagen = mltk_model.datagen
    name = np.dtype(
        getattr(datagen, "frontend_dtype", None) or getattr(datagen, "dtype", None) or np.float32
    ).name
    return parameters, name if name in ("int8", "uint16") else "float32"  # type: ignore[return-value]


def _composed(
    context: EvaluationContext, classes: Sequence[str], rate: int, options: StreamingOptions
) -> Recording:
    if context.model is not None:
        # The data set is loaded when the first batch is asked for; what the batches are made of is what is wanted.
        next(context.batches(), None)
    iterator = getattr(getattr(context.model, "datagen_context", None), "evaluation_datagen", None)
    if not isinstance(iterator, AudioIterator):
        raise EvaluationError(
            f"There are no evaluation clips of '{context.predictor.name}' to make a long recording of: give recordings "
            "(--option recordings=FILE or FOLDER)."
        )
    batches = iterator.batches
    background = options.background
    if background is None and batches.generator.bg_noise_dir:
        background = find_folder("bg_noise_dir", batches.generator.bg_noise_dir, batches.params.directory)
    how = Composition(
        seed=context.model.seed or 0,  # type: ignore[union-attr]
        max_minutes=options.max_minutes,
        gap_ms=options.gap_ms,
        snr_db=options.snr_db,
        background=background,
    )
    return compose(evaluation_clips(batches, rate), classes, rate, how)


def evaluation_clips(batches: AudioBatches, rate: int) -> Iterator[tuple[np.ndarray, int]]:
    """Yield the clips that batches are made of, as they were recorded: float32 `(n,)` at `rate`, and class id."""
    for index, class_id in enumerate(batches.labels.ids.tolist()):
        samples, recorded_rate = batches.samples.read(index)
        yield resampled(samples, recorded_rate, rate), class_id


def _trace(
    model: StreamingModel, recording: Recording, classes: Sequence[str], logger: logging.Logger | None
) -> Trace:
    samples = 0

    def counted() -> Iterator[np.ndarray]:
        nonlocal samples
        for block in recording.blocks():
            samples += len(block)
            yield block

    parts = list(score_blocks(model, counted()))
    times = np.concatenate([np.empty(0, np.int64), *(times for times, _ in parts)])
    scores = np.concatenate(
        [np.empty((0, len(classes)), np.uint8), *(_checked(s, classes) for _, s in parts)]
    )
    duration_ms = 1000 * samples / model.frontend.sample_rate_hz
    if logger is not None:
        logger.info("Listened to %s: %.1f minutes", recording.name, duration_ms / 60000)
    return Trace(times, scores, recording.events, duration_ms if len(times) else 0.0)


def _checked(scores: np.ndarray, classes: Sequence[str]) -> np.ndarray:
    if scores.shape[1] != len(classes):
        raise EvaluationError(f"The model gives {scores.shape[1]} scores, but names {len(classes)} classes.")
    return scores


def _recommendation(curve: Curve, threshold: int | None) -> dict[str, Any]:
    return {
        "recommended_threshold": threshold,
        "recommended_false_reject_rate": None
        if threshold is None
        else curve.total_false_reject_rate[threshold],
        "recommended_false_accepts_per_hour": (
            None if threshold is None else curve.total_false_accepts_per_hour[threshold]
        ),
    }


def _missed(hits: int, events: int) -> float | None:
    return 1 - hits / events if events else None


def _quantile(values: Sequence[float], share: float) -> float | None:
    return float(np.quantile(values, share)) if values else None


def _rate(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _percent(share: float | None) -> str:
    return "-" if share is None or math.isnan(share) else f"{share:.1%}"


def _ms(value: float | None) -> str:
    return "-" if value is None else f"{value:.0f} ms"
