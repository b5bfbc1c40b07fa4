"""The labels that a classifier is judged by."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

from mltk.errors import EvaluationError
from mltk.utils.trees import Tree, leaves_of, take_rows

Integers = np.ndarray
"""int64."""


def check_labels(y: Tree) -> None:
    """Refuse labels of several outputs.

    Raises:
        EvaluationError: These are lists or dictionaries of arrays.
    """
    if not isinstance(y, np.ndarray):
        raise EvaluationError(
            f"The evaluator 'classifier' judges one output, and the data have labels for {len(leaves_of(y))}: inherit "
            f"EvaluateMixin and set eval_custom_function, or do not evaluate (--no-evaluate)."
        )


def class_ids(y: np.ndarray) -> Integers:
    """Convert labels, ids `(n,)` or `(n, 1)` or one-hot `(n, classes)`, to class ids `(n,)`.

    Raises:
        EvaluationError: The labels have another shape, or the ids are not integers.
    """
    if y.ndim not in (1, 2):
        raise EvaluationError(f"Class labels must be ids or one-hot vectors, got the shape {y.shape}.")
    if y.ndim == 2 and y.shape[1] != 1:
        highest: Integers = y.argmax(axis=1).astype(np.int64)
        return highest
    ids = y.reshape(-1)
    if ids.dtype.kind not in "biuf" or (ids.dtype.kind == "f" and not np.array_equal(ids, np.trunc(ids))):
        raise EvaluationError("Class labels must be integers, the ids of the classes.")
    return ids.astype(np.int64)


def limit_per_class(
    batches: Iterable[tuple[np.ndarray, np.ndarray | None]], limit: int | None
) -> Iterator[tuple[np.ndarray, np.ndarray | None]]:
    """Yield batches with only the first samples of each class.

    Args:
        batches: Samples and their labels (see `class_ids`).
        limit: Maximum number of samples per class; `None` or a negative number means all.

    Raises:
        EvaluationError: There is a limit, but the data have no class labels.
    """
    seen: dict[int, int] = {}
    for x, y in batches:
        if limit is None or limit < 0:
            yield x, y
            continue
        if y is None:
            raise EvaluationError(
                "The evaluation data have no labels, so the samples per class cannot be limited."
            )
        kept = []
        for i, label in enumerate(class_ids(y).tolist()):
            seen[label] = seen.get(label, 0) + 1
            if seen[label] <= limit:
                kept.append(i)
        if kept:
            yield take_rows(x, np.array(kept)), y[np.array(kept)]
