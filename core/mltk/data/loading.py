"""Load the data set of a model that reads it with a data generator; plugins define how a subset is read."""

from __future__ import annotations

import hashlib
import inspect
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol, TypedDict, cast, get_args

import numpy as np

from mltk.data.findings import warn_once
from mltk.data.generator_batches import GeneratorIterator
from mltk.data.generator_settings import GeneratorSettings, check_disabled
from mltk.data.groups import GroupFunction, as_group_function, describe_torn_groups
from mltk.data.listing import ListFilenamesFunction
from mltk.data.parts import PartLister, find_folder, find_part_folders, read_file_list
from mltk.errors import DatasetError, SpecificationError
from mltk.plugins import AugmentationStep, DataPart, LoadedDataset, Subset, get_plugin_manager
from mltk.utils.calls import call_with_known

TEST_BATCH_SIZE = 3
TEST_SAMPLES_PER_CLASS = 3

DataIterator = GeneratorIterator[Any]


@dataclass
class DataGeneratorContext:
    """The iterators of the data set that is loaded."""

    subset: str
    """`training`, `validation` or `evaluation`."""
    train_datagen: DataIterator | None = None
    """Iterator over the training data; `None` if the subset has none."""
    validation_datagen: DataIterator | None = None
    """Iterator over the validation data; `None` if the subset has none."""
    evaluation_datagen: DataIterator | None = None
    """Iterator over the evaluation data; `None` if the subset has none."""
    train_class_counts: dict[str, int] = field(default_factory=dict)
    """Number of samples of each class of the training data."""
    validation_class_counts: dict[str, int] = field(default_factory=dict)
    """Number of samples of each class of the validation data."""
    evaluation_class_counts: dict[str, int] = field(default_factory=dict)
    """Number of samples of each class of the evaluation data."""

    def shutdown(self) -> None:
        """End all threads of the iterators."""
        for iterator in self.iterators().values():
            if iterator is not None and hasattr(iterator, "shutdown"):  # Keras' own has nothing to end.
                iterator.shutdown()

    def iterators(self) -> dict[str, DataIterator | None]:
        """Return the iterator of each subset."""
        return {
            "training": self.train_datagen,
            "validation": self.validation_datagen,
            "evaluation": self.evaluation_datagen,
        }

    def class_counts(self) -> dict[str, dict[str, int]]:
        """Return the number of samples of each class, by subset."""
        return {
            "training": self.train_class_counts,
            "validation": self.validation_class_counts,
            "evaluation": self.evaluation_class_counts,
        }


class GeneratorModel(Protocol):
    """A model specification whose data set is read by a data generator: `DataGeneratorDatasetMixin`."""

    name: str
    dataset: object
    datagen: Any
    """A data generator: a `GeneratorSettings`, or one of Keras."""
    validation_datagen: Any
    datagen_context: DataGeneratorContext | None
    classes: Sequence[str]
    class_mode: str | None
    seed: int
    follow_links: bool
    shuffle_dataset_enabled: bool
    disabled_augmentations: Sequence[str]
    group_by: str | GroupFunction | bool | None
    test_groups: Sequence[str]
    test_files: str | None
    validation_files: str | None
    loaded_subset: str | None
    test_mode_enabled: bool

    def get_datagen_creator(self, subset: str) -> Callable[[], Any]:
        """Return a function that makes a copy of the data generator of a subset."""
        ...

    def get_shuffle_index_dir(self) -> str | None:
        """Return the folder that keeps the shuffled order of the files."""
        ...

    def get_archive_dir(self, name: str) -> str:
        """Return a folder of the model archive, extracted."""
        ...

    def create_log_dir(self, suffix: str = "") -> str:
        """Return a folder of the log folder, created."""
        ...


class FlowArguments(TypedDict):
    """Arguments of every `flow…` method."""

    batch_size: int
    shuffle: bool
    seed: int
    augment: bool | None


class DirectoryArguments(FlowArguments):
    """Arguments that every `flow_from_directory` has."""

    classes: list[str]
    only: Sequence[str] | None
    class_mode: str | None
    shuffle_index_dir: str | None
    follow_links: bool
    subset: str | None
    list_valid_filenames_in_directory_function: ListFilenamesFunction | None


