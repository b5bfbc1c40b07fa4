"""Anomaly detection with autoencoders: evaluation, networks, losses and scores for mltk."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mltk_plugin_autoencoder.evaluation import evaluate_autoencoder
    from mltk_plugin_autoencoder.mixins import EvaluateAutoEncoderMixin
    from mltk_plugin_autoencoder.networks import ConvolutionalAutoEncoder, FullyConnectedAutoEncoder
    from mltk_plugin_autoencoder.results import AutoEncoderEvaluationResults
    from mltk_plugin_autoencoder.scores import Score, structural_similarity

_MODULES = {
    "AutoEncoderEvaluationResults": "results",
    "ConvolutionalAutoEncoder": "networks",
    "EvaluateAutoEncoderMixin": "mixins",
    "FullyConnectedAutoEncoder": "networks",
    "Score": "scores",
    "evaluate_autoencoder": "evaluation",
    "structural_similarity": "scores",
}

__all__ = [
    "AutoEncoderEvaluationResults",
    "ConvolutionalAutoEncoder",
    "EvaluateAutoEncoderMixin",
    "FullyConnectedAutoEncoder",
    "Score",
    "evaluate_autoencoder",
    "structural_similarity",
]


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
