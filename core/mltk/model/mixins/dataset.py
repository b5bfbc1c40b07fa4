"""The data set of a model: what `fit` is given, and how it is loaded."""

from __future__ import annotations

import zlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast, get_args

import numpy as np

from mltk._namespace import provided_mixins
from mltk.data.tf_data import as_batches
from mltk.errors import SpecificationError, did_you_mean
from mltk.model.attributes import Attribute
from mltk.model.base import ModelBase
from mltk.model.event import MltkModelEvent
from mltk.model.operation import specification_plugin
from mltk.plugins import get_plugin_manager
from mltk.plugins.types import DataPart, LoadedDataset, Subset
from mltk.utils.calls import check_call
from mltk.utils.logging import get_mltk_logger

if TYPE_CHECKING:
    from mltk.model.full_model import FullModel
    from mltk.model.model import MltkModel

_ClassCounts = dict[str, dict[str, int]]


class MltkDataset(ABC):
    """A data set as a class: load, unload, summarize."""

    @abstractmethod
    def load_dataset(self, subset: str, test: bool = False, **kwargs: Any) -> Any:
        """Load a subset.

        Args:
            subset: `training`, `validation` or `evaluation`.
            test: A few samples are enough.
            **kwargs: `mltk_model` always; further options of the operation.

        Returns:
            `None` when the properties of `mltk_model` were set here; else `x`, `(x, y)`, `(x, y, validation_data)` or
            `(x, None, validation_data)`.
        """

    def unload_dataset(self) -> None:  # noqa: B027 - most data sets have nothing to release
        """Release what `load_dataset` took."""

    def summarize_dataset(self) -> str:
        """Return a text about the loaded data."""
        return ""

    @staticmethod
    def summarize_class_counts(class_counts: Mapping[str, object]) -> str:
        """Return a table of samples per class (rows) and subset (columns).

        Args:
            class_counts: `{subset: {class: n}}`, or `{class: n}`.
        """
        return summarize_class_counts(class_counts)


def summarize_class_counts(counts: Mapping[str, Any]) -> str:
    """Return a table of samples per class (rows) and subset (columns); empty without counts."""
    if counts and not isinstance(next(iter(counts.values())), Mapping):
        counts = {"samples": counts}
    counts = {subset: n for subset, n in counts.items() if n}
    if not counts:
        return ""
    classes = list(dict.fromkeys(str(c) for per_class in counts.values() for c in per_class))
    by_name = {subset: {str(c): n for c, n in per_class.items()} for subset, per_class in counts.items()}
    rows = [["class", *by_name]]
    rows += [[c, *(str(by_name[s].get(c, 0)) for s in by_name)] for c in classes]
    rows.append(["total", *(str(sum(by_name[s].values())) for s in by_name)])
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return "\n".join(
        "  ".join(
            cell.ljust(w) if i == 0 else cell.rjust(w)
            for i, (cell, w) in enumerate(zip(row, widths, strict=True))
        )
        for row in rows
    )


