"""Load the data of models whose data set is read by a data generator; plugins say how a subset is read."""

from __future__ import annotations

import hashlib
import inspect
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from mltk.data.batches import GeneratorIterator
from mltk.errors import DatasetError
from mltk.model.mixins.data_generator import (
    TEST_BATCH_SIZE,
    TEST_SAMPLES_PER_CLASS,
    DataGeneratorContext,
)
from mltk.plugins import LoadedDataset, Parameter, collect_offers


class GeneratorLoader:
    """Makes the iterators of one load.

    Args:
        mltk_model: A model that inherits a `DataGeneratorDatasetMixin`.
        classes: Its class names; empty where the data set has none.
        test: Whether a few samples are enough.
        options: Further arguments of `load_dataset`.
        held_out: Whether the data set has samples of its own to validate with when nothing is split off.
    """

    def __init__(
        self,
        mltk_model: Any,
        classes: list[str],
        test: bool,
        options: Mapping[str, Any],
        held_out: bool = False,
    ) -> None:
        self.model = mltk_model
        self.classes = classes
        self.test = test or mltk_model.test_mode_enabled
        self.options = options
        self.split = _validation_split(mltk_model.datagen) or _validation_split(mltk_model.validation_datagen)
        self.has_validation = self.split > 0 or held_out

    def iterator(self, subset: str, augment: bool | None = None) -> Any:
        """Return the iterator of a subset.

        Args:
            subset: `training`, `validation` or `evaluation`.
            augment: Apply the random transforms; `None`: as the settings say.
        """
        raise NotImplementedError

    def load(self, subset: str) -> LoadedDataset:
        """Make the iterators that an operation needs, and put them into the model's `datagen_context`."""
        context = DataGeneratorContext(subset)
        if subset == "training":
            context.train_datagen = self.iterator("training")
            context.validation_datagen = self.iterator("validation") if self.has_validation else None
        elif subset == "validation" and self.has_validation:
            # Calibrates the quantization: the ranges of what the device will see.
            context.validation_datagen = self.iterator("validation", augment=False)
        elif subset == "validation":
            context.train_datagen = self.iterator("training", augment=False)
        else:
            context.evaluation_datagen = self.iterator("evaluation")
        context.train_class_counts = self.class_counts(context.train_datagen)
        context.validation_class_counts = self.class_counts(context.validation_datagen)
        context.evaluation_class_counts = self.class_counts(context.evaluation_datagen)
        self.model.datagen_context = context
        counts = {
            "training": context.train_class_counts,
            "validation": context.validation_class_counts,
            "evaluation": context.evaluation_class_counts,
        }
        iterators = [context.train_datagen, context.validation_datagen, context.evaluation_datagen]
        digests = [i.generator_batches.fingerprint() for i in iterators if isinstance(i, GeneratorIterator)]
        return LoadedDataset(
            x=context.evaluation_datagen if subset == "evaluation" else context.train_datagen,
            validation_data=context.validation_datagen,
            class_counts={name: n for name, n in counts.items() if n},
            fingerprint=hashlib.sha256("".join(digests).encode()).hexdigest() if digests else None,
            close=context.shutdown,
        )

    def class_counts(self, iterator: Any) -> dict[str, int]:
        """Return the samples per class of an iterator; empty without an iterator or classes."""
        if iterator is None or not self.classes:
            return {}
        ids = np.asarray(iterator.classes)
        return {name: int((ids == i).sum()) for i, name in enumerate(self.classes)}

    def prepare(self, datagen: Any, subset: str, *domains: str) -> None:
        """Set what the model, the options and other plugins say in a copy of the model's generator.

        Args:
            datagen: The copy.
            subset: What it is to read.
            *domains: What the hook `mltk_augmentations` is asked for; the steps go to `augmentation_steps`,
                those of a second domain `name` to `name_augmentation_steps`.
        """
        datagen.validation_split = self.split
        if self.test:
            datagen.debug = True
            datagen.batch_size = TEST_BATCH_SIZE
        if subset == "evaluation":
            # Each sample is read once: kept, it would only take memory.
            datagen.cache_bytes = 0
        limit = self._limit(subset)
        if limit >= 0:
            datagen.max_samples_per_class = limit
        for i, domain in enumerate(domains):
            offers = collect_offers("mltk_augmentations", mltk_model=self.model, subset=subset, domain=domain)
            name = f"{domain}_augmentation_steps" if i else "augmentation_steps"
            setattr(datagen, name, (*getattr(datagen, name), *offers.values()))

    def iterator_arguments(self, subset: str, augment: bool | None) -> dict[str, Any]:
        """Return the arguments of `flow…` that the model's properties give: size, order, seed."""
        evaluation = subset == "evaluation"
        return {
            "batch_size": getattr(self.model, "batch_size", 32),
            "shuffle": bool(getattr(self.model, "eval_shuffle", False)) if evaluation else True,
            "seed": self.model.seed,
            "augment": bool(getattr(self.model, "eval_augment", False)) if evaluation else augment,
        }

    def part(self, subset: str) -> str | None:
        """Return the part of the (unsplit) data that a subset is; `None` for the whole."""
        if self.split == 0:
            return "validation" if subset == "validation" else None
        return "training" if subset == "training" else "validation"

    def _limit(self, subset: str) -> int:
        limit = self.options.get("max_samples_per_class")
        if (limit is None or limit < 0) and subset == "evaluation":
            limit = getattr(self.model, "eval_max_samples_per_class", -1)
        limit = -1 if limit is None else int(limit)
        if self.test:
            return TEST_SAMPLES_PER_CLASS if limit < 0 else min(limit, TEST_SAMPLES_PER_CLASS)
        return limit


