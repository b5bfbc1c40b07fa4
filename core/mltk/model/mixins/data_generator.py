"""The data set of models that read it with a data generator."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mltk.data.groups import GroupFunction, as_group_function
from mltk.data.labels import CLASS_MODES
from mltk.data.loading import (
    TEST_BATCH_SIZE,
    TEST_SAMPLES_PER_CLASS,
    DataGeneratorContext,
    GeneratorModel,
    describe_subsets,
)
from mltk.errors import ArchiveFileNotFoundError
from mltk.model.attributes import Attribute, one_of
from mltk.model.mixins.dataset import DatasetMixin

__all__ = ["DataGeneratorContext", "DataGeneratorDatasetMixin"]


def _check_group_by(value: str | GroupFunction | bool) -> str | GroupFunction | bool:
    as_group_function(value)
    return value


class DataGeneratorDatasetMixin(DatasetMixin):
    """Base of the mixins whose data set is files (or arrays) read by a data generator."""

    samples_name = "Samples"
    """Plural noun for the samples in the data set's summary."""

    datagen = Attribute(
        "datagen.datagen", doc="The data generator; reads the validation data too, unless the next is set."
    )
    validation_datagen = Attribute(
        "datagen.validation_datagen", default=None, doc="Data generator of the validation data."
    )
    datagen_context = Attribute(
        "datagen.context", default=None, doc="The iterators of the data set that is loaded."
    )
    class_mode = Attribute(
        "datagen.class_mode",
        type=str,
        default="categorical",
        convert=one_of("class_mode", CLASS_MODES),
        doc="Content of a batch besides x: categorical, binary, sparse, input, or None.",
    )
    follow_links = Attribute(
        "datagen.follow_links",
        type=bool,
        default=True,
        doc="Follow links to folders in the data set's folder.",
    )
    shuffle_dataset_enabled = Attribute(
        "datagen.shuffle_dataset_enabled",
        type=bool,
        default=False,
        doc="Shuffle the files of each class once, and keep the order in the log folder and in the archive.",
    )
    group_by = Attribute(
        "datagen.group_by",
        default=None,
        convert=_check_group_by,
        doc="Keep files of one group (a speaker, a device, a day) on one side of `validation_split`: a regular "
        "expression for the path of a file, whose first parenthesis is the group, or `f(path)`. `False` splits file by "
        "file, without a warning where file names suggest groups.",
    )
    test_groups = Attribute(
        "datagen.test_groups",
        type=(list, tuple),
        default=[],
        doc="Groups, as `group_by` tells them, whose files are for the evaluation alone: `['anna']`.",
    )
    test_files = Attribute(
        "datagen.test_files",
        type=str,
        default=None,
        doc="List of the files to evaluate, one path on a line, in the data set's folder: `'testing_list.txt'`. "
        "Training does not use them.",
    )
    validation_files = Attribute(
        "datagen.validation_files",
        type=str,
        default=None,
        doc="The same for the files to validate with, in place of `validation_split`: `'validation_list.txt'`.",
    )
    disabled_augmentations = Attribute(
        "datagen.disabled_augmentations",
        type=(list, tuple),
        default=[],
        doc="Names of augmentation steps to leave out, of plugins or built-in ones.",
    )

    def get_datagen_creator(self: GeneratorModel, subset: str) -> Callable[[], Any]:  # or one of Keras
        """Return a function that makes a copy of the data generator of a subset.

        In test mode the copy reads three samples of each class, in batches of three and without threads.

        Args:
            subset: `training`, `validation` or `evaluation`.
        """
        datagen = self.datagen if subset == "training" else self.validation_datagen or self.datagen
        test = self.test_mode_enabled

        def create() -> Any:
            created = copy.copy(datagen)
            if test:
                created.debug = True
                created.batch_size = TEST_BATCH_SIZE
                created.max_samples_per_class = TEST_SAMPLES_PER_CLASS
                created.max_batches_pending = 1
            return created

        return create

    def get_shuffle_index_dir(self: GeneratorModel) -> str | None:
        """Return the folder that keeps the order of the files, or `None` if their order is not shuffled.

        An evaluation uses the order in the model archive, if there is one: it determines which files were not
        used for training.
        """
        if not self.shuffle_dataset_enabled:
            return None
        if self.loaded_subset in ("validation", "evaluation"):
            try:
                return str(self.get_archive_dir("dataset"))
            except ArchiveFileNotFoundError:
                pass  # Not trained yet, or trained with sorted files.
        return str(Path(self.create_log_dir("dataset")))

    def summarize_dataset(self) -> str:
        """Return the samples per class, and the settings of the generator that differ from the defaults."""
        parts = [super().summarize_dataset(), describe_subsets(self.datagen_context, self.samples_name)]
        return "\n\n".join(part for part in parts if part)
