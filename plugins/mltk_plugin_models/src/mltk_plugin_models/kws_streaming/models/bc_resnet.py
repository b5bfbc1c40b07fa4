"""BC-ResNet with its audio front end in the model. This module imports Keras."""

from __future__ import annotations

import ast
from types import SimpleNamespace

import keras  # noqa: TID253 - the module's layers derive from Keras'

from mltk_plugin_models.bc_resnet import NormalBlock, TransitionBlock, bc_resnet
from mltk_plugin_models.kws_streaming.layers import speech_features

__all__ = ["NormalBlock", "TransitionBlock", "model", "speech_features"]

_LISTS = ("blocks_n", "filters", "dilations", "strides", "dropouts", "pools")


def model(flags: SimpleNamespace) -> keras.Model:
    """Build a BC-ResNet.

    Args:
        flags: Attributes `blocks_n`, `filters`, `dilations`, `strides`, `dropouts` and `pools`, text such as
            '2, 2, 4, 4'; `first_filters`, `last_filters`, `label_count`, `paddings`, `max_pool`, `return_softmax`,
            `sub_groups`; `preprocess`: 'raw' for `SpeechFeatures` in the model (with its flags, and
            `desired_samples`), or 'micro' for an input of `spectrogram_length` times `mel_num_bins`.

    Returns:
        The uncompiled model; input (batch, samples) or (batch, time, frequency), output (batch, label_count).

    Raises:
        ValueError: A flag is out of range.
    """
    if flags.preprocess == "raw":
        inputs = keras.Input((flags.desired_samples,))
        parameters = speech_features.SpeechFeatures.get_params(flags)
        x = speech_features.SpeechFeatures(parameters)(inputs)
    elif flags.preprocess == "micro":
        x = inputs = keras.Input((flags.spectrogram_length, flags.mel_num_bins))
    else:
        raise ValueError(f"preprocess must be 'raw' or 'micro', got {flags.preprocess!r}.")
    x = bc_resnet(
        keras.layers.Reshape((*x.shape[1:], 1))(x),
        first_filters=flags.first_filters,
        last_filters=flags.last_filters,
        stages={name: _parse(getattr(flags, name)) for name in _LISTS},
        max_pool=bool(flags.max_pool),
        padding=flags.paddings,
        sub_groups=flags.sub_groups,
    )
    x = keras.layers.Dense(flags.label_count, use_bias=False)(x)
    return keras.Model(inputs, keras.layers.Softmax()(x) if flags.return_softmax else x)


def _parse(text: str) -> tuple[object, ...]:
    value = ast.literal_eval(text)
    return value if isinstance(value, tuple) else (value,)
