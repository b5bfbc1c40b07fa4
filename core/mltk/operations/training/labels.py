"""Check the labels of data in memory."""

from __future__ import annotations

from collections.abc import Sequence

from mltk.errors import DatasetError
from mltk.utils.trees import Tree, iterate_leaves, leaves_of


def refuse_text(y: Tree) -> None:
    """Refuse labels that are text.

    Raises:
        DatasetError: The message names the first one.
    """
    for name, array in iterate_leaves(y, "y"):
        kind = getattr(getattr(array, "dtype", None), "kind", "")
        if kind in "US" or (kind == "O" and len(array) and isinstance(array.reshape(-1)[0], str)):
            raise DatasetError(
                f"The labels must be class ids or one-hot, but {name}[0] is the text '{array.reshape(-1)[0]}'. "
                f"For ids: np.array([my_model.classes.index(label) for label in y])."
            )


def describe_split(y: Tree, cut: int, classes: Sequence[str]) -> str:
    """Return a warning if the first and the last part of the data have different classes, as sorted data do; or `""`.

    Args:
        y: The labels of all samples, ids or one-hot.
        cut: Number of samples in the first part.
        classes: Names of the classes; may be empty.
    """
    arrays = leaves_of(y)
    array = arrays[0]
    if len(arrays) != 1 or array.ndim > 2 or (array.dtype.kind not in "iub" and array.ndim == 1):
        return ""
    ids = array.argmax(1) if array.ndim == 2 and array.shape[1] > 1 else array.reshape(-1).astype(int)
    first, last = set(ids[:cut].tolist()), set(ids[cut:].tolist())
    if first == last or len(first | last) > len(ids) // 4:
        return ""

    def named(found: set[int]) -> str:
        return (
            ", ".join(f"'{classes[i]}'" if 0 <= i < len(classes) else str(i) for i in sorted(found)) or "none"
        )

    only = f" and {named(last - first)} only there" if last - first else ""
    return (
        f"my_model.validation_split takes the last {len(ids) - cut} of {len(ids)} samples for the validation. "
        f"They have only the classes {named(last)}{only}; the training has {named(first)}. The data seem sorted: "
        f"shuffle them first."
    )
