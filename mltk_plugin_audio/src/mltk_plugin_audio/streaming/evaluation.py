"""The evaluator `streaming`: error rates of a device that listens with this model."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import fields

import numpy as np

from mltk.errors import EvaluationError
from mltk.plugins import EvaluationContext, Model, Predictor, get_plugin_manager
from mltk.tflite.parameters import TfliteModelParameters
from mltk_plugin_audio._batches import AudioBatches
from mltk_plugin_audio._noise_and_rooms import find_folder
from mltk_plugin_audio._signal import resample
from mltk_plugin_audio.generator import AudioIterator
from mltk_plugin_audio.streaming.composition import Composition, compose
from mltk_plugin_audio.streaming.detection import DetectionSettings, find_detectable
from mltk_plugin_audio.streaming.labels import format_labels
from mltk_plugin_audio.streaming.long_recordings import Recording, open_recording
from mltk_plugin_audio.streaming.metrics import (
    Curve,
    Outcome,
    Trace,
    compute_curve,
    compute_rate_limits,
    count_outcomes,
)
from mltk_plugin_audio.streaming.model import Features, StreamingModel, score_blocks
from mltk_plugin_audio.streaming.options import StreamingOptions
from mltk_plugin_audio.streaming.results import StreamingEvaluationResults, format_rate


def evaluate(context: EvaluationContext) -> StreamingEvaluationResults:
    """Evaluate a model on long recordings: the function behind `mltk evaluate --evaluator streaming`.

    Options are those of `StreamingOptions`. `context.options` takes precedence over `streaming_evaluation` of the
    model. The seed of the model determines a recording composed of evaluation clips, whose labels are written beside
    the results as `evaluation clips.txt`.

    Raises:
        EvaluationError: The class names are unknown.
        SpecificationError: The options, or the parameters of the model, are invalid.
        DatasetError: A recording or its labels cannot be read.
    """
    names = {f.name for f in fields(StreamingOptions)}
    given = {name: value for name, value in context.options.items() if name in names}
    options = StreamingOptions.from_mapping({**getattr(context.model, "streaming_evaluation", {}), **given})
    parameters, features = get_parameters(context.predictor, context.model)
    named = parameters.get("classes")
    classes = tuple(named if named and isinstance(named, list | tuple) else context.classes)
    if not classes:
        raise EvaluationError(f"'{context.predictor.name}' does not name its classes (parameter classes).")
    settings = DetectionSettings.from_parameters(parameters, **options.get_detection_settings())

    def start() -> StreamingModel:
        return StreamingModel(
            context.predictor, parameters, settings, features=features, source=f"'{context.predictor.name}'"
        )

    rate = start().frontend.sample_rate_hz
    if options.recordings:
        recordings = [open_recording(path, rate, classes) for path in options.list_files()]
    else:
        recordings = [_compose_clips(context, classes, rate, options)]
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
    """Run a model on recordings, and count its errors at its own threshold and at all others.

    Entries of the results; plurals have one item per class:

    - `hours`, `recordings`, `classes`, `detectable_classes`, `settings`, `tolerance_ms`;
    - `events`, `hits`, `false_accepts`, `repeats` (false accepts that repeat a correct detection);
    - `false_accepts_per_hour` of all classes, `false_accepts_per_hour_limits_95` (exact, for a Poisson process),
      `false_reject_rate`, `latency_ms_median`, `latency_ms_p95`: from the end of the word to its detection;
    - `by_class`: the same for each class;
    - `curve_false_accepts_per_hour`, `curve_false_reject_rate`: for each threshold from 0 to 255;
    - `wanted_false_accepts_per_hour`, `recommended_threshold` (see `Curve.recommend`),
    `recommended_false_reject_rate`,
      `recommended_false_accepts_per_hour`.

    Args:
        start: Function that creates the model, called for each recording.
        recordings: Recordings; memory holds one block of one recording, and all scores.
        classes: Class names.
        settings: Detection settings.
        options: Options, of which `wanted_false_accepts_per_hour` and `tolerance_ms` are used.
        logger: Logger for progress, and for a warning if the recordings are too short for the wanted rate.

    Raises:
        EvaluationError: The recordings are shorter than one hop, or the model has a different number of classes.
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
    outcome = count_outcomes(traces, settings, classes, tolerance_ms)
    curve = compute_curve(traces, settings, classes, tolerance_ms)
    wanted = options.wanted_false_accepts_per_hour
    if logger is not None and wanted * hours < 1:
        logger.warning(
            "%.2f hours of sound are too few to estimate %g false accepts per hour: without any false accept, the rate "
            "may still be up to %s per hour. Evaluate with longer recordings.",
            hours,
            wanted,
            format_rate(compute_rate_limits(0, hours)[1]),
        )
    reported = [int(i) for i in np.flatnonzero(find_detectable(classes))]
    return StreamingEvaluationResults(
        model_type="streaming",
        hours=hours,
        recordings=[recording.name for recording in recordings],
        classes=list(classes),
        detectable_classes=[classes[i] for i in reported],
        settings={f.name: getattr(settings, f.name) for f in fields(settings)}
        | {"latency_ms": settings.hop_ms},
        tolerance_ms=tolerance_ms,
        **_summarize_outcome(outcome, hours),
        by_class={classes[i]: _summarize_class(outcome, curve, hours, i) for i in reported},
        wanted_false_accepts_per_hour=wanted,
        **_summarize_recommendation(curve, curve.recommend(wanted)),
        curve_false_accepts_per_hour=curve.total_false_accepts_per_hour,
        curve_false_reject_rate=curve.total_false_reject_rate,
    )


