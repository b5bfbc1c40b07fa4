"""What the data sets have in common that are read by a data generator."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mltk.errors import ArchiveFileNotFoundError
from mltk.model.attributes import Attribute
from mltk.model.mixins.dataset import DatasetMixin

TEST_BATCH_SIZE = 3
TEST_SAMPLES_PER_CLASS = 3


@dataclass
class DataGeneratorContext:
    """The generators and iterators of the data set that is loaded."""

    subset: str
    """`training`, `validation` or `evaluation`."""
    train_datagen: Any = None
    """Iterator over the training data; `None` where the subset has none. Likewise the next two."""
    validation_datagen: Any = None
    evaluation_datagen: Any = None
    train_class_counts: dict[str, int] = field(default_factory=dict)
    """Samples per class. Likewise the next two."""
    validation_class_counts: dict[str, int] = field(default_factory=dict)
    evaluation_class_counts: dict[str, int] = field(default_factory=dict)

    def shutdown(self) -> None:
        """End all threads of the iterators."""
        for iterator in (self.train_datagen, self.validation_datagen, self.evaluation_datagen):
            if hasattr(iterator, "shutdown"):
                iterator.shutdown()


class DataGeneratorDatasetMixin(DatasetMixin):
    """Base of the mixins whose data set is files (or arrays) read by a data generator."""

    datagen = Attribute(
        "datagen.datagen", doc="The data generator; reads the validation data too, unless the next is set."
    )
    validation_datagen = Attribute(
        "datagen.validation_datagen", default=None, doc="Data generator of the validation data."
    )
    datagen_context = Attribute(
        "datagen.context", default=None, doc="The iterators of the data set that is loaded."
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
        doc="Draw an order of each class's files once, and keep it in the log folder and in the archive.",
    )

    def get_datagen_creator(self: Any, subset: str) -> Callable[[], Any]:
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

    def get_shuffle_index_dir(self: Any) -> str | None:
        """Return the folder that keeps the order of the files, or `None` when their order is not shuffled.

        To evaluate, it is the one in the model archive where there is one: the order decides which files
        were not trained with.
        """
        if not self.shuffle_dataset_enabled:
            return None
        if self.loaded_subset in ("validation", "evaluation"):
            try:
                return str(self.get_archive_dir("dataset"))
            except ArchiveFileNotFoundError:
                pass  # Not trained yet, or trained with sorted files.
        return str(Path(self.create_log_dir("dataset")))
