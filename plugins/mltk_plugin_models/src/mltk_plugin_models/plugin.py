"""The plugin `models`: the custom layers of its networks, for Keras files that hold them."""

from __future__ import annotations

from mltk.plugins import hookimpl

mltk_api_version = 1


@hookimpl
def mltk_custom_objects() -> dict[str, object]:
    """Offer the custom layers."""
    from mltk_plugin_models.bc_resnet import NormalBlock, SubSpectralNormalization, TransitionBlock
    from mltk_plugin_models.kws_streaming.layers.speech_features import SpeechFeatures
    from mltk_plugin_models.tenet import MultiScaleTemporalConvolution

    layers = (
        *(
            MultiScaleTemporalConvolution,
            NormalBlock,
            SpeechFeatures,
            SubSpectralNormalization,
            TransitionBlock,
        ),
    )
    return {layer.__name__: layer for layer in layers}
