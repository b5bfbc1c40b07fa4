"""The plugin `autoencoder`: evaluates models that inherit `EvaluateAutoEncoderMixin`."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from typing import TYPE_CHECKING, TypeGuard

from mltk.plugins import Evaluator, Parameter, Template, hookimpl, import_on_call, inherits

if TYPE_CHECKING:
    import keras

    from mltk.model import MltkModel
    from mltk.tflite import TfliteModel
    from mltk_plugin_autoencoder.mixins import AutoEncoderModel

mltk_api_version = 1


@hookimpl
def mltk_templates() -> list[Template]:
    """Offer the kinds of specifications that `mltk new` can write for anomaly detection."""
    return [
        Template(
            "image_anomaly",
            "Defects in images: normal images only to train with.",
            import_on_call("mltk_plugin_autoencoder.templates:draft_image_anomaly"),
        ),
        Template(
            "sound_anomaly",
            "Unusual sounds: normal sounds only to train with.",
            import_on_call("mltk_plugin_autoencoder.templates:draft_sound_anomaly"),
        ),
    ]


@hookimpl(wrapper=True)
def mltk_build_model(mltk_model: MltkModel) -> Generator[None, keras.Model, keras.Model]:
    """Check the training data and the network of an autoencoder before it is trained."""
    keras_model = yield
    if _is_autoencoder(mltk_model):
        from mltk_plugin_autoencoder.checks import check_before_training

        check_before_training(mltk_model, keras_model)
    return keras_model


@hookimpl
def mltk_custom_objects() -> Mapping[str, object]:
    """Offer the tied layers and the losses."""
    from mltk_plugin_autoencoder.layers import Conv2DTranspose_tied, DenseTranspose_tied
    from mltk_plugin_autoencoder.losses import Correlation, StructuralSimilarity

    return {
        c.__name__: c for c in (Conv2DTranspose_tied, DenseTranspose_tied, Correlation, StructuralSimilarity)
    }


@hookimpl
def mltk_model_parameters(
    mltk_model: MltkModel, tflite_model: TfliteModel | None
) -> Mapping[str, Parameter] | None:
    """Keep the threshold that the last evaluation stored in the `.tflite`, as long as it has the same weights."""
    if not _is_autoencoder(mltk_model):
        return None
    from mltk_plugin_autoencoder.threshold import embedded_threshold

    return embedded_threshold(mltk_model, tflite_model)


@hookimpl
def mltk_evaluators(mltk_model: MltkModel | None) -> list[Evaluator] | None:
    """Offer `autoencoder` for a bare `.tflite` and for models with `EvaluateAutoEncoderMixin`."""
    if mltk_model is not None and not _is_autoencoder(mltk_model):
        return None
    custom = getattr(mltk_model, "eval_custom_function", None)
    return [
        Evaluator(
            "autoencoder",
            "ROC, precision and recall of anomaly scores, and a threshold",
            import_on_call("mltk_plugin_autoencoder.evaluation:evaluate"),
            default=mltk_model is not None and custom is None,
            folder="",
            options=("max_false_positive_rate", "scoring_function"),
        )
    ]


def _is_autoencoder(mltk_model: object) -> TypeGuard[AutoEncoderModel]:
    return inherits(mltk_model, "mltk_plugin_autoencoder.mixins:EvaluateAutoEncoderMixin")