class GeneratorLoader:
    """Make the iterators of one load; a subclass implements `iterator`.

    Args:
        mltk_model: A model that inherits a `DataGeneratorDatasetMixin`.
        classes: Its class names; empty if the data set has none.
        test: Load only a few samples.
        options: Further arguments of `load_dataset`.
        held_out: The data set has its own validation samples if nothing is split off.
        folder: The folder of the data set, if it is one.
        group_of: The group of a file for `validation_split`, unless the model sets `group_by`.
    """

    def __init__(
        self,
        mltk_model: GeneratorModel,
        classes: Sequence[str],
        test: bool,
        options: Mapping[str, Any],
        held_out: bool = False,
        folder: Path | None = None,
        group_of: GroupFunction | None = None,
    ) -> None:
        self.model = mltk_model
        self.classes = list(classes)
        self.test = test or mltk_model.test_mode_enabled
        self.options = options
        self.split = _get_split(mltk_model.datagen) or _get_split(mltk_model.validation_datagen)
        self.folder = folder
        self.group_of = group_of
        self.folders = {} if folder is None else find_part_folders(folder, self.classes)
        self.is_test_folder = "evaluation" in self.folders
        listed = folder is not None and mltk_model.validation_files is not None
        self.has_validation = self.split > 0 or held_out or listed or "validation" in self.folders

    def iterator(self, subset: str, augment: bool | None = None) -> DataIterator:
        """Return the iterator of a subset.

        Args:
            subset: `training`, `validation` or `evaluation`.
            augment: Apply the augmentation steps; `None`: as the settings say.
        """
        raise NotImplementedError

    def load(self, subset: str) -> LoadedDataset:
        """Make the iterators that an operation needs, and store them in the model's `datagen_context`."""
        context = DataGeneratorContext(subset)
        if subset == "training":
            context.train_datagen = self.iterator("training", augment=self.options.get("augment"))
            context.validation_datagen = self.iterator("validation") if self.has_validation else None
            self._warn_of_torn_groups(context)
        elif subset == "validation" and self.has_validation:
            # Calibrates the quantization: the ranges of the values that the device will see.
            context.validation_datagen = self._calibration_iterator("validation")
        elif subset == "validation":
            context.train_datagen = self._calibration_iterator("training")
        else:
            context.evaluation_datagen = self.iterator("evaluation")
        context.train_class_counts = self.class_counts(context.train_datagen)
        context.validation_class_counts = self.class_counts(context.validation_datagen)
        context.evaluation_class_counts = self.class_counts(context.evaluation_datagen)
        self.model.datagen_context = context
        iterators = context.iterators().values()
        digests = [i.batches.fingerprint() for i in iterators if isinstance(i, GeneratorIterator)]
        return LoadedDataset(
            x=context.evaluation_datagen if subset == "evaluation" else context.train_datagen,
            validation_data=context.validation_datagen,
            class_counts={name: n for name, n in context.class_counts().items() if n},
            fingerprint=hashlib.sha256("".join(digests).encode()).hexdigest() if digests else None,
            part=self._name_evaluated_part() if subset == "evaluation" else None,
            close=context.shutdown,
        )

    def _calibration_iterator(self, subset: str) -> DataIterator:
        """Return an iterator without augmentation that can also make what only a training run has.

        Random transforms vary what the device will see. Steps of the stage `batch` may make other kinds of samples
        (a defect, a mixture), which the network learned to answer differently.
        """
        iterator = self.iterator(subset, augment=False)
        if isinstance(iterator, GeneratorIterator):
            batches = iterator.batches
            if self.model.validation_datagen not in (None, self.model.datagen):
                batches = self.iterator("training").batches
            if batches.generator.augmentation_enabled:
                steps = batches.generator.active_steps()
                iterator.batches.made_by = [step for step in steps if step.stage == "batch"]
        return iterator

    def _name_evaluated_part(self) -> DataPart:
        if self.is_test_folder or self.model.test_files is not None or self.model.test_groups:
            return "test"
        return "validation" if self.has_validation else "training"

    def _warn_of_torn_groups(self, context: DataGeneratorContext) -> None:
        training, validation = context.train_datagen, context.validation_datagen
        is_split = self.folder is not None and self.get_part("validation") == "validation" and self.split > 0
        if not (is_split and training and validation) or self.model.group_by is not None:
            return
        if warning := describe_torn_groups(training.filenames, validation.filenames):
            warn_once(str(self.folder), warning)

    def class_counts(self, iterator: DataIterator | None) -> dict[str, int]:
        """Return the number of samples of each class; empty without an iterator or classes."""
        if iterator is None or not self.classes:
            return {}
        ids = np.asarray(iterator.classes)
        counts = np.bincount(ids[ids >= 0], minlength=len(self.classes))
        return dict(zip(self.classes, counts.tolist(), strict=False))

    def prepare(self, datagen: GeneratorSettings, subset: str, *domains: str) -> None:
        """Set in a copy of the model's generator what the model, the options and other plugins say.

        Args:
            datagen: The copy.
            subset: The subset that it is to read.
            *domains: Domains to collect augmentation steps for, with the hook `mltk_augmentations`.

        Raises:
            SpecificationError: The model disables an augmentation step that does not exist.
        """
        datagen.validation_split = self.split
        if self.test:
            datagen.debug = True
            datagen.batch_size = TEST_BATCH_SIZE
        if subset == "evaluation":
            # Each sample is read once: a cache would only take memory.
            datagen.cache_bytes = 0
        limit = self._get_limit(subset)
        if limit >= 0:
            datagen.max_samples_per_class = limit
        offers = self._collect_steps(subset, domains)
        datagen.augmentation_steps = (*datagen.augmentation_steps, *offers)
        disabled = [*datagen.disabled_augmentations, *self.model.disabled_augmentations]
        known = {step.name for step in datagen.all_steps()}
        if not known.issuperset(disabled):
            # A plugin may offer a step for other subsets only.
            others = [step.name for s in get_args(Subset) for step in self._collect_steps(s, domains)]
            check_disabled(disabled, [*known, *others])
        datagen.disabled_augmentations = tuple(name for name in disabled if name in known)

    def part_folder(self, subset: str) -> Path:
        """Return the folder with the class folders of a subset."""
        folder = self.folders.get(subset) or self.folders.get("training") or self.folder
        if folder is None:
            raise DatasetError(f"The data set of '{self.model.name}' is not a folder.")
        return folder

    def flow_arguments(self, subset: str, augment: bool | None) -> FlowArguments:
        """Return the arguments of `flow…` that the model's properties determine."""
        evaluation = subset == "evaluation"
        return {
            "batch_size": getattr(self.model, "batch_size", 32),
            "shuffle": bool(getattr(self.model, "eval_shuffle", False)) if evaluation else True,
            "seed": self.model.seed,
            "augment": bool(getattr(self.model, "eval_augment", False)) if evaluation else augment,
        }

    def directory_arguments(self, subset: str, augment: bool | None) -> DirectoryArguments:
        """Return the arguments of `flow_from_directory` that model and options determine."""
        model = self.model
        own = getattr(model.dataset, "list_valid_filenames_in_directory", None)
        return {
            **self.flow_arguments(subset, augment),
            "classes": self.classes,
            "only": self.options.get("classes"),
            "class_mode": model.class_mode,
            "shuffle_index_dir": model.get_shuffle_index_dir(),
            "follow_links": model.follow_links,
            "subset": self.get_part(subset),
            "list_valid_filenames_in_directory_function": self._make_lister(subset) or own,
        }

    def _make_lister(self, subset: str) -> PartLister | None:
        """Return what lists the files of a subset; `None` if the model has no lists of files and no groups."""
        model = self.model
        group_of = self.group_of if model.group_by is None else as_group_function(model.group_by)
        if model.test_groups and group_of is None:
            raise SpecificationError(
                "my_model.test_groups needs my_model.group_by, which tells the group of a file."
            )
        lists = {
            name: read_file_list(self.part_folder(name), file)
            for name, file in (("validation", model.validation_files), ("evaluation", model.test_files))
            if file is not None and self.folder is not None
        }
        if not lists and model.group_by is None and not model.test_groups:
            return None
        groups, is_test = model.test_groups, subset == "evaluation"
        if subset in lists:
            return PartLister(group_of, lists[subset], test_groups=groups, is_test=is_test)
        return PartLister(group_of, None, frozenset().union(*lists.values()), groups, is_test)

    def get_part(self, subset: str) -> str | None:
        """Return the part of the data that a subset reads; `None` for all of it."""
        if subset == "evaluation":
            if self.is_test_folder or self.model.test_files is not None or self.model.test_groups:
                return None
        elif "validation" in self.folders or self.model.validation_files is not None:
            return None
        if self.split == 0:
            return "validation" if subset == "validation" else None
        return "training" if subset == "training" else "validation"

    def _collect_steps(self, subset: str, domains: Sequence[str]) -> list[AugmentationStep]:
        steps: list[AugmentationStep] = []
        for domain in domains:
            offers = get_plugin_manager().collect_offers(
                "mltk_augmentations", mltk_model=self.model, subset=subset, domain=domain
            )
            steps += [replace(step, domain=step.domain or domain) for step in offers.values()]
        return steps

    def _get_limit(self, subset: str) -> int:
        limit = self.options.get("max_samples_per_class")
        if (limit is None or limit < 0) and subset == "evaluation":
            limit = getattr(self.model, "eval_max_samples_per_class", -1)
        limit = -1 if limit is None else int(limit)
        if self.test:
            return TEST_SAMPLES_PER_CLASS if limit < 0 else min(limit, TEST_SAMPLES_PER_CLASS)
        return limit


