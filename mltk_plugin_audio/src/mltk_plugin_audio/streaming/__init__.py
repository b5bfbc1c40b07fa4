"""Detections in long recordings, as the device makes them, and how often they are wrong."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mltk_plugin_audio.streaming.detection import Detection, DetectionSettings, Detector
    from mltk_plugin_audio.streaming.evaluation import StreamingEvaluationResults, evaluate_streaming
    from mltk_plugin_audio.streaming.options import StreamingOptions
    from mltk_plugin_audio.streaming.recordings import (
        Composition,
        Event,
        Recording,
        compose,
        open_recording,
        read_blocks,
        read_labels,
    )
    from mltk_plugin_audio.streaming.stream import StreamingModel, listen

_MODULES = {
    "Composition": "recordings",
    "Detection": "detection",
    "DetectionSettings": "detection",
    "Detector": "detection",
    "Event": "recordings",
    "Recording": "recordings",
    "StreamingEvaluationResults": "evaluation",
    "StreamingModel": "stream",
    "StreamingOptions": "options",
    "compose": "recordings",
    "evaluate_streaming": "evaluation",
    "listen": "stream",
    "open_recording": "recordings",
    "read_blocks": "recordings",
    "read_labels": "recordings",
}

__all__ = [
    "Composition",
    "Detection",
    "DetectionSettings",
    "Detector",
    "Event",
    "Recording",
    "StreamingEvaluationResults",
    "StreamingModel",
    "StreamingOptions",
    "compose",
    "evaluate_streaming",
    "listen",
    "open_recording",
    "read_blocks",
    "read_labels",
]


def __getattr__(name: str) -> Any:
    # The command line imports `hooks` from here, and must not import numpy for that.
    if name not in _MODULES:
        raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
