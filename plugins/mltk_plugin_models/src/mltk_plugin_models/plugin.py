"""Hooks of the plugin `models`: custom layers for loading Keras files."""

from __future__ import annotations

from mltk.plugins import hookimpl

mltk_api_version = 1


@hookimpl
def mltk_custom_objects() -> dict[str, object]:
    """Return the custom layers of the networks."""
    from mltk_plugin_models.bc_resnet import NormalBlock, SubSpectralNormalization, TransitionBlock
    from mltk_plugin_models.kws_streaming.layers.speech_features import SpeechFeatures
    from mltk_plugin_models.tenet import MultiScaleTemporalConvolution

    layers: tuple[type, ...] = (MultiScaleTemporalConvolution, NormalBlock, SpeechFeatures)
    layers += (SubSpectralNormalization, TransitionBlock)
    return {layer.__name__: layer for layer in layers}