class DatasetMixin(ModelBase):
    """The data of a model. The properties map directly to the arguments of `keras.Model.fit`."""

    dataset = Attribute(
        "dataset.dataset",
        default=None,
        doc="A `MltkDataset`, a function, or a module or object with `load_dataset`; dataset mixins accept more.",
    )
    loaded_subset = Attribute(
        "dataset.loaded_subset", type=str, default=None, doc="The subset that is loaded."
    )
    x = Attribute("dataset.x", default=None, lazy=True, doc="Input data: anything that `fit` takes.")
    y = Attribute("dataset.y", default=None, lazy=True, doc="Targets, where `x` does not yield them.")
    validation_data = Attribute("dataset.validation_data", default=None, lazy=True, doc="As `fit` takes it.")
    validation_split = Attribute(
        "dataset.validation_split",
        type=(float, int),
        default=0.0,
        lazy=True,
        doc="Last fraction of array data, 0 to 1.",
    )
    validation_steps = Attribute("dataset.validation_steps", type=int, default=None, lazy=True)
    validation_batch_size = Attribute("dataset.validation_batch_size", type=int, default=None, lazy=True)
    validation_freq = Attribute("dataset.validation_freq", type=(int, list, tuple), default=1, lazy=True)
    steps_per_epoch = Attribute("dataset.steps_per_epoch", type=int, default=None, lazy=True)
    shuffle = Attribute("dataset.shuffle", type=bool, default=True, doc="Shuffle array data each epoch.")
    class_weights = Attribute(
        "dataset.class_weights",
        type=(str, dict, list, tuple),
        default=None,
        doc="`'balanced'`, a list by class index, or a dict by class index or name.",
    )
    class_counts = Attribute(
        "dataset.class_counts",
        type=dict,
        default={"training": {}, "validation": {}, "evaluation": {}},
        doc="Samples per class of each subset: `{'training': {'yes': 120}}`.",
    )
    sample_weight = Attribute(
        "dataset.sample_weight", default=None, doc="Weight of each sample of array data."
    )

    # Names of the last loaded data, for the archive's record.
    dataset_fingerprint: str | None = None
    evaluation_part: DataPart | None = None
    _dataset_close: Callable[[], None] | None = None

    def load_dataset(self, subset: Subset, test: bool = False, **kwargs: Any) -> None:
        """Load a subset into `x`, `y`, `validation_data` and `class_counts`.

        Args:
            subset: `training`, `validation` or `evaluation`.
            test: A few samples are enough.
            **kwargs: Options for the loader.

        Raises:
            SpecificationError: `dataset` is not of a kind that can be loaded, or returned something unusable.
        """
        if subset not in get_args(Subset):
            raise SpecificationError(
                f"There is no subset '{subset}'. Use one of: {', '.join(get_args(Subset))}."
            )
        self.trigger_event(MltkModelEvent.BEFORE_LOAD_DATASET, subset=subset, test=test, **kwargs)
        self.x = self.y = self.validation_data = self.sample_weight = None
        self.dataset_fingerprint = self.evaluation_part = None
        with specification_plugin(self):
            loaded = get_plugin_manager().call_first(
                "mltk_load_dataset", mltk_model=self, subset=subset, test=test, options=kwargs
            )
        if loaded is not None:
            self._apply(loaded)
        self.loaded_subset = subset
        self.trigger_event(MltkModelEvent.AFTER_LOAD_DATASET, subset=subset, test=test, **kwargs)

    def unload_dataset(self) -> None:
        """Release the loaded data."""
        self.trigger_event(MltkModelEvent.BEFORE_UNLOAD_DATASET)
        unload = getattr(self.dataset, "unload_dataset", None)
        if callable(unload) and not isinstance(self.dataset, type):
            unload()
        if self._dataset_close:
            self._dataset_close()
            self._dataset_close = None
        self.x = self.y = self.validation_data = self.sample_weight = None
        self.loaded_subset = None
        self.trigger_event(MltkModelEvent.AFTER_UNLOAD_DATASET)

    def summarize_dataset(self) -> str:
        """Return a text about the loaded data."""
        summarize = getattr(self.dataset, "summarize_dataset", None)
        summary = summarize() if callable(summarize) and not isinstance(self.dataset, type) else None
        summary = summary or summarize_class_counts(self.class_counts)
        box = {"value": summary}
        self.trigger_event(MltkModelEvent.SUMMARIZE_DATASET, summary=summary, summary_dict=box)
        return box["value"]

    def prepare_training_data(self, x: Any) -> Any:
        """Return `x` in the form that `fit` gets; called once before training, for mixins to override."""
        return x

    def _apply(self, loaded: LoadedDataset) -> None:
        for name in ("x", "y", "validation_data"):
            value = getattr(loaded, name)
            if value is not None:
                setattr(self, name, value if name == "y" else as_batches(value, self))
        for subset, counts in (loaded.class_counts or {}).items():
            self.class_counts[subset] = dict(counts)
        self.dataset_fingerprint = loaded.fingerprint
        self.evaluation_part = loaded.part
        self._dataset_close = loaded.close


def load_generic_dataset(
    mltk_model: MltkModel, subset: str, test: bool, options: Mapping[str, Any]
) -> LoadedDataset | None:
    """Load `mltk_model.dataset` by the loader protocol; the built-in answer to `mltk_load_dataset`.

    Returns:
        What the loader returned, or `None` where it set the model's properties or there is no data set.

    Raises:
        SpecificationError: The data set cannot be loaded so.
    """
    dataset = mltk_model.dataset
    if dataset is None:
        return None
    loader = getattr(dataset, "load_dataset", None)
    if isinstance(dataset, type) or loader is None:
        loader = dataset if callable(dataset) else None
    if loader is None:
        raise SpecificationError(
            f"my_model.dataset is {_describe(dataset)}, which cannot be loaded: give a function, or a module or object "
            f"with a function load_dataset(subset, test, **kwargs). "
            f"For folders of files inherit one of {', '.join(provided_mixins('DatasetMixin'))}."
        )
    arguments = {"subset": subset, "test": test, "mltk_model": mltk_model, **options}
    check_call(loader, "The loader of my_model.dataset", **arguments)
    result = loader(**arguments)
    if result is None or isinstance(result, LoadedDataset):
        return result
    if isinstance(result, str) or (isinstance(result, tuple) and not 1 <= len(result) <= 3):
        raise SpecificationError(
            f"The loader of my_model.dataset returned {_describe(result)}; "
            f"return x, (x, y) or (x, y, validation_data), or None after setting mltk_model.x."
        )
    x, y, validation_data = (*result, None, None)[:3] if isinstance(result, tuple) else (result, None, None)
    part = _recognize(mltk_model, subset, x, validation_data)
    return LoadedDataset(x=x, y=y, validation_data=validation_data, part=part)


