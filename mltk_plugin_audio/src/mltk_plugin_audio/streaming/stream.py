"""Run a model over sound as the device does: a spectrogram that moves on, and a result after each hop."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Literal, cast

import numpy as np

from mltk.errors import SpecificationError
from mltk_plugin_audio.frontend import (
    AudioFeatureGeneratorSettings,
    AudioFeatureStream,
    quantize_spectrogram,
)
from mltk_plugin_audio.streaming.detection import Detection, DetectionSettings, Detector, to_scores

if TYPE_CHECKING:
    from mltk.plugins.types import Predictor

Features = Literal["int8", "uint16", "float32"]

_BATCH = 256
_FULL_SCALE = 32768

logger = logging.getLogger("mltk.audio")


class StreamingModel:
    """Gives the scores of a model for sound that comes in piece by piece.

    Like the device: the buffer of features begins as zeros, so that there are results before it is full of sound; the
    model runs once per hop, on the newest rows; and what it reads are the features in the type of its input, without
    regard to how that is quantized. With activity detection, there are results only where the front end found some. The
    same sound in other pieces gives the same scores.

    Args:
        predictor: The model.
        parameters: Its parameters, of the `.tflite` or the specification: `fe.*` and `samplewise_norm.*`.
        settings: `latency_ms` and `volume_gain` are used.
        features: What the model reads; `None` takes the type of the `.tflite`'s input.
        source: What to call the model in messages.

    Raises:
        SpecificationError: There are no settings of a front end, they are not usable, or the model does not take its
            spectrogram.
    """

    def __init__(
        self,
        predictor: Predictor,
        parameters: Mapping[str, Any],
        settings: DetectionSettings,
        *,
        features: Features | None = None,
        source: str = "The model",
    ) -> None:
        if not any(name.startswith("fe.") for name in parameters):
            raise SpecificationError(
                f"{source} has no settings of an audio front end (parameters fe.*), so it cannot listen to sound. "
                "Embed them: my_model.model_parameters.update(frontend_settings)"
            )
        self.predictor = predictor
        self.frontend = AudioFeatureGeneratorSettings.from_parameters(parameters)
        self.frontend.validate()
        self.hop_ms = settings.hop_ms
        self._gain = settings.volume_gain or 1
        self._convert = _converter(
            self.frontend,
            features or _input_type(predictor, source),
            _rescale(parameters),
            bool(parameters.get("samplewise_norm.mean_and_std")),
        )
        self._height, self._width = self.frontend.spectrogram_shape
        self._shape = predictor.input_shape[1:]
        if None in self._shape or int(np.prod(np.array(self._shape, int))) != self._height * self._width:
            raise SpecificationError(
                f"{source} takes samples of shape {self._shape}, but its front end (fe.*) gives spectrograms of "
                f"{self._height} rows and {self._width} channels."
            )
        self._received = 0
        self._hops = 0
        self._pending = np.empty(0, np.int16)
        self.clear()

    def clear(self) -> None:
        """Begin with an empty spectrogram, as the device does when it resets its front end; time goes on."""
        self._stream = AudioFeatureStream(self.frontend)
        self._rows = np.zeros((self._height, self._width), np.uint16)
        self._row_count = 0
        self._cleared_at = self._end_of_hop(self._hops)

    @property
    def spectrogram(self) -> np.ndarray:
        """The newest rows of the spectrogram, as many as the model reads: uint16 `(rows, channels)`."""
        return self._rows.copy()

    def process(self, samples: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Take the next samples, and return the results of the hops that they complete.

        Args:
            samples: `(n,)`, any n: int16, or float32 from -1 to 1; at the front end's rate.

        Returns:
            Times of the ends of the hops in milliseconds, int64 `(k,)`, and scores, uint8 `(k, classes)`.

        Raises:
            SpecificationError: The model does not give one score for each class.
        """
        samples = self._to_pcm(samples)
        begin = self._received - len(self._pending)
        self._received += len(samples)
        pcm = np.concatenate([self._pending, samples])
        last = self._received * 1000 // (self.hop_ms * self.frontend.sample_rate_hz) + 1
        hops = np.arange(self._hops + 1, last + 1)
        ends = self._end_of_hop(hops)
        hops, ends = hops[ends <= self._received], ends[ends <= self._received]
        if not len(hops):
            self._pending = pcm
            return np.empty(0, np.int64), np.empty((0, 0), np.uint8)
        self._hops = int(hops[-1])
        cuts = ends - begin
        self._pending = pcm[cuts[-1] :]
        new, active = self._features(pcm, cuts)
        rows = np.concatenate([self._rows, new])
        heard = ends - self._cleared_at - self.frontend.window_size
        at = np.maximum(heard // self.frontend.window_step + 1, 0)
        scores = self._score(rows, at[active])
        self._row_count += len(new)
        self._rows = rows[len(rows) - self._height :]
        return hops[active] * self.hop_ms, scores

    def _features(self, pcm: np.ndarray, cuts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the new rows, and for each hop whether the device would run the model after it."""
        if not self.frontend.activity_detection_enable:
            return self._stream.process(pcm[: cuts[-1]], np.uint16), np.ones(len(cuts), bool)
        rows, active = [], []
        for start, stop in zip([0, *cuts[:-1]], cuts, strict=True):
            rows.append(self._stream.process(pcm[start:stop], np.uint16))
            active.append(self._stream.activity_was_detected())
        return np.concatenate(rows), np.array(active, bool)

    def _score(self, rows: np.ndarray, at: np.ndarray) -> np.ndarray:
        """Return the scores for the spectrograms that end at the row numbers `at`; equal ones are run once."""
        if not len(at):
            return np.empty((0, 0), np.uint8)
        different, of = np.unique(at, return_inverse=True)
        windows = np.lib.stride_tricks.sliding_window_view(rows, self._height, axis=0)
        scores = [
            self._predict(windows[different[i : i + _BATCH] - self._row_count].transpose(0, 2, 1))
            for i in range(0, len(different), _BATCH)
        ]
        return np.concatenate(scores)[of]

    def _predict(self, windows: np.ndarray) -> np.ndarray:
        from mltk.tflite.interpreter import LiteRtPredictor

        x = self._convert(windows).reshape(len(windows), *self._shape)
        if isinstance(self.predictor, LiteRtPredictor):
            # The device reads the numbers of the output as they are.
            outputs = self.predictor.run([x])[0]
        else:
            outputs = self.predictor.predict(x)
        if outputs.ndim != 2:
            raise SpecificationError(
                f"The model '{self.predictor.name}' gives outputs of shape {outputs.shape[1:]}, not one score "
                "for each class."
            )
        return to_scores(outputs)

    def _to_pcm(self, samples: np.ndarray) -> np.ndarray:
        if samples.dtype != np.int16:
            # Cut off, not rounded, as the front end does it.
            samples = np.clip(samples * np.float32(_FULL_SCALE), -_FULL_SCALE, _FULL_SCALE - 1).astype(
                np.int16
            )
        if self._gain == 1:
            return samples
        return np.clip(samples.astype(np.int64) * self._gain, -_FULL_SCALE, _FULL_SCALE - 1).astype(np.int16)

    def _end_of_hop(self, hop: Any) -> Any:
        return hop * (self.hop_ms * self.frontend.sample_rate_hz) // 1000


def score_blocks(
    model: StreamingModel, blocks: Iterable[np.ndarray]
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield times and scores, as `StreamingModel.process` returns them, for the blocks of a recording."""
    for block in blocks:
        times, scores = model.process(block)
        if len(times):
            yield times, scores


def listen(
    model: StreamingModel,
    detector: Detector,
    blocks: Iterable[np.ndarray],
    *,
    clear_on_detection: bool = False,
    by_hop: bool = False,
) -> Iterator[Detection]:
    """Yield the detections in a recording, or in what a microphone gives, as soon as they are made.

    Args:
        model: The model, at the beginning of the recording.
        detector: What decides.
        blocks: The sound, as `StreamingModel.process` takes it.
        clear_on_detection: Clear the spectrogram after a detection, as the applications of Silicon Labs' gecko_sdk do.
            The model then runs hop by hop, which takes longer.
        by_hop: Run hop by hop in any case: at a detection, `model.spectrogram` is what was heard up to it.
    """
    rate = model.frontend.sample_rate_hz
    for block in blocks:
        # No longer than any hop, so that what is cleared is what was heard up to the detection.
        size = max(model.hop_ms * rate // 1000 if by_hop or clear_on_detection else len(block), 1)
        for start in range(0, len(block), size):
            found = detector.process(*model.process(block[start : start + size]))
            yield from found
            if found and clear_on_detection:
                model.clear()


def _rescale(parameters: Mapping[str, Any]) -> float:
    value = parameters.get("samplewise_norm.rescale") or 0
    if not isinstance(value, int | float):
        raise SpecificationError(
            f"The model parameter 'samplewise_norm.rescale' must be a number, not {value!r}."
        )
    return float(value)


def _input_type(predictor: Predictor, source: str) -> Features:
    tflite_model = getattr(predictor, "tflite_model", None)
    if tflite_model is None:
        return "float32"
    tensor = tflite_model.inputs[0]
    name = np.dtype(tensor.dtype).name
    if name not in ("int8", "uint16", "float32"):
        raise SpecificationError(
            f"{source} has an input of type {name}; the device fills int8, uint16 and float32."
        )
    if name == "int8":
        scale = float(tensor.quantization.scale[0]) if len(tensor.quantization.scale) else 1.0
        if not 0.9 < scale < 1.1:
            logger.warning(
                "%s was quantized for other input than the device gives it: a step of its int8 input stands for %.3g, "
                "but the device fills in its int8 features, of step 1, as they are. Its scores there, and here, will "
                "not be those of `mltk evaluate`.",
                source,
                scale,
            )
    return cast(Features, name)


def _converter(
    frontend: AudioFeatureGeneratorSettings, features: Features, rescale: float, mean_and_std: bool
) -> Callable[[np.ndarray], np.ndarray]:
    """Return what makes the model's input of uint16 spectrograms `(n, rows, channels)`."""
    if features == "int8":
        return lambda windows: np.stack([quantize_spectrogram(window, frontend) for window in windows])
    if features == "uint16":
        return np.asarray
    if rescale:
        return lambda windows: windows.astype(np.float32) * np.float32(rescale)
    return _standardized if mean_and_std else lambda windows: windows.astype(np.float32)


def _standardized(windows: np.ndarray) -> np.ndarray:
    values = windows.astype(np.float32)
    values -= values.mean(axis=(1, 2), keepdims=True)
    # A spectrogram of zeros, at the beginning, has no deviation.
    values /= np.maximum(values.std(axis=(1, 2), keepdims=True), np.float32(1e-6))
    return values
