"""Names of losses, metrics and optimizers that a specification gives as text."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from types import ModuleType
from typing import TYPE_CHECKING, Any

from mltk.errors import SpecificationError, did_you_mean
from mltk.sources.places import place_of

if TYPE_CHECKING:
    import keras

    from mltk.model.full_model import FullModel

# Keras chooses the function for these when it knows the labels.
_CHOSEN_LATER = ("accuracy", "acc", "crossentropy", "ce")


def check_names(mltk_model: FullModel) -> None:
    """Refuse names of losses, metrics and optimizers in the properties of a specification that Keras does not know.

    Raises:
        SpecificationError: The message has the line of the specification, and near names.
    """
    stored = mltk_model.attributes.stored
    for key, kind in (("train.loss", "loss"), ("train.metrics", "metric"), ("train.optimizer", "optimizer")):
        for name in _texts(stored.get(key)):
            _check(mltk_model, f"my_model.{key.rpartition('.')[2]}", kind, name)


def check_compiled_names(mltk_model: FullModel, keras_model: keras.Model) -> None:
    """Refuse names in what a network was compiled with, which Keras looks up only when the first batch comes."""
    config = keras_model.get_compile_config() or {}
    for kind, key in (("loss", "loss"), ("metric", "metrics"), ("metric", "weighted_metrics")):
        for name in _texts(config.get(key)):
            _check(mltk_model, f"compile({key}=…)", kind, name)


def _texts(value: Any) -> Iterator[str]:
    """Yield the texts in a loss or metrics, which may be lists and, by output, dictionaries."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict) and "class_name" not in value:
        yield from _texts(list(value.values()))
    elif isinstance(value, (list, tuple)):
        for one in value:
            yield from _texts(one)


def _check(mltk_model: FullModel, where: str, kind: str, name: str) -> None:
    import keras

    modules: dict[str, tuple[ModuleType, Callable[[str], object]]] = {
        "loss": (keras.losses, keras.losses.get),
        "metric": (keras.metrics, keras.metrics.get),
        "optimizer": (keras.optimizers, keras.optimizers.get),
    }
    module, get = modules[kind]
    if (kind == "metric" and name in _CHOSEN_LATER) or name in (mltk_model.keras_custom_objects or {}):
        return
    try:
        get(name)
    except ValueError:
        known = [
            n for n in dir(module) if not n.startswith("_") and n not in ("get", "serialize", "deserialize")
        ]
        if kind == "optimizer":
            known = [n.lower() for n in known]
        raise SpecificationError(
            f"{place_of(mltk_model, name)}{where}: Keras has no {kind} '{name}'.{did_you_mean(name, known)}"
        ) from None
