"""Data sets of arrays in memory, for any data plugin."""

from types import SimpleNamespace

import numpy as np
import pytest

from mltk.data import ArrayParts, LabeledArrays, get_class_ids
from mltk.errors import DatasetError

X = np.arange(40.0).reshape(10, 4)
Y = np.arange(10) % 2


def make_loader(split=0.0, only=None, mode="categorical", part=None):
    """Return what `ArrayParts.select` needs of a loader."""
    return SimpleNamespace(
        model=SimpleNamespace(class_mode=mode, name="my_model"),
        classes=["even", "odd"],
        split=split,
        options={"classes": only},
        get_part=lambda subset: part,
    )


@pytest.mark.parametrize(
    "found",
    [((X, Y), (X[:4], Y[:4])), (X, X[:4], Y, Y[:4]), [X, Y, X[:4], Y[:4]]],
    ids=["pairs", "x x", "x y"],
)
def test_the_usual_orders_of_arrays_are_recognized(found):
    parts = ArrayParts.of(found, "my_model")
    assert [len(arrays.x) for arrays in (parts.train, parts.test)] == [10, 4]
    assert parts.train.y.tolist() == Y.tolist()
    assert parts.test.y.tolist() == Y[:4].tolist()


def test_one_pair_has_no_test_data():
    parts = ArrayParts.of((X, Y), "my_model")
    assert parts.test is None
    assert parts.of_subset("evaluation", 0.0) is parts.train


@pytest.mark.parametrize("found", [5, (X,), "text"])
def test_anything_else_is_refused(found):
    with pytest.raises(DatasetError, match=f"'my_model' is of type {type(found).__name__}"):
        ArrayParts.of(found, "my_model")


@pytest.mark.parametrize(
    ("subset", "is_test"), [("training", False), ("validation", True), ("evaluation", True)]
)
def test_test_arrays_validate_unless_something_is_split_off(subset, is_test):
    parts = ArrayParts.of(((X, Y), (X, Y)), "my_model")
    assert parts.is_held_out(subset, 0.0) == is_test
    assert parts.is_held_out(subset, 0.2) == (subset == "evaluation")


def test_the_split_takes_the_first_of_each_class():
    parts = ArrayParts.of((X, np.repeat([0, 1], 5)), "my_model")
    validation, labels = parts.select(make_loader(0.2, part="validation"), "validation")
    assert validation[:, 0].tolist() == [0, 20]
    assert labels.ids.tolist() == [0, 1]
    training, _ = parts.select(make_loader(0.2, part="training"), "training")
    assert training[:, 0].tolist() == [4, 8, 12, 16, 24, 28, 32, 36]


def test_classes_and_their_size_can_be_limited():
    parts = ArrayParts.of((X, Y), "my_model")
    x, labels = parts.select(make_loader(only=["odd"]), "training", limit=2)
    assert x[:, 0].tolist() == [4, 12]
    assert labels.ids.tolist() == [1, 1]


def test_shares_of_classes_are_kept():
    shares = np.full((10, 2), 0.5)
    _, labels = ArrayParts.of((X, shares), "my_model").select(make_loader(), "training")
    assert labels.values.tolist() == shares.tolist()
    _, labels = ArrayParts.of((X, np.eye(2)[Y]), "my_model").select(make_loader(), "training")
    assert labels.values is None
    assert labels.ids.tolist() == Y.tolist()


@pytest.mark.parametrize(
    ("y", "message"),
    [
        (Y[:5], "10 samples but 5 labels"),
        (Y + 1, "values from 1 to 2, but my_model.classes names 2 classes"),
        (np.eye(3)[Y], "rows of 3 values"),
        (None, "no labels, which my_model.class_mode = 'categorical' needs"),
    ],
)
def test_labels_that_do_not_fit_are_refused(y, message):
    with pytest.raises(DatasetError, match=message):
        ArrayParts.of((X, y), "my_model").select(make_loader(), "training")


def test_samples_without_labels_have_no_class():
    assert LabeledArrays.of(X).check_ids("input", []).tolist() == [-1] * 10
    assert get_class_ids(np.full((3, 1), 0.5)).tolist() == [-1] * 3