def load_generator_dataset(
    mltk_model: GeneratorModel, subset: str, test: bool, make_loader: Callable[[object], GeneratorLoader]
) -> LoadedDataset | None:
    """Load a subset: the answer of a data plugin to `mltk_load_dataset`.

    Args:
        mltk_model: A model that inherits the plugin's dataset mixin.
        subset: `training`, `validation` or `evaluation`.
        test: Load only a few samples.
        make_loader: Returns a loader for the folder (`pathlib.Path`) or the arrays that `my_model.dataset` is,
            or returns if it is a function or has a `load_data`.

    Returns:
        `None` if `my_model.dataset` has its own `load_dataset`, or is not set.

    Raises:
        DatasetError: The data is missing or not usable.
        SpecificationError: A property of the model is missing or does not fit the data.
    """
    dataset = mltk_model.dataset
    if dataset is None or hasattr(dataset, "load_dataset"):
        return None
    # Determines where `get_shuffle_index_dir` looks for the order of the files.
    mltk_model.loaded_subset = subset
    data = resolve_data(mltk_model, subset, test)
    if data is None:
        return LoadedDataset()
    loader = make_loader(data)
    if subset == "evaluation" and isinstance(data, Path) and _depends_on_subset(dataset):
        # A folder of its own is evaluated whole; the other one gives up the part that validates.
        loader.is_test_folder |= resolve_data(mltk_model, "training", test) != data
    return loader.load(subset)


