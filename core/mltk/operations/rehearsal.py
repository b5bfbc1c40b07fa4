"""Rehearse, before a training, what follows it: save, load, convert and evaluate the untrained network."""

from __future__ import annotations

import contextlib
import tempfile
import time
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mltk.data.tf_data import is_tf_dataset
from mltk.errors import MltkError, SpecificationError
from mltk.keras.predictor import KerasPredictor
from mltk.keras.saving import load_keras_model, save_keras_model
from mltk.model.event import MltkModelEvent
from mltk.operations.conversion.calibration import single_samples
from mltk.operations.conversion.settings import converter_settings
from mltk.operations.evaluation.choose import applicable_evaluators
from mltk.operations.evaluation.predictors import make_predictor
from mltk.plugins import get_plugin_manager
from mltk.results.classifier import ClassifierEvaluationResults
from mltk.results.labels import check_labels
from mltk.sources.script import place_in_specification
from mltk.tflite import TfliteModel
from mltk.utils.logging import get_mltk_logger
from mltk.utils.trees import Tree, leaves_of, length_of, take_rows

if TYPE_CHECKING:
    import logging
    from collections.abc import Iterator

    import keras

    from mltk.model.full_model import FullModel
    from mltk.operations.training.prepare import Prepared
    from mltk.plugins import Predictor

_SAMPLES = 4


@dataclass
class _Rehearsal:
    model: FullModel
    network: keras.Model
    x: Tree
    y: Tree | None
    evaluate: bool


def rehearse(
    mltk_model: FullModel, prepared: Prepared, logger: logging.Logger, quantize: bool, evaluate: bool
) -> None:
    """Save, load, convert, calibrate and evaluate the untrained network with a few samples.

    What would fail after hours of training fails now. The network, its data and the files of the model stay as they
    are, no handler of an event is called, and what is written goes to a temporary folder.

    Args:
        mltk_model: The specification, with its data loaded.
        prepared: The network and the data of the training.
        logger: For messages.
        quantize: The trained model will be converted.
        evaluate: The trained model will be evaluated.

    Raises:
        MltkError: A stage failed; the message names it.
    """
    batch = prepared.batch
    if batch is None:
        logger.info("Rehearsal: left out, since neither the data nor the network tell their shapes.")
        return
    started = time.perf_counter()
    rows = slice(_SAMPLES)
    y = take_rows(batch.y, rows) if batch.is_real and batch.y is not None else None
    rehearsal = _Rehearsal(mltk_model, prepared.keras_model, take_rows(batch.x, rows), y, evaluate)
    done = ["saved and loaded"]
    tflite_model: TfliteModel | None = None
    with mltk_model.silent_events():
        with _stage(mltk_model, "train"):
            copy = _save_and_load(rehearsal)
        if copy is None:
            logger.info("Rehearsal: left out, since on_save_keras_model saves another network.")
            return
        if quantize and not _is_changed_by_handlers(mltk_model):
            with _stage(mltk_model, "quantize"):
                tflite_model = _convert(rehearsal, copy)
            done.append("converted")
        with _stage(mltk_model, "evaluate"):
            _evaluate(rehearsal, KerasPredictor(copy, mltk_model.name))
            if tflite_model is not None:
                _evaluate(rehearsal, make_predictor(tflite_model, mltk_model.name))
        done.append("evaluated")
    logger.info(
        f"Rehearsal: the untrained network was {', '.join(done)} with {length_of(rehearsal.x)} samples "
        f"in {time.perf_counter() - started:.1f} s."
    )


@contextlib.contextmanager
def _stage(mltk_model: FullModel, name: str) -> Iterator[None]:
    """Turn an exception into one line that says which stage would fail."""
    try:
        yield
    except Exception as e:
        kind = type(e) if isinstance(e, MltkError) else SpecificationError
        text = str(e) if isinstance(e, MltkError) else f"{type(e).__name__}: {' '.join(str(e).split())[:300]}"
        place = place_in_specification(e)
        raise kind(
            f"The stage '{name}' would fail after the training of '{mltk_model.name}', "
            f"as its rehearsal with one batch shows: {f'{place}: ' if place else ''}{text.rstrip('.')}. "
            f"Nothing was trained; --no-rehearsal trains all the same."
        ) from e