def get_parameters(
    predictor: Predictor, mltk_model: Model | None
) -> tuple[Mapping[str, object], Features | None]:
    """Return the parameters that the device reads, and the input type of a Keras model (`None` for a `.tflite`).

    A `.tflite` contains its parameters; for a Keras model, they are those that would be embedded.
    """
    tflite_model = getattr(predictor, "tflite_model", None)
    if tflite_model is not None:
        return dict(TfliteModelParameters.load_from_tflite_model(tflite_model)), None
    if mltk_model is None:
        raise EvaluationError(
            f"The Keras model '{predictor.name}' needs its specification for this evaluation."
        )
    offered = get_plugin_manager().collect_offers(
        "mltk_model_parameters", mltk_model=mltk_model, tflite_model=None
    )
    parameters = {name: parameter.value for name, parameter in offered.items()}
    parameters |= {"classes": list(mltk_model.classes), **mltk_model.model_parameters}
    datagen = getattr(mltk_model, "datagen", None)
    dtype = getattr(datagen, "frontend_dtype", None) or getattr(datagen, "dtype", None) or np.float32
    types: dict[str, Features] = {"int8": "int8", "uint16": "uint16"}
    return parameters, types.get(np.dtype(dtype).name, "float32")


def _compose_clips(
    context: EvaluationContext, classes: Sequence[str], rate: int, options: StreamingOptions
) -> Recording:
    model = context.model
    if model is not None:
        # The first batch loads the data set; the clips are then read without making batches.
        next(context.batches(), None)
    iterator = getattr(getattr(model, "datagen_context", None), "evaluation_datagen", None)
    if model is None or not isinstance(iterator, AudioIterator):
        raise EvaluationError(
            f"'{context.predictor.name}' has no evaluation clips to compose a long recording from. Give recordings "
            "(--option recordings=FILE or FOLDER)."
        )
    batches = iterator.batches
    background = options.background
    if background is None and batches.generator.bg_noise_dir:
        background = find_folder("bg_noise_dir", batches.generator.bg_noise_dir, batches.params.directory)
    how = Composition(
        seed=model.seed or 0,
        max_minutes=options.max_minutes,
        gap_ms=options.gap_ms,
        snr_db=options.snr_db,
        background=background,
    )
    return compose(read_clips(batches, rate), classes, rate, how)


def read_clips(batches: AudioBatches, rate: int) -> Iterator[tuple[np.ndarray, int]]:
    """Yield each recording of the data set, not augmented, as float32 `(n,)` at `rate`, with its class id."""
    for index, class_id in enumerate(batches.labels.ids.tolist()):
        samples, recorded_rate = batches.samples.read(index)
        yield resample(samples, recorded_rate, rate), class_id


def _trace(
    model: StreamingModel, recording: Recording, classes: Sequence[str], logger: logging.Logger | None
) -> Trace:
    samples = 0

    def count() -> Iterator[np.ndarray]:
        nonlocal samples
        for block in recording.blocks():
            samples += len(block)
            yield block

    parts = list(score_blocks(model, count()))
    for _, scores in parts:
        if scores.shape[1] != len(classes):
            raise EvaluationError(
                f"The model returns {scores.shape[1]} scores, but names {len(classes)} classes."
            )
    times = np.concatenate([np.empty(0, np.int64), *(times for times, _ in parts)])
    all_scores = np.concatenate([np.empty((0, len(classes)), np.uint8), *(scores for _, scores in parts)])
    duration_ms = 1000 * samples / model.frontend.sample_rate_hz
    if logger is not None:
        logger.info("Listened to %s: %.1f minutes", recording.name, duration_ms / 60000)
    return Trace(times, all_scores, recording.events, duration_ms if len(times) else 0.0)


def _summarize_outcome(outcome: Outcome, hours: float) -> dict[str, object]:
    count = int(outcome.false_accepts.sum())
    latencies = [value for of_class in outcome.latencies_ms for value in of_class]
    return {
        "events": outcome.events.tolist(),
        "hits": outcome.hits.tolist(),
        "false_accepts": outcome.false_accepts.tolist(),
        "repeats": outcome.repeats.tolist(),
        "false_accepts_per_hour": count / hours,
        "false_accepts_per_hour_limits_95": compute_rate_limits(count, hours),
        "false_reject_rate": outcome.false_reject_rate,
        "latency_ms_median": _compute_quantile(latencies, 0.5),
        "latency_ms_p95": _compute_quantile(latencies, 0.95),
    }


def _summarize_class(outcome: Outcome, curve: Curve, hours: float, i: int) -> dict[str, object]:
    hits, events = int(outcome.hits[i]), int(outcome.events[i])
    return {
        "events": events,
        "false_accepts_per_hour": float(outcome.false_accepts[i] / hours),
        "false_reject_rate": 1 - hits / events if events else None,
        "latency_ms_median": _compute_quantile(outcome.latencies_ms[i], 0.5),
        "latency_ms_p95": _compute_quantile(outcome.latencies_ms[i], 0.95),
        "curve_false_accepts_per_hour": curve.false_accepts_per_hour[:, i],
        "curve_false_reject_rate": curve.false_reject_rate[:, i],
    }


def _summarize_recommendation(curve: Curve, threshold: int | None) -> dict[str, object]:
    rejects, accepts = curve.total_false_reject_rate, curve.total_false_accepts_per_hour
    return {
        "recommended_threshold": threshold,
        "recommended_false_reject_rate": None if threshold is None else rejects[threshold],
        "recommended_false_accepts_per_hour": None if threshold is None else accepts[threshold],
    }


def _compute_quantile(values: Sequence[float], share: float) -> float | None:
    return float(np.quantile(values, share)) if values else None