def _recognize(mltk_model: MltkModel, subset: str, x: object, validation_data: object) -> DataPart | None:
    """Return which part of the data the evaluation data are, if arrays were loaded for training before."""
    known: dict[int, DataPart] = mltk_model.__dict__.setdefault("_known_arrays", {})
    if subset != "evaluation":
        validation = validation_data[0] if isinstance(validation_data, tuple) else validation_data
        for part, array in (("validation", validation), ("training", x)):
            if isinstance(array, np.ndarray):
                known[_identify(array)] = cast("DataPart", part)
        return None
    return known.get(_identify(x), "test") if known and isinstance(x, np.ndarray) else None


def _identify(array: np.ndarray) -> int:
    """Return a number that tells arrays apart, from a few of their values."""
    ends = np.concatenate([array[:32], array[-32:]])
    return hash((array.shape, array.dtype.str, zlib.crc32(ends.tobytes())))


def compute_class_weights(mltk_model: FullModel, y: object = None) -> dict[int, float] | None:
    """Return the weights for `fit`, by class index, as `my_model.class_weights` asks for them.

    `'balanced'` gives class c the weight n / (k · n_c) (King & Zeng, "Logistic Regression in Rare Events Data", 2001).

    Args:
        mltk_model: The model.
        y: Targets of the training data (ids, or one-hot), used when there are no class counts.

    Raises:
        SpecificationError: A class has no weight, or the weights cannot be computed.
    """
    wanted = mltk_model.class_weights
    if wanted is None or (isinstance(wanted, str) and wanted.lower() in ("", "none")):
        return None
    if isinstance(wanted, str):
        if wanted.lower() not in ("balance", "balanced"):
            raise SpecificationError(
                f"my_model.class_weights is '{wanted}'; the only text it may be is 'balanced'."
            )
        return _balanced(mltk_model, y)
    n = len(mltk_model.classes) if "dataset.classes" in _stored(mltk_model) else None
    if isinstance(wanted, (list, tuple)):
        if n not in (None, len(wanted)):
            raise SpecificationError(f"my_model.class_weights has {len(wanted)} weights for {n} classes.")
        return {i: _weight(i, w) for i, w in enumerate(wanted)}
    if all(isinstance(key, int) for key in wanted):
        if n is not None and not set(wanted) <= set(range(n)):
            raise SpecificationError(f"my_model.class_weights has an index that is not 0 to {n - 1}.")
        return {key: _weight(key, w) for key, w in wanted.items()}
    classes: Sequence[str] = mltk_model.classes
    for label in wanted:
        if label not in classes:
            raise SpecificationError(
                f"my_model.class_weights has '{label}', which is not a class.{did_you_mean(str(label), classes)}"
            )
    missing = [c for c in classes if c not in wanted]
    if missing:
        raise SpecificationError(f"my_model.class_weights has no weight for the class '{missing[0]}'.")
    return {i: _weight(c, wanted[c]) for i, c in enumerate(classes)}


def _weight(key: object, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < float("inf"):
        raise SpecificationError(
            f"my_model.class_weights has {value!r} for {key!r}; a weight is a number from 0."
        )
    return float(value)


def _balanced(mltk_model: FullModel, y: object) -> dict[int, float]:
    counts = mltk_model.class_counts or {}
    per_class = counts.get("training") or {}
    if not per_class and counts and all(isinstance(n, int) for n in counts.values()):
        per_class = counts
    if per_class:
        names = (
            {str(c): i for i, c in enumerate(mltk_model.classes)}
            if "dataset.classes" in _stored(mltk_model)
            else {}
        )
        numbers = {names.get(str(c), i): int(n) for i, (c, n) in enumerate(per_class.items())}
    elif y is not None and hasattr(y, "shape"):
        import numpy as np

        array = np.asarray(y)
        ids = array.argmax(-1) if array.ndim > 1 and array.shape[-1] > 1 else array.reshape(-1).astype(int)
        numbers = dict(enumerate(np.bincount(ids).tolist()))
    else:
        raise SpecificationError(
            "my_model.class_weights = 'balanced' needs the number of samples per class, and the data set "
            "does not tell it. Set my_model.class_counts['training'] = {class: n, …} in the loader."
        )
    empty = [i for i, n in numbers.items() if n == 0]
    if empty:
        get_mltk_logger().warning(f"Class {empty[0]} has no training sample; its weight is 1.")
    total = sum(numbers.values())
    return {i: total / (len(numbers) * n) if n else 1.0 for i, n in sorted(numbers.items())}


def _stored(mltk_model: MltkModel) -> dict[str, Any]:
    return mltk_model.attributes.stored


def _describe(value: object) -> str:
    if isinstance(value, str):
        return f"the text '{value}'"
    if isinstance(value, tuple):
        return f"a tuple of {len(value)} items"
    return f"of type {type(value).__name__}"