def resolve_data(mltk_model: Any, subset: str, test: bool) -> Any:
    """Return what `my_model.dataset` is, or what it returns where it is a function or has a `load_data`.

    A folder is returned as a `pathlib.Path`; `None` when the function set the model's properties itself.

    Raises:
        DatasetError: The folder does not exist.
    """
    dataset = mltk_model.dataset
    loader = getattr(dataset, "load_data", None) or (dataset if callable(dataset) else None)
    found = dataset
    if loader is not None:
        found = _call(loader, {"subset": subset, "test": test, "mltk_model": mltk_model})
    if isinstance(found, str | os.PathLike):
        directory = Path(found).expanduser()
        if not directory.is_dir():
            raise DatasetError(f"The data set folder '{directory}' does not exist or is not a folder.")
        return directory
    return found


def describe_subsets(mltk_model: Any, samples: str) -> str:
    """Return what happens to the samples of each loaded subset: the settings that differ from the defaults.

    Args:
        mltk_model: The model.
        samples: What the samples are, e.g. `Images`.
    """
    context = mltk_model.datagen_context
    iterators = {
        "training": context and context.train_datagen,
        "validation": context and context.validation_datagen,
        "evaluation": context and context.evaluation_datagen,
    }
    parts: list[str] = []
    described: list[str] = []
    for subset, iterator in iterators.items():
        if not isinstance(iterator, GeneratorIterator):
            continue
        augmented = "" if iterator.augmented else " (not augmented)"
        settings = iterator.generator_batches.settings.describe().splitlines()
        if settings and settings != described:
            parts += [f"{samples} for {subset}{augmented}:", *(f"  {line}" for line in settings)]
            described = settings
        else:
            same = ": the same" if described else ": as they are"
            parts.append(f"{samples} for {subset}{augmented or same}")
    return "\n".join(parts)


def normalization_parameters(datagen: Any) -> dict[str, Parameter]:
    """Return the parameters that tell a device how a generator normalises its samples."""
    both = bool(datagen.samplewise_center and datagen.samplewise_std_normalization)
    rescale = Parameter(float(datagen.rescale), "float") if datagen.rescale else Parameter(0.0, "double")
    return {
        "samplewise_norm.rescale": rescale,
        "samplewise_norm.mean_and_std": Parameter(both, "bool"),
    }


def _call(function: Callable[..., Any], available: Mapping[str, Any]) -> Any:
    """Call `function` with those of the arguments that it takes."""
    try:
        parameters = inspect.signature(function).parameters
    except (TypeError, ValueError):  # Some built-in functions have no signature.
        return function()
    if any(p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters.values()):
        return function(**available)
    return function(**{name: value for name, value in available.items() if name in parameters})


def _validation_split(datagen: Any) -> float:
    # Keras' own generator has it under a private name.
    return float(
        getattr(datagen, "validation_split", None) or getattr(datagen, "_validation_split", None) or 0
    )
