"""Leave one group out: train a model once without each group, and evaluate it on that group.

A small data set has too few speakers (or devices, or days) for one test part to say much; all of them together do.
"""

from __future__ import annotations

import json
import re
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, cast

from mltk.data.groups import as_group_function
from mltk.errors import SpecificationError
from mltk.operations.evaluation.classifier import evaluate_classifier_with_built_model
from mltk.operations.pipeline import train_model
from mltk.tflite import TfliteModel
from mltk.utils.files import atomic_write

if TYPE_CHECKING:
    import keras

    from mltk.data.loading import DataIterator
    from mltk.model.full_model import FullModel
    from mltk.model.model import MltkModel
    from mltk.results.classifier import ClassifierEvaluationResults

FOLDER = "leave_one_out"
"""Folder for the runs in the log folder of the model."""


def train_without_each_group(
    load: Callable[[], MltkModel], epochs: int | None = None, seed: int | None = None, verbose: bool = False
) -> Iterator[tuple[str, dict[str, ClassifierEvaluationResults]]]:
    """Train a classifier once without each group of its data set, and evaluate the float model and the `.tflite` on it.

    No archive is written. The files of each run are in `<log_dir>/leave_one_out/<group>`, the accuracies of all in
    `results.json` beside them.

    Args:
        load: Returns a new model, whose `group_by` tells the groups.
        epochs: Number of epochs; that of the specification by default.
        seed: Seed; that of the specification by default.
        verbose: Print a line for each epoch.

    Yields:
        The group, and the evaluations on it by kind of model.

    Raises:
        SpecificationError: The model does not tell groups, or the data set has fewer than two.
    """
    folder = Path(load().log_dir) / FOLDER
    accuracies: dict[str, dict[str, float]] = {}
    for group in list_groups(cast("FullModel", load())):
        model = cast("FullModel", load())
        model.test_groups = [group]
        model.log_dir = str(folder / _to_folder_name(group))
        results = train_model(
            model, epochs=epochs, clean=True, create_archive=False, seed=seed, verbose=verbose
        )
        evaluations = _evaluate(model, results.keras_model)
        accuracies[group] = {kind: found.overall_accuracy for kind, found in evaluations.items()}
        atomic_write(folder / "results.json", json.dumps(accuracies, indent=2) + "\n")
        yield group, evaluations


def _evaluate(model: FullModel, keras_model: keras.Model) -> dict[str, ClassifierEvaluationResults]:
    """Evaluate the Keras model and, if there is one, the `.tflite`; without an archive, which belongs to all data."""
    built: dict[str, keras.Model | TfliteModel] = {"float": keras_model}
    if model.tflite_converter:
        built["tflite"] = TfliteModel.load_flatbuffer_file(model.tflite_log_dir_path)
    model.load_dataset("evaluation", test=model.test_mode_enabled)
    found = {
        kind: evaluate_classifier_with_built_model(model, candidate, update_archive=False)
        for kind, candidate in built.items()
    }
    model.unload_dataset()
    return cast("dict[str, ClassifierEvaluationResults]", found)


def list_groups(mltk_model: FullModel) -> list[str]:
    """Return the groups of the files of a model's training and validation data, sorted.

    Raises:
        SpecificationError: The model does not tell groups, or the data set has fewer than two.
    """
    group_by = getattr(mltk_model, "group_by", None)
    if not group_by:
        raise SpecificationError(
            f"'{mltk_model.name}' cannot leave out groups: my_model.group_by must tell the group of a file."
        )
    group_of = as_group_function(group_by)
    assert group_of is not None
    mltk_model.load_dataset("training")
    iterators: list[DataIterator | None] = list(mltk_model.datagen_context.iterators().values())
    found = {group_of(name) for iterator in iterators if iterator is not None for name in iterator.filenames}
    mltk_model.unload_dataset()
    groups = sorted(str(group) for group in found if group is not None)
    if len(groups) < 2:
        raise SpecificationError(
            f"my_model.group_by finds {len(groups)} group in the data set of '{mltk_model.name}'; two are needed."
        )
    return groups


def _to_folder_name(group: str) -> str:
    """Return a group as the name of a folder; groups that differ get names that differ."""
    name = re.sub(r"[^A-Za-z0-9_-]", "_", group)
    return name if name == group else f"{name}-{zlib.crc32(group.encode()):08x}"
