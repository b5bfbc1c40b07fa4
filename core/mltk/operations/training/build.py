"""Build the Keras model of a specification."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mltk.errors import SpecificationError
from mltk.keras.environment import import_tensorflow
from mltk.keras.old_names import add_shapes_of_layers, name_inner_models, name_learning_rate
from mltk.keras.private import skip_all_reduce
from mltk.model.event import MltkModelEvent
from mltk.model.mixins.evaluate import EvaluateClassifierMixin
from mltk.operations.training.memory import explain_memory_errors
from mltk.plugins import get_plugin_manager
from mltk.utils.trees import map_tree

if TYPE_CHECKING:
    import logging

    import keras

    from mltk.model.full_model import FullModel
    from mltk.operations.training.fit_data import FirstBatch


def build_keras_model(mltk_model: FullModel, logger: logging.Logger | None = None) -> keras.Model:
    """Build the model with the `mltk_build_model` hook and check that it fits the specification.

    Raises:
        SpecificationError: There is no build function, it does not return a compiled model, or the output of the
            model does not fit the classes.
    """
    import_tensorflow()
    import keras

    mltk_model.trigger_event(MltkModelEvent.BEFORE_BUILD_TRAIN_MODEL, logger=logger)
    add_shapes_of_layers()
    with explain_memory_errors(mltk_model):
        keras_model = get_plugin_manager().call_first("mltk_build_model", mltk_model=mltk_model)
    if not isinstance(keras_model, keras.Model):
        raise SpecificationError(
            f"The build function of '{mltk_model.name}' must return a Keras model, not {type(keras_model).__name__}."
            + (" Is a `return` missing?" if keras_model is None else "")
        )
    if not keras_model.compiled:
        raise SpecificationError(
            f"The build function of '{mltk_model.name}' returned a model that is not compiled: "
            f"call keras_model.compile(…)."
        )
    _check_outputs(mltk_model, keras_model)
    name_inner_models(keras_model)
    name_learning_rate(keras_model.optimizer)
    skip_all_reduce(keras_model)
    mltk_model.trigger_event(MltkModelEvent.AFTER_BUILD_TRAIN_MODEL, keras_model=keras_model, logger=logger)
    return keras_model


def build_layers(keras_model: keras.Model, batch: FirstBatch | None) -> None:
    """Make the weights of a subclassed model, which Keras makes when the first batch comes.

    A run is resumed, and weights are loaded, into weights that exist.

    Args:
        keras_model: The network; one that is built stays as it is.
        batch: The first batch of its data.
    """
    import keras

    if not keras_model.built and batch is not None:
        keras_model(map_tree(lambda a: keras.KerasTensor((None, *a.shape[1:]), a.dtype), batch.x))


def _check_outputs(mltk_model: FullModel, keras_model: keras.Model) -> None:
    """Check that a classifier has one output per class (or one in all for two classes)."""
    classes = mltk_model.attributes.stored.get("dataset.classes")
    is_classifier = (
        isinstance(mltk_model, EvaluateClassifierMixin) and mltk_model.default_evaluator == "classifier"
    )
    # A subclassed model has no symbolic outputs.
    outputs = getattr(keras_model, "outputs", None)
    if not classes or not is_classifier or not outputs or len(outputs) != 1:
        return
    if len(classes) == 1:
        raise SpecificationError(
            f"my_model.classes has one class, '{classes[0]}'; a classifier tells at least two apart."
        )
    units = outputs[0].shape[-1]
    allowed = {len(classes), 1} if len(classes) == 2 else {len(classes)}
    if len(outputs[0].shape) == 2 and units not in allowed:
        raise SpecificationError(
            f"The model '{mltk_model.name}' has {units} outputs but {len(classes)} classes ({', '.join(classes)}). "
            f"Use my_model.n_classes for the units of the last layer."
        )