def resolve_data(mltk_model: GeneratorModel, subset: str, test: bool) -> object:
    """Return `my_model.dataset`, or what it returns if it is a function or has a `load_data`.

    Returns:
        A folder as a `pathlib.Path`; `None` if the function set the model's properties itself.

    Raises:
        DatasetError: The folder does not exist.
    """
    found = mltk_model.dataset
    loader = getattr(found, "load_data", None) or (found if callable(found) else None)
    if loader is not None:
        found = call_with_known(loader, {"subset": subset, "test": test, "mltk_model": mltk_model})
    if isinstance(found, str | os.PathLike):
        directory = find_folder(Path(cast("str", found)), getattr(mltk_model, "model_specification_path", ""))
        if not directory.is_dir():
            raise DatasetError(f"The data set folder '{directory}' does not exist or is not a folder.")
        return directory
    return found


def describe_subsets(context: DataGeneratorContext | None, samples: str) -> str:
    """Return the generator's settings for each loaded subset, as far as they differ from the defaults.

    Args:
        context: The loaded data set: `my_model.datagen_context`.
        samples: Plural noun for the samples, e.g. `Images`.
    """
    parts: list[str] = []
    described: list[str] = []
    for subset, iterator in context.iterators().items() if context else ():
        if not isinstance(iterator, GeneratorIterator):
            continue
        augmented = "" if iterator.augmented else " (not augmented)"
        settings = iterator.batches.generator.describe().splitlines()
        if settings and settings != described:
            parts += [f"{samples} for {subset}{augmented}:", *(f"  {line}" for line in settings)]
            described = settings
        else:
            same = ": the same" if described else ": as they are"
            parts.append(f"{samples} for {subset}{augmented or same}")
    return "\n".join(parts)


def _depends_on_subset(dataset: object) -> bool:
    loader = getattr(dataset, "load_data", None) or dataset
    if not callable(loader):
        return False
    parameters = inspect.signature(loader).parameters
    return "subset" in parameters or any(p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters.values())


def _get_split(datagen: object) -> float:
    # Keras' own generator has it under a private name.
    return float(
        getattr(datagen, "validation_split", None) or getattr(datagen, "_validation_split", None) or 0
    )
