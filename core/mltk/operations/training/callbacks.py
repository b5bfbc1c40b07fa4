"""Create the Keras callbacks that a specification asks for."""

from __future__ import annotations

import importlib.util
import inspect
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from mltk.errors import SpecificationError, did_you_mean
from mltk.model.mixins.train import CHECKPOINT_DEFAULTS
from mltk.sources.places import place_of

if TYPE_CHECKING:
    import logging
    from collections.abc import Callable, Mapping

    import keras

    from mltk.model.full_model import FullModel


def create_callbacks(
    mltk_model: FullModel, has_validation: bool, has_accuracy: bool, logger: logging.Logger | None
) -> list[keras.callbacks.Callback]:
    """Create the callbacks of `train_callbacks`, `train_kwargs` and the callback properties.

    Args:
        mltk_model: The specification.
        has_validation: Whether the run reports `val_…` values.
        has_accuracy: Whether the run reports `accuracy`.
        logger: Receives a message for each property that is not used; `None` to only check the settings.

    Raises:
        SpecificationError: A callback or an argument is wrong.
    """
    import keras

    from mltk.keras.checkpoints import ModelCheckpoint

    callbacks = [*mltk_model.train_callbacks, *mltk_model.train_kwargs.get("callbacks", ())]
    for callback in callbacks:
        if not isinstance(callback, keras.callbacks.Callback):
            raise SpecificationError(
                f"my_model.train_callbacks contains {callback!r}, which is not a keras.callbacks.Callback."
            )
    if mltk_model.tensorboard and importlib.util.find_spec("tensorboard") is None:
        raise SpecificationError("my_model.tensorboard needs a package: pip install tensorboard")
    schedule = (mltk_model.lr_schedule or {}).get("schedule")
    if schedule is not None and not _takes(schedule, 2) and not _takes(schedule, 1):
        raise SpecificationError(
            "my_model.lr_schedule must be a function f(epoch, lr) that returns the learning rate."
        )
    plateau = mltk_model.reduce_lr_on_plateau or {}
    if mltk_model.lr_schedule and plateau:
        if logger:
            logger.warning("lr_schedule is set, so reduce_lr_on_plateau is not used.")
        plateau = {}
    properties: list[tuple[str, type, Mapping[str, object]]] = [
        (
            "tensorboard",
            keras.callbacks.TensorBoard,
            _with_defaults(
                mltk_model.tensorboard, log_dir=str(Path(mltk_model.log_dir) / "train" / "tensorboard")
            ),
        ),
        (
            "checkpoint",
            keras.callbacks.ModelCheckpoint,
            _checkpoint_settings(mltk_model, has_validation, has_accuracy, logger),
        ),
        ("lr_schedule", keras.callbacks.LearningRateScheduler, mltk_model.lr_schedule or {}),
        ("early_stopping", keras.callbacks.EarlyStopping, (mltk_model.early_stopping or {})),
        ("reduce_lr_on_plateau", keras.callbacks.ReduceLROnPlateau, plateau),
    ]
    for name, cls, settings in properties:
        # A callback in train_callbacks replaces the one of the property.
        if settings and not any(isinstance(c, cls) for c in mltk_model.train_callbacks):
            own = partial(ModelCheckpoint, Path(mltk_model.weights_dir)) if name == "checkpoint" else cls
            callbacks.append(_create(mltk_model, name, own, cls, settings))
    return callbacks


def monitored_values(mltk_model: FullModel) -> dict[str, str]:
    """Return the value that each callback property monitors, by property."""
    names = ("checkpoint", "early_stopping", "reduce_lr_on_plateau")
    settings = {name: getattr(mltk_model, name) or {} for name in names}
    if settings["checkpoint"] == CHECKPOINT_DEFAULTS:
        del settings["checkpoint"]
    return {name: str(s["monitor"]) for name, s in settings.items() if "monitor" in s}


def _create(
    mltk_model: FullModel,
    name: str,
    create: Callable[..., keras.callbacks.Callback],
    cls: type,
    settings: Mapping[str, object],
) -> keras.callbacks.Callback:
    # Keras 2 had `options`, and the default settings of silabs-mltk contain it.
    settings = {k: v for k, v in settings.items() if not (k == "options" and v is None)}
    known = list(inspect.signature(cls).parameters)
    for key in settings:
        if key not in known:
            raise SpecificationError(
                f"{place_of(mltk_model, key)}my_model.{name} has '{key}', which the Keras callback does not take."
                f"{did_you_mean(key, known)} It takes: {', '.join(k for k in known if k != 'kwargs')}."
            )
    try:
        return create(**settings)
    except (TypeError, ValueError) as e:
        raise SpecificationError(f"my_model.{name} is not right: {e}") from e


def _checkpoint_settings(
    mltk_model: FullModel, has_validation: bool, has_accuracy: bool, logger: logging.Logger | None
) -> Mapping[str, object]:
    """Return the arguments of ModelCheckpoint; none if the run does not report the monitored value."""
    settings = dict(mltk_model.checkpoint or {})
    missing = settings == CHECKPOINT_DEFAULTS and not has_accuracy
    if settings and (missing or (not has_validation and str(settings.get("monitor")).startswith("val_"))):
        if logger:
            logger.info(f"No best weights are kept: the training does not report {settings['monitor']}.")
        return {}
    filepath = str(Path(mltk_model.weights_dir) / mltk_model.weights_file_format)
    return _with_defaults(settings, filepath=filepath)


def _with_defaults(settings: Mapping[str, object] | None, **defaults: object) -> Mapping[str, object]:
    return {**defaults, **settings} if settings else {}


def _takes(function: object, n: int) -> bool:
    """Return whether `function` can be called with `n` positional arguments."""
    try:
        inspect.signature(function).bind(*range(n))  # type: ignore[arg-type]  # a TypeError says no
    except (TypeError, ValueError):
        return False
    return True