def _save_and_load(rehearsal: _Rehearsal) -> keras.Model | None:
    """Return a copy of the network that was written to files and read again, as after the training.

    Returns:
        `None` if the specification saves another network than it trains, made in a way that cannot be rehearsed.
    """
    # It imports Keras.
    from mltk.keras.models import model_to_save

    model, network = rehearsal.model, rehearsal.network
    with tempfile.TemporaryDirectory(prefix="mltk-") as folder:
        path = Path(folder) / Path(model.keras_log_dir_path).name

        def copy_of(one: keras.Model) -> keras.Model:
            save_keras_model(one, path)
            return load_keras_model(path, mltk_model=model, trust=True)

        if not model.on_save_keras_model:
            network = model_to_save(network)
            copy = copy_of(network)
            # Not from the network, whose settings of compile() Keras changes when it writes the old format.
            save_keras_model(copy, path.with_suffix(".h5"))
            _check_equal(network, copy, rehearsal.x)
            return copy
        try:
            # The function may change what it is given.
            copy = copy_of(network)
        except Exception:  # noqa: BLE001 - a network that cannot be copied as a whole
            return None
        saved = model.on_save_keras_model(mltk_model=model, keras_model=copy, logger=get_mltk_logger())
        if saved is None:
            raise SpecificationError(
                "my_model.on_save_keras_model must return the Keras model to save, not None"
            )
        return copy_of(saved)


def _check_equal(network: keras.Model, copy: keras.Model, x: Tree) -> None:
    """Refuse a network whose copy answers differently: a layer does not save all that it is made of."""
    first, second = (_answers(one, x) for one in (network, copy))
    if all(
        np.allclose(a, b, rtol=1e-3, atol=1e-5, equal_nan=True) for a, b in zip(first, second, strict=True)
    ):
        return
    # A network that draws random numbers never answers the same.
    again = _answers(copy, x)
    if all(np.array_equal(a, b) for a, b in zip(second, again, strict=True)):
        raise SpecificationError(
            "saved and loaded, the network gives other results than before: a layer of its own lacks get_config(), "
            "or keeps a state that is no weight"
        )


def _answers(network: keras.Model, x: Tree) -> list[np.ndarray]:
    return [np.asarray(out, np.float32) for out in leaves_of(network(x, training=False))]


def _is_changed_by_handlers(mltk_model: FullModel) -> bool:
    """Return whether handlers change the conversion, which are not called in a rehearsal."""
    return any(
        mltk_model.has_event_handler(event)
        for event in (MltkModelEvent.BEFORE_QUANTIZE, MltkModelEvent.AFTER_QUANTIZE)
    )


def _convert(rehearsal: _Rehearsal, copy: keras.Model) -> TfliteModel:
    settings = converter_settings(rehearsal.model)
    wanted = settings["representative_dataset"]
    samples = list(single_samples(copy, rehearsal.x))
    # A shuffled tf.data set would come in another order if a function read it now.
    if callable(wanted) and not is_tf_dataset(rehearsal.model.x):
        samples = _first_samples(wanted, copy) or samples
    content = get_plugin_manager().call_first(
        "mltk_convert_model",
        mltk_model=rehearsal.model,
        keras_model=copy,
        settings=settings,
        representative_dataset=None if wanted is None else lambda: iter(samples),
    )
    return TfliteModel(bytes(content))


def _first_samples(function: Any, copy: keras.Model) -> list[list[np.ndarray]]:
    """Return the first samples of a function that yields representative data."""
    try:
        first = next(iter(function()), None)
    except Exception:  # noqa: BLE001 - it may need the validation data, which are loaded later
        return []
    return [] if first is None else list(islice(single_samples(copy, first), _SAMPLES))


def _evaluate(rehearsal: _Rehearsal, predictor: Predictor) -> None:
    """Predict the samples, and judge the answers if a classifier will be evaluated."""
    scores = predictor.predict(rehearsal.x)
    model = rehearsal.model
    if not rehearsal.evaluate or rehearsal.y is None or "classifier" not in applicable_evaluators(model):
        return
    check_labels(rehearsal.y)
    classes = model.classes if "dataset.classes" in model.attributes.stored else None
    ClassifierEvaluationResults(name=model.name, classes=classes).calculate(rehearsal.y, scores)
